//! Whom the broker is to know: trackers and the hashes of their passwords.

use tokio_postgres::Client;

/// A tracker at the broker: its row, its identifier, and its hash; none: revoked.
pub type BrokerUser = (i64, String, Option<String>);

/// What changed since `since`, a mark of an earlier call, or everything; and the mark for the next call. What was being
/// written at the mark may come twice.
///
/// # Errors
/// The database's own word.
pub async fn changed_since(
    client: &Client,
    since: Option<&str>,
) -> Result<(Vec<BrokerUser>, String), tokio_postgres::Error> {
    // First the mark: every transaction below it has ended, so that the question after it sees what it did.
    let mark = client.query_one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text", &[]).await?.get(0);
    let rows = client.query("SELECT * FROM broker_users($1)", &[&since]).await?;
    Ok((rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(), mark))
}

/// The hash of one of them: `None` where it never had one, `Some(None)` where it is revoked.
///
/// # Errors
/// The database's own word.
pub async fn one(client: &Client, ident: &str) -> Result<Option<Option<String>>, tokio_postgres::Error> {
    Ok(client.query_opt("SELECT * FROM api_broker_user($1)", &[&ident]).await?.map(|row| row.get(0)))
}
