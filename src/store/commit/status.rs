//! What people see of trackers and vehicles now, and what was set aside: one statement a batch each.

use crate::domain::{Entry, Lane, Timestamp};
use crate::engine::{Effects, GuardRow, Quarantined, StatusRow};
use crate::store::commit::fixes::source_number;
use std::collections::BTreeMap;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient, Statement};

/// Status rows; only the last of each tracker counts within a batch.
pub(in crate::store) async fn put<'a>(
    client: &impl GenericClient,
    statement: &Statement,
    effects: impl Iterator<Item = &'a Effects>,
) -> Result<(), Error> {
    let mut last = BTreeMap::new();
    for (tracker, vehicle, row) in effects.filter_map(|e| e.status.as_ref()) {
        last.insert(tracker.0, (vehicle.map(|v| v.0), row));
    }
    if last.is_empty() {
        return Ok(());
    }
    fn column<T>(
        rows: &BTreeMap<i64, (Option<i64>, &StatusRow)>,
        value: impl Fn(&StatusRow) -> Option<T>,
    ) -> Vec<Option<T>> {
        rows.values().map(|(_, row)| value(row)).collect()
    }
    let trackers: Vec<i64> = last.keys().copied().collect();
    let vehicles: Vec<Option<i64>> = last.values().map(|(vehicle, _)| *vehicle).collect();
    let heard: Vec<Timestamp> = last.values().map(|(_, row)| row.last_heard_at).collect();
    client
        .execute(
            statement,
            &[
                &trackers,
                &vehicles,
                &heard,
                &column(&last, |r| r.newest.as_ref().map(|n| n.fixed_at)),
                &column(&last, |r| r.newest.as_ref().map(|n| n.received_at)),
                &column(&last, |r| r.newest.as_ref().map(|n| n.position.lon_deg)),
                &column(&last, |r| r.newest.as_ref().map(|n| n.position.lat_deg)),
                &column(&last, |r| r.newest.as_ref()?.speed_kmh),
                &column(&last, |r| r.newest.as_ref()?.course_deg),
                &column(&last, |r| r.newest.as_ref()?.accuracy_m),
                &column(&last, |r| r.newest.as_ref().and_then(|n| n.satellites).or(r.satellites).map(i16::from)),
                &column(&last, |r| r.newest.as_ref().map(|n| source_number(n.source))),
                &column(&last, |r| r.battery_percent.map(i16::from)),
                &column(&last, |r| r.external_power),
                &column(&last, |r| r.ignition),
                &column(&last, |r| r.signal_percent.map(i16::from)),
                &column(&last, |r| r.firmware.as_deref().map(without_nul)),
                &column(&last, |r| r.report_interval_s.map(i32::from)),
            ],
        )
        .await?;
    Ok(())
}

/// What installers wait for. Few packets have a sign of it, and only of trackers that are being tried is it kept.
pub(in crate::store) async fn note_trial<'a>(
    client: &impl GenericClient,
    statement: &Statement,
    effects: impl Iterator<Item = &'a Effects>,
) -> Result<(), Error> {
    let signs: Vec<_> = effects.flat_map(|e| &e.signs).collect();
    if signs.is_empty() {
        return Ok(());
    }
    let trackers: Vec<i64> = signs.iter().map(|s| s.tracker.0).collect();
    let at: Vec<Timestamp> = signs.iter().map(|s| s.at).collect();
    let shaken: Vec<bool> = signs.iter().map(|s| s.is_shaken).collect();
    client.execute(statement, &[&trackers, &at, &shaken]).await?;
    Ok(())
}

/// Guards that changed; only the last of each vehicle counts within a batch.
pub(in crate::store) async fn put_guards<'a>(
    client: &impl GenericClient,
    statement: &Statement,
    lane: Lane,
    rows: impl Iterator<Item = &'a GuardRow>,
) -> Result<(), Error> {
    let last: BTreeMap<i64, &GuardRow> = rows.map(|row| (row.vehicle.0, row)).collect();
    if last.is_empty() {
        return Ok(());
    }
    let vehicles: Vec<i64> = last.keys().copied().collect();
    let armed: Vec<bool> = last.values().map(|g| g.armed).collect();
    let since: Vec<Timestamp> = last.values().map(|g| g.since).collect();
    let lat: Vec<Option<f64>> = last.values().map(|g| g.point.map(|p| p.lat_deg)).collect();
    let lon: Vec<Option<f64>> = last.values().map(|g| g.point.map(|p| p.lon_deg)).collect();
    let by: Vec<&str> = last.values().map(|g| g.by.name()).collect();
    let told_at: Vec<Timestamp> = last.values().map(|g| g.told_at).collect();
    let values: [&(dyn ToSql + Sync); 8] = [&vehicles, &armed, &since, &lat, &lon, &by, &told_at, &(lane.0 as i16)];
    client.execute(statement, &values).await?;
    Ok(())
}

/// Bytes of a payload that quarantine shows. The journal has the whole under the same lane, number and entry.
const HEAD_BYTES: usize = 256;

/// An entry of a batch that was set aside.
pub(in crate::store) struct Aside<'a> {
    /// Its place in the batch.
    place: usize,
    entry: &'a Entry,
    topic: &'a str,
    why: &'a Quarantined,
}

impl<'a> Aside<'a> {
    /// Of an entry that trackers sent.
    pub fn of(place: usize, entry: &'a Entry, why: &'a Quarantined) -> Option<Self> {
        Some(Self { place, entry, topic: entry.topic()?, why })
    }

    /// The first of its bytes, where they are kept.
    fn head(&self) -> &'a [u8] {
        match self.entry {
            Entry::Packet(packet) => &packet.payload[..packet.payload.len().min(HEAD_BYTES)],
            _ => &[],
        }
    }

    fn payload_bytes(&self) -> i64 {
        match self.entry {
            Entry::Packet(packet) => packet.payload.len() as i64,
            Entry::Flood(flood) => flood.bytes as i64,
            _ => 0,
        }
    }
}

/// Packets that were set aside.
pub(in crate::store) async fn set_aside(
    client: &impl GenericClient,
    statement: &Statement,
    (lane, n): (Lane, i64),
    rows: &[Aside<'_>],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(rows: &'a [Aside<'a>], value: impl Fn(&'a Aside<'a>) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    client
        .execute(
            statement,
            &[
                &(lane.0 as i16),
                &n,
                &column(rows, |aside| aside.place as i32),
                &column(rows, |aside| without_nul(aside.topic)),
                &column(rows, |aside| aside.why.ident.as_deref()),
                &column(rows, |aside| aside.why.tracker.map(|t| t.0)),
                &column(rows, |aside| aside.why.reason),
                &column(rows, |aside| without_nul(&aside.why.detail)),
                &column(rows, |aside| aside.why.security),
                &column(rows, |aside| aside.entry.at()),
                &column(rows, Aside::head),
                &column(rows, |aside| aside.entry.packets() as i64),
                &column(rows, Aside::payload_bytes),
            ],
        )
        .await?;
    Ok(())
}

/// PostgreSQL's texts hold every character but this one.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
