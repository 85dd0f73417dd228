//! Sealed ranges purged: a scope's by deleting keys, everybody's by age.

use crate::domain::{Entry, Timestamp};
use crate::store::archive::keys::KeyStore;
use crate::store::archive::read::{block_place, key_place, lock, open_part};
use crate::store::archive::segment::{Block, Index, KeyScope};
use crate::store::journal::codec;
use crate::store::retention::held;
use crate::store::retention::held::HeldPackets;
use crate::store::retention::report::Report;
use tokio_postgres::{Client, Transaction};

/// What is erased: of a scope, received in a time.
pub(in crate::store) struct ShredRequest {
    pub scope: KeyScope,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What went.
#[derive(Default)]
pub(in crate::store) struct Shredded {
    pub entries: usize,
    pub quarantined: i64,
}

/// Erases from what is sealed: a key whose time lies within what is requested, and under no hold, is deleted; of others what
/// stays is sealed again under a new one. Rows must have been gone through before: they only move this way.
///
/// # Errors
/// The database's own word, or what does not open, named.
pub(in crate::store) async fn erase(
    client: &mut Client,
    key_store: &KeyStore,
    requests: &[ShredRequest],
    held: &[HeldPackets],
    goes: impl Fn(&Entry) -> bool,
    dry_run: bool,
) -> anyhow::Result<Shredded> {
    let mut gone = Shredded::default();
    for ShredRequest { scope, from, to } in requests {
        let keys = client
            .query(
                "SELECT DISTINCT k.lane, k.key_id FROM journal_key k JOIN journal_block b USING (lane, key_id) JOIN journal_range r USING (lane, from_n)
                 WHERE k.holder = $1 AND r.first_at < $3 AND r.last_at >= $2 ORDER BY 1, 2",
                &[&scope.to_string(), from, to],
            )
            .await?;
        for key in &keys {
            let (lane, key): (i16, i64) = (key.get(0), key.get(1));
            let transaction = client.transaction().await?;
            lock(&transaction, lane).await?;
            let row = transaction
                .query_one(
                    "SELECT min(r.first_at), max(r.last_at), coalesce(sum(b.entries), 0)::bigint FROM journal_block b JOIN journal_range r USING (lane, from_n)
                     WHERE b.lane = $1 AND b.key_id = $2",
                    &[&lane, &key],
                )
                .await?;
            let (Some(first), Some(last)) = (row.get::<_, Option<Timestamp>>(0), row.get::<_, Option<Timestamp>>(1))
            else {
                continue;
            };
            let is_held =
                held.iter().any(|h| *scope == KeyScope::Tracker(h.ident.clone()) && first < h.to && last >= h.from);
            let went = if first < *from || last >= *to || is_held {
                redact(&transaction, key_store, (lane, key), &goes, dry_run).await?
            } else if dry_run {
                Shredded { entries: usize::try_from(row.get::<_, i64>(2))?, quarantined: 0 }
            } else {
                let row = transaction
                    .query_one("SELECT gone, set_aside FROM delete_journal_key($1, $2)", &[&lane, &key])
                    .await?;
                Shredded { entries: usize::try_from(row.get::<_, i64>(0))?, quarantined: row.get(1) }
            };
            transaction.commit().await?;
            gone.entries += went.entries;
            gone.quarantined += went.quarantined;
        }
    }
    Ok(gone)
}

/// Takes what goes out from under a key: the rest gets a new key, and the old one is deleted.
async fn redact(
    transaction: &Transaction<'_>,
    key_store: &KeyStore,
    (lane, key): (i16, i64),
    goes: impl Fn(&Entry) -> bool,
    dry_run: bool,
) -> anyhow::Result<Shredded> {
    let master = key_store.master(transaction).await?;
    let row = transaction
        .query_one("SELECT holder, day::text FROM journal_key WHERE lane = $1 AND key_id = $2", &[&lane, &key])
        .await?;
    let (scope, day): (String, String) = (row.get(0), row.get(1));
    let ranges = transaction
        .query("SELECT from_n FROM journal_block WHERE lane = $1 AND key_id = $2 ORDER BY 1", &[&lane, &key])
        .await?;
    let (new_key, wrapped) = master.new_key(&key_place(lane, &scope, &day))?;
    let (mut gone, mut stays) = (Shredded::default(), Vec::new());
    for range in &ranges {
        let opened = open_part(transaction, master, (lane, range.get(0)), (None, Some(key))).await?;
        let place = opened.place;
        let (index, entries) = opened.placed()?;
        let (went, kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, entry)| goes(entry));
        gone.entries += went.len();
        if !dry_run && !went.is_empty() {
            gone.quarantined += note(transaction, place, &index, &went).await?;
        }
        if !kept.is_empty() {
            let block = Block::of(kept)?;
            stays.push((
                place,
                block.entries() as i32,
                new_key.seal(&block_place(place, &scope), &codec::pack_tight(&block)?)?,
            ));
        }
    }
    if dry_run || gone.entries == 0 {
        return Ok(gone);
    }
    if !stays.is_empty() {
        let sql =
            "INSERT INTO journal_key (lane, holder, day, wrapped) VALUES ($1, $2, $3::text::date, $4) RETURNING key_id";
        let new: i64 = transaction.query_one(sql, &[&lane, &scope, &day, &wrapped]).await?.get(0);
        for ((_, from_n, _), entries, content) in &stays {
            let sql = "INSERT INTO journal_block (lane, from_n, key_id, entries, content) VALUES ($1, $2, $3, $4, $5)";
            transaction.execute(sql, &[&lane, from_n, &new, entries, content]).await?;
        }
    }
    transaction.execute("DELETE FROM journal_block WHERE lane = $1 AND key_id = $2", &[&lane, &key]).await?;
    transaction.execute("DELETE FROM journal_key WHERE lane = $1 AND key_id = $2", &[&lane, &key]).await?;
    Ok(gone)
}

/// Notes that entries of a range were purged, and takes them out of quarantine, too; says how much was there.
async fn note(
    transaction: &Transaction<'_>,
    (lane, from_n, _): (i16, i64, i64),
    index: &Index,
    went: &[(usize, Entry)],
) -> anyhow::Result<i64> {
    let sql = "UPDATE journal_range SET let_go = let_go + $3 WHERE lane = $1 AND from_n = $2";
    transaction.execute(sql, &[&lane, &from_n, &(went.len() as i32)]).await?;
    let mut quarantined = 0;
    for row in index.by_row(went.iter().map(|(place, _)| *place)) {
        quarantined += held::purge_quarantined(transaction, (lane, from_n + row.0), &row.1).await?;
    }
    Ok(quarantined)
}

/// Purges a lane's ranges up to row `to`, one at a time; of trackers under a hold their part stays.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn purge(
    client: &mut Client,
    (lane, to): (i16, i64),
    held: &[HeldPackets],
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut after = 0_i64;
    loop {
        let transaction = client.transaction().await?;
        lock(&transaction, lane).await?;
        let row = transaction
            .query_opt(
                "SELECT from_n, to_n, first_at, last_at FROM journal_range WHERE lane = $1 AND from_n > $2 AND to_n <= $3 ORDER BY from_n LIMIT 1",
                &[&lane, &after, &to],
            )
            .await?;
        let Some(row) = row else { break };
        let (from_n, to_n): (i64, i64) = (row.get(0), row.get(1));
        let (first, last): (Timestamp, Timestamp) = (row.get(2), row.get(3));
        after = from_n;
        let idents: Vec<&str> =
            held.iter().filter(|h| first < h.to && last >= h.from).map(|h| h.ident.as_str()).collect();
        transaction
            .execute(
                "DELETE FROM journal_block b USING journal_key k WHERE b.lane = $1 AND b.from_n = $2 AND k.lane = b.lane AND k.key_id = b.key_id
                    AND k.holder <> ALL (SELECT 'tracker ' || unnest($3::text[]))",
                &[&lane, &from_n, &idents],
            )
            .await?;
        let kept: Option<i64> = transaction
            .query_one("SELECT sum(entries) FROM journal_block WHERE lane = $1 AND from_n = $2", &[&lane, &from_n])
            .await?
            .get(0);
        if let Some(kept) = kept {
            report.journal_rows_kept += to_n - from_n + 1;
            let sql = "UPDATE journal_range SET let_go = entries - $3::bigint WHERE lane = $1 AND from_n = $2";
            transaction.execute(sql, &[&lane, &from_n, &kept]).await?;
        } else {
            report.journal_rows += to_n - from_n + 1;
            transaction.execute("DELETE FROM journal_range WHERE lane = $1 AND from_n = $2", &[&lane, &from_n]).await?;
        }
        let row = transaction
            .query_one(
                "WITH q AS (DELETE FROM quarantine WHERE lane = $1 AND n BETWEEN $2 AND $3 AND split_part(topic, '/', 3) <> ALL ($4) RETURNING reason, packets),
                    counted AS (UPDATE journal_base SET quarantined = quarantined + (SELECT coalesce(sum(packets), 0) FROM q WHERE reason <> 'left_over') WHERE lane = $1)
                 SELECT count(*) FROM q",
                &[&lane, &from_n, &to_n, &idents],
            )
            .await?;
        report.quarantined += row.get::<_, i64>(0);
        transaction.commit().await?;
    }
    // Keys under which nothing is sealed any more.
    let sql = "DELETE FROM journal_key k WHERE lane = $1
        AND NOT EXISTS (SELECT FROM journal_block b WHERE b.lane = k.lane AND b.key_id = k.key_id)
        AND NOT EXISTS (SELECT FROM journal_range r WHERE r.lane = k.lane AND r.key_id = k.key_id)";
    client.execute(sql, &[&lane]).await?;
    Ok(())
}
