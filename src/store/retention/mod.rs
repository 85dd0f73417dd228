//! What the nightly job purges: days of tracks, incidents, and (in `journal`) the journal.

pub mod erasure;
pub(in crate::store) mod held;
pub mod holds;
mod journal;
pub mod report;

use crate::config::{Journal, Retention};
use crate::store::archive::keys::KeyStore;
use crate::store::archive::write;
use crate::store::tracks::partitions;
pub use report::Report;
use tokio_postgres::{Client, Error, GenericClient, Transaction};

/// Key of the advisory lock of the one run at work.
const RUN_LOCK: i64 = 7_241_007;

/// Whether the job has not run since the last passing of its hour. A new database waits for half a day.
///
/// # Errors
/// The database's own word.
pub async fn is_due(client: &Client, hour_utc: u32) -> Result<bool, Error> {
    let sql = "SELECT ran_at < passed AND ran_at < now() - interval '12 hours' FROM retention_mark,
        LATERAL (SELECT date_trunc('day', now() - make_interval(hours => $1), 'UTC') + make_interval(hours => $1) AS passed) h";
    Ok(client.query_one(sql, &[&(hour_utc as i32)]).await?.get(0))
}

/// One run; `dry_run` only counts. `None`: another one is at work.
///
/// # Errors
/// The database's own word, or a damaged journal row, named; the next run goes on where this one stopped.
pub async fn run(
    client: &mut Client,
    keep: &Retention,
    settings: &Journal,
    dry_run: bool,
) -> anyhow::Result<Option<Report>> {
    if !client.query_one("SELECT pg_try_advisory_lock($1)", &[&RUN_LOCK]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    let done = purge(client, keep, settings, dry_run).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&RUN_LOCK]).await?;
    done.map(Some)
}

async fn purge(client: &mut Client, keep: &Retention, settings: &Journal, dry_run: bool) -> anyhow::Result<Report> {
    let mut report = Report { dry_run, ..Report::default() };
    report.holds = client.query_one("SELECT count(*) FROM hold_in_force", &[]).await?.get(0);
    if dry_run {
        let transaction = client.transaction().await?;
        raise_mark(&transaction, keep, &mut report).await?;
        purge_tracks(&transaction, &mut report).await?;
        purge_incidents(&transaction, keep, &mut report).await?;
        purge_connections(&transaction, keep, &mut report).await?;
        transaction.rollback().await?;
    } else {
        // The mark moves first, so that late fixes of those days are not taken in again.
        raise_mark(client, keep, &mut report).await?;
        let with_kept = purge_tracks(client, &mut report).await?;
        if let Some(before) = &report.tracks_before {
            partitions::drop_days(client, "track", before, &with_kept).await?;
        }
        let transaction = client.transaction().await?;
        purge_incidents(&transaction, keep, &mut report).await?;
        purge_connections(&transaction, keep, &mut report).await?;
        transaction.commit().await?;
    }
    journal::purge(client, keep.journal_days, &mut report).await?;
    if !dry_run {
        let key_store = KeyStore::of(settings);
        if key_store.has_key() {
            // A wrong key file holds up nothing else: the journal stays as it came, and the report says why.
            report.not_sealed =
                match write::older_than(client, &key_store, settings.seal_after_days, &mut report.sealed).await {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "Sealing the journal failed");
                        Some(format!("{error:#}"))
                    }
                };
        }
        report.erasures_repeated = erasure::repeat(client, &key_store).await?;
        client
            .execute(
                "WITH ran AS (UPDATE retention_mark SET ran_at = now()) INSERT INTO retention_run (report) VALUES ($1)",
                &[&serde_json::to_value(&report)?],
            )
            .await?;
    }
    Ok(report)
}

/// Sets what the purposes' windows go by, and the day before which positions go: never what is not in segments yet.
async fn raise_mark(client: &impl GenericClient, keep: &Retention, report: &mut Report) -> Result<(), Error> {
    let [normal, incident, case] = [keep.normal_days, keep.incident_days, keep.case_days].map(|days| days as i32);
    let row = client
        .query_one(
            "UPDATE retention_mark SET incident_days = $2, case_days = $3,
                tracks_to = greatest(tracks_to, least(date_trunc('day', now() - make_interval(days => $1), 'UTC'),
                    (SELECT date_trunc('day', rolled_to, 'UTC') FROM rollup_mark)))
             RETURNING to_char(nullif(tracks_to, '-infinity') AT TIME ZONE 'UTC', 'YYYYMMDD')",
            &[&normal, &incident, &case],
        )
        .await?;
    report.tracks_before = row.get(0);
    Ok(())
}

/// Counts the segments of days that are due, and deletes those that go from days of which something stays; says which days
/// these are. The others are dropped as a whole, outside of any transaction.
async fn purge_tracks(client: &impl GenericClient, report: &mut Report) -> Result<Vec<String>, Error> {
    let Some(before) = report.tracks_before.clone() else { return Ok(Vec::new()) };
    let days = client
        .query(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'track'::regclass AND NOT i.inhdetachpending AND right(c.relname, 8) < $1 ORDER BY 1",
            &[&before],
        )
        .await?;
    // The windows are few, the segments many: one pass over the day, hashed by vehicle.
    const KEPT: &str = "EXISTS (SELECT FROM kept_windows() k WHERE k.vehicle_id = t.vehicle_id AND t.from_at < k.to_at AND t.until_at >= k.from_at)";
    let mut with_kept: Vec<String> = Vec::new();
    for day in days.iter().map(|row| row.get::<_, String>(0)) {
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {KEPT}) FROM {day} t");
        let row = client.query_one(&sql, &[]).await?;
        let (segments, pieces_kept): (i64, i64) = (row.get(0), row.get(1));
        if pieces_kept == 0 {
            report.days_dropped += 1;
            report.pieces_dropped += segments;
            continue;
        }
        report.pieces_kept += pieces_kept;
        report.pieces_deleted += segments - pieces_kept;
        if segments > pieces_kept {
            client.execute(&format!("DELETE FROM {day} t WHERE NOT {KEPT}"), &[]).await?;
        }
        with_kept.push(day);
    }
    const BEFORE: &str = "to_date($1, 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'";
    let late =
        format!("DELETE FROM fix_late WHERE fixed_at < {BEFORE} AND NOT is_kept(vehicle_id, fixed_at, fixed_at)");
    report.late_fixes = client.execute(&late, &[&before]).await? as i64;
    let traffic = format!("DELETE FROM traffic WHERE hour < {BEFORE}");
    report.traffic_cells = client.execute(&traffic, &[&before]).await? as i64;
    Ok(with_kept)
}

async fn purge_incidents(transaction: &Transaction<'_>, keep: &Retention, report: &mut Report) -> Result<(), Error> {
    let row = transaction.query_one("SELECT * FROM let_go_incidents($1)", &[&(keep.normal_days as i32)]).await?;
    (report.incidents, report.alerts) = (row.get(0), row.get(1));
    Ok(())
}

/// How trackers were connected is of use as long as what they sent is.
async fn purge_connections(transaction: &Transaction<'_>, keep: &Retention, report: &mut Report) -> Result<(), Error> {
    transaction.execute("SELECT door_end_silent(1000000)", &[]).await?; // of whoever runs no door any more
    let sql = "DELETE FROM tracker_connection WHERE ended_at < now() - make_interval(days => $1)";
    report.connections = transaction.execute(sql, &[&(keep.journal_days as i32)]).await? as i64;
    Ok(())
}

/// What the last runs have purged, for people who check: one sentence each.
///
/// # Errors
/// The database's own word.
pub async fn summary(client: &Client) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    let tracks = client
        .query_one(
            "SELECT tracks_to::text FROM retention_mark WHERE tracks_to > '-infinity' UNION ALL SELECT NULL LIMIT 1",
            &[],
        )
        .await?;
    if let Some(to) = tracks.get::<_, Option<String>>(0) {
        said.push(format!("positions from before {to}, but for those of incidents and cases"));
    }
    let journal = client
        .query_one("SELECT count(*), coalesce(sum(n), 0)::bigint, max(at)::text FROM journal_base WHERE n > 0", &[])
        .await?;
    if let Some(at) = journal.get::<_, Option<String>>(2) {
        let (lanes, rows): (i64, i64) = (journal.get(0), journal.get(1));
        said.push(format!("{rows} journal rows of {lanes} lanes, received up to {at}, but for packets under a hold"));
    }
    let erased: i64 = client.query_one("SELECT count(*) FROM erasure", &[]).await?.get(0);
    if erased > 0 {
        said.push(format!("the positions and packets of {erased} erased people"));
    }
    Ok(said)
}
