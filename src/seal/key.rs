//! The key that signs heads, and the public keys that judge them: Ed25519 (RFC 8032).

use crate::config::read_secret;
use crate::store::audit::head::Head;
use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fs;
use std::path::Path;

/// What stands before the 32 bytes of a public key in its SubjectPublicKeyInfo (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// First and last line of a public key's PEM (RFC 7468, 13).
const PEM_LINES: [&str; 2] = ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];
/// Most keys of a file: one for each time that the key was changed.
const KEYS_MAX: usize = 64;
/// Largest file of public keys, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The sealer's own key.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads it: 64 hexadecimal digits, as `openssl rand -hex 32` makes them.
    ///
    /// # Errors
    /// Names the file that is missing or holds something else.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read_secret(file)?;
        let seed = hex::decode(&text).ok().filter(|seed| seed.len() == 32);
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
        pair.map(Self).ok_or_else(|| {
            anyhow!(
                "the key in {} has {} characters; it must be 64 hexadecimal digits (openssl rand -hex 32)",
                file.display(),
                text.chars().count()
            )
        })
    }

    /// Signs the text of a head.
    pub fn sign(&self, text: &str) -> [u8; 64] {
        self.0.sign(text.as_bytes()).as_ref().try_into().unwrap_or([0; 64]) // Ed25519: 64 bytes, always
    }

    /// Its public half, as PEM.
    pub fn public_pem(&self) -> String {
        let [begin, end] = PEM_LINES;
        let body = STANDARD.encode([&SPKI_PREFIX, self.0.public_key().as_ref()].concat());
        format!("{begin}\n{body}\n{end}\n")
    }

    /// Puts the public half into a file, behind those of earlier keys.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn publish(&self, file: &Path) -> anyhow::Result<()> {
        let pem = self.public_pem();
        let earlier = fs::read_to_string(file).unwrap_or_default();
        if !earlier.contains(&pem) {
            fs::write(file, earlier + &pem)
                .with_context(|| format!("cannot write the public key {}", file.display()))?;
        }
        Ok(())
    }
}

/// The keys that heads may be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys(Vec<[u8; 32]>);

impl PublicKeys {
    /// Reads a file of PEM blocks.
    ///
    /// # Errors
    /// Names the file that is missing or holds something else.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let cannot = || format!("cannot read the public key {shown}");
        let size = fs::metadata(file).with_context(cannot)?.len();
        ensure!(size <= FILE_BYTES_MAX, "the public key {shown} has {size} bytes; at most {FILE_BYTES_MAX} are read");
        let text = fs::read_to_string(file).with_context(cannot)?;
        let keys = Self::parse(&text).with_context(|| {
            format!("{shown} is no public key of Ed25519 in PEM; `rideguard seal` writes one to audit.public_key_file")
        })?;
        ensure!(keys.0.len() <= KEYS_MAX, "{shown} has {} keys; at most {KEYS_MAX} are read", keys.0.len());
        Ok(keys)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        while let Some(first) = lines.next() {
            ensure!(first == PEM_LINES[0], "a line is not {}", PEM_LINES[0]);
            let body: String = lines.by_ref().take_while(|line| *line != PEM_LINES[1]).collect();
            let der = STANDARD.decode(body)?;
            let key = der.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok());
            keys.push(key.context("a block of another kind")?);
        }
        if keys.is_empty() {
            bail!("it has no block");
        }
        Ok(Self(keys))
    }

    /// Whether one of them has signed a head. The newest is tried first.
    pub fn have_signed(&self, head: &Head) -> bool {
        let text = head.text();
        let signed = |key: &[u8; 32]| UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &head.signature);
        self.0.iter().rev().any(|key| signed(key).is_ok())
    }

    /// The newest one in hexadecimal, for people to compare.
    pub fn newest(&self) -> String {
        self.0.last().map(hex::encode).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    /// RFC 8032, 7.1, test 1: secret and public key.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn a_head_is_signed_by_its_key_and_by_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (file, public) = (folder.path().join("key"), folder.path().join("key.pub"));
        fs::write(&file, format!("{SEED}\n")).unwrap();
        let key = SigningKey::read(&file).unwrap();
        key.publish(&public).unwrap();
        key.publish(&public).unwrap();
        let keys = PublicKeys::read(&public).unwrap();
        assert_eq!((keys.newest().as_str(), keys.0.len()), (PUBLIC, 1));
        let mut head =
            Head { number: 1, rows: 2, head: [3; 32], sealed_at: Timestamp::from_secs(4), signature: [0; 64] };
        head.signature = key.sign(&head.text());
        assert!(keys.have_signed(&head));
        for other in [
            Head { number: 2, ..head.clone() },
            Head { rows: 3, ..head.clone() },
            Head { head: [4; 32], ..head.clone() },
            Head { sealed_at: Timestamp::from_secs(5), ..head.clone() },
        ] {
            assert!(!keys.have_signed(&other), "{other:?}");
        }
        // Another key comes behind; what the first has signed stays signed.
        fs::write(&file, "01".repeat(32)).unwrap();
        let second = SigningKey::read(&file).unwrap();
        assert!(!PublicKeys::parse(&second.public_pem()).unwrap().have_signed(&head));
        second.publish(&public).unwrap();
        let both = PublicKeys::read(&public).unwrap();
        assert!(both.0.len() == 2 && both.have_signed(&head) && both.newest() != PUBLIC);
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let said = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
        assert!(said(SigningKey::read(&file).map(drop)).contains("cannot read the secret"));
        assert!(said(PublicKeys::read(&file).map(drop)).contains("cannot read the public key"));
        for (wrong, characters) in [("ab", "2 characters"), (&"zz".repeat(32), "64 characters")] {
            fs::write(&file, wrong).unwrap();
            assert!(said(SigningKey::read(&file).map(drop)).contains(characters));
            assert!(said(PublicKeys::read(&file).map(drop)).contains("is no public key of Ed25519"));
        }
    }
}
