//! Ranges of the journal that are sealed, opened for readers of the journal.

use crate::domain::{Entry, Outcome};
use crate::store::archive::keys::{Key, KeyStore};
use crate::store::archive::segment::{Block, Index, KeyScope};
use crate::store::journal::codec;
use anyhow::Context;
use tokio_postgres::{GenericClient, Row, Transaction};

/// First key of the advisory lock of a lane's old journal; the second is the lane.
const LANE_LOCK: i32 = 7_241_008;

/// Whoever moves or changes old rows of a lane does it alone, until the end of the transaction: else what is erased
/// from a row could be sealed from the same row as it was.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn lock(transaction: &Transaction<'_>, lane: i16) -> Result<(), tokio_postgres::Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&LANE_LOCK, &i32::from(lane)]).await.map(drop)
}

/// What a data key is bound to.
pub(in crate::store) fn key_place(lane: i16, scope: &str, day: &str) -> String {
    format!("rideguard journal key 1|{lane}|{scope}|{day}")
}

/// What a block is bound to.
pub(in crate::store) fn block_place((lane, from_n, to_n): (i16, i64, i64), scope: &str) -> String {
    format!("rideguard journal block 1|{lane}|{from_n}|{to_n}|{scope}")
}

/// What an index is bound to.
pub(in crate::store) fn frame_place((lane, from_n, to_n): (i16, i64, i64)) -> String {
    format!("rideguard journal frame 1|{lane}|{from_n}|{to_n}")
}

/// A range, or one scope's part of it, opened.
pub(in crate::store) struct Opened {
    /// Lane, first and last number.
    pub place: (i16, i64, i64),
    index: Index,
    blocks: Vec<Block>,
}

/// Opens a range by lane and first number; only what `scope` has, if one is given. What has no key any more is not in it.
///
/// # Errors
/// The database's own word, no key or a wrong one, or what does not open, named.
pub(in crate::store) async fn open(
    client: &impl GenericClient,
    key_store: &KeyStore,
    (lane, from_n): (i16, i64),
    scope: Option<&KeyScope>,
) -> anyhow::Result<Opened> {
    open_part(client, key_store.master(client).await?, (lane, from_n), (scope.map(KeyScope::to_string), None)).await
}

/// Opens what is of a scope, or under a key, of a range.
///
/// # Errors
/// As [`open`].
pub(in crate::store) async fn open_part(
    client: &impl GenericClient,
    master: &Key,
    (lane, from_n): (i16, i64),
    (scope, key): (Option<String>, Option<i64>),
) -> anyhow::Result<Opened> {
    let row = client
        .query_opt(
            "SELECT k.key_id, k.holder, k.day::text, k.wrapped, r.frame, r.to_n FROM journal_range r JOIN journal_key k USING (lane, key_id)
             WHERE lane = $1 AND from_n = $2",
            &[&lane, &from_n],
        )
        .await?;
    let row =
        row.with_context(|| format!("the range of journal rows from {from_n} of lane {lane} has no key, or is gone"))?;
    let place = (lane, from_n, row.get(5));
    let index: Index = codec::unpack_any(&plain(master, lane, &row, &frame_place(place))?)?;
    let rows = client
        .query(
            "SELECT k.key_id, k.holder, k.day::text, k.wrapped, b.content FROM journal_block b JOIN journal_key k USING (lane, key_id)
             WHERE lane = $1 AND from_n = $2 AND k.holder = coalesce($3, k.holder) AND k.key_id = coalesce($4, k.key_id) ORDER BY key_id",
            &[&lane, &from_n, &scope, &key],
        )
        .await?;
    let mut blocks = Vec::with_capacity(rows.len());
    for row in &rows {
        blocks.push(codec::unpack_any(&plain(master, lane, row, &block_place(place, row.get(1)))?)?);
    }
    Ok(Opened { place, index, blocks })
}

/// What is sealed in column 4 under the key of columns 0 to 3: number, scope, day, wrapping.
fn plain(master: &Key, lane: i16, row: &Row, place: &str) -> anyhow::Result<Vec<u8>> {
    let (key, scope, day): (i64, &str, &str) = (row.get(0), row.get(1), row.get(2));
    let opened =
        master.unwrap(&key_place(lane, scope, day), row.get(3)).with_context(|| format!("key {key} of lane {lane}"))?;
    opened
        .open(place, row.get(4))
        .with_context(|| format!("what is sealed of the journal under key {key} of lane {lane}"))
}

impl Opened {
    /// Its rows as they were.
    ///
    /// # Errors
    /// Blocks that do not fit.
    pub fn rows(self) -> anyhow::Result<Vec<(Vec<Entry>, Vec<Outcome>)>> {
        let (lane, from, to) = self.place;
        self.index.join(self.blocks).with_context(|| format!("journal rows {from} to {to} of lane {lane}"))
    }

    /// What is in its blocks, in order, and what became of it.
    ///
    /// # Errors
    /// Blocks that do not fit.
    pub fn entries(self) -> anyhow::Result<(Vec<Entry>, Vec<Outcome>)> {
        let (index, placed) = self.placed()?;
        Ok(placed.into_iter().map(|(place, entry)| (entry, index.outcome(place))).unzip())
    }

    /// The index, and what is in its blocks with its place in the range, in order.
    ///
    /// # Errors
    /// Blocks that do not fit.
    pub fn placed(self) -> anyhow::Result<(Index, Vec<(usize, Entry)>)> {
        let (lane, from, to) = self.place;
        let (times, mut placed) = (self.index.times(), Vec::new());
        for block in self.blocks {
            placed.extend(block.read(&times).with_context(|| format!("journal rows {from} to {to} of lane {lane}"))?);
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok((self.index, placed))
    }
}
