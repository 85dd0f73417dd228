//! Tracks once they are rolled up: segments, their bytes, and the answers to questions about them. Pure.
//!
//! In: fixes of one tracker in time order, or segments as the database keeps them. Out: segments, or
//! answers. Never: SQL, clocks, sockets. The rollup writes segments, the API reads them;
//! `docs/tracks.md` has the format.

pub mod area;
mod attributes;
pub mod cell;
pub mod co_travel;
pub mod dwell;
mod hit;
mod interval_codec;
pub mod merge;
pub mod presence;
mod runs;
pub mod segment;
pub mod segmenter;
pub mod summary;
#[cfg(test)]
mod tests;
mod twkb;
mod varint;

pub use dwell::Dwell;
pub use hit::{Hit, bodies};
pub use segment::{CorruptSegment, Segment, SegmentBody, SegmentKind};

use crate::domain::{LatLon, Timestamp, TrackerKey, VehicleId};

/// Parts of a degree that segments keep: a millionth is 0.11 m, well below what receivers know.
pub const PER_DEGREE: f64 = 1e6;
/// Metres per millionth of a degree of latitude.
pub const METRES_PER_UNIT: f64 = 0.111_195;

/// A position in millionths of a degree, as segments keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GridPoint {
    /// East.
    pub lon: i32,
    /// North.
    pub lat: i32,
}

impl GridPoint {
    /// The nearest spot to a position.
    pub fn of(position: LatLon) -> Self {
        let unit = |degrees: f64| (degrees * PER_DEGREE).round() as i32;
        Self { lon: unit(position.lon_deg), lat: unit(position.lat_deg) }
    }

    /// Degrees again.
    pub fn position(self) -> LatLon {
        LatLon::new(f64::from(self.lat) / PER_DEGREE, f64::from(self.lon) / PER_DEGREE)
    }

    /// Metres between two spots; on a plane, exact to a metre within a city.
    pub fn distance_m(self, other: Self) -> f64 {
        let north = (f64::from(other.lat) - f64::from(self.lat)) * METRES_PER_UNIT;
        let middle = (f64::from(self.lat) + f64::from(other.lat)) / (2.0 * PER_DEGREE);
        let east = (f64::from(other.lon) - f64::from(self.lon)) * METRES_PER_UNIT * middle.to_radians().cos();
        north.hypot(east)
    }
}

/// A fix as segments keep it: rounded to what receivers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackFix {
    /// When, by the tracker's clock.
    pub at: Timestamp,
    /// Where.
    pub spot: GridPoint,
    /// Tenths of km/h.
    pub speed_tenths: Option<u16>,
    /// Degrees clockwise from north.
    pub course_deg: Option<u16>,
    /// Metres above sea level.
    pub altitude_m: Option<i16>,
    /// The receiver's own estimate of its error, metres.
    pub accuracy_m: Option<u16>,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// 0 GNSS, 1 cell, 2 Wi-Fi, as in the hot table.
    pub source: u8,
    /// What was noticed about it, as in the hot table.
    pub flags: u8,
    /// Seconds from `at` to its arrival.
    pub lag_s: i32,
}

impl TrackFix {
    /// Whether two fixes are one: same time, same place.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.at == other.at && self.spot == other.spot
    }

    /// Whether it is a satellite fix; others are hundreds of metres off.
    pub fn is_gnss(&self) -> bool {
        self.source == 0
    }
}

/// A fix with whose it is: what the rollup reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedFix {
    /// Whose tracker.
    pub tracker: TrackerKey,
    /// In which vehicle, then.
    pub vehicle: Option<VehicleId>,
    /// The fix.
    pub fix: TrackFix,
}
