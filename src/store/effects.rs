//! Commit 2: what followed from a batch, in one transaction with the lane's watermark.

use super::lane::{self, Lease};
use crate::domain::{
    Alert, Cause, Finding, FixSource, IncidentEnd, IncidentId, Lane, Outcome, Packet, Timestamp, VehicleId,
};
use crate::fold::{Effects, FixRow};
use tokio_postgres::{Client, Transaction};

/// A batch's effects, entry by entry, with the packets they came from.
pub struct Applied<'a> {
    /// Number of the journal row.
    pub n: i64,
    /// For each entry: the packet, if it is one, and what followed.
    pub entries: Vec<(Option<&'a Packet>, Effects)>,
}

/// An alert as it was written: what live streams and people are told.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its row.
    pub alert_id: i64,
    /// The alert.
    pub alert: Alert,
}

/// Writes a batch's effects. Does nothing if they stand there already.
///
/// # Errors
/// [`lane::LeaseLost`], or the database's own word.
pub async fn commit(client: &mut Client, lease: Lease, applied: &Applied<'_>) -> anyhow::Result<Vec<Written>> {
    let transaction = client.transaction().await?;
    if lane::renew(&transaction, lease).await?.applied >= applied.n {
        return Ok(Vec::new());
    }
    let written = write(&transaction, lease.lane, applied).await?;
    count(&transaction, lease.lane, applied).await?;
    if !written.is_empty() {
        transaction.execute("SELECT pg_notify('outbox', '')", &[]).await?;
    }
    transaction.commit().await?;
    Ok(written)
}

/// Writes the rows of a batch, without the watermark: shared with `rebuild`.
///
/// # Errors
/// The database's own word.
pub async fn write(transaction: &Transaction<'_>, lane: Lane, applied: &Applied<'_>) -> anyhow::Result<Vec<Written>> {
    let effects = || applied.entries.iter().map(|(_, e)| e);
    write_fixes(transaction, effects().flat_map(|e| &e.fixes)).await?;
    write_statuses(transaction, effects()).await?;
    write_quarantine(transaction, lane, applied).await?;
    for guard in effects().flat_map(|e| &e.guards) {
        let (lat, lon) = (guard.point.map(|p| p.lat_deg), guard.point.map(|p| p.lon_deg));
        transaction
            .execute(
                "INSERT INTO guard_status AS g (vehicle_id, armed, since, guard_lat, guard_lon) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (vehicle_id) DO UPDATE SET armed = EXCLUDED.armed, since = EXCLUDED.since,
                     guard_lat = EXCLUDED.guard_lat, guard_lon = EXCLUDED.guard_lon",
                &[&guard.vehicle.0, &guard.armed, &guard.since, &lat, &lon],
            )
            .await?;
    }
    let mut written = Vec::new();
    for finding in effects().flat_map(|e| &e.findings) {
        match finding {
            Finding::IncidentOpened { incident, vehicle, at } => {
                open_incident(transaction, *incident, *vehicle, *at).await?
            }
            Finding::IncidentClosed { incident, at, end, .. } => {
                close_incident(transaction, *incident, *at, *end).await?
            }
            Finding::Alert(alert) => {
                if let Some(alert_id) = write_alert(transaction, alert).await? {
                    written.push(Written { alert_id, alert: (**alert).clone() });
                }
            }
        }
    }
    Ok(written)
}

async fn write_fixes<'a>(transaction: &Transaction<'_>, rows: impl Iterator<Item = &'a FixRow>) -> anyhow::Result<()> {
    let rows: Vec<&FixRow> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let column = |f: fn(&FixRow) -> f64| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
    let real = |f: fn(&FixRow) -> Option<f32>| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
    let trackers: Vec<i64> = rows.iter().map(|r| r.tracker.0).collect();
    let fixed: Vec<Timestamp> = rows.iter().map(|r| r.fixed_at).collect();
    let received: Vec<Timestamp> = rows.iter().map(|r| r.received_at).collect();
    let digests: Vec<i32> = rows.iter().map(|r| position_digest(r)).collect();
    let vehicles: Vec<Option<i64>> = rows.iter().map(|r| r.vehicle.map(|v| v.0)).collect();
    let satellites: Vec<Option<i16>> = rows.iter().map(|r| r.fix.satellites.map(i16::from)).collect();
    let sources: Vec<i16> = rows.iter().map(|r| source_number(r.fix.source)).collect();
    let flags: Vec<i16> = rows.iter().map(|r| r.flags.0).collect();
    // A fix whose day has no partition goes to fix_late: a strange time blocks no batch and makes
    // no partition. A point is written as two numbers, so nothing of ours has to speak WKB.
    transaction
        .execute(
            "WITH r AS (
                SELECT t, f, d, a, v, s, c, h, e, n, q, g, ST_SetSRID(ST_MakePoint(lon, lat), 4326) AS p,
                       to_regclass('fix_' || to_char(f AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL AS hot
                FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::timestamptz[], $5::bigint[], $6::real[], $7::real[],
                    $8::real[], $9::real[], $10::smallint[], $11::smallint[], $12::smallint[], $13::float8[], $14::float8[])
                    AS u (t, f, d, a, v, s, c, h, e, n, q, g, lon, lat)
             ), late AS (
                INSERT INTO fix_late SELECT t, f, d, a, v, s, c, h, e, n, q, g, p FROM r WHERE NOT hot ON CONFLICT DO NOTHING
             )
             INSERT INTO fix SELECT t, f, d, a, v, s, c, h, e, n, q, g, p FROM r WHERE hot ON CONFLICT DO NOTHING",
            &[
                &trackers, &fixed, &digests, &received, &vehicles,
                &real(|r| r.fix.speed_kmh), &real(|r| r.fix.course_deg), &real(|r| r.fix.altitude_m), &real(|r| r.fix.accuracy_m),
                &satellites, &sources, &flags,
                &column(|r| r.fix.position.lon_deg), &column(|r| r.fix.position.lat_deg),
            ],
        )
        .await?;
    Ok(())
}

/// A small digest of a position: two fixes of one second at two places are two.
pub fn position_digest(row: &FixRow) -> i32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&row.fix.position.lat_deg.to_bits().to_be_bytes());
    hash.update(&row.fix.position.lon_deg.to_bits().to_be_bytes());
    hash.finalize() as i32
}

fn source_number(source: FixSource) -> i16 {
    match source {
        FixSource::Gnss => 0,
        FixSource::Cell => 1,
        FixSource::Wifi => 2,
    }
}

async fn write_statuses(transaction: &Transaction<'_>, effects: impl Iterator<Item = &Effects>) -> anyhow::Result<()> {
    // Only the last row of each tracker counts within a batch.
    let mut last = std::collections::BTreeMap::new();
    for (tracker, vehicle, row) in effects.filter_map(|e| e.status.as_ref()) {
        last.insert(tracker.0, (vehicle, row));
    }
    for (tracker, (vehicle, row)) in last {
        let newest = row.newest.as_ref();
        let fix = newest.map(|n| &n.fix);
        transaction
            .execute(
                "INSERT INTO tracker_status VALUES ($1, $2, $3, $4, $5, ST_SetSRID(ST_MakePoint($6, $7), 4326), $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                 ON CONFLICT (tracker_id) DO UPDATE SET vehicle_id = EXCLUDED.vehicle_id, last_heard_at = EXCLUDED.last_heard_at,
                    fixed_at = EXCLUDED.fixed_at, received_at = EXCLUDED.received_at, position = EXCLUDED.position,
                    speed_kmh = EXCLUDED.speed_kmh, course_deg = EXCLUDED.course_deg, accuracy_m = EXCLUDED.accuracy_m,
                    satellites = EXCLUDED.satellites, source = EXCLUDED.source, battery_percent = EXCLUDED.battery_percent,
                    external_power = EXCLUDED.external_power, ignition = EXCLUDED.ignition,
                    signal_percent = EXCLUDED.signal_percent, firmware = EXCLUDED.firmware",
                &[
                    &tracker, &vehicle.map(|v| v.0), &row.last_heard_at, &newest.map(|n| n.fixed_at), &newest.map(|n| n.received_at),
                    &fix.map(|f| f.position.lon_deg), &fix.map(|f| f.position.lat_deg),
                    &fix.and_then(|f| f.speed_kmh), &fix.and_then(|f| f.course_deg), &fix.and_then(|f| f.accuracy_m),
                    &fix.and_then(|f| f.satellites).or(row.status.satellites).map(i16::from), &fix.map(|f| source_number(f.source)),
                    &row.status.battery_percent.map(i16::from), &row.status.external_power, &row.status.ignition,
                    &row.status.signal_percent.map(i16::from), &row.status.firmware.as_ref().map(|f| f.replace('\0', "\u{fffd}")),
                ],
            )
            .await?;
    }
    Ok(())
}

async fn write_quarantine(transaction: &Transaction<'_>, lane: Lane, applied: &Applied<'_>) -> anyhow::Result<()> {
    for (entry, (packet, effects)) in applied.entries.iter().enumerate() {
        let (Some(packet), Some(aside)) = (packet, &effects.quarantined) else { continue };
        transaction
            .execute(
                "INSERT INTO quarantine (lane, n, entry, topic, ident, tracker_id, reason, detail, security, received_at, payload)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
                &[
                    &(lane.0 as i16), &applied.n, &i32::try_from(entry)?, &packet.topic.replace('\0', "\u{fffd}"), &aside.ident,
                    &aside.tracker.map(|t| t.0), &aside.reason, &aside.detail.replace('\0', "\u{fffd}"), &aside.security,
                    &packet.received_at, &packet.payload,
                ],
            )
            .await?;
    }
    Ok(())
}

async fn open_incident(
    transaction: &Transaction<'_>,
    incident: IncidentId,
    vehicle: VehicleId,
    at: Timestamp,
) -> anyhow::Result<()> {
    transaction
        .execute(
            "INSERT INTO incident (incident_id, vehicle_id, opened_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[&incident.as_i64(), &vehicle.0, &at],
        )
        .await?;
    Ok(())
}

async fn close_incident(
    transaction: &Transaction<'_>,
    incident: IncidentId,
    at: Timestamp,
    end: IncidentEnd,
) -> anyhow::Result<()> {
    transaction
        .execute(
            "UPDATE incident SET closed_at = $2, ended_by = $3 WHERE incident_id = $1 AND closed_at IS NULL",
            &[&incident.as_i64(), &at, &end.name()],
        )
        .await?;
    Ok(())
}

/// Writes an alert and, born in the same transaction, its outbox rows: one for each owner who
/// wants to be told by a channel. Returns `None` if the alert stands there already.
async fn write_alert(transaction: &Transaction<'_>, alert: &Alert) -> anyhow::Result<Option<i64>> {
    let cause = match alert.cause {
        Cause::Packet(digest) => Some(digest.0 as i64),
        Cause::Deadline => None,
    };
    let wakes = alert.kind.wakes_owner();
    let row = transaction
        .query_opt(
            "WITH a AS (
                INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, cause, late, lat, lon, evidence)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING alert_id
             ), o AS (
                INSERT INTO outbox (alert_id, account_id, channel)
                SELECT a.alert_id, p.account_id, 'webhook' FROM a, ownership w JOIN account p USING (account_id)
                WHERE w.vehicle_id = $2 AND w.valid_to IS NULL AND $4 AND p.webhook_url IS NOT NULL AND NOT p.disabled
             )
             SELECT alert_id FROM a",
            &[
                &alert.incident.map(IncidentId::as_i64), &alert.vehicle.0, &alert.kind.name(), &wakes, &alert.raised_at, &cause,
                &alert.late, &alert.position.map(|p| p.lat_deg), &alert.position.map(|p| p.lon_deg),
                &serde_json::to_value(&alert.evidence)?,
            ],
        )
        .await?;
    Ok(row.map(|r| r.get(0)))
}

async fn count(transaction: &Transaction<'_>, lane: Lane, applied: &Applied<'_>) -> anyhow::Result<()> {
    let outcomes: Vec<u8> = applied.entries.iter().map(|(_, e)| e.outcome.unwrap_or(Outcome::None) as u8).collect();
    let of = |outcome: Outcome| outcomes.iter().filter(|o| **o == outcome as u8).count() as i64;
    let (stored, duplicate, quarantined) = (of(Outcome::Stored), of(Outcome::Duplicate), of(Outcome::Quarantined));
    let number = lane.0 as i16;
    transaction
        .execute(
            "INSERT INTO journal_outcome (lane, n, outcomes) VALUES ($1, $2, $3)",
            &[&number, &applied.n, &outcomes],
        )
        .await?;
    transaction
        .execute(
            "UPDATE lane SET applied = $2, received = received + $3, stored = stored + $4, duplicate = duplicate + $5,
                    quarantined = quarantined + $6 WHERE lane = $1",
            &[&number, &applied.n, &(stored + duplicate + quarantined), &stored, &duplicate, &quarantined],
        )
        .await?;
    Ok(())
}
