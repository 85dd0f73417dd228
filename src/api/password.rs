//! Passwords: their hashes, within a bounded memory.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use argon2::password_hash::{Output, PasswordHash, PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a login or a password.
pub(super) const CREDENTIAL_BYTES_MAX: usize = 256;
/// What a password is hashed with where nobody is meant: at the cost of somebody's.
const NOBODYS_RECIPE: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA";
/// Bytes of a hash, as `hash_password` makes it.
const HASH_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;

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

/// The PHC string of a password, by what the database said of how to compute it: the database compares it, and gives
/// nobody's hash to us. Without a recipe, or with one that nobody can have, it is nobody's, at the same cost, so that
/// time tells nothing.
pub(super) async fn shown(api: &Api, password: String, recipe: Option<String>) -> Result<String, Problem> {
    let place = api.limits.place_to_hash().await.ok_or_else(|| Problem::too_often(Code::TooManyLogins, 1))?;
    let limits = api.limits.clone();
    tokio::task::spawn_blocking(move || {
        // Held until the hash is done, also when the client has hung up meanwhile.
        let _place = place;
        let mut memory = limits.workspaces.take();
        let shown = recipe.and_then(|recipe| computed(&password, &recipe, &mut memory));
        let shown = shown.or_else(|| computed(&password, NOBODYS_RECIPE, &mut memory));
        limits.workspaces.give_back(memory);
        shown.ok_or(Problem::Unavailable)
    })
    .await
    .map_err(|_| Problem::Unavailable)?
}

/// Hashes a new password in a place of its own, so that many at once take no more memory than one after another.
pub(super) async fn hash(api: &Api, password: String) -> Result<String, Problem> {
    let place = api.limits.place_to_hash().await.ok_or_else(|| Problem::too_often(Code::TooManyLogins, 1))?;
    let hashed = tokio::task::spawn_blocking(move || {
        let _place = place;
        hash_password(&password)
    });
    Ok(hashed.await.map_err(|_| Problem::Unavailable)??)
}

/// `None`: the text is no recipe of a kind that we know.
fn computed(password: &str, recipe: &str, memory: &mut Vec<Block>) -> Option<String> {
    let parsed = PasswordHash::new(recipe).ok()?;
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let argon = Argon2::new(Algorithm::try_from(parsed.algorithm).ok()?, version, Params::try_from(&parsed).ok()?);
    let mut salt = [0; 64];
    let salt = parsed.salt?.decode_b64(&mut salt).ok()?;
    memory.resize(argon.params().block_count(), Block::default());
    let mut hash = [0; HASH_BYTES];
    argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory).ok()?;
    Some(PasswordHash { hash: Some(Output::new(&hash).ok()?), ..parsed }.to_string())
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
    fn a_recipe_leads_to_the_hash_by_its_password_only() {
        let hash = hash_password("correct horse").unwrap();
        let (recipe, _) = hash.rsplit_once('$').unwrap();
        let mut memory = Vec::new();
        for (password, expected) in
            [("correct horse", true), ("correct hors", false), ("", false), ("correct horse", true)]
        {
            let shown = computed(password, recipe, &mut memory).unwrap();
            assert_eq!((shown == hash, shown.len()), (expected, hash.len()), "{password}");
        }
        assert_eq!(memory.len(), Params::default().block_count(), "one piece of memory, whatever was asked");
        assert!(computed("x", NOBODYS_RECIPE, &mut memory).is_some_and(|shown| shown.len() == hash.len()));
        assert_eq!(recipe.len(), NOBODYS_RECIPE.len(), "nobody's costs as much as somebody's");
        for no_recipe in ["!", "", "$argon2id$v=19$m=19456,t=2,p=1", "$5$rounds=5000$abcdefgh"] {
            assert_eq!(computed("x", no_recipe, &mut memory), None, "{no_recipe}");
        }
        assert!(hash_password("").is_err());
    }
}
