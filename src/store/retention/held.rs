//! The journal with something taken out: rows whose days are over go, packets under a hold stay, and single
//! entries give way to [`Entry::Tombstone`], so that the places and outcomes of the others stay as they are.

use crate::domain::{Entry, Lane, Shard, Timestamp};
use crate::store::archive::read;
use crate::store::archive::shred;
use crate::store::journal;
use crate::store::retention::Report;
use anyhow::Context;
use tokio_postgres::{Client, GenericClient, Transaction};

/// Journal rows in one transaction: short enough for nobody to wait on.
const ROWS: i64 = 2_000;

/// Packets of a tracker received in a time: from, before.
pub(in crate::store) struct HeldPackets {
    pub ident: String,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl HeldPackets {
    /// Whether a lane is the tracker's.
    pub fn is_in(&self, lane: Lane) -> bool {
        Shard::of(&self.ident).lane() == lane
    }

    /// Whether an entry is one of them.
    pub fn has(&self, entry: &Entry) -> bool {
        matches!(entry, Entry::Packet(p) if p.received_at >= self.from && p.received_at < self.to && p.is_of(&self.ident))
    }
}

/// What holds in force keep, of one lane or of all.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn held(
    client: &impl GenericClient,
    lane: Option<i16>,
) -> Result<Vec<HeldPackets>, tokio_postgres::Error> {
    let sql = "SELECT ident, from_at, to_at FROM held_packets WHERE lane = coalesce($1, lane) AND from_at < to_at";
    let rows = client.query(sql, &[&lane]).await?;
    Ok(rows.iter().map(|r| HeldPackets { ident: r.get(0), from: r.get(1), to: r.get(2) }).collect())
}

/// Replaces what goes; says where it stood.
pub(in crate::store) fn redact(entries: &mut [Entry], goes: impl Fn(&Entry) -> bool) -> Vec<i32> {
    let mut gone = Vec::new();
    for (place, entry) in entries.iter_mut().enumerate() {
        if !matches!(entry, Entry::Tombstone { .. }) && goes(entry) {
            *entry = Entry::Tombstone { at: entry.at() };
            gone.push(place as i32);
        }
    }
    gone
}

/// Writes a row again without what is gone, and takes that out of quarantine, too; says how much was there.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn rewrite(
    transaction: &Transaction<'_>,
    (lane, n): (i16, i64),
    entries: &[Entry],
    gone: &[i32],
) -> anyhow::Result<i64> {
    let content = journal::pack(entries)?;
    transaction.execute("UPDATE journal SET content = $3 WHERE lane = $1 AND n = $2", &[&lane, &n, &content]).await?;
    Ok(purge_quarantined(transaction, (lane, n), gone).await?)
}

/// Takes entries of a row out of quarantine; says how many were there.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn purge_quarantined(
    transaction: &Transaction<'_>,
    (lane, n): (i16, i64),
    gone: &[i32],
) -> Result<i64, tokio_postgres::Error> {
    let sql = "WITH q AS (DELETE FROM quarantine WHERE lane = $1 AND n = $2 AND entry = ANY ($3) RETURNING reason),
        counted AS (UPDATE journal_base SET quarantined = quarantined + (SELECT count(*) FROM q WHERE reason <> 'left_over') WHERE lane = $1)
        SELECT count(*) FROM q";
    Ok(transaction.query_one(sql, &[&lane, &n, &gone]).await?.get(0))
}

/// Keeps tonight's state of each lane, and purges rows that are older than `journal_days`, up to such a state: it
/// there stands for them.
///
/// # Errors
/// The database's own word, or a damaged row, named.
pub(in crate::store) async fn purge_journal(
    client: &mut Client,
    journal_days: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    transaction
        .execute(
            "INSERT INTO journal_seam SELECT DISTINCT ON (lane) lane, n, j.last_at, c.state FROM checkpoint c JOIN journal j USING (lane, n)
             ORDER BY lane, n DESC ON CONFLICT DO NOTHING",
            &[],
        )
        .await?;
    // The mark goes first: wherever this is interrupted, rows up to it count as gone.
    transaction
        .execute(
            "UPDATE journal_base b SET n = s.n, at = s.at FROM (
                SELECT DISTINCT ON (lane) lane, n, at FROM journal_seam WHERE at < now() - make_interval(days => $1) ORDER BY lane, n DESC) s
             WHERE s.lane = b.lane AND s.n > b.n",
            &[&(journal_days as i32)],
        )
        .await?;
    transaction
        .execute("DELETE FROM journal_seam s USING journal_base b WHERE s.lane = b.lane AND s.n < b.n", &[])
        .await?;
    let bases = transaction.query("SELECT lane, n FROM journal_base WHERE n > 0 ORDER BY lane", &[]).await?;
    if report.dry_run {
        for base in &bases {
            let sql = "SELECT (SELECT count(*) FROM journal WHERE lane = $1 AND n <= $2)
                + (SELECT coalesce(sum(to_n - from_n + 1), 0)::bigint FROM journal_range WHERE lane = $1 AND to_n <= $2)";
            report.journal_rows +=
                transaction.query_one(sql, &[&base.get::<_, i16>(0), &base.get::<_, i64>(1)]).await?.get::<_, i64>(0);
        }
        return Ok(transaction.rollback().await?);
    }
    transaction.commit().await?;
    for base in &bases {
        let (lane, to) = (base.get(0), base.get(1));
        let held = held(client, Some(lane)).await?;
        purge_rows(client, (lane, to), &held, report).await?;
        shred::purge(client, (lane, to), &held, report).await?;
    }
    Ok(())
}

/// Rows of a lane up to `to`, some at a time, in order.
async fn purge_rows(
    client: &mut Client,
    (lane, to): (i16, i64),
    held: &[HeldPackets],
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut after = 0_i64;
    loop {
        let transaction = client.transaction().await?;
        read::lock(&transaction, lane).await?;
        let rows = transaction
            .query(
                "SELECT n, first_at, last_at FROM journal WHERE lane = $1 AND n > $2 AND n <= $3 ORDER BY n LIMIT $4",
                &[&lane, &after, &to, &ROWS],
            )
            .await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get(0);
        let mut gone: Vec<i64> = Vec::new();
        for row in &rows {
            let (n, first_at, last_at): (i64, Timestamp, Timestamp) = (row.get(0), row.get(1), row.get(2));
            let is_touched = held.iter().any(|h| first_at < h.to && last_at >= h.from);
            if is_touched && keep_held(&transaction, (lane, n), held, report).await? {
                report.journal_rows_kept += 1;
            } else {
                gone.push(n);
            }
        }
        report.journal_rows +=
            transaction.execute("DELETE FROM journal WHERE lane = $1 AND n = ANY ($2)", &[&lane, &gone]).await? as i64;
        transaction.execute("DELETE FROM journal_outcome WHERE lane = $1 AND n = ANY ($2)", &[&lane, &gone]).await?;
        let quarantined: i64 = transaction
            .query_one("WITH q AS (DELETE FROM quarantine WHERE lane = $1 AND n = ANY ($2) RETURNING reason) SELECT count(*) FROM q WHERE reason <> 'left_over'", &[&lane, &gone])
            .await?
            .get(0);
        transaction
            .execute("UPDATE journal_base SET quarantined = quarantined + $2 WHERE lane = $1", &[&lane, &quarantined])
            .await?;
        report.quarantined += quarantined;
        transaction.commit().await?;
    }
}

/// Keeps of a row only what is under a hold; `false` if there is nothing of that.
async fn keep_held(
    transaction: &Transaction<'_>,
    (lane, n): (i16, i64),
    held: &[HeldPackets],
    report: &mut Report,
) -> anyhow::Result<bool> {
    let row = transaction.query_one("SELECT content FROM journal WHERE lane = $1 AND n = $2", &[&lane, &n]).await?;
    let mut entries = journal::unpack(row.get(0)).with_context(|| format!("journal row {n} of lane {lane}"))?;
    let is_held = |entry: &Entry| held.iter().any(|h| h.has(entry));
    if !entries.iter().any(is_held) {
        return Ok(false);
    }
    let gone = redact(&mut entries, |entry| !is_held(entry));
    if !gone.is_empty() {
        report.quarantined += rewrite(transaction, (lane, n), &entries, &gone).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Packet;

    fn packet(ident: &str, at_s: i64) -> Entry {
        Entry::Packet(Packet {
            topic: format!("v1/1/{ident}/up"),
            received_at: Timestamp::from_secs(at_s),
            payload: vec![1],
            retained: false,
        })
    }

    #[test]
    fn what_goes_leaves_its_place_and_its_time_and_goes_once() {
        let wanted = HeldPackets { ident: "a".into(), from: Timestamp::from_secs(10), to: Timestamp::from_secs(20) };
        let mut entries = [packet("a", 9), packet("a", 10), packet("b", 11), packet("a", 19), packet("a", 20)];
        let before = entries.clone();
        assert_eq!(redact(&mut entries, |e| wanted.has(e)), [1, 3]);
        assert_eq!(entries[1], Entry::Tombstone { at: Timestamp::from_secs(10) });
        assert_eq!([&entries[0], &entries[2], &entries[4]], [&before[0], &before[2], &before[4]]);
        assert!(redact(&mut entries, |e| wanted.has(e) || matches!(e, Entry::Tombstone { .. })).is_empty());
    }
}
