//! The journal folded again, into empty tables beside the real ones.
//!
//! The tables stand in a schema of their own that comes first in the search path, so the very
//! statements that wrote the real rows write these.

mod baseline;
pub mod history;
pub mod verify;

use crate::domain::Lane;
use crate::engine::FoldSettings;
use crate::store::archive::keys::KeyStore;
use crate::store::commit::Applied;
use crate::store::commit::bisect;
use crate::store::commit::statements::Statements;
use crate::store::journal;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Tables that follow from the journal, with the columns that must be equal.
const DERIVED: &[(&str, &str)] = &[
    // Hot days only: what is older is in segments, which keep no digests.
    // Footprints (4096, 8192) are for the search only; a migration makes more of them than ingest.
    ("fix_known", "tracker_id, fixed_at, digest, vehicle_id, flags & 4095, ST_X(position), ST_Y(position)"),
    (
        "tracker_status",
        "tracker_id, vehicle_id, last_heard_at, fixed_at, ST_X(position), ST_Y(position), battery_percent, external_power, ignition",
    ),
    ("guard_status", "vehicle_id, armed, since, guard_lat, guard_lon, by"),
    ("incident", "incident_id, vehicle_id, opened_at, closed_at, ended_by, fixes_from, state, score, answer"),
    ("incident_note", "incident_id, at, kind, detail"),
    ("outage_part", "lane, kind, name, began_at, ended_at"),
    ("coverage_gap", "lane, cause, from_at, until_at"),
    ("alert", "incident_id, vehicle_id, kind, raised_at, cause, late"),
    ("quarantine", "lane, n, entry, ident, reason, packets"),
];
/// Journal rows folded at a time; a sealed range comes as a whole.
const ROWS: i64 = 256;

/// A table compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub table: &'static str,
    /// Rows that follow from the journal.
    pub rows: i64,
    /// Rows that should be there and are not.
    pub missing: i64,
    /// Rows that are there and should not.
    pub extra: i64,
    /// Rows copied as they are, because their part of the journal was purged, or not compared, because they are of
    /// somebody who was erased.
    pub purge: i64,
}

/// Folds every lane's journal up to its watermark and compares; with `replace`, puts right what differs.
///
/// # Errors
/// The database's own word, or a damaged journal row, named.
pub async fn run(
    client: &mut Client,
    key_store: &KeyStore,
    fold: &FoldSettings,
    replace: bool,
) -> anyhow::Result<Vec<Compared>> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    transaction
        .batch_execute("SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = 0; CREATE SCHEMA refold")
        .await?;
    let hot = [("fix", ""), ("fix_late", ""), ("outbox", "")];
    for (table, _) in DERIVED.iter().filter(|(t, _)| *t != "fix_known").chain(&hot) {
        transaction.batch_execute(&format!("CREATE TABLE refold.{table} (LIKE public.{table} INCLUDING ALL)")).await?;
    }
    transaction
        .batch_execute(
            "CREATE VIEW refold.fix_known AS SELECT * FROM refold.fix WHERE public.is_hot(fixed_at)
                UNION SELECT * FROM refold.fix_late WHERE public.is_hot(fixed_at);
             -- One lane is folded after the other: a vehicle may have an open incident of its tracker of today, and then get
             -- the one of a tracker before, which another lane ended long ago.
             DROP INDEX refold.incident_vehicle_id_idx;
             -- Versions count there as they did; LIKE takes no triggers over.
             DO $$ BEGIN
                EXECUTE (SELECT replace(pg_get_triggerdef(oid), ' ON public.incident ', ' ON refold.incident ') FROM pg_trigger
                    WHERE tgrelid = 'public.incident'::regclass AND tgname = 'incident_versioned');
             END $$;
             SET LOCAL search_path = refold, public",
        )
        .await?;
    let copied = baseline::copy(&transaction).await?;
    let statements = Statements::prepare(&transaction).await?;
    for lane in Lane::all() {
        fold_lane(&transaction, &statements, key_store, lane, fold).await?;
    }
    let mut compared = Vec::new();
    for (table, columns) in DERIVED {
        let erased = baseline::is_erased(table);
        let differences = |from: &str, without: &str| {
            format!(
                "SELECT count(*) FROM (SELECT {columns} FROM {from}.{table} x WHERE NOT {erased} EXCEPT SELECT {columns} FROM {without}.{table} x WHERE NOT {erased}) d"
            )
        };
        let seeded: i64 = copied.iter().filter(|(t, _)| t == table).map(|(_, rows)| rows).sum();
        let count = async |sql: String| transaction.query_one(&sql, &[]).await.map(|r| r.get::<_, i64>(0));
        compared.push(Compared {
            table,
            rows: count(format!("SELECT count(*) FROM refold.{table}")).await?,
            missing: count(differences("refold", "public")).await?,
            extra: count(differences("public", "refold")).await?,
            purge: seeded + count(format!("SELECT count(*) FROM public.{table} x WHERE {erased}")).await?,
        });
    }
    if replace {
        put_right(&transaction).await?;
        transaction.batch_execute("DROP SCHEMA refold CASCADE").await?;
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(compared)
}

async fn fold_lane(
    transaction: &Transaction<'_>,
    statements: &Statements,
    key_store: &KeyStore,
    lane: Lane,
    fold: &FoldSettings,
) -> anyhow::Result<()> {
    let applied: i64 =
        transaction.query_one("SELECT applied FROM lane WHERE lane = $1", &[&(lane.0 as i16)]).await?.get(0);
    let (mut n, mut state) = baseline::starting_state(transaction, lane).await?;
    while n < applied {
        let batches = journal::read_after(transaction, key_store, lane, n, ROWS).await?;
        if batches.is_empty() {
            anyhow::bail!("lane {} has applied up to {applied}, but its journal ends at {n}", lane.0);
        }
        for batch in batches.iter().filter(|b| b.n <= applied) {
            let effects = state.apply_all(&batch.entries, fold);
            let entries = batch.entries.iter().zip(effects).collect();
            bisect::write(transaction, statements, lane, &mut Applied { n: batch.n, entries }).await?;
        }
        n = batches.last().map_or(applied, |b| b.n);
    }
    Ok(())
}

/// Positions and states are replaced (what segments hold already finds its place in them again). Incidents and alerts are only added: what people were notified of
/// is never withdrawn.
async fn put_right(transaction: &Transaction<'_>) -> anyhow::Result<()> {
    transaction
        .batch_execute(
            "TRUNCATE public.fix, public.fix_late, public.tracker_status, public.guard_status;
             INSERT INTO public.fix SELECT * FROM refold.fix;
             INSERT INTO public.fix_late SELECT * FROM refold.fix_late;
             INSERT INTO public.tracker_status SELECT * FROM refold.tracker_status;
             INSERT INTO public.guard_status SELECT * FROM refold.guard_status;
             INSERT INTO public.incident SELECT * FROM refold.incident ON CONFLICT DO NOTHING;
             INSERT INTO public.alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence)
                SELECT incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence FROM refold.alert ON CONFLICT DO NOTHING;
             INSERT INTO public.incident_note SELECT * FROM refold.incident_note ON CONFLICT DO NOTHING;
             INSERT INTO public.outage_part SELECT * FROM refold.outage_part ON CONFLICT DO NOTHING;
             INSERT INTO public.coverage_gap SELECT * FROM refold.coverage_gap ON CONFLICT DO NOTHING",
        )
        .await?;
    Ok(())
}
