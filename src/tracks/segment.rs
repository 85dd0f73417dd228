//! One row of the table of tracks: a ride of some minutes or a dwell, as bytes and as meaning.

use crate::domain::{Timestamp, TrackerKey, VehicleId};
use crate::tracks::twkb::{self, Shape, Vertex};
use crate::tracks::{Dwell, GridPoint, TrackFix, attributes};

/// Most fixes of a ride in one row: with its index entries the row stays well below the 2 kB from
/// which PostgreSQL would move it aside.
pub const RIDE_FIXES_MAX: usize = 128;

/// What a segment is, as the database numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum SegmentKind {
    /// Every fix is kept.
    Ride = 1,
    /// Fixes within the radius keep their time only.
    Dwell = 2,
}

/// A segment as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whose tracker.
    pub tracker: TrackerKey,
    /// In which vehicle.
    pub vehicle: Option<VehicleId>,
    /// Its first fix.
    pub from: Timestamp,
    /// Its last fix.
    pub until: Timestamp,
    /// What it is.
    pub kind: SegmentKind,
    /// How many fixes went into it.
    pub fixes: i16,
    /// TWKB: of a ride every fix, of a dwell its box and what lay off.
    pub path: Vec<u8>,
    /// The rest.
    pub more: Vec<u8>,
}

/// What a segment means.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentBody {
    /// Fixes in time order, at least one.
    Ride(Vec<TrackFix>),
    /// A parked stretch.
    Dwell(Dwell),
}

/// Bytes that are not what we wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the piece of tracker {tracker} at {from} is damaged")]
pub struct CorruptSegment {
    /// Whose.
    pub tracker: i64,
    /// Which.
    pub from: Timestamp,
}

impl Segment {
    /// A ride; fixes in time order, at least one.
    pub fn ride(tracker: TrackerKey, vehicle: Option<VehicleId>, fixes: &[TrackFix]) -> Self {
        let from = fixes.first().map_or(Timestamp::default(), |f| f.at);
        let vertices: Vec<_> = fixes.iter().map(Vertex::of).collect();
        let mut more = Vec::with_capacity(16 + 4 * fixes.len());
        attributes::write(&mut more, fixes);
        Self {
            tracker,
            vehicle,
            from,
            until: fixes.last().map_or(from, |f| f.at),
            kind: SegmentKind::Ride,
            fixes: fixes.len() as i16,
            path: twkb::write(Shape::Line, from, &vertices),
            more,
        }
    }

    /// A dwell.
    pub fn dwell(tracker: TrackerKey, dwell: &Dwell) -> Self {
        let from = dwell.from();
        Self {
            tracker,
            vehicle: dwell.vehicle,
            from,
            until: dwell.until(),
            kind: SegmentKind::Dwell,
            fixes: dwell.fixes().min(i16::MAX as usize) as i16,
            path: dwell.path(from),
            more: dwell.more(from),
        }
    }

    /// What it means.
    ///
    /// # Errors
    /// [`CorruptSegment`].
    pub fn read(&self) -> Result<SegmentBody, CorruptSegment> {
        let damaged = CorruptSegment { tracker: self.tracker.0, from: self.from };
        let (shape, vertices) = twkb::read(&self.path, self.from).ok_or(damaged)?;
        match (self.kind, shape) {
            (SegmentKind::Ride, Shape::Line) if !vertices.is_empty() => {
                let mut fixes: Vec<_> = vertices.iter().map(attributes::bare).collect();
                attributes::read(&self.more, &mut fixes).ok_or(damaged)?;
                Ok(SegmentBody::Ride(fixes))
            }
            (SegmentKind::Dwell, Shape::Points) => {
                Dwell::read(self.vehicle, self.from, &vertices, &self.more).map(SegmentBody::Dwell).ok_or(damaged)
            }
            _ => Err(damaged),
        }
    }

    /// Shows times and places of its path alone: of a ride every fix. What was shown before an error is void.
    ///
    /// # Errors
    /// [`CorruptSegment`].
    pub fn places(&self, see: impl FnMut(Timestamp, GridPoint)) -> Result<(), CorruptSegment> {
        twkb::places(&self.path, self.from, see).ok_or(CorruptSegment { tracker: self.tracker.0, from: self.from })
    }

    /// The box of a dwell off which nothing lay: its times are all there is to it beside.
    pub fn dwell_alone(&self) -> Option<(GridPoint, GridPoint)> {
        (self.kind == SegmentKind::Dwell).then(|| twkb::two_points(&self.path))?
    }

    /// South-west and north-east corner of its box. Bytes that cannot be read have one, too.
    pub fn bounds(&self) -> (GridPoint, GridPoint) {
        twkb::bounds(&self.path).unwrap_or((GridPoint { lon: 0, lat: 0 }, GridPoint { lon: 0, lat: 0 }))
    }

    /// Where it begins, for the order of rows. Bytes that cannot be read come first.
    pub fn first_spot(&self) -> GridPoint {
        twkb::first_spot(&self.path).unwrap_or(GridPoint { lon: i32::MIN, lat: i32::MIN })
    }
}
