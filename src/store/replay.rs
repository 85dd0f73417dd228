//! The journal as it was applied, read for whoever wants to fold it once more: `rideguard backtest --journal`.

use super::vault::Vault;
use super::{journal, seeds};
use crate::domain::{Entry, Lane, Timestamp, VehicleId};
use crate::fold::LaneState;
use std::collections::BTreeSet;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Journal rows read at a time.
const ROWS: i64 = 256;

/// An alert, by what names it: whose, of which kind, when.
pub type Told = (VehicleId, String, Timestamp);

/// Whoever folds a journal.
pub trait Reader {
    /// A lane's journal begins from this state.
    fn begin(&mut self, state: LaneState);
    /// The next entry of the lane.
    fn read(&mut self, entry: &Entry);
}

/// Reads every lane's journal, as far as it was applied, to `reader`. Returns the alerts that followed from it
/// when it was new, those before its beginning left out.
///
/// # Errors
/// The database's own word, or a damaged journal row, named.
pub async fn run(client: &mut Client, vault: &Vault, reader: &mut impl Reader) -> anyhow::Result<BTreeSet<Told>> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    for lane in Lane::all() {
        let applied: i64 =
            transaction.query_one("SELECT applied FROM lane WHERE lane = $1", &[&(lane.0 as i16)]).await?.get(0);
        let (mut n, state) = seeds::beginning(&transaction, lane).await?;
        reader.begin(state);
        while n < applied {
            let batches = journal::read_after(&transaction, vault, lane, n, ROWS).await?;
            if batches.is_empty() {
                anyhow::bail!("lane {} has applied up to {applied}, but its journal ends at {n}", lane.0);
            }
            batches.iter().filter(|b| b.n <= applied).flat_map(|b| &b.entries).for_each(|e| reader.read(e));
            n = batches.last().map_or(applied, |b| b.n);
        }
    }
    Ok(told(&transaction).await?)
}

async fn told(transaction: &Transaction<'_>) -> Result<BTreeSet<Told>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT vehicle_id, kind, raised_at FROM alert
             WHERE raised_at > coalesce((SELECT max(at) FROM journal_base WHERE n > 0), '-infinity')",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (VehicleId(row.get(0)), row.get(1), row.get(2))).collect())
}
