//! Legal holds: what a case needs is kept, however old.

use crate::domain::{Plate, Timestamp};
use crate::store::registry;
use crate::store::said;
use tokio_postgres::{Client, Error};

/// A hold to place.
pub struct NewHold<'a> {
    /// Number of the case; police take their grant's.
    pub case_number: Option<&'a str>,
    /// Plate of the vehicle.
    pub plate: &'a str,
    /// Window whose positions and packets are kept.
    pub window: (Timestamp, Timestamp),
    /// When it ends by itself.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: &'a str,
}

/// Who places or releases: an account of police or administration, police with a grant.
pub struct By {
    /// The login.
    pub login: String,
    /// The grant.
    pub grant: Option<i64>,
}

/// Places a hold, with its audit row; its number.
///
/// # Errors
/// Who may not, what is missing, a window that is none.
pub async fn place(client: &Client, by: &By, hold: &NewHold<'_>) -> anyhow::Result<i64> {
    let account = registry::account(client, &by.login, &["police", "admin"]).await?;
    Plate::check_asked(hold.plate)?;
    let (from, to) = hold.window;
    let row = client
        .query_one(
            "SELECT place_hold($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&account, &by.grant, &hold.case_number, &hold.plate, &from, &to, &hold.ends_at, &hold.reason],
        )
        .await
        .map_err(said)?;
    Ok(row.get(0))
}

/// Releases a hold, with its audit row.
///
/// # Errors
/// Who may not, no such hold, one that is released already.
pub async fn release(client: &Client, by: &By, hold: i64, reason: &str) -> anyhow::Result<()> {
    let account = registry::account(client, &by.login, &["police", "admin"]).await?;
    client
        .execute("SELECT release_hold($1, $2, $3, $4)", &[&account, &by.grant, &hold, &reason])
        .await
        .map_err(said)?;
    Ok(())
}

/// Every hold, the newest first.
///
/// # Errors
/// The database's own word.
pub async fn list(client: &Client) -> Result<Vec<serde_json::Value>, Error> {
    let rows = client
        .query(
            "SELECT jsonb_build_object('hold', h.hold_id, 'case', h.case_number, 'vehicle', h.vehicle_id, 'from', h.from_at, 'to', h.to_at,
                'reason', h.reason, 'placed_by', p.login, 'placed_at', h.placed_at, 'ends_at', h.ends_at, 'released_by', r.login,
                'released_at', h.released_at, 'release_reason', h.release_reason, 'in_force', h.released_at IS NULL AND h.ends_at > now())
             FROM legal_hold h JOIN account p ON p.account_id = h.placed_by LEFT JOIN account r ON r.account_id = h.released_by ORDER BY h.hold_id DESC",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}
