//! Keys of the sealed journal: a master key in a file, data keys in the database, wrapped under it. The cryptography is
//! AES-256-GCM of `ring`; here it is only said what is sealed under what, and bound to where.

use crate::config::{Journal, read_secret};
use anyhow::{Context, anyhow, bail};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio_postgres::GenericClient;

/// Length of every key, bytes.
const KEY_BYTES: usize = 32;
/// What is in `journal_master`, sealed: it opens under the right file only.
const KNOWN_WORDS: &[u8] = b"the journal of this database";
/// What the known words are bound to.
const KNOWN_PLACE: &str = "rideguard journal master 1";

/// Where the master key is kept. Cheap to make: the file is read when something is to be sealed or opened.
#[derive(Clone, Default)]
pub struct KeyStore {
    file: Option<PathBuf>,
    master: Arc<OnceCell<Key>>,
}

impl KeyStore {
    /// The key store of a deployment.
    pub fn of(settings: &Journal) -> Self {
        Self { file: settings.key_file.clone(), master: Arc::default() }
    }

    /// Whether there is a key to seal with.
    pub fn has_key(&self) -> bool {
        self.file.is_some()
    }

    /// The master key, to open what is sealed.
    ///
    /// # Errors
    /// There is none, it has not the form of one, or it is not the one of this database.
    pub(in crate::store) async fn master(&self, client: &impl GenericClient) -> anyhow::Result<&Key> {
        self.master.get_or_try_init(|| self.read(client)).await
    }

    /// The master key, to seal with; the first one used becomes the one of this database.
    ///
    /// # Errors
    /// As [`KeyStore::master`].
    pub(in crate::store) async fn master_for_sealing(&self, client: &impl GenericClient) -> anyhow::Result<Key> {
        // In every transaction that seals: the first one may have come to nothing.
        let sealed = self.file_key()?.seal(KNOWN_PLACE, KNOWN_WORDS)?;
        client.execute("INSERT INTO journal_master (sealed) VALUES ($1) ON CONFLICT DO NOTHING", &[&sealed]).await?;
        self.read(client).await
    }

    async fn read(&self, client: &impl GenericClient) -> anyhow::Result<Key> {
        let key = self.file_key()?;
        let row = client.query_opt("SELECT sealed FROM journal_master", &[]).await?;
        let row = row.context("the journal has sealed ranges, but no word of its master key (table journal_master)")?;
        match key.open(KNOWN_PLACE, row.get(0)) {
            Ok(words) if words == KNOWN_WORDS => Ok(key),
            _ => bail!("the key in {} is not the one that this journal is sealed with", self.shown()),
        }
    }

    fn file_key(&self) -> anyhow::Result<Key> {
        let file = self.file.as_ref().context("a part of the journal is sealed, and journal.key_file is not set")?;
        let text = read_secret(file)?;
        let bytes = hex::decode(&text).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        bytes.map(|bytes| Key::of(&bytes)).transpose()?.ok_or_else(|| {
            anyhow!(
                "the key in {} has {} characters; it must be {} hexadecimal digits (openssl rand -hex {KEY_BYTES})",
                self.shown(),
                text.chars().count(),
                2 * KEY_BYTES
            )
        })
    }

    fn shown(&self) -> String {
        self.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default()
    }
}

/// A key that seals bytes to a place. Nonces are random: a data key seals a few dozen blocks, the master key one data key
/// for each tracker and day, both far below the 2^32 at which random nonces of 96 bits become a question.
pub(in crate::store) struct Key(LessSafeKey);

impl Key {
    pub(super) fn of(bytes: &[u8; KEY_BYTES]) -> anyhow::Result<Self> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| anyhow!("no AES-256 key"))?)))
    }

    /// A new data key, and itself wrapped under this one, bound to what it is for.
    pub fn new_key(&self, place: &str) -> anyhow::Result<(Self, Vec<u8>)> {
        let bytes = random::<KEY_BYTES>()?;
        Ok((Self::of(&bytes)?, self.seal(place, &bytes)?))
    }

    /// A data key out of its wrapping.
    pub fn unwrap(&self, place: &str, wrapped: &[u8]) -> anyhow::Result<Self> {
        let bytes = self.open(place, wrapped)?;
        Self::of(bytes.as_slice().try_into().map_err(|_| anyhow!("it is {} bytes long", bytes.len()))?)
    }

    /// Nonce, ciphertext, tag.
    pub fn seal(&self, place: &str, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut sealed[NONCE_LEN..],
            )
            .map_err(|_| anyhow!("{} bytes are too many to seal", plain.len()))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// What was sealed to this place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let opened = sealed.split_at_checked(NONCE_LEN).and_then(|(nonce, rest)| {
            let mut plain = rest.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let length = self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        });
        opened.context("it does not open under its key: it is damaged, was changed, or stood elsewhere")
    }
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_at_its_place_and_unchanged_only() {
        let master = Key::of(&[7; KEY_BYTES]).unwrap();
        let (key, wrapped) = master.new_key("here").unwrap();
        let sealed = key.seal("here", b"where it was").unwrap();
        let unwrapped = master.unwrap("here", &wrapped).unwrap();
        assert_eq!(unwrapped.open("here", &sealed).unwrap(), b"where it was");
        assert!(master.unwrap("there", &wrapped).is_err() && key.open("there", &sealed).is_err());
        assert!(master.open("here", &sealed).is_err());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key.open("here", &changed).is_err(), "byte {place}");
        }
        assert!(key.open("here", &sealed[..NONCE_LEN - 1]).is_err());
        assert_ne!(sealed, key.seal("here", b"where it was").unwrap(), "a nonce is used once");
    }

    #[test]
    fn a_key_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal-key");
        let said = |file: Option<PathBuf>| {
            let key_store = KeyStore::of(&Journal { key_file: file, ..Journal::default() });
            format!("{:#}", key_store.file_key().err().unwrap())
        };
        assert!(said(None).contains("journal.key_file is not set"));
        assert!(said(Some(file.clone())).contains("journal-key: No such file"), "{}", said(Some(file.clone())));
        std::fs::write(&file, "abcd\n").unwrap();
        assert!(said(Some(file)).contains("has 4 characters; it must be 64 hexadecimal digits"));
    }
}
