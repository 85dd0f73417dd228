//! The journal as it was applied, read for whoever wants to fold it once more: `rideguard backtest --journal`.

use crate::domain::{Entry, Lane, Timestamp, VehicleId};
use crate::engine::LaneState;
use crate::store::archive::keys::KeyStore;
use crate::store::journal;
use crate::store::rebuild::baseline;
use std::collections::BTreeSet;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Journal rows read at a time.
const ROWS: i64 = 256;

/// An alert, by what names it: whose, of which kind, when.
pub type Told = (VehicleId, String, Timestamp);

/// A reader that folds a journal.
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
pub async fn run(
    client: &mut Client,
    key_store: &KeyStore,
    reader: &mut impl Reader,
) -> anyhow::Result<BTreeSet<Told>> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    for lane in Lane::all() {
        let applied: i64 =
            transaction.query_one("SELECT applied FROM lane WHERE lane = $1", &[&(lane.0 as i16)]).await?.get(0);
        let (mut n, state) = baseline::starting_state(&transaction, lane).await?;
        reader.begin(state);
        while n < applied {
            let batches = journal::read_after(&transaction, key_store, lane, n, ROWS).await?;
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

/// An alert that was raised for a tracker's vehicle.
#[derive(Clone, Debug, PartialEq)]
pub struct SentAlerts {
    /// The tracker.
    pub ident: String,
    /// The alert's kind.
    pub kind: String,
    /// Whether it wakes its owner.
    pub wakes_owner: bool,
    /// When, server time.
    pub raised_at: Timestamp,
    /// Whether it rests on late packets.
    pub late: bool,
    /// The newest fix that it rests on, event time.
    pub newest_fix_at: Option<Timestamp>,
    /// Whether a deadline raised it and no packet.
    pub is_deadline: bool,
}

/// Every alert raised from a time on, oldest first, by the tracker that its vehicle carried then.
///
/// # Errors
/// The database's own word.
pub async fn told_of_trackers(client: &Client, since: Timestamp) -> Result<Vec<SentAlerts>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT t.ident, a.kind, a.raised_at, a.late, a.cause IS NULL, a.wakes_owner,
                    (SELECT max((f ->> 'at')::bigint) FROM jsonb_array_elements(a.evidence -> 'fixes') f)
             FROM alert a
             JOIN installation i ON i.vehicle_id = a.vehicle_id AND i.valid_from <= a.raised_at AND coalesce(i.valid_to > a.raised_at, true)
             JOIN tracker t USING (tracker_id) WHERE a.raised_at >= $1 ORDER BY a.alert_id",
            &[&since],
        )
        .await?;
    let told = |row: &tokio_postgres::Row| SentAlerts {
        ident: row.get(0),
        kind: row.get(1),
        raised_at: row.get(2),
        late: row.get(3),
        is_deadline: row.get(4),
        wakes_owner: row.get(5),
        newest_fix_at: row.get::<_, Option<i64>>(6).map(Timestamp::from_micros),
    };
    Ok(rows.iter().map(told).collect())
}
