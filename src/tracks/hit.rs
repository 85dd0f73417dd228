//! What a question to the database brings: segments, and single fixes that are not in segments yet.

use crate::domain::{Timestamp, TrackerKey, VehicleId};
use crate::tracks::segmenter::cut;
use crate::tracks::{CorruptSegment, GridPoint, ReceivedFix, Segment, SegmentBody, TrackFix};

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Hit {
    /// A segment as it is kept.
    Segment(Segment),
    /// A fix that is hot or late, or of a segment that reaches over the edge of what was asked.
    Fix {
        /// Whose tracker.
        tracker: TrackerKey,
        /// In which vehicle.
        vehicle: Option<VehicleId>,
        /// When.
        at: Timestamp,
        /// Where.
        spot: GridPoint,
        /// Tenths of km/h.
        speed_tenths: Option<u16>,
    },
}

impl Hit {
    /// Whose tracker it is.
    pub fn tracker(&self) -> TrackerKey {
        match self {
            Self::Segment(segment) => segment.tracker,
            Self::Fix { tracker, .. } => *tracker,
        }
    }

    /// In which vehicle it was.
    pub fn vehicle(&self) -> Option<VehicleId> {
        match self {
            Self::Segment(segment) => segment.vehicle,
            Self::Fix { vehicle, .. } => *vehicle,
        }
    }
}

/// Opens the rows of one vehicle's track, in time order; single fixes are cut into rides and dwells.
///
/// # Errors
/// [`CorruptSegment`].
pub fn bodies(found: &[Hit]) -> Result<Vec<SegmentBody>, CorruptSegment> {
    let mut bodies = Vec::new();
    let mut loose = Vec::new();
    for row in found {
        match row {
            Hit::Segment(segment) => bodies.push(segment.read()?),
            Hit::Fix { tracker, vehicle, at, spot, speed_tenths } => {
                let fix = TrackFix {
                    at: *at,
                    spot: *spot,
                    speed_tenths: *speed_tenths,
                    course_deg: None,
                    altitude_m: None,
                    accuracy_m: None,
                    satellites: None,
                    source: 0,
                    flags: 0,
                    lag_s: 0,
                };
                loose.push(ReceivedFix { tracker: *tracker, vehicle: *vehicle, fix });
            }
        }
    }
    loose.sort_by_key(|h| (h.tracker, h.fix.at, h.fix.spot));
    loose.dedup_by(|a, b| a.tracker == b.tracker && a.fix.is_same_as(&b.fix));
    for fixes in loose.chunk_by(|a, b| a.tracker == b.tracker) {
        for segment in cut(fixes[0].tracker, None, fixes, None).closed {
            bodies.push(segment.read()?);
        }
    }
    bodies.sort_by_key(SegmentBody::from);
    Ok(bodies)
}

impl SegmentBody {
    /// Its first fix.
    pub fn from(&self) -> Timestamp {
        match self {
            Self::Ride(fixes) => fixes[0].at,
            Self::Dwell(dwell) => dwell.from(),
        }
    }

    /// Its last fix.
    pub fn until(&self) -> Timestamp {
        match self {
            Self::Ride(fixes) => fixes[fixes.len() - 1].at,
            Self::Dwell(dwell) => dwell.until(),
        }
    }
}
