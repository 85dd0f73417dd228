//! The nightly compaction: old rows of the journal become blocks, one for each tracker and hour, each sealed under a key
//! that can be deleted. One range is one transaction: blocks in, rows out.

use crate::domain::{Lane, Timestamp};
use crate::store::archive::keys::{Key, KeyStore};
use crate::store::archive::read::{block_place, frame_place, key_place, lock};
use crate::store::archive::segment::{KeyScope, Segment};
use crate::store::journal::codec;
use anyhow::Context;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Client, Transaction};

/// Most entries of a range: opening one takes all of it into memory, 300 bytes or so each. An hour of a lane of
/// 60,000 trackers that report every half minute is more, and becomes several ranges.
const ENTRIES_MAX: usize = 500_000;
/// Most bytes of packets in a range.
const BYTES_MAX: usize = 128 << 20;
/// Rows fetched at a time.
const ROWS: i32 = 64;
/// Blocks in one statement: what is compressed between two looks at anything else.
const BLOCKS: usize = 64;
const HOUR_US: i64 = 3_600_000_000;

/// What a run has sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Ranges.
    pub ranges: i64,
    /// Journal rows that are in them.
    pub rows: i64,
    /// Entries of these.
    pub entries: i64,
    /// Blocks that they became.
    pub blocks: i64,
    /// Bytes that the rows and outcomes had.
    pub bytes_before: i64,
    /// Bytes that frames and blocks have.
    pub bytes: i64,
}

/// Seals whole hours that ended so many days ago.
///
/// # Errors
/// As [`run`].
pub(in crate::store) async fn older_than(
    client: &mut Client,
    key_store: &KeyStore,
    days: u32,
    sealed: &mut Sealed,
) -> anyhow::Result<()> {
    let sql = "SELECT date_trunc('hour', now() - make_interval(days => $1))";
    let before: Timestamp = client.query_one(sql, &[&(days as i32)]).await?.get(0);
    run(client, key_store, before, sealed).await
}

/// Seals what was received before a time, of each lane up to its older checkpoint: recovery reads rows only. May be
/// killed anywhere and run again.
///
/// # Errors
/// No key or a wrong one, a damaged row, named, or the database's own word.
pub async fn run(
    client: &mut Client,
    key_store: &KeyStore,
    before: Timestamp,
    sealed: &mut Sealed,
) -> anyhow::Result<()> {
    for lane in Lane::all() {
        while seal_next(client, key_store, lane.0 as i16, before, sealed).await? {}
    }
    Ok(())
}

/// Rows that become a range.
struct Chosen {
    range: Segment,
    from_n: i64,
    to_n: i64,
    bytes: i64,
}

/// Seals the next range of a lane; `false` if there is none.
async fn seal_next(
    client: &mut Client,
    key_store: &KeyStore,
    lane: i16,
    before: Timestamp,
    sealed: &mut Sealed,
) -> anyhow::Result<bool> {
    let transaction = client.transaction().await?;
    lock(&transaction, lane).await?;
    let Some(chosen) = choose(&transaction, lane, before).await? else { return Ok(false) };
    let master = key_store.master_for_sealing(&transaction).await?;
    let Chosen { range, from_n, to_n, bytes: bytes_before } = chosen;
    let (entries, (first_at, last_at)) = (range.entries(), range.span());
    let place = (lane, from_n, to_n);
    let (index, parts) = range.parts();
    let parts: Vec<_> = parts.collect();
    let scopes = parts.iter().map(|(scope, _)| scope.to_string()).chain([KeyScope::Lane(lane).to_string()]).collect();
    let keys = keys(&transaction, &master, lane, last_at, scopes).await?;
    let of = |scope: &KeyScope| {
        let scope = scope.to_string();
        keys.get(&scope).map(|(id, key)| (*id, key, scope)).context("a holder without a key")
    };
    let (mut bytes, mut blocks, mut in_blocks) = (0, 0, 0);
    for some in parts.chunks(BLOCKS) {
        let (mut ids, mut counts, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for (scope, block) in some {
            let (id, key, scope) = of(scope)?;
            ids.push(id);
            counts.push(block.entries() as i32);
            contents.push(key.seal(&block_place(place, &scope), &codec::pack_tight(block)?)?);
        }
        bytes += contents.iter().map(|c| c.len() as i64).sum::<i64>();
        in_blocks += counts.iter().sum::<i32>();
        let sql = "INSERT INTO journal_block (lane, from_n, key_id, entries, content)
            SELECT $1, $2, * FROM unnest($3::bigint[], $4::integer[], $5::bytea[])";
        blocks += transaction.execute(sql, &[&lane, &from_n, &ids, &counts, &contents]).await? as i64;
    }
    let (id, key, _) = of(&KeyScope::Lane(lane))?;
    let index = key.seal(&frame_place(place), &codec::pack_tight(&index)?)?;
    bytes += index.len() as i64;
    transaction
        .execute(
            "INSERT INTO journal_range (lane, from_n, to_n, first_at, last_at, entries, let_go, key_id, frame)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &lane,
                &from_n,
                &to_n,
                &first_at,
                &last_at,
                &(entries as i32),
                &(entries as i32 - in_blocks),
                &id,
                &index,
            ],
        )
        .await?;
    for table in ["journal", "journal_outcome"] {
        let sql = format!("DELETE FROM {table} WHERE lane = $1 AND n BETWEEN $2 AND $3");
        let deleted = transaction.execute(&sql, &[&lane, &from_n, &to_n]).await?;
        anyhow::ensure!(
            deleted as i64 == to_n - from_n + 1,
            "{deleted} rows of {table} are not those that were sealed"
        );
    }
    transaction.commit().await?;
    sealed.ranges += 1;
    sealed.rows += to_n - from_n + 1;
    sealed.entries += entries as i64;
    sealed.blocks += blocks;
    sealed.bytes_before += bytes_before;
    sealed.bytes += bytes;
    Ok(true)
}

/// The next rows of a lane: received in one hour, up to a nightly state at most, so that the journal can begin behind it.
async fn choose(transaction: &Transaction<'_>, lane: i16, before: Timestamp) -> anyhow::Result<Option<Chosen>> {
    let seams = transaction.query("SELECT n FROM journal_seam WHERE lane = $1", &[&lane]).await?;
    let seams: BTreeSet<i64> = seams.iter().map(|row| row.get(0)).collect();
    let statement = transaction
        .prepare(
            "SELECT j.n, j.last_at, j.content, coalesce(o.outcomes, ''::bytea) FROM journal j LEFT JOIN journal_outcome o USING (lane, n)
             WHERE j.lane = $1 AND j.n > (SELECT b.n FROM journal_base b WHERE b.lane = $1)
                AND j.n < (SELECT min(c.n) FROM checkpoint c WHERE c.lane = $1) ORDER BY n",
        )
        .await?;
    let portal = transaction.bind(&statement, &[&lane]).await?;
    let mut chosen: Option<Chosen> = None;
    let mut hour_ends = before;
    loop {
        let rows = transaction.query_portal(&portal, ROWS).await?;
        if rows.is_empty() {
            return Ok(chosen);
        }
        for row in rows {
            let (n, last_at): (i64, Timestamp) = (row.get(0), row.get(1));
            let (content, outcomes): (&[u8], &[u8]) = (row.get(2), row.get(3));
            let is_full = chosen.as_ref().is_some_and(|c| {
                c.to_n + 1 != n
                    || seams.contains(&c.to_n)
                    || c.range.entries() >= ENTRIES_MAX
                    || c.range.bytes >= BYTES_MAX
            });
            if last_at >= hour_ends || is_full {
                return Ok(chosen);
            }
            let chosen = chosen.get_or_insert_with(|| {
                let end_us = (last_at.micros().div_euclid(HOUR_US) + 1) * HOUR_US;
                hour_ends = Timestamp::from_micros(end_us).min(before);
                Chosen { range: Segment::default(), from_n: n, to_n: n, bytes: 0 }
            });
            let entries = codec::unpack(content).with_context(|| format!("journal row {n} of lane {lane}"))?;
            chosen.range.push(lane, entries, outcomes).with_context(|| format!("journal row {n} of lane {lane}"))?;
            chosen.to_n = n;
            chosen.bytes += (content.len() + outcomes.len()) as i64;
        }
    }
}

/// The keys of some scopes for a day, made where there are none.
async fn keys(
    transaction: &Transaction<'_>,
    master: &Key,
    lane: i16,
    at: Timestamp,
    scopes: BTreeSet<String>,
) -> anyhow::Result<BTreeMap<String, (i64, Key)>> {
    let rows = transaction
        .query(
            "SELECT k.holder, k.key_id, k.wrapped, d.day::text FROM (SELECT ($2::timestamptz AT TIME ZONE 'UTC')::date AS day) d
             LEFT JOIN journal_key k ON k.lane = $1 AND k.day = d.day ORDER BY k.key_id",
            &[&lane, &at],
        )
        .await?;
    let day: String = rows.first().context("a time without a day")?.get(3);
    let mut keys = BTreeMap::new();
    for row in &rows {
        let Some(scope) = row.get::<_, Option<String>>(0).filter(|scope| scopes.contains(scope)) else { continue };
        let id: i64 = row.get(1);
        let key = master.unwrap(&key_place(lane, &scope, &day), row.get(2));
        keys.insert(scope, (id, key.with_context(|| format!("key {id} of lane {lane}"))?));
    }
    let (mut names, mut wrappings, mut made) = (Vec::new(), Vec::new(), BTreeMap::new());
    for scope in scopes.into_iter().filter(|scope| !keys.contains_key(scope)) {
        let (key, wrapped) = master.new_key(&key_place(lane, &scope, &day))?;
        names.push(scope.clone());
        wrappings.push(wrapped);
        made.insert(scope, key);
    }
    let sql = "INSERT INTO journal_key (lane, holder, day, wrapped)
        SELECT $1, h, $2::text::date, w FROM unnest($3::text[], $4::bytea[]) u (h, w) RETURNING key_id, holder";
    for row in transaction.query(sql, &[&lane, &day, &names, &wrappings]).await? {
        let scope: String = row.get(1);
        let key = made.remove(&scope).context("a key for nobody")?;
        keys.insert(scope, (row.get(0), key));
    }
    Ok(keys)
}
