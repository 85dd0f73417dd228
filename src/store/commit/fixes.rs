//! Fixes into the hot table, two modes.
//!
//! COPY is half the price, but one row that is there already fails it. The duplicate filters of
//! the fold let hardly any through, so COPY is the rule; after a batch that failed, and where
//! duplicates are likely (after a reconnect or a restart), rows are inserted until some batches in a row
//! had nothing to leave out. So are fixes of slices that the rollup has closed: they go to `fix_late`.

use crate::domain::{Fix, FixSource, Timestamp};
use crate::engine::FixRow;
use crate::failpoint::{self, Point};
use crate::store::types::pg_micros;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use futures_util::future::join_all;
use std::pin::pin;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, GenericClient, Statement};

/// Batches in a row without a row left out, after which rows are copied again. A COPY that fails costs as
/// much as two batches, so it pays where fewer than every other batch would fail; after eight good ones that is likely.
const CLEAN_BATCHES: u32 = 8;

/// Columns of the COPY.
const COLUMNS: i16 = 13;

/// Which way a batch's fixes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum InsertMode {
    Copy,
    Insert,
}

/// Remembers whether duplicates are likely: how many batches are still to be inserted.
pub struct InsertModes(u32);

impl Default for InsertModes {
    /// After a restart the broker redelivers what was in flight.
    fn default() -> Self {
        Self(CLEAN_BATCHES)
    }
}

impl InsertModes {
    /// Rows that stand there already are to be expected now.
    pub fn expect_duplicates(&mut self) {
        self.0 = CLEAN_BATCHES;
    }

    /// Of so many rows of a batch so many came into the hot table.
    pub(in crate::store) fn learn(&mut self, rows: usize, written: u64) {
        if (written as usize) < rows {
            self.expect_duplicates();
        } else if rows > 0 {
            self.0 = self.0.saturating_sub(1);
        }
    }

    pub(in crate::store) fn now(&self) -> InsertMode {
        if self.0 > 0 { InsertMode::Insert } else { InsertMode::Copy }
    }
}

/// Our code for a batch with fixes of closed slices (`lane_advance`).
const CLOSED: &str = "P0411";

/// Whether a COPY failed for what its rows are: one is there already, its day has no partition, or
/// its slice is closed.
pub(in crate::store) fn is_conflict(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|c| [SqlState::UNIQUE_VIOLATION, SqlState::CHECK_VIOLATION].contains(c) || c.code() == CLOSED)
}

/// Rows of one COPY of a batch. PostgreSQL keeps a list of what up to a thousand rows hold on to, and looks through it for each: 900
/// rows cost 1.85 us each, 225 or 450 rows 1.4 (version 15, a table without indexes, 2026-11-28).
const PART_ROWS: usize = 300;
/// From so many rows on one COPY is as good: after the first thousand the list is used again.
const WHOLE_ROWS: usize = 3000;

/// Copies the rows of a batch, within its transaction. Returns how many were written.
pub(in crate::store) async fn copy_parts(
    client: &Client,
    statement: &Statement,
    rows: &[&FixRow],
) -> Result<u64, Error> {
    let part_rows = if rows.len() < WHOLE_ROWS { PART_ROWS } else { rows.len() };
    // All are sent before the first is answered; the first that failed is the reason.
    let parts = join_all(rows.chunks(part_rows).map(|part| copy(client, statement, part))).await;
    parts.into_iter().sum()
}

/// Streams rows in binary format (PostgreSQL, COPY, "Binary Format"). Returns how many were written.
pub(in crate::store) async fn copy(client: &Client, statement: &Statement, rows: &[&FixRow]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut sink = pin!(client.copy_in::<Statement, Bytes>(statement).await?);
    failpoint::pass(Point::Copying);
    let bytes = encode(rows);
    // A server that has failed meanwhile says why at the end.
    let _ = sink.feed(bytes).await;
    sink.finish().await
}

/// What a COPY sends for these rows.
pub fn encode(rows: &[&FixRow]) -> Bytes {
    let mut out = BytesMut::with_capacity(32 + rows.len() * 180);
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_i32(0);
    out.put_i32(0);
    for row in rows {
        let fix = &row.fix;
        out.put_i16(COLUMNS);
        put_i64(&mut out, Some(row.tracker.0));
        put_i64(&mut out, Some(pg_micros(row.fixed_at)));
        out.put_i32(4);
        out.put_i32(position_digest(fix));
        put_i64(&mut out, Some(pg_micros(row.received_at)));
        put_i64(&mut out, row.vehicle.map(|v| v.0));
        for value in [fix.speed_kmh, fix.course_deg, fix.altitude_m, fix.accuracy_m] {
            match value {
                Some(value) => {
                    out.put_i32(4);
                    out.put_f32(value);
                }
                None => out.put_i32(-1),
            }
        }
        put_i16(&mut out, fix.satellites.map(i16::from));
        put_i16(&mut out, Some(source_number(fix.source)));
        put_i16(&mut out, Some(row.flags.0));
        // EWKB, little endian: a point with its SRID (PostGIS, "ZMgeoms").
        out.put_i32(25);
        out.put_u8(1);
        out.put_u32_le(0x2000_0001);
        out.put_u32_le(4326);
        out.put_f64_le(fix.position.lon_deg);
        out.put_f64_le(fix.position.lat_deg);
    }
    out.put_i16(-1);
    out.freeze()
}

fn put_i64(out: &mut BytesMut, value: Option<i64>) {
    match value {
        Some(value) => {
            out.put_i32(8);
            out.put_i64(value);
        }
        None => out.put_i32(-1),
    }
}

fn put_i16(out: &mut BytesMut, value: Option<i16>) {
    match value {
        Some(value) => {
            out.put_i32(2);
            out.put_i16(value);
        }
        None => out.put_i32(-1),
    }
}

/// Inserts rows, leaving out those that stand there already. Returns how many came into the hot table.
pub(in crate::store) async fn insert(
    client: &impl GenericClient,
    statement: &Statement,
    rows: &[&FixRow],
) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let column = |f: fn(&FixRow) -> f64| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
    let real = |f: fn(&Fix) -> Option<f32>| rows.iter().map(|r| f(&r.fix)).collect::<Vec<_>>();
    let trackers: Vec<i64> = rows.iter().map(|r| r.tracker.0).collect();
    let fixed: Vec<Timestamp> = rows.iter().map(|r| r.fixed_at).collect();
    let received: Vec<Timestamp> = rows.iter().map(|r| r.received_at).collect();
    let digests: Vec<i32> = rows.iter().map(|r| position_digest(&r.fix)).collect();
    let vehicles: Vec<Option<i64>> = rows.iter().map(|r| r.vehicle.map(|v| v.0)).collect();
    let satellites: Vec<Option<i16>> = rows.iter().map(|r| r.fix.satellites.map(i16::from)).collect();
    let sources: Vec<i16> = rows.iter().map(|r| source_number(r.fix.source)).collect();
    let flags: Vec<i16> = rows.iter().map(|r| r.flags.0).collect();
    client
        .execute(
            statement,
            &[
                &trackers,
                &fixed,
                &digests,
                &received,
                &vehicles,
                &real(|f| f.speed_kmh),
                &real(|f| f.course_deg),
                &real(|f| f.altitude_m),
                &real(|f| f.accuracy_m),
                &satellites,
                &sources,
                &flags,
                &column(|r| r.fix.position.lon_deg),
                &column(|r| r.fix.position.lat_deg),
            ],
        )
        .await
}

/// A small digest of a position: two fixes of one second at two places are two.
pub(in crate::store) fn position_digest(fix: &Fix) -> i32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&fix.position.lat_deg.to_bits().to_be_bytes());
    hash.update(&fix.position.lon_deg.to_bits().to_be_bytes());
    hash.finalize() as i32
}

pub(in crate::store) fn source_number(source: FixSource) -> i16 {
    match source {
        FixSource::Gnss => 0,
        FixSource::Cell => 1,
        FixSource::Wifi => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_copied_after_some_batches_without_duplicates_and_inserted_after_any_with_one() {
        let mut modes = InsertModes::default();
        for _ in 0..CLEAN_BATCHES {
            assert_eq!(modes.now(), InsertMode::Insert, "a restart is followed by redeliveries");
            modes.learn(0, 0); // a batch of settings or ticks says nothing
            modes.learn(300, 300);
        }
        assert_eq!(modes.now(), InsertMode::Copy);
        modes.learn(300, 300);
        assert_eq!(modes.now(), InsertMode::Copy);
        modes.learn(300, 299);
        assert_eq!(modes.now(), InsertMode::Insert);
    }
}
