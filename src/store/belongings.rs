//! What people agreed on or asked for, and a process carries out: hand-overs whose time has come, erasures.

use crate::store::archive::keys::KeyStore;
use crate::store::retention::erasure;
use tokio_postgres::Client;

/// Most hand-overs of one look; the next look follows soon.
const TRANSFERS_MAX: i32 = 100;

/// Most trackers, vehicles and people each that are taken in by one look: some tenths of a second.
const TAKEN_IN_MAX: i32 = 2000;

/// Carries out hand-overs whose time has come; says how many.
///
/// # Errors
/// The database's own word.
pub async fn carry_out_transfers(client: &Client) -> anyhow::Result<i32> {
    Ok(client.query_one("SELECT carry_out_transfers($1)", &[&TRANSFERS_MAX]).await?.get(0))
}

/// Gives what nobody looks after to the first organisation that has operators; says how many rows of one look.
///
/// # Errors
/// The database's own word.
pub async fn take_in(client: &Client) -> anyhow::Result<i32> {
    Ok(client.query_one("SELECT take_in($1)", &[&TAKEN_IN_MAX]).await?.get(0))
}

/// Carries out erasures that people asked for; says how many.
///
/// # Errors
/// The database's own word, or a damaged journal row, named.
pub async fn carry_out_erasures(client: &mut Client, key_store: &KeyStore) -> anyhow::Result<usize> {
    erasure::carry_out_asked(client, key_store).await
}

/// Deletes links, invitations and offers that ended long ago; says how many.
///
/// # Errors
/// The database's own word.
pub async fn purge(client: &Client) -> anyhow::Result<i64> {
    Ok(client.query_one("SELECT purge_belongings()", &[]).await?.get(0))
}
