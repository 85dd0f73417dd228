//! A person is erased: their positions, packets and beliefs go, from everywhere; what a case holds, and the audit, stay.
//!
//! What is theirs are windows: this vehicle, with this tracker, from then to then. Going through them again does no
//! harm, and the nightly job does, for what came late.

use crate::domain::{Entry, Lane, Setting, Timestamp, TrackerKey, VehicleId};
use crate::engine::{FoldSettings, LaneState};
use crate::store::archive::keys::KeyStore;
use crate::store::archive::read;
use crate::store::archive::segment::KeyScope;
use crate::store::archive::shred;
use crate::store::archive::shred::ShredRequest;
use crate::store::journal;
use crate::store::registry;
use crate::store::retention::held;
use crate::store::retention::held::HeldPackets;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tokio_postgres::{Client, Transaction};

/// Journal rows looked at in one transaction.
const ROWS: i64 = 256;
/// Days for which erasures are gone through again: the oldest plausible fix is younger (`ingest.max_fix_age_days`).
const REPEATED_DAYS: i32 = 60;
/// How far back the journal is gone through then: what came since the last nights.
const REPEATED_JOURNAL_S: f64 = 3.0 * 86_400.0;

/// Table, and its rows that belong to erasure $1: what goes, under which name, by which statement. The count of the
/// same rows afterwards is the proof. A packet that came after the tracker was taken out is of no vehicle, and of whose
/// time it is.
const THEIRS: &[(&str, &str)] = &[
    (
        "fix",
        "x.tracker_id = w.tracker_id AND coalesce(x.vehicle_id, w.vehicle_id) = w.vehicle_id AND x.fixed_at >= w.from_at AND x.fixed_at < w.to_at",
    ),
    (
        "fix_late",
        "x.tracker_id = w.tracker_id AND coalesce(x.vehicle_id, w.vehicle_id) = w.vehicle_id AND x.fixed_at >= w.from_at AND x.fixed_at < w.to_at",
    ),
    (
        "track",
        "x.tracker_id = w.tracker_id AND coalesce(x.vehicle_id, w.vehicle_id) = w.vehicle_id AND x.from_at >= w.from_at - interval '1 day' AND x.from_at < w.to_at AND x.until_at >= w.from_at",
    ),
    (
        "track_open",
        "x.tracker_id = w.tracker_id AND coalesce(x.vehicle_id, w.vehicle_id) = w.vehicle_id AND x.from_at < w.to_at AND x.until_at >= w.from_at",
    ),
    ("tracker_status", "x.tracker_id = w.tracker_id AND x.fixed_at >= w.from_at AND x.fixed_at < w.to_at"),
    (
        "tracker_connection",
        "x.tracker_id = w.tracker_id AND x.began_at < w.to_at AND coalesce(x.ended_at, 'infinity') >= w.from_at",
    ),
    (
        "guard_status",
        "w.tracker_id IS NULL AND x.vehicle_id = w.vehicle_id AND x.since >= w.from_at AND x.since < w.to_at",
    ),
    (
        "setting",
        "w.tracker_id IS NULL AND x.content ->> 'kind' = 'zone' AND (x.content ->> 'vehicle')::bigint = w.vehicle_id AND x.made_at >= w.from_at AND x.made_at < w.to_at",
    ),
    (
        "alert",
        "w.tracker_id IS NULL AND x.vehicle_id = w.vehicle_id AND x.raised_at >= w.from_at AND x.raised_at < w.to_at AND (x.lat IS NOT NULL OR x.evidence <> '{}')",
    ),
];

/// The span of a row, for holds that may lie on it.
fn span(table: &str) -> (&'static str, &'static str) {
    match table {
        "track" | "track_open" => ("x.from_at", "x.until_at"),
        "guard_status" => ("x.since", "x.since"),
        "tracker_connection" => ("x.began_at", "coalesce(x.ended_at, now())"),
        "setting" => ("x.made_at", "x.made_at"),
        "alert" => ("x.raised_at", "x.raised_at"),
        _ => ("x.fixed_at", "x.fixed_at"),
    }
}

/// What was asked.
pub struct Asked<'a> {
    /// Login of the person, an owner.
    pub login: &'a str,
    /// Login of the administrator who carries it out.
    pub by: &'a str,
    /// Number of the person's request.
    pub request: &'a str,
    /// Only counts.
    pub dry_run: bool,
}

/// Erases a person and proves it: the report, which is kept.
///
/// # Errors
/// No such owner or administrator, the database's own word, or a damaged journal row, named.
pub async fn erase(client: &mut Client, key_store: &KeyStore, asked: &Asked<'_>) -> anyhow::Result<Value> {
    let account = registry::account(client, asked.login, &["owner"]).await?;
    let by = registry::account(client, asked.by, &["admin"]).await?;
    let transaction = client.transaction().await?;
    let row = transaction.query_one("SELECT close_account($1, $2, $3)", &[&account, &by, &asked.request]).await?;
    let erasure: i64 = row.get(0);
    let sweep = sweep(&transaction, erasure).await?;
    let theirs = Theirs::read(&transaction, erasure, None).await?;
    if asked.dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    let packets = purge_packets(client, key_store, &theirs, asked.dry_run).await?;
    let mut report = report(&theirs, sweep, packets);
    for (name, value) in [("account", json!(account)), ("by", json!(by)), ("request", json!(asked.request))] {
        report[name] = value;
    }
    report["dry_run"] = json!(asked.dry_run);
    if !asked.dry_run {
        prove(client, erasure, &mut report).await?;
    }
    Ok(report)
}

/// What was done, without what is only known afterwards.
fn report(theirs: &Theirs, sweep: Sweep, packets: Value) -> Value {
    json!({ "windows": theirs.windows, "erased": sweep.erased, "journal": packets, "kept_under_hold": sweep.held,
        "stays": ["audit: what was asked, never what was answered", "incidents and alerts without places and evidence, for retention.incident_days",
            "counts of the history map, which name nobody", "backups made before, until they are thrown away"] })
}

/// Counts what is left, and keeps the report as the proof.
async fn prove(client: &Client, erasure: i64, report: &mut Value) -> anyhow::Result<()> {
    report["erasure"] = json!(erasure);
    report["left"] = json!(left(client, erasure).await?);
    report["lanes_behind"] =
        json!(client.query_one("SELECT count(*) FROM lane WHERE applied < journaled", &[]).await?.get::<_, i64>(0));
    client.execute("UPDATE erasure SET report = $2 WHERE erasure_id = $1", &[&erasure, &*report]).await?;
    Ok(())
}

/// Carries out what people asked for by themselves; says how many. A process that ends in the middle goes on at its next start.
///
/// # Errors
/// As [`erase`].
pub async fn carry_out_asked(client: &mut Client, key_store: &KeyStore) -> anyhow::Result<usize> {
    for done in 0.. {
        let transaction = client.transaction().await?;
        let erasure: Option<i64> = transaction.query_one("SELECT next_asked_erasure()", &[]).await?.get(0);
        let Some(erasure) = erasure else { return Ok(done) };
        let sweep = sweep(&transaction, erasure).await?;
        let theirs = Theirs::read(&transaction, erasure, None).await?;
        transaction.commit().await?;
        let packets = purge_packets(client, key_store, &theirs, false).await?;
        let mut report = report(&theirs, sweep, packets);
        report["request"] = json!("by the person");
        prove(client, erasure, &mut report).await?;
    }
    Ok(0)
}

/// Goes through recent erasures again, for what came late; says how many.
///
/// # Errors
/// As [`erase`].
pub(in crate::store) async fn repeat(client: &mut Client, key_store: &KeyStore) -> anyhow::Result<usize> {
    let sql = "SELECT erasure_id, now() - make_interval(secs => $2) FROM erasure WHERE at > now() - make_interval(days => $1) ORDER BY 1";
    let recent = client.query(sql, &[&REPEATED_DAYS, &REPEATED_JOURNAL_S]).await?;
    for row in &recent {
        let (erasure, since): (i64, Timestamp) = (row.get(0), row.get(1));
        let transaction = client.transaction().await?;
        sweep(&transaction, erasure).await?;
        let theirs = Theirs::read(&transaction, erasure, Some(since)).await?;
        transaction.commit().await?;
        purge_packets(client, key_store, &theirs, false).await?;
    }
    Ok(recent.len())
}

/// Rows by table.
struct Sweep {
    erased: Map<String, Value>,
    held: Map<String, Value>,
}

/// Everything but the journal.
async fn sweep(transaction: &Transaction<'_>, erasure: i64) -> anyhow::Result<Sweep> {
    // First: a slice that is being rolled up ends before, and the next one reads open dwells anew.
    transaction.execute("UPDATE rollup_mark SET open_version = open_version + 1", &[]).await?;
    let (mut erased, mut held) = (Map::new(), Map::new());
    for (table, is_theirs) in THEIRS {
        let (from, until) = span(table);
        let vehicle = "w.vehicle_id";
        let count = format!(
            "SELECT count(*) FROM {table} x JOIN erased_window w ON {is_theirs} WHERE w.erasure_id = $1 AND is_held({vehicle}, {from}, {until})"
        );
        held.insert((*table).into(), transaction.query_one(&count, &[&erasure]).await?.get::<_, i64>(0).into());
        let of = format!("w.erasure_id = $1 AND {is_theirs} AND NOT is_held({vehicle}, {from}, {until})");
        let statement = match *table {
            "alert" => {
                format!("UPDATE alert x SET lat = NULL, lon = NULL, evidence = '{{}}' FROM erased_window w WHERE {of}")
            }
            _ => format!("DELETE FROM {table} x USING erased_window w WHERE {of}"),
        };
        erased.insert((*table).into(), transaction.execute(&statement, &[&erasure]).await?.into());
    }
    transaction
        .execute(
            "UPDATE incident i SET closed_at = now(), ended_by = 'erased', state = 'closed' FROM erased_window w
             WHERE w.erasure_id = $1 AND w.tracker_id IS NULL AND i.vehicle_id = w.vehicle_id AND i.closed_at IS NULL
                AND i.opened_at >= w.from_at AND i.opened_at < w.to_at",
            &[&erasure],
        )
        .await?;
    let states = forget_in_states(transaction, erasure).await?;
    erased.insert("states_of_the_guard".into(), states.into());
    held.retain(|_, rows| rows.as_i64() != Some(0));
    Ok(Sweep { erased, held })
}

/// Rows that should be gone and are not.
async fn left(client: &Client, erasure: i64) -> anyhow::Result<i64> {
    let mut left = 0;
    for (table, is_theirs) in THEIRS {
        let (from, until) = span(table);
        let sql = format!(
            "SELECT count(*) FROM {table} x JOIN erased_window w ON {is_theirs} WHERE w.erasure_id = $1 AND NOT is_held(w.vehicle_id, {from}, {until})"
        );
        left += client.query_one(&sql, &[&erasure]).await?.get::<_, i64>(0);
    }
    Ok(left)
}

/// What lanes believed of vehicles that nobody has had since, in checkpoints and seams; says how many were written again.
async fn forget_in_states(transaction: &Transaction<'_>, erasure: i64) -> anyhow::Result<usize> {
    let rows = transaction
        .query(
            "SELECT w.vehicle_id, array_agg(DISTINCT w.tracker_id), array_agg(DISTINCT lane_of(t.ident))
             FROM erased_window w JOIN tracker t USING (tracker_id)
             WHERE w.erasure_id = $1 AND NOT EXISTS (SELECT FROM ownership o WHERE o.vehicle_id = w.vehicle_id AND o.valid_from >= w.to_at)
             GROUP BY 1",
            &[&erasure],
        )
        .await?;
    let mut written = 0;
    for row in &rows {
        let (vehicle, trackers, lanes): (i64, Vec<i64>, Vec<i16>) = (row.get(0), row.get(1), row.get(2));
        let setting =
            Setting::Forget { vehicle: VehicleId(vehicle), trackers: trackers.into_iter().map(TrackerKey).collect() };
        let forget = Entry::Setting { at: Timestamp::default(), setting };
        for table in ["checkpoint", "journal_seam"] {
            let states = transaction
                .query(&format!("SELECT lane, n, state FROM {table} WHERE lane = ANY ($1)"), &[&lanes])
                .await?;
            for row in &states {
                let (lane, n): (i16, i64) = (row.get(0), row.get(1));
                let mut state: LaneState =
                    journal::unpack_any(row.get(2)).with_context(|| format!("{table} {n} of lane {lane}"))?;
                state.apply(&forget, &FoldSettings { max_fix_age_s: 0.0 });
                let packed = journal::pack_any(&state)?;
                let sql = format!("UPDATE {table} SET state = $3 WHERE lane = $1 AND n = $2");
                written += transaction.execute(&sql, &[&lane, &n, &packed]).await? as usize;
            }
        }
    }
    Ok(written)
}

/// What is looked for in the journal.
struct Theirs {
    /// As the report shows them.
    windows: Vec<Value>,
    packets: Vec<HeldPackets>,
    /// Vehicles, whose settings go, too: their zones are places.
    vehicles: Vec<(VehicleId, Timestamp, Timestamp)>,
}

impl Theirs {
    async fn read(transaction: &Transaction<'_>, erasure: i64, since: Option<Timestamp>) -> anyhow::Result<Self> {
        let rows = transaction
            .query(
                "SELECT w.vehicle_id, w.tracker_id, greatest(w.from_at, $2), w.to_at, t.ident
                 FROM erased_window w LEFT JOIN tracker t USING (tracker_id) WHERE w.erasure_id = $1 AND w.to_at > coalesce($2, '-infinity') ORDER BY 1, 3",
                &[&erasure, &since],
            )
            .await?;
        let mut theirs = Self { windows: Vec::new(), packets: Vec::new(), vehicles: Vec::new() };
        for row in &rows {
            let (vehicle, tracker): (i64, Option<i64>) = (row.get(0), row.get(1));
            let (from, to): (Timestamp, Timestamp) = (row.get(2), row.get(3));
            theirs.windows.push(
                json!({ "vehicle": vehicle, "tracker": tracker, "from": from.to_string(), "to": to.to_string() }),
            );
            match row.get::<_, Option<String>>(4) {
                Some(ident) => theirs.packets.push(HeldPackets { ident, from, to }),
                None => theirs.vehicles.push((VehicleId(vehicle), from, to)),
            }
        }
        Ok(theirs)
    }

    /// The lanes that may have packets of theirs: the trackers' own, and those where one has spoken on the topic of another
    /// shard. The broker lets it; such a packet is quarantined, and has a place in it all the same.
    async fn lanes(&self, client: &Client) -> Result<BTreeSet<i16>, tokio_postgres::Error> {
        let idents: Vec<&str> = self.packets.iter().map(|p| p.ident.as_str()).collect();
        let astray = "SELECT DISTINCT lane FROM quarantine WHERE split_part(topic, '/', 3) = ANY ($1)";
        let astray = client.query(astray, &[&idents]).await?;
        let own = Lane::all().filter(|lane| self.packets.iter().any(|p| p.is_in(*lane))).map(|lane| lane.0 as i16);
        Ok(own.chain(astray.iter().map(|row| row.get(0))).collect())
    }

    /// The same for what is sealed.
    fn requests(&self) -> Vec<ShredRequest> {
        let packets = self.packets.iter().map(|p| (KeyScope::Tracker(p.ident.clone()), p.from, p.to));
        let zones = self.vehicles.iter().map(|(vehicle, from, to)| (KeyScope::Vehicle(*vehicle), *from, *to));
        packets.chain(zones).map(|(scope, from, to)| ShredRequest { scope, from, to }).collect()
    }

    fn has(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Setting { at, setting: Setting::Zone(zone) } => {
                self.vehicles.iter().any(|(v, from, to)| zone.vehicle == Some(*v) && at >= from && at < to)
            }
            entry => self.packets.iter().any(|p| p.has(entry)),
        }
    }
}

/// Takes packets and zones out of the journal, but for what is held.
async fn purge_packets(
    client: &mut Client,
    key_store: &KeyStore,
    theirs: &Theirs,
    dry_run: bool,
) -> anyhow::Result<Value> {
    let held = held::held(client, None).await?;
    let goes = |entry: &Entry| theirs.has(entry) && !held.iter().any(|h| h.has(entry));
    let (Some(from), Some(to)) =
        (theirs.vehicles.iter().map(|(_, from, _)| *from).min(), theirs.vehicles.iter().map(|(_, _, to)| *to).max())
    else {
        return Ok(json!({ "packets": 0, "quarantined": 0 }));
    };
    let (mut packets, mut quarantined) = (0, 0);
    for lane in theirs.lanes(client).await? {
        let mut after = 0_i64;
        loop {
            let transaction = client.transaction().await?;
            read::lock(&transaction, lane).await?;
            let rows = transaction
                .query(
                    "SELECT n, content FROM journal WHERE lane = $1 AND n > $2 AND last_at >= $3 AND first_at < $4
                        AND n <= (SELECT applied FROM lane l WHERE l.lane = $1) ORDER BY n LIMIT $5",
                    &[&lane, &after, &from, &to, &ROWS],
                )
                .await?;
            let Some(last) = rows.last() else { break };
            after = last.get(0);
            for row in &rows {
                let n: i64 = row.get(0);
                let mut entries =
                    journal::unpack(row.get(1)).with_context(|| format!("journal row {n} of lane {lane}"))?;
                let gone = held::redact(&mut entries, goes);
                packets += gone.len();
                if !gone.is_empty() && !dry_run {
                    quarantined += held::rewrite(&transaction, (lane, n), &entries, &gone).await?;
                }
            }
            transaction.commit().await?;
        }
    }
    let gone = shred::erase(client, key_store, &theirs.requests(), &held, goes, dry_run).await?;
    Ok(
        json!({ "packets": packets + gone.entries, "of_them_sealed": gone.entries, "quarantined": quarantined + gone.quarantined }),
    )
}
