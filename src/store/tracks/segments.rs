//! Segments of tracks as rows.

use crate::domain::{LatLon, Timestamp, TrackerKey, VehicleId};
use crate::store::types::pg_micros;
use crate::tracks::{GridPoint, Hit, Segment, SegmentKind, cell};
use anyhow::bail;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use std::pin::pin;
use tokio_postgres::{Error, Row, Transaction};

const COPY: &str = "COPY track (tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more, cell, east, north) FROM STDIN (FORMAT binary)";
/// Columns of the COPY.
const COLUMNS: i16 = 11;

/// Reads a row of the schema's type `found`.
///
/// # Errors
/// A kind that this program does not know.
pub(in crate::store) fn found(row: &Row) -> anyhow::Result<Hit> {
    if row.get::<_, i16>(4) != 0 {
        return Ok(Hit::Segment(read(row)?));
    }
    Ok(Hit::Fix {
        tracker: TrackerKey(row.get(0)),
        vehicle: row.get::<_, Option<i64>>(1).map(VehicleId),
        at: row.get(2),
        spot: GridPoint::of(LatLon::new(row.get(9), row.get(8))),
        speed_tenths: row.get::<_, Option<f32>>(10).map(|v| (v * 10.0).round() as u16),
    })
}

/// Reads a row's first eight columns.
///
/// # Errors
/// A kind that this program does not know.
pub(in crate::store) fn read(row: &Row) -> anyhow::Result<Segment> {
    Ok(Segment {
        tracker: TrackerKey(row.get(0)),
        vehicle: row.get::<_, Option<i64>>(1).map(VehicleId),
        from: row.get(2),
        until: row.get(3),
        kind: read_kind(row.get(4))?,
        fixes: row.get(5),
        path: row.get(6),
        more: row.get(7),
    })
}

fn read_kind(number: i16) -> anyhow::Result<SegmentKind> {
    match number {
        1 => Ok(SegmentKind::Ride),
        2 => Ok(SegmentKind::Dwell),
        _ => bail!("a piece is of kind {number}; this program knows 1 and 2"),
    }
}

/// Appends segments, in the order given.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn copy(transaction: &Transaction<'_>, segments: &[Segment]) -> Result<(), Error> {
    if segments.is_empty() {
        return Ok(());
    }
    let mut sink = pin!(transaction.copy_in::<str, Bytes>(COPY).await?);
    // A server that has failed meanwhile says why at the end.
    for some in segments.chunks(1000) {
        if sink.feed(encode(some, std::ptr::eq(some.as_ptr(), segments.as_ptr()))).await.is_err() {
            break;
        }
    }
    sink.finish().await.map(drop)
}

fn encode(segments: &[Segment], is_first: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(32 + segments.len() * 600);
    if is_first {
        out.put_slice(b"PGCOPY\n\xff\r\n\0");
        out.put_i64(0); // no flags, no extension
    }
    for segment in segments {
        out.put_i16(COLUMNS);
        put(&mut out, &segment.tracker.0.to_be_bytes());
        match segment.vehicle {
            Some(vehicle) => put(&mut out, &vehicle.0.to_be_bytes()),
            None => out.put_i32(-1),
        }
        put(&mut out, &pg_micros(segment.from).to_be_bytes());
        put(&mut out, &pg_micros(segment.until).to_be_bytes());
        put(&mut out, &(segment.kind as i16).to_be_bytes());
        put(&mut out, &segment.fixes.to_be_bytes());
        put(&mut out, &segment.path);
        put(&mut out, &segment.more);
        let (low, high) = segment.bounds();
        put(&mut out, &cell::of_box(low, high).to_be_bytes());
        put(&mut out, &high.lon.to_be_bytes());
        put(&mut out, &high.lat.to_be_bytes());
    }
    out.freeze()
}

fn put(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// Writes dwells that go on, one a tracker.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn put_open(transaction: &Transaction<'_>, segments: &[Segment]) -> Result<(), Error> {
    let trackers: Vec<i64> = segments.iter().map(|p| p.tracker.0).collect();
    let vehicles: Vec<Option<i64>> = segments.iter().map(|p| p.vehicle.map(|v| v.0)).collect();
    let (from, until): (Vec<Timestamp>, Vec<Timestamp>) = segments.iter().map(|p| (p.from, p.until)).unzip();
    let kinds: Vec<i16> = segments.iter().map(|p| p.kind as i16).collect();
    let fixes: Vec<i16> = segments.iter().map(|p| p.fixes).collect();
    let cell = |(low, high)| cell::of_box(low, high);
    let cells: Vec<i64> = segments.iter().map(|p| cell(p.bounds())).collect();
    let (paths, more): (Vec<&[u8]>, Vec<&[u8]>) = segments.iter().map(|p| (&p.path[..], &p.more[..])).unzip();
    transaction
        .execute(
            "INSERT INTO track_open SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[],
                $5::smallint[], $6::smallint[], $7::bytea[], $8::bytea[], $9::bigint[])
             ON CONFLICT (tracker_id) DO UPDATE SET vehicle_id = EXCLUDED.vehicle_id, from_at = EXCLUDED.from_at,
                until_at = EXCLUDED.until_at, fixes = EXCLUDED.fixes, path = EXCLUDED.path, more = EXCLUDED.more, cell = EXCLUDED.cell",
            &[&trackers, &vehicles, &from, &until, &kinds, &fixes, &paths, &more, &cells],
        )
        .await
        .map(drop)
}
