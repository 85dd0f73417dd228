//! The journal's age: rows whose days are over go; packets under a hold stay.

use crate::domain::{Entry, Timestamp};
use crate::store::archive::{read, shred};
use crate::store::journal::codec;
use crate::store::retention::held::{self, HeldPackets};
use crate::store::retention::report::Report;
use anyhow::Context;
use tokio_postgres::{Client, Transaction};

/// Journal rows in one transaction: short enough for nobody to wait on.
const ROWS: i64 = 2_000;

/// Keeps tonight's state of each lane, and purges rows that are older than `journal_days`, up to such a state: it
/// there replaces them.
///
/// # Errors
/// The database's own word, or a damaged row, named.
pub(in crate::store) async fn purge(client: &mut Client, journal_days: u32, report: &mut Report) -> anyhow::Result<()> {
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
        let held = held::held(client, Some(lane)).await?;
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
            .query_one("WITH q AS (DELETE FROM quarantine WHERE lane = $1 AND n = ANY ($2) RETURNING reason, packets) SELECT coalesce(sum(packets), 0)::bigint FROM q WHERE reason <> 'left_over'", &[&lane, &gone])
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
    let mut entries = codec::unpack(row.get(0)).with_context(|| format!("journal row {n} of lane {lane}"))?;
    let is_held = |entry: &Entry| held.iter().any(|h| h.has(entry));
    if !entries.iter().any(is_held) {
        return Ok(false);
    }
    let gone = held::redact(&mut entries, |entry| !is_held(entry));
    if !gone.is_empty() {
        report.quarantined += held::rewrite(transaction, (lane, n), &entries, &gone).await?;
    }
    Ok(true)
}
