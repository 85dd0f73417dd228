//! Which trackers the door lets in on a socket of their own, and what terminals registered with.

use crate::domain::Profile;
use tokio_postgres::Client;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// What a terminal of JT/T 808 registered with, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The code that it got last.
    pub code: Digest,
    /// The code before: its terminal may not have heard the last.
    pub before: Option<Digest>,
    /// Maker, model and terminal id.
    pub terminal: Digest,
}

impl Registered {
    /// Whether a code is one of them.
    pub fn has(&self, code: &Digest) -> bool {
        self.code == *code || self.before.as_ref() == Some(code)
    }
}

/// A tracker that may speak on a socket of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorSocket {
    /// Its row.
    pub tracker: i64,
    /// Its identifier.
    pub ident: String,
    /// How it is read.
    pub profile: Profile,
    /// Whether it is let in.
    pub is_admitted: bool,
    /// JT/T 808: none before the first registration.
    pub registered: Option<Registered>,
}

/// What changed since `since`, a mark of an earlier call, or everything. Rows that nobody can read are left out.
///
/// # Errors
/// The database's own word.
pub async fn changed_since(client: &Client, since: Option<&str>) -> Result<Vec<DoorSocket>, tokio_postgres::Error> {
    let rows = client.query("SELECT * FROM door_sockets($1)", &[&since]).await?;
    let digest = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| Digest::try_from(bytes).ok());
    let read = |row: &tokio_postgres::Row| {
        Some(DoorSocket {
            tracker: row.get("tracker_id"),
            ident: row.get("ident"),
            profile: serde_json::from_value(row.get("profile")).ok()?,
            is_admitted: row.get("is_admitted"),
            registered: digest(row.get("code_sha256"))
                .zip(digest(row.get("terminal_sha256")))
                .map(|(code, terminal)| Registered { code, before: digest(row.get("code_before_sha256")), terminal }),
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Keeps what a terminal registered with; nothing if it may not.
///
/// # Errors
/// The database's own word.
pub async fn register(
    client: &Client,
    tracker: i64,
    (code, terminal): (Digest, Digest),
) -> Result<Option<Registered>, tokio_postgres::Error> {
    let row =
        client.query_opt("SELECT * FROM door_register($1, $2, $3)", &[&tracker, &&code[..], &&terminal[..]]).await?;
    let before = |row: tokio_postgres::Row| row.get::<_, Option<Vec<u8>>>(0).and_then(|b| Digest::try_from(b).ok());
    Ok(row.map(|row| Registered { code, before: before(row), terminal }))
}
