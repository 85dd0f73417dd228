//! Passwords: their hashes, within a bounded memory.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use argon2::password_hash::{Output, PasswordHash, PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a login or a password.
pub(super) const CREDENTIAL_BYTES_MAX: usize = 256;
/// A hash that no password has, with the cost of a real one.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The memory that hashes work in, 19 MiB each, used again and again: what comes and goes by the attempt stays with the
/// allocator, once for each thread.
#[derive(Default)]
pub(super) struct Workspaces(Mutex<Vec<Vec<Block>>>);

impl Workspaces {
    fn take(&self) -> Vec<Block> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, memory: Vec<Block>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

/// Whether a password is that of a hash. Without a hash, or with one that nobody can have, it is not, at the same cost, so that
/// time tells nothing.
pub(super) async fn matches(api: &Api, password: String, hash: Option<String>) -> Result<bool, Problem> {
    let place = api.limits.place_to_hash().await.ok_or_else(|| Problem::too_often(Code::TooManyLogins, 1))?;
    let limits = api.limits.clone();
    tokio::task::spawn_blocking(move || {
        // Held until the hash is done, also when the client has hung up meanwhile.
        let _place = place;
        let mut memory = limits.workspaces.take();
        let matches = hash.and_then(|hash| is_that_of(&password, &hash, &mut memory));
        let matches = matches.or_else(|| is_that_of(&password, DUMMY_HASH, &mut memory).map(|_| false));
        limits.workspaces.give_back(memory);
        matches.unwrap_or(false)
    })
    .await
    .map_err(|_| Problem::Unavailable)
}

/// `None`: the text is no hash of a kind that we know.
fn is_that_of(password: &str, hash: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let parsed = PasswordHash::new(hash).ok()?;
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let argon = Argon2::new(Algorithm::try_from(parsed.algorithm).ok()?, version, Params::try_from(&parsed).ok()?);
    let mut salt = [0; 64];
    let (salt, expected) = (parsed.salt?.decode_b64(&mut salt).ok()?, parsed.hash?);
    memory.resize(argon.params().block_count(), Block::default());
    let mut computed = vec![0; expected.len()];
    argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut computed, memory).ok()?;
    Some(Output::new(&computed).ok()? == expected) // compares in constant time
}

fn argon() -> Argon2<'static> {
    // OWASP's recommendation for Argon2id: 19 MiB, 2 passes, 1 lane.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// Hashes a password for the `account` table: Argon2id, PHC string.
///
/// # Errors
/// The password is empty or too long.
pub fn hash_password(password: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !password.is_empty() && password.len() <= CREDENTIAL_BYTES_MAX,
        "a password has 1 to {CREDENTIAL_BYTES_MAX} bytes"
    );
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(|e| anyhow::anyhow!("no salt: {e}"))?;
    let hash = argon().hash_password(password.as_bytes(), &salt).map_err(|e| anyhow::anyhow!("cannot hash: {e}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_only() {
        let hash = hash_password("correct horse").unwrap();
        let mut memory = Vec::new();
        for (password, expected) in
            [("correct horse", true), ("correct hors", false), ("", false), ("correct horse", true)]
        {
            assert_eq!(is_that_of(password, &hash, &mut memory), Some(expected), "{password}");
        }
        assert_eq!(memory.len(), Params::default().block_count(), "one piece of memory, whatever was asked");
        assert_eq!(is_that_of("x", DUMMY_HASH, &mut memory), Some(false));
        assert_eq!(is_that_of("x", "!", &mut memory), None);
        assert!(hash_password("").is_err());
    }
}
