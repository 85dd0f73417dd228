//! The journal: batches of entries, compressed, one row each. Old ones are in ranges, sealed (`archive`); a reader of
//! the journal here gets both as one.

pub mod codec;
pub(in crate::store) mod row;
pub mod spool;

use crate::domain::{Entry, Lane, Outcome, Timestamp};
use crate::store::archive::keys::KeyStore;
use crate::store::archive::read;
use crate::store::archive::segment::KeyScope;
use anyhow::Context;
pub use codec::{pack, pack_any, unpack, unpack_any};
use tokio_postgres::{Client, GenericClient, IsolationLevel};

/// A batch as it is in the journal.
pub struct Batch {
    /// Its number in the lane, from 1.
    pub n: i64,
    /// Its inputs, in order.
    pub entries: Vec<Entry>,
}

/// What commit 1 writes.
pub struct JournalAppend<'a> {
    /// Number of the row.
    pub n: i64,
    /// The inputs, in order.
    pub entries: &'a [Entry],
    /// Settings up to here are among them.
    pub setting_cursor: i64,
    /// Batches of another worker's spool that are among them.
    pub handed_over: &'a [i64],
}

/// Most batches of another worker's spool taken at a time.
const HANDED_OVER_MAX: i64 = 8;

/// Leaves a batch of our spool to the worker that holds the lane now.
///
/// # Errors
/// The database's own word.
pub async fn hand_over(client: &Client, lane: Lane, entries: &[Entry]) -> anyhow::Result<()> {
    let content = pack(entries)?;
    client.execute("INSERT INTO handed_over (lane, content) VALUES ($1, $2)", &[&(lane.0 as i16), &content]).await?;
    Ok(())
}

/// The oldest batches that other workers left for a lane, with their numbers. Commit 1 removes them.
///
/// # Errors
/// Names the batch that cannot be read.
pub async fn handed_over(client: &Client, lane: Lane) -> anyhow::Result<Vec<(i64, Vec<Entry>)>> {
    let rows = client
        .query(
            "SELECT handed_over_id, content FROM handed_over WHERE lane = $1 ORDER BY handed_over_id LIMIT $2",
            &[&(lane.0 as i16), &HANDED_OVER_MAX],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id: i64 = row.get(0);
            Ok((id, unpack(row.get(1)).with_context(|| format!("batch {id} of another worker's spool"))?))
        })
        .collect()
}

/// The batches of a lane after number `after`, in order: at most `limit` rows, or one range.
///
/// # Errors
/// The database's own word, a damaged row, named, or a range whose key is not there.
pub async fn read_after(
    client: &impl GenericClient,
    key_store: &KeyStore,
    lane: Lane,
    after: i64,
    limit: i64,
) -> anyhow::Result<Vec<Batch>> {
    let lane = lane.0 as i16;
    // One statement, so that a row that is being sealed is seen in one place.
    let rows = client
        .query(
            "(SELECT n, content FROM journal WHERE lane = $1 AND n > $2 ORDER BY n LIMIT $3)
             UNION ALL (SELECT from_n, NULL FROM journal_range WHERE lane = $1 AND to_n > $2 ORDER BY from_n LIMIT 1) ORDER BY 1",
            &[&lane, &after, &limit],
        )
        .await?;
    let mut batches = Vec::with_capacity(rows.len());
    for row in &rows {
        let n: i64 = row.get(0);
        match row.get::<_, Option<&[u8]>>(1) {
            Some(content) => {
                let entries = unpack(content).with_context(|| format!("journal row {n} of lane {lane}"))?;
                batches.push(Batch { n, entries });
            }
            None if batches.is_empty() => {
                let rows = read::open(client, key_store, (lane, n), None).await?.rows()?;
                let numbered = (n..).zip(rows).filter(|(n, _)| *n > after);
                return Ok(numbered.map(|(n, (entries, _))| Batch { n, entries }).collect());
            }
            None => break,
        }
    }
    Ok(batches)
}

/// A row that was just written, if it is there.
///
/// # Errors
/// The database's own word, or a damaged row, named.
pub async fn read_row(client: &Client, lane: Lane, n: i64) -> anyhow::Result<Option<Vec<Entry>>> {
    let row =
        client.query_opt("SELECT content FROM journal WHERE lane = $1 AND n = $2", &[&(lane.0 as i16), &n]).await?;
    row.map(|row| unpack(row.get(0)).with_context(|| format!("journal row {n} of lane {}", lane.0))).transpose()
}

/// Entries of the journal with their outcomes, for `rideguard journal`.
pub struct Judged {
    /// Which lane.
    pub lane: i16,
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// What became of each; empty while not applied.
    pub outcomes: Vec<Outcome>,
}

/// Which part of the journal is asked for.
pub struct Asked {
    /// Received at or after.
    pub from: Timestamp,
    /// Received before.
    pub to: Timestamp,
    /// Of this tracker at least: what is sealed of others is not opened.
    pub tracker: Option<String>,
}

/// Calls `each` for every row or range with packets received in a span, in the order of lanes and numbers.
///
/// # Errors
/// The database's word, a damaged row, a range whose key is not there, or what `each` says.
pub async fn scan(
    client: &mut Client,
    key_store: &KeyStore,
    asked: &Asked,
    mut each: impl FnMut(Judged) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What is sealed meanwhile is seen as it was.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    let statement = transaction
        .prepare(
            "SELECT j.lane, j.n, j.content, coalesce(o.outcomes, ''::bytea) FROM journal j
             LEFT JOIN journal_outcome o USING (lane, n) WHERE j.last_at >= $1 AND j.first_at < $2
             UNION ALL SELECT lane, from_n, NULL, NULL FROM journal_range WHERE last_at >= $1 AND first_at < $2 ORDER BY 1, 2",
        )
        .await?;
    let portal = transaction.bind(&statement, &[&asked.from, &asked.to]).await?;
    let holder = asked.tracker.clone().map(KeyScope::Tracker);
    loop {
        let rows = transaction.query_portal(&portal, 64).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let (lane, n): (i16, i64) = (row.get(0), row.get(1));
            let (entries, outcomes) = match row.get::<_, Option<&[u8]>>(2) {
                None => read::open(&transaction, key_store, (lane, n), holder.as_ref()).await?.entries()?,
                Some(content) => {
                    let entries = unpack(content).with_context(|| format!("journal row {n} of lane {lane}"))?;
                    (entries, row.get::<_, &[u8]>(3).iter().map(|b| Outcome::from_byte(*b)).collect())
                }
            };
            each(Judged { lane, entries, outcomes })?;
        }
    }
}
