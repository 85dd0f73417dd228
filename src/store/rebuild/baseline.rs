//! What a rebuild copies as it is, because the journal that it came from has been purged, and what it leaves out,
//! because it was erased.

use crate::domain::Lane;
use crate::engine::LaneState;
use crate::store::journal;
use anyhow::Context;
use tokio_postgres::{Error, Transaction};

/// The latest beginning of any lane's journal; nothing is copied while all of it is there.
const BASE: &str = "(SELECT max(at) FROM public.journal_base WHERE n > 0)";

/// Rows from before the journal's beginning, copied into the tables that are folded into. What a status or a guard was
/// set to since has to follow from the journal again.
fn copies() -> Vec<(&'static str, String)> {
    let all = |table: &'static str, rows: &str| {
        (table, format!("INSERT INTO refold.{table} SELECT * FROM public.{table} WHERE {rows}"))
    };
    vec![
        (
            "tracker_status",
            format!(
                "INSERT INTO refold.tracker_status SELECT tracker_id, vehicle_id, least(last_heard_at, {BASE}), CASE WHEN is_old THEN fixed_at END,
                    CASE WHEN is_old THEN received_at END, CASE WHEN is_old THEN position END, speed_kmh, course_deg, accuracy_m, satellites, source,
                    battery_percent, external_power, ignition, signal_percent, firmware
                 FROM (SELECT *, received_at <= {BASE} AS is_old FROM public.tracker_status) s WHERE {BASE} IS NOT NULL"
            ),
        ),
        // Hot days are younger than the journal by the settings; a rollup that stood still may have kept older ones.
        ("fix_known", format!("INSERT INTO refold.fix SELECT * FROM public.fix WHERE received_at <= {BASE}")),
        ("fix_known", format!("INSERT INTO refold.fix_late SELECT * FROM public.fix_late WHERE received_at <= {BASE}")),
        all("guard_status", &format!("since <= {BASE}")),
        all("incident", &format!("opened_at <= {BASE}")),
        all("incident_note", &format!("at <= {BASE}")),
        all("outage_part", &format!("began_at <= {BASE}")),
        all("coverage_gap", &format!("until_at <= {BASE}")),
        (
            "alert",
            format!(
                "INSERT INTO refold.alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence)
                    SELECT incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, held_back, evidence
                    FROM public.alert WHERE raised_at <= {BASE}"
            ),
        ),
        (
            "quarantine",
            "INSERT INTO refold.quarantine (lane, n, entry, topic, ident, tracker_id, reason, detail, security, received_at, payload, packets, payload_bytes)
                SELECT lane, q.n, entry, topic, ident, tracker_id, reason, detail, security, received_at, payload, packets, payload_bytes
                FROM public.quarantine q JOIN public.journal_base b USING (lane) WHERE q.n <= b.n"
                .into(),
        ),
    ]
}

/// Fills the tables with what is copied as it is; says of how many rows of each.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn copy(transaction: &Transaction<'_>) -> Result<Vec<(&'static str, i64)>, Error> {
    let mut copied = Vec::new();
    for (table, sql) in copies() {
        copied.push((table, transaction.execute(&sql, &[]).await? as i64));
    }
    Ok(copied)
}

/// Where a lane's journal begins, and the state there.
///
/// # Errors
/// The database's own word, or a damaged starting state, named.
pub(in crate::store) async fn starting_state(
    transaction: &Transaction<'_>,
    lane: Lane,
) -> anyhow::Result<(i64, LaneState)> {
    let row = transaction
        .query_opt(
            "SELECT n, state FROM public.journal_base b JOIN public.journal_seam s USING (lane, n) WHERE lane = $1",
            &[&(lane.0 as i16)],
        )
        .await?;
    match row {
        Some(row) => {
            let n: i64 = row.get(0);
            let state =
                journal::unpack_any(row.get(1)).with_context(|| format!("starting state {n} of lane {}", lane.0))?;
            Ok((n, state))
        }
        None => Ok((0, LaneState::default())),
    }
}

/// Which rows of a table are an erased person's: they are not compared.
pub(in crate::store) fn is_erased(table: &str) -> &'static str {
    match table {
        "fix_known" => {
            "EXISTS (SELECT FROM public.erased_window w WHERE w.tracker_id = x.tracker_id AND x.fixed_at >= w.from_at AND x.fixed_at < w.to_at)"
        }
        "tracker_status" => "x.tracker_id IN (SELECT tracker_id FROM public.erased_window)",
        "guard_status" | "incident" | "alert" => "x.vehicle_id IN (SELECT vehicle_id FROM public.erased_window)",
        "incident_note" => {
            "x.incident_id IN (SELECT incident_id FROM public.incident JOIN public.erased_window USING (vehicle_id))"
        }
        "quarantine" => {
            "x.ident IN (SELECT t.ident FROM public.erased_window JOIN public.tracker t USING (tracker_id))"
        }
        // Outages are counts of many; one person less may move their times.
        _ => "EXISTS (SELECT FROM public.erased_window)",
    }
}
