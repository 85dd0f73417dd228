//! Which fixes the index of hot places holds: an index of every fix would cost as much as the key; these are a fifth of those
//! that move.
//!
//! A tracker leaves a *narrow* cell entry (a cell of some 200 m, for a quarter of an hour) where it is first heard in a quarter: most
//! stand, and who looks for those in a street must not look at those of the town. Once it leaves that cell it leaves *wide* ones
//! (400 m), or every third fix of a ride would be one. It leaves one each time it enters a cell, so each fix that is shown has
//! one that is not younger: who looks for it reads from there on.

use crate::domain::{LatLon, Timestamp};
use crate::engine::fix_flags::FixFlags;

/// Length of the spans of time, microseconds. All numbers here stand in the schema, too (0025).
const SPAN_US: i64 = 15 * 60 * 1_000_000;
/// Wide cells a degree, and in a row around the earth.
const WIDE_PER_DEGREE: f64 = 250.0;
const WIDE_PER_ROW: i64 = 90_000;
/// The same of narrow ones.
const NARROW_PER_DEGREE: f64 = 500.0;
const NARROW_PER_ROW: i64 = 180_000;

/// The cells of a fix in its span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CellEntry {
    /// The span: quarters of an hour since 1970.
    pub(super) span: i64,
    /// The wide cell, from 0.
    pub(super) wide: i64,
    /// The narrow cell, from 0.
    pub(super) narrow: i64,
}

/// A tracker's newest fix, as entries see it.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    /// When.
    pub at: Timestamp,
    /// Its cells.
    pub cells: CellEntry,
    /// Whether a wide cell entry represents them; else a narrow one does.
    pub is_wide: bool,
}

impl CellEntry {
    /// Of a fix.
    pub fn of(fixed_at: Timestamp, position: LatLon) -> Self {
        // As the schema counts them, step by step: a cell must be the same there.
        let cell = |per_degree: f64, per_row: i64| {
            let row = ((position.lat_deg + 90.0) * per_degree).floor() as i64;
            row * per_row + ((position.lon_deg + 180.0) * per_degree).floor() as i64
        };
        Self {
            span: fixed_at.micros().div_euclid(SPAN_US),
            wide: cell(WIDE_PER_DEGREE, WIDE_PER_ROW),
            narrow: cell(NARROW_PER_DEGREE, NARROW_PER_ROW),
        }
    }

    /// What a fix of `at` here is for a tracker whose newest is there: flags for its row, and where it is parked if it is the newest
    /// from now on. A late one is a cell entry by itself: that of its cell may be younger.
    pub fn after(self, at: Timestamp, newest: Option<Parked>) -> (i16, Parked) {
        let (flags, is_wide) = match newest.filter(|newest| newest.cells.span == self.span && newest.at <= at) {
            Some(Parked { cells, is_wide: true, .. }) if cells.wide == self.wide => (0, true),
            Some(Parked { cells, is_wide: false, .. }) if cells.narrow == self.narrow => (0, false),
            Some(_) => (FixFlags::CELL_ENTRY, true),
            None => (FixFlags::CELL_ENTRY | FixFlags::NARROW, false),
        };
        (flags, Parked { at, cells: self, is_wide })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(at_s: i64, lat: f64, lon: f64) -> CellEntry {
        CellEntry::of(Timestamp::from_secs(at_s), LatLon::new(lat, lon))
    }

    #[test]
    fn a_cell_is_a_part_of_a_degree_in_a_quarter_of_an_hour() {
        let here = of(900, 28.5511, 112.3511);
        assert_eq!((here.span, here.wide), (1, 29_637 * 90_000 + 73_087));
        assert_eq!(here.narrow, 59_275 * 180_000 + 146_175);
        assert_eq!(here, of(1799, 28.5519, 112.3519));
        assert_ne!(here.span, of(1800, 28.5511, 112.3511).span);
        for (lat, lon) in [(28.5611, 112.3511), (28.5511, 112.3411)] {
            assert_ne!(here.wide, of(900, lat, lon).wide);
        }
        let near = of(900, 28.5491, 112.3491);
        assert!(near.wide == here.wide && near.narrow != here.narrow, "{near:?} {here:?}");
    }

    #[test]
    fn the_ends_of_the_earth_have_cells() {
        for (lat, lon) in [(90.0, 180.0), (-90.0, -180.0), (90.0, -180.0), (-90.0, 180.0)] {
            let cell_entry = of(-1, lat, lon);
            assert!((0..=4_050_090_000).contains(&cell_entry.wide), "{cell_entry:?}");
            assert!((0..=16_200_180_000).contains(&cell_entry.narrow), "{cell_entry:?}");
            assert_eq!(cell_entry.span, -1);
        }
    }

    #[test]
    fn who_stands_leaves_narrow_ones_and_who_rides_wide_ones() {
        let mut newest = None;
        let mut step = |at_s, lat| {
            let (flags, parked) = of(at_s, lat, 112.35).after(Timestamp::from_secs(at_s), newest);
            newest = Some(parked);
            flags
        };
        let narrow = FixFlags::CELL_ENTRY | FixFlags::NARROW;
        assert_eq!([step(900, 28.5501), step(960, 28.5502), step(1800, 28.5501)], [narrow, 0, narrow]);
        // It rides off, to the next wide cell and back.
        assert_eq!([step(1860, 28.5525), step(1870, 28.5545), step(1880, 28.5525)], [FixFlags::CELL_ENTRY, 0, 0]);
        assert_eq!([step(1890, 28.5565), step(1900, 28.5501)], [FixFlags::CELL_ENTRY; 2]);
        assert_eq!([step(2700, 28.5501), step(2760, 28.5501)], [narrow, 0]);
    }
}
