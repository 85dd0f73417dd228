//! What we remember of one vehicle: bounded, serialisable, nothing that a clock could change.

use crate::domain::{EvidenceFix, LatLon, Timestamp, VehicleKind};
use crate::guard::outage::PeerGroups;
use crate::guard::params::{ExitParams, Params};
use crate::guard::state::alarms::Alarms;
use crate::guard::state::anchor::Anchor;
use crate::guard::state::plane::Plane;
use crate::guard::state::power::PowerState;
use crate::guard::state::rare::Rare;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::session::Session;
use crate::guard::state::silence::SilenceState;
use crate::guard::zones::presence::ZonePresence;
use smallvec::SmallVec;
use std::num::NonZeroU32;

/// Recent samples kept for evidence. 16 at ten seconds each see the first minutes of a theft.
pub const SAMPLES_MAX: usize = 16;
/// Samples kept of a vehicle that is parked quietly, from one report to the next: a city is mostly parked.
/// The next is weighed beside it, and only if the vehicle is quiet no longer more are kept.
pub(super) const SAMPLES_AT_REST: usize = 1;
/// Samples kept of one that has no full window: unguarded, or a suspect of too many. Every rule but the sum of the
/// evidence looks at no more.
const SAMPLES_NARROW: usize = 6;
/// Packets remembered to know a duplicate again. Retransmissions come within a minute; a fix that is
/// still among the samples is known again without this.
pub(super) const SEEN_MAX: usize = 4;
/// Cell positions remembered from the time at rest.
pub const CELLS_MAX: usize = 8;

/// What a vehicle's newest moment says of how much it should remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Nothing goes on, or nobody guards it.
    None,
    /// It is not quiet, and nothing more is known.
    Low,
    /// Something speaks for a theft.
    High,
}

/// The second of a time, since 1970; the ends (1970, 2106) stand for what is beyond.
pub fn second_of(at: Timestamp) -> Option<NonZeroU32> {
    NonZeroU32::new(at.micros().div_euclid(1_000_000).clamp(1, u32::MAX.into()) as u32)
}

/// Everything the guard remembers of one vehicle: 200 bytes while it is parked. `checkpoint` keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vehicle {
    /// Since when it is guarded, event time.
    pub armed_at: Option<Timestamp>,
    /// When it was last disarmed, event time.
    pub disarmed_at: Option<Timestamp>,
    /// The plane its places lie in.
    pub plane: Option<Plane>,
    /// The guard point.
    pub anchor: Option<Anchor>,
    /// Recent samples, oldest first in event time.
    pub samples: SmallVec<[Sample; SAMPLES_AT_REST]>,
    /// Whether it was parked quietly at its guard point when last heard: then few samples are kept.
    pub is_calm: bool,
    /// Packets seen lately, newest first; 0 = none.
    pub(super) seen: [u32; SEEN_MAX],
    /// What few vehicles have.
    pub rare: Rare,
    /// When it was last reported to be at rest, event time.
    pub rested_at: Option<Timestamp>,
    /// Whether its tracker ever reported a speed above zero; some never do.
    pub tells_speed: bool,
    /// Mean of the speeds it reports at rest, km/h.
    pub speed_at_rest_kmh: f32,
    /// Newest event time whose status counted.
    pub newest_at: Option<Timestamp>,
    /// Alarms that were on in the newest moment.
    pub alarms: Alarms,
    /// Supply: whether it was there, and what was raised of it.
    pub power: PowerState,
    /// When it was heard, and how often it speaks.
    pub silence: SilenceState,
    /// What it is, for rules that are for one kind only.
    pub kind: Option<VehicleKind>,
    /// Its zones: inside, about to enter, may have passed.
    pub sides: ZonePresence,
    /// Whether an early sign was raised since it was last calm.
    pub suspicion_raised: bool,
    /// What its guard sessions need beyond "armed since".
    pub session: Option<Box<Session>>,
    /// The groups of trackers that it belongs to.
    pub peers: PeerGroups,
    /// The second of its entry in the guard's list of deadlines for it; never later than its next deadline.
    pub scheduled: Option<NonZeroU32>,
}

impl Vehicle {
    /// Touches every part of what a moment will ask of it, and says where zones saw it last.
    pub fn prefetch(&self) -> (u64, Option<LatLon>) {
        let first = self.samples.first().map_or(0, |s| s.at.micros() as u64);
        let second = self.scheduled.map_or(0, NonZeroU32::get);
        let flags = u64::from(self.seen[0]) ^ u64::from(self.is_calm) ^ u64::from(second) ^ first;
        let times = [self.armed_at, self.newest_at, self.silence.last_heard()];
        let times = times.into_iter().flatten().fold(0, |sum, t| sum ^ t.micros() as u64);
        (flags ^ times, self.sides.last_place())
    }

    /// Whether this packet was seen before; remembers it.
    pub fn is_duplicate(&mut self, key: u32) -> bool {
        if self.seen.contains(&key) {
            return true;
        }
        self.seen.rotate_right(1);
        self.seen[0] = key;
        false
    }

    /// Puts a sample in its place in event time. Returns whether it is the newest; a sample older
    /// than everything in a full memory is history and not kept, nor is one that is there already.
    pub fn remember(&mut self, sample: Sample) -> bool {
        let index = self.samples.partition_point(|s| s.at <= sample.at);
        let is_newest = index == self.samples.len();
        if self.samples[..index].iter().rev().take_while(|s| s.at == sample.at).any(|s| *s == sample) {
            return false;
        }
        let room = match (self.is_calm, self.silence.has_window) {
            (true, _) => SAMPLES_AT_REST + 1,
            (false, true) => SAMPLES_MAX,
            (false, false) => SAMPLES_NARROW,
        };
        if self.samples.len() >= room {
            if index == 0 {
                return false;
            }
            self.samples.remove(0);
            self.samples.insert(index - 1, sample);
        } else {
            self.samples.insert(index, sample);
        }
        is_newest
    }

    /// How much there is to remember, by its newest moment.
    pub fn priority(&self) -> Priority {
        if self.armed_at.is_none() || self.is_calm {
            Priority::None
        } else if self.silence.is_pressing || self.suspicion_raised || self.rare.incident().is_some() {
            Priority::High
        } else {
            Priority::Low
        }
    }

    /// Gives its full window away: the newest samples stay.
    pub fn narrow(&mut self) {
        self.silence.has_window = false;
        self.keep_newest(SAMPLES_NARROW);
    }

    fn keep_newest(&mut self, count: usize) {
        let forgotten = self.samples.len().saturating_sub(count);
        self.samples.drain(..forgotten);
        self.samples.shrink_to_fit();
    }

    /// Notes whether it is parked quietly, and then forgets what only a departure would need.
    pub fn calm(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        if is_calm && (self.samples.len() > SAMPLES_AT_REST || self.samples.spilled()) {
            self.keep_newest(SAMPLES_AT_REST);
        }
    }

    /// Begins a guard session at `at`; fixes from just before may already show where it is parked.
    pub fn begin_session(&mut self, params: &Params, at: Timestamp) {
        let a = &params.anchor;
        self.armed_at = Some(at);
        self.forget_place();
        self.power.begin_session(self.rare.get().lost.is_some());
        let earliest = at.plus_secs_f64(-f64::from(a.before_arming_s));
        self.samples.retain(|s| s.at >= earliest && s.kind == SampleKind::Satellite);
        if let [.., before, last] = self.samples[..]
            && before.place.distance_m(last.place) < a.before_arming_m
        {
            let mut anchor = Anchor::new(a, before.place);
            anchor.learn(a, last.place, a.independent_s);
            self.anchor = Some(anchor);
        } else {
            self.samples.clear();
        }
    }

    /// Ends the guard session at `at`.
    pub fn end_session(&mut self, at: Timestamp) {
        self.armed_at = None;
        self.disarmed_at = Some(at);
        self.forget_place();
    }

    /// What was learned of where it is parked ends with the session.
    fn forget_place(&mut self) {
        self.anchor = None;
        self.is_calm = false;
        self.suspicion_raised = false;
        self.rare.forget_place();
    }

    /// The guard point on the Earth.
    pub fn guard_point(&self) -> Option<LatLon> {
        Some(self.plane?.unproject(self.anchor?.centre))
    }

    /// Where it was last, by its newest position.
    pub fn last_place(&self) -> Option<LatLon> {
        let newest = self.samples.iter().rev().find(|s| s.kind != SampleKind::Blind)?;
        Some(self.plane?.unproject(newest.place))
    }

    /// The Doppler speed that this tracker seldom reports at rest, km/h; `None` if it reports none.
    pub fn speed_floor_kmh(&self, params: &ExitParams) -> Option<f32> {
        self.tells_speed.then(|| params.speed_floor_kmh.max(params.speed_floor_noises * self.speed_at_rest_kmh))
    }

    /// Shaking among the last `n` samples that report it: (shaken, reported).
    pub fn shaken(&self, n: usize) -> (usize, usize) {
        self.samples
            .iter()
            .rev()
            .take(n)
            .filter_map(|s| s.moving)
            .fold((0, 0), |(shaken, told), moving| (shaken + usize::from(moving), told + 1))
    }

    /// The samples as an alert keeps them.
    pub fn evidence_fixes(&self) -> Vec<EvidenceFix> {
        let Some(plane) = self.plane else { return Vec::new() };
        self.samples
            .iter()
            .filter(|s| s.kind != SampleKind::Blind)
            .map(|s| EvidenceFix {
                at: s.at,
                position: plane.unproject(s.place),
                distance_m: self.anchor.map(|a| f64::from(a.centre.distance_m(s.place))),
                speed_kmh: s.speed_kmh(),
                accuracy_m: Some(s.error_m()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_takes_200_bytes() {
        assert_eq!(size_of::<Vehicle>(), 200);
    }
}
