//! What the last places of a tracker say against the next: jumps, turned axes, a frozen receiver.
//!
//! Nothing is dropped for a doubt, and nobody is silenced by it: the fix is kept with its flag, and it does
//! not become the newest place until others agree with it.

use crate::domain::{AlarmKind, Fix, FixSource, LatLon, Moment, Timestamp, distance_m};
use crate::engine::fix_flags::FixFlags;
use crate::engine::status::Newest;
use serde::{Deserialize, Serialize};

/// Faster than any two-wheeler of a city, km/h.
const RIDE_KMH_MAX: f64 = 150.0;
/// What two good receivers may differ by at once, metres.
const JUMP_SLACK_M: f64 = 500.0;
/// Fixes that must agree with a jump before it is believed.
const AGREEING_MIN: u8 = 2;
/// A turned sign is told from a short ride only away from the equator and the meridian, degrees.
const TURNED_DEG_MIN: f64 = 0.5;
/// Equal places in a row, while the vehicle moves, that make a receiver frozen.
const FROZEN_MIN: u8 = 10;

/// Where something was, and when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Where.
    pub position: LatLon,
    /// When.
    pub at: Timestamp,
}

impl Place {
    /// Whether a two-wheeler can be at `other` as well.
    fn reaches(&self, other: Place) -> bool {
        let ridden_m = other.at.seconds_since(self.at).abs() * RIDE_KMH_MAX / 3.6;
        distance_m(self.position, other.position) <= JUMP_SLACK_M + ridden_m
    }
}

/// What was noticed of a tracker's last places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsistencyCheck {
    /// The last place that was a jump, and how many agreed with it. Few trackers have one.
    pub jumped: Option<(Place, u8)>,
    /// Places that equalled the one before, while the vehicle moved.
    pub equal: u8,
}

impl ConsistencyCheck {
    /// The flags of a fix that is otherwise good, against the newest place believed.
    pub fn flags(&mut self, newest: Option<&Newest>, moment: &Moment, fix: &Fix, at: Timestamp) -> i16 {
        let Some(newest) = newest else { return 0 };
        let newest_at = newest.fixed_at;
        if at <= newest_at || fix.source != FixSource::Gnss || newest.source != FixSource::Gnss {
            return 0; // a late fix is judged by nobody, a cell is a place of kilometres
        }
        if self.is_frozen(newest, moment, fix) {
            return FixFlags::FROZEN;
        }
        let (known, here) = (Place { position: newest.position, at: newest_at }, Place { position: fix.position, at });
        if known.reaches(here) {
            self.jumped = None;
            return 0;
        }
        if turned(fix.position).any(|position| known.reaches(Place { position, at })) {
            return FixFlags::AXES_DOUBTED;
        }
        let agreeing = match &self.jumped {
            Some((before, count)) if before.reaches(here) => count + 1,
            _ => 0,
        };
        if agreeing >= AGREEING_MIN {
            self.jumped = None;
            return 0;
        }
        self.jumped = Some((here, agreeing));
        FixFlags::JUMP
    }

    fn is_frozen(&mut self, newest: &Newest, moment: &Moment, fix: &Fix) -> bool {
        let is_shaken = moment.alarms.iter().any(|a| a.kind == AlarmKind::Vibration);
        let moves = moment.status.ignition == Some(true) || moment.status.moving == Some(true) || is_shaken;
        self.equal = if fix.position == newest.position && moves { self.equal.saturating_add(1) } else { 0 };
        self.equal >= FROZEN_MIN
    }
}

/// The places that a position would be with its axes swapped or a sign turned.
fn turned(p: LatLon) -> impl Iterator<Item = LatLon> {
    let (lat, lon) = (p.lat_deg, p.lon_deg);
    let places = [(lon, lat), (-lat, lon), (lat, -lon), (-lat, -lon)];
    let is_far_from_zero = lat.abs() >= TURNED_DEG_MIN && lon.abs() >= TURNED_DEG_MIN;
    places
        .into_iter()
        .filter(move |_| is_far_from_zero)
        .map(|(lat, lon)| LatLon::new(lat, lon))
        .filter(|p| p.is_in_range())
}
