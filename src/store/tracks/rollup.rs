//! What the rollup reads and writes: marks, slices of hot fixes, segments, late fixes.

use crate::domain::{LatLon, Timestamp, TrackerKey, VehicleId};
use crate::engine::FixFlags;
use crate::store::tracks::segments;
use crate::store::types::PG_EPOCH_MICROS;
use crate::tracks::{Dwell, GridPoint, ReceivedFix, Segment, TrackFix};
use anyhow::Context;
use bytes::Buf;
use futures_util::{StreamExt, pin_mut};
use std::collections::{HashMap, HashSet};
use tokio_postgres::{Client, Error, Row, Transaction};

/// Key of the advisory lock of the one rollup at work.
const LEADER_LOCK: i64 = 7_241_006;

/// How far everything is; before the first rollup long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Fixes from before go to `fix_late`.
    pub closing_to: Timestamp,
    /// Fixes from before are segments.
    pub rolled_to: Timestamp,
    /// Raised when somebody else changes open dwells.
    pub open_version: i64,
}

/// Tries to become the one rollup; held until the connection ends.
///
/// # Errors
/// The database's own word.
pub async fn lead(client: &Client) -> Result<bool, Error> {
    // A helper of PostgreSQL's hands over rows one by one, which took as much again as to read them.
    let settings = "SET statement_timeout = 0; SET lock_timeout = '5s'; SET synchronous_commit = on;
        SET max_parallel_workers_per_gather = 0; SET jit = off";
    client.batch_execute(settings).await?;
    Ok(client.query_one("SELECT pg_try_advisory_lock($1)", &[&LEADER_LOCK]).await?.get(0))
}

/// Reads the marks.
///
/// # Errors
/// The database's own word.
pub async fn marks(client: &Client) -> Result<Marks, Error> {
    let row = client.query_one("SELECT closing_to, rolled_to, open_version FROM rollup_mark", &[]).await?;
    Ok(Marks { closing_to: row.get(0), rolled_to: row.get(1), open_version: row.get(2) })
}

/// Closes everything before `to`. All lanes are held for that moment: whoever began before has ended,
/// and whoever begins later sees the mark.
///
/// # Errors
/// The database's own word; a lane that could not be held in time among them.
pub async fn close(client: &mut Client, to: Timestamp) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT FROM lane ORDER BY lane FOR UPDATE", &[]).await?;
    transaction.execute("UPDATE rollup_mark SET closing_to = $1 WHERE closing_to < $1", &[&to]).await?;
    transaction.commit().await
}

/// At the very first: nothing before the first hot day with fixes is there to be rolled up.
///
/// # Errors
/// The database's own word.
pub async fn begin(client: &Client) -> Result<(), Error> {
    client
        .execute(
            "UPDATE rollup_mark SET rolled_to = least(coalesce(first_hot_day(true), closing_to), closing_to),
                released_to = coalesce(first_hot_day(false), '-infinity')
             WHERE rolled_to = '-infinity' AND closing_to > '-infinity'",
            &[],
        )
        .await
        .map(drop)
}

/// The hot fixes of a slice, by tracker and time. Columns cost more than what is in them: three small ones come as one,
/// and a place as PostgreSQL's own point.
///
/// # Errors
/// The database's own word, or rows in a form that is not ours.
pub async fn read_slice(
    transaction: &Transaction<'_>,
    from: Timestamp,
    to: Timestamp,
) -> anyhow::Result<Vec<ReceivedFix>> {
    let unshown = FixFlags::UNSHOWN;
    let sql = format!(
        "COPY (SELECT tracker_id, fixed_at, received_at, vehicle_id, speed_kmh, course_deg, altitude_m, accuracy_m,
            (coalesce(satellites, -1)::int << 16) | (source << 8) | (flags & 255), position::point
         FROM fix WHERE fixed_at >= '{from}' AND fixed_at < '{to}' AND flags & {unshown} = 0) TO STDOUT (FORMAT binary)"
    );
    // A day that has no statistics yet would be read as a whole for each of its slices.
    transaction.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let stream = transaction.copy_out(&sql).await?;
    pin_mut!(stream);
    let mut heard = Vec::new();
    while let Some(message) = stream.next().await {
        let mut row = message?;
        if heard.is_empty() && row.starts_with(b"PGCOPY\n") {
            // Signature, flags, length of an extension (PostgreSQL, COPY, "Binary Format").
            anyhow::ensure!(row.len() >= 19, "the header of a COPY is cut short");
            row.advance(19);
        }
        if row.len() > 2 {
            heard.push(read_row(&row).context("a row of a COPY is not in our form")?);
        }
    }
    transaction.batch_execute("SET LOCAL enable_seqscan = on").await?;
    heard.sort_unstable_by_key(|h| (h.tracker.0, h.fix.at, h.fix.spot));
    Ok(heard)
}

/// One row of the COPY above.
fn read_row(row: &[u8]) -> Option<ReceivedFix> {
    let mut row = row;
    row.try_get_i16().ok().filter(|columns| *columns == 10)?;
    let mut field = |length: usize| -> Option<Option<&[u8]>> {
        match row.try_get_i32().ok()? {
            -1 => Some(None),
            n if n as usize == length => Some(Some(row.split_off(..length)?)),
            _ => None,
        }
    };
    let tracker = field(8)??.get_i64();
    let micros = |mut b: &[u8]| b.get_i64().saturating_add(PG_EPOCH_MICROS);
    let (at, received_at) = (micros(field(8)??), micros(field(8)??));
    let vehicle = field(8)?.map(|mut b| VehicleId(b.get_i64()));
    let mut real = || field(4).map(|f| f.map(|mut b| b.get_f32()));
    let (speed, course, altitude, accuracy) = (real()?, real()?, real()?, real()?);
    let small = field(4)??.get_i32();
    let (satellites, source, flags) = ((small >> 16) as i16, (small >> 8 & 0xff) as i16, (small & 0xff) as i16);
    let satellites = Some(satellites).filter(|s| *s >= 0);
    let mut point = field(16)??;
    let (lon_deg, lat_deg) = (point.get_f64(), point.get_f64());
    let measured = Measured { at, received_at, speed, course, altitude, accuracy, satellites, source, flags };
    Some(ReceivedFix { tracker: TrackerKey(tracker), vehicle, fix: measured.at_place(LatLon { lat_deg, lon_deg }) })
}

/// A row's values before they are rounded.
struct Measured {
    at: i64,
    received_at: i64,
    speed: Option<f32>,
    course: Option<f32>,
    altitude: Option<f32>,
    accuracy: Option<f32>,
    satellites: Option<i16>,
    source: i16,
    flags: i16,
}

impl Measured {
    fn at_place(&self, position: LatLon) -> TrackFix {
        // `as` keeps values that are out of range at the end of the range, and makes NaN 0.
        TrackFix {
            at: Timestamp::from_micros(self.at),
            spot: GridPoint::of(position),
            speed_tenths: self.speed.map(|v| (v * 10.0).round() as u16),
            course_deg: self.course.map(|v| v.round() as u16),
            altitude_m: self.altitude.map(|v| v.round() as i16),
            accuracy_m: self.accuracy.map(|v| v.round() as u16),
            satellites: self.satellites.and_then(|v| u8::try_from(v).ok()),
            source: self.source as u8,
            flags: self.flags as u8,
            lag_s: ((self.received_at - self.at) / 1_000_000) as i32,
        }
    }
}

/// Every dwell that goes on.
///
/// # Errors
/// The database's own word, or a damaged segment, named.
pub async fn open_dwells(client: &Client) -> anyhow::Result<Vec<Segment>> {
    let rows = client
        .query("SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more FROM track_open", &[])
        .await?;
    rows.iter().map(segments::read).collect()
}

/// Adds complete segments.
///
/// # Errors
/// The database's own word.
pub async fn add_segments(transaction: &Transaction<'_>, segments: &[Segment]) -> Result<(), Error> {
    segments::copy(transaction, segments).await
}

/// Keeps the dwells that go on, and forgets those of trackers that have left.
///
/// # Errors
/// The database's own word.
pub async fn put_open(
    transaction: &Transaction<'_>,
    going_on: &[(TrackerKey, &Dwell)],
    left: &[i64],
) -> Result<(), Error> {
    if !left.is_empty() {
        transaction.execute("DELETE FROM track_open WHERE tracker_id = ANY($1)", &[&left]).await?;
    }
    for some in going_on.chunks(10_000) {
        let segments: Vec<_> = some.iter().map(|(tracker, dwell)| Segment::dwell(*tracker, dwell)).collect();
        segments::put_open(transaction, &segments).await?;
    }
    Ok(())
}

/// Traffic of a cell in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellCount {
    /// The hour it belongs to.
    pub hour: Timestamp,
    /// Column of the cell.
    pub x: i32,
    /// Row of the cell.
    pub y: i32,
    /// The organisation that looks after the vehicles; 0: none.
    pub organisation: i64,
    /// Fixes of moving vehicles.
    pub fixes: i32,
    /// Vehicles they are of.
    pub vehicles: i32,
}

/// Vehicle → the organisation that looks after it; one in none is not there.
///
/// # Errors
/// The database's own word.
pub async fn organisations(
    transaction: &Transaction<'_>,
    heard: &[ReceivedFix],
) -> Result<HashMap<VehicleId, i64>, Error> {
    let vehicles: HashSet<i64> = heard.iter().filter_map(|h| h.vehicle).map(|v| v.0).collect();
    let vehicles: Vec<i64> = vehicles.into_iter().collect();
    let rows = transaction.query("SELECT * FROM organisations_of_vehicles($1)", &[&vehicles]).await?;
    Ok(rows.iter().map(|r| (VehicleId(r.get(0)), r.get(1))).collect())
}

/// Adds to the counts of the history map.
///
/// # Errors
/// The database's own word.
pub async fn add_traffic(transaction: &Transaction<'_>, cells: &[CellCount]) -> Result<(), Error> {
    let column = |f: fn(&CellCount) -> i32| cells.iter().map(f).collect::<Vec<_>>();
    let hours: Vec<_> = cells.iter().map(|c| c.hour).collect();
    let organisations: Vec<_> = cells.iter().map(|c| c.organisation).collect();
    transaction
        .execute(
            "INSERT INTO traffic AS t (hour, x, y, fixes, vehicles, organisation_id)
             SELECT * FROM unnest($1::timestamptz[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bigint[])
             ON CONFLICT (hour, x, y, organisation_id) DO UPDATE SET fixes = t.fixes + EXCLUDED.fixes, vehicles = greatest(t.vehicles, EXCLUDED.vehicles)",
            &[
                &hours,
                &column(|c| c.x),
                &column(|c| c.y),
                &column(|c| c.fixes),
                &column(|c| c.vehicles),
                &organisations,
            ],
        )
        .await
        .map(drop)
}

/// Moves the mark from a slice's begin to its end; fails if somebody else did, or changed the open dwells.
///
/// # Errors
/// The mark is elsewhere, or the database's own word.
pub async fn advance(transaction: &Transaction<'_>, before: Marks, to: Timestamp) -> anyhow::Result<()> {
    let moved = transaction
        .execute(
            "UPDATE rollup_mark SET rolled_to = $2 WHERE rolled_to = $1 AND open_version = $3",
            &[&before.rolled_to, &to, &before.open_version],
        )
        .await?;
    anyhow::ensure!(
        moved == 1,
        "the slice from {} is rolled up already, or open dwells were changed meanwhile",
        before.rolled_to
    );
    Ok(())
}

/// Takes late fixes that have rested, by tracker and time. Those of hot days stay in the hot table,
/// below the mark, where only `rebuild --check` looks.
///
/// # Errors
/// The database's own word.
pub async fn take_late(
    transaction: &Transaction<'_>,
    rest_s: f64,
    limit: i64,
) -> Result<(usize, Vec<ReceivedFix>), Error> {
    let rows = transaction
        .query(
            "WITH due AS (
                DELETE FROM fix_late WHERE (tracker_id, fixed_at, digest) IN (
                    SELECT tracker_id, fixed_at, digest FROM fix_late
                    WHERE received_at < now() - make_interval(secs => $1) AND fixed_at < (SELECT rolled_to FROM rollup_mark) LIMIT $2)
                RETURNING *
             ), kept AS (INSERT INTO fix SELECT * FROM due WHERE is_hot(fixed_at) ON CONFLICT DO NOTHING)
             SELECT tracker_id, vehicle_id, fixed_at, received_at, speed_kmh, course_deg, altitude_m, accuracy_m, satellites, source, flags,
                ST_X(position), ST_Y(position) FROM due
             WHERE fixed_at >= (SELECT tracks_to FROM retention_mark) OR is_kept(vehicle_id, fixed_at, fixed_at) ORDER BY tracker_id, fixed_at",
            &[&rest_s, &limit],
        )
        .await?;
    Ok((rows.len(), rows.iter().filter(|r| r.get::<_, i16>(10) & FixFlags::UNSHOWN == 0).map(late_fix).collect()))
}

fn late_fix(row: &Row) -> ReceivedFix {
    let measured = Measured {
        at: row.get::<_, Timestamp>(2).micros(),
        received_at: row.get::<_, Timestamp>(3).micros(),
        speed: row.get(4),
        course: row.get(5),
        altitude: row.get(6),
        accuracy: row.get(7),
        satellites: row.get(8),
        source: row.get(9),
        flags: row.get(10),
    };
    ReceivedFix {
        tracker: TrackerKey(row.get(0)),
        vehicle: row.get::<_, Option<i64>>(1).map(VehicleId),
        fix: measured.at_place(LatLon::new(row.get(12), row.get(11))),
    }
}

/// Segments of a tracker that reach into a span, complete ones first; the flag says which go on.
///
/// # Errors
/// The database's own word, or a row that is not ours.
pub async fn segments_around(
    transaction: &Transaction<'_>,
    tracker: TrackerKey,
    from: Timestamp,
    to: Timestamp,
) -> anyhow::Result<Vec<(Segment, bool)>> {
    let rows = transaction
        .query(
            "SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, false FROM track
             WHERE tracker_id = $1 AND from_at >= $2::timestamptz - interval '1 day' AND from_at <= $3 AND until_at >= $2
             UNION ALL SELECT tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, true FROM track_open
             WHERE tracker_id = $1 AND from_at <= $3 AND until_at >= $2",
            &[&tracker.0, &from, &to],
        )
        .await?;
    rows.iter().map(|r| Ok((segments::read(r)?, r.get(8)))).collect()
}

/// Removes complete segments; the content is compared too, so only these very ones go.
///
/// # Errors
/// The database's own word, or a segment that is not there any more.
pub async fn remove_pieces(transaction: &Transaction<'_>, gone: &[&Segment]) -> anyhow::Result<()> {
    for segment in gone {
        let removed = transaction
            .execute(
                "DELETE FROM track WHERE tracker_id = $1 AND from_at = $2 AND kind = $3 AND path = $4 AND more = $5",
                &[&segment.tracker.0, &segment.from, &(segment.kind as i16), &segment.path, &segment.more],
            )
            .await?;
        anyhow::ensure!(
            removed == 1,
            "a piece of tracker {} at {} is there {removed} times",
            segment.tracker.0,
            segment.from
        );
    }
    Ok(())
}
