//! Which trackers the door lets in on a socket of their own, and what terminals registered with.

use crate::domain::Profile;
use tokio_postgres::Client;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

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
    /// JT/T 808: digests of the code that it got, and of the terminal that got it; none before the first registration.
    pub registered: Option<(Digest, Digest)>,
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
            registered: digest(row.get("code_sha256")).zip(digest(row.get("terminal_sha256"))),
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Keeps what a terminal registered with; says whether it may.
///
/// # Errors
/// The database's own word.
pub async fn register(
    client: &Client,
    tracker: i64,
    (code, terminal): (Digest, Digest),
) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("SELECT door_register($1, $2, $3)", &[&tracker, &&code[..], &&terminal[..]]).await?;
    Ok(row.get(0))
}
