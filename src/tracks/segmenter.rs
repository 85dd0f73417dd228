//! Fixes of one tracker, slice after slice, cut into rides and dwells.
//!
//! A fix within 25 m of where a stretch began belongs to the stretch. A stretch becomes a dwell once
//! it has lasted [`DWELL_S_MIN`]; until then its fixes are a ride's. Up to [`OUTLIERS_MAX`] fixes in
//! a row may lie off a dwell (receivers jump) before the vehicle counts as gone. A dwell that lasts
//! beyond the slice stays open: the next slice goes on with it.

use crate::domain::{Timestamp, TrackerKey, VehicleId};
use crate::tracks::dwell::Dwell;
use crate::tracks::segment::{RIDE_FIXES_MAX, Segment};
use crate::tracks::{ReceivedFix, TrackFix};

/// A stretch that lasts so long is a dwell, seconds: longer than red lights.
pub const DWELL_S_MIN: f64 = 300.0;
/// Fixes in a row that may lie off a dwell.
const OUTLIERS_MAX: usize = 3;
/// Longest segment, seconds: a search by time need not look further back than this.
pub const SEGMENT_S_MAX: f64 = 86_400.0;
/// Most fixes of a dwell in one row, for the same reason as [`RIDE_FIXES_MAX`].
const DWELL_FIXES_MAX: usize = 500;
/// Most fixes off a dwell in one row.
const DWELL_OUTLIERS_MAX: usize = 64;
/// A last fix this long before the slice's end is a parked tracker's, not a moving one's, seconds.
const HEARTBEAT_S_MIN: f64 = 60.0;
/// A silence inside a ride that ends its row, seconds: boxes stay small.
const RIDE_GAP_S_MAX: f64 = 600.0;

/// What a slice of one tracker leads to.
#[derive(Debug, Default, PartialEq)]
pub struct Segmented {
    /// Segments that are complete.
    pub closed: Vec<Segment>,
    /// The dwell that goes on.
    pub open: Option<Dwell>,
}

/// Cuts the fixes of one tracker, in time order, going on with `open`. `slice_end` is when the slice
/// ends; with `None` nothing goes on after it, so nothing stays open.
pub fn cut(tracker: TrackerKey, open: Option<Dwell>, fixes: &[ReceivedFix], slice_end: Option<Timestamp>) -> Segmented {
    let mut cutter = Segmenter { tracker, vehicle: None, ride: Vec::new(), stretch: Stretch::None, closed: Vec::new() };
    if let Some(dwell) = open {
        cutter.vehicle = dwell.vehicle;
        cutter.stretch = Stretch::Dwell { dwell, off: Vec::new() };
    }
    for heard in fixes {
        if heard.vehicle != cutter.vehicle {
            cutter.end(None);
            cutter.vehicle = heard.vehicle;
        }
        cutter.take(heard.fix);
    }
    let open = cutter.end(slice_end);
    Segmented { closed: cutter.closed, open }
}

enum Stretch {
    None,
    /// Not long enough to be a dwell; its fixes may yet be a ride's.
    Young(Vec<TrackFix>),
    /// A dwell, and the fixes off it since the last that was not.
    Dwell {
        dwell: Dwell,
        off: Vec<TrackFix>,
    },
}

struct Segmenter {
    tracker: TrackerKey,
    vehicle: Option<VehicleId>,
    ride: Vec<TrackFix>,
    stretch: Stretch,
    closed: Vec<Segment>,
}

impl Segmenter {
    fn take(&mut self, fix: TrackFix) {
        match std::mem::replace(&mut self.stretch, Stretch::None) {
            Stretch::None => self.stretch = Stretch::Young(vec![fix]),
            Stretch::Young(fixes) => self.grow(fixes, fix),
            Stretch::Dwell { dwell, off } => self.stay(dwell, off, fix),
        }
    }

    fn grow(&mut self, mut fixes: Vec<TrackFix>, fix: TrackFix) {
        let begun = Dwell::at(self.vehicle, &fixes[0]);
        let lasts_s = fix.at.seconds_since(fixes[0].at);
        if !fixes[0].is_gnss() || !begun.holds(&fix) || lasts_s > SEGMENT_S_MAX {
            self.ride.append(&mut fixes);
            self.stretch = Stretch::Young(vec![fix]);
            return;
        }
        fixes.push(fix);
        self.stretch = if lasts_s < DWELL_S_MIN {
            Stretch::Young(fixes)
        } else {
            self.end_ride();
            Stretch::Dwell { dwell: as_dwell(self.vehicle, &fixes), off: Vec::new() }
        };
    }

    fn stay(&mut self, mut dwell: Dwell, mut off: Vec<TrackFix>, fix: TrackFix) {
        let is_full = fix.at.seconds_since(dwell.from()) > SEGMENT_S_MAX
            || dwell.heartbeats() >= DWELL_FIXES_MAX
            || dwell.outliers.len() + off.len() >= DWELL_OUTLIERS_MAX;
        let is_gone = fix.is_gnss() && off.iter().filter(|o| o.is_gnss()).count() >= OUTLIERS_MAX;
        if dwell.holds(&fix) && !is_full {
            dwell.outliers.append(&mut off);
            dwell.push(&fix);
            self.stretch = Stretch::Dwell { dwell, off };
        } else if is_full || is_gone {
            // What lay off was the way out, or belongs to the next row.
            self.closed.push(Segment::dwell(self.tracker, &dwell));
            self.stretch = Stretch::None;
            off.into_iter().chain([fix]).for_each(|f| self.take(f));
        } else {
            off.push(fix);
            self.stretch = Stretch::Dwell { dwell, off };
        }
    }

    /// The end of the slice, or of the tracker's time in a vehicle.
    fn end(&mut self, slice_end: Option<Timestamp>) -> Option<Dwell> {
        let open = match std::mem::replace(&mut self.stretch, Stretch::None) {
            Stretch::None => None,
            Stretch::Young(fixes) => {
                let is_parked =
                    |end: Timestamp| fixes.last().is_some_and(|l| end.seconds_since(l.at) >= HEARTBEAT_S_MIN);
                if slice_end.is_some_and(is_parked) && fixes[0].is_gnss() {
                    Some(as_dwell(self.vehicle, &fixes))
                } else {
                    self.ride.extend(fixes);
                    None
                }
            }
            Stretch::Dwell { mut dwell, off } => {
                dwell.outliers.extend(off);
                Some(dwell)
            }
        };
        self.end_ride();
        match open {
            Some(dwell) if slice_end.is_none() => {
                self.closed.push(Segment::dwell(self.tracker, &dwell));
                None
            }
            open => open,
        }
    }

    fn end_ride(&mut self) {
        let fixes = std::mem::take(&mut self.ride);
        self.closed.extend(rides(self.tracker, self.vehicle, &fixes));
    }
}

fn as_dwell(vehicle: Option<VehicleId>, fixes: &[TrackFix]) -> Dwell {
    let mut dwell = Dwell::at(vehicle, &fixes[0]);
    fixes[1..].iter().for_each(|f| dwell.push(f));
    dwell
}

/// Rows of a ride: cut at silences and where a row is full.
pub(super) fn rides(tracker: TrackerKey, vehicle: Option<VehicleId>, fixes: &[TrackFix]) -> Vec<Segment> {
    fixes
        .chunk_by(|a, b| b.at.seconds_since(a.at) <= RIDE_GAP_S_MAX)
        .flat_map(|run| run.chunks(RIDE_FIXES_MAX))
        .map(|run| Segment::ride(tracker, vehicle, run))
        .collect()
}
