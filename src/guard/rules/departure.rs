//! Departure: is the vehicle leaving its guard point?
//!
//! A sequential test over the recent samples in event time. Each fix adds a bounded piece of
//! evidence: its distance in units of the vehicle's own drift, whether it lies further out than the
//! one before at a speed a vehicle can have, whether Doppler speed and displacement agree, and what
//! the accelerometer says. Fixes at the guard point take evidence away. The same place reported again
//! is no new evidence (a stuck receiver), and a leap that no vehicle makes counts next to nothing.
//! The test is run again over the window for every sample, so the order of arrival is no matter.

use crate::domain::Timestamp;
use crate::guard::params::{ExitParams, Params};
use crate::guard::rules::evidence::{Course, FixFacts};
use crate::guard::state::anchor::Anchor;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::vehicle::{SAMPLES_MAX, Vehicle};
use smallvec::SmallVec;

/// Two fixes within this are the same place reported twice, metres (a stuck receiver repeats exactly).
const SAME_PLACE_M: f32 = 0.3;

/// What the window says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Departure {
    /// Sum of the evidence, nats.
    pub evidence: f32,
    /// Distance of the newest satellite fix from the guard point, metres.
    pub distance_m: f32,
    /// Distance of the boundary, metres.
    pub boundary_m: f32,
    /// The vehicle's spread, metres.
    pub spread_m: f32,
    /// Distinct fixes outside in a row.
    pub fixes_outside: u32,
    /// Whether all of it amounts to a departure.
    pub is_departure: bool,
}

/// Weighs the samples of a guarded vehicle.
pub fn weigh(params: &Params, vehicle: &Vehicle, anchor: &Anchor) -> Departure {
    let p = &params.exit;
    let mut run = Run::new(params, vehicle, anchor);
    for sample in &vehicle.samples {
        run.take(sample);
    }
    let (evidence, spread_m, outside_n) = (run.evidence, run.spread_m, run.outside.len());
    let Some(distance_m) = run.newest_m else { return Departure { spread_m, ..Departure::default() } };
    let boundary_m = p.distance_min_m.max(p.distance_min_spreads * spread_m);
    let no_speed = if run.speed_floor_kmh.is_some() { 0.0 } else { p.without_speed_extra };
    let is_young = anchor.weight < p.young_fixes && vehicle.shaken(4).1 == 0;
    let asked = p.evidence_min + no_speed + if is_young { p.young_extra } else { 0.0 };
    let is_departure = is_elsewhere(p, vehicle, anchor)
        || distance_m > boundary_m
            && if outside_n >= 2 || run.on_course >= p.one_fix_on_course {
                evidence >= asked && is_coherent(p, vehicle, anchor, &run, distance_m)
            } else {
                run.is_ridden && distance_m > p.far_m.max(p.far_spreads * spread_m)
            };
    Departure { evidence, distance_m, boundary_m, spread_m, fixes_outside: outside_n as u32, is_departure }
}

/// The test under way: what the samples so far amount to.
struct Run<'a> {
    p: &'a ExitParams,
    anchor: &'a Anchor,
    spread_m: f32,
    /// Standard error of the guard point's own place and the parked fixes together, metres.
    error_m: f32,
    /// Doppler speed that this tracker seldom reports at rest, km/h; `None` if it reports no speed.
    speed_floor_kmh: Option<f32>,
    report_interval_s: f32,
    evidence: f32,
    shaking: u32,
    shaken_at: Option<Timestamp>,
    shaking_since: Option<Timestamp>,
    shaken_at_home: u32,
    /// Fixes whose course agreed with their displacement, less those whose did not.
    on_course: u32,
    /// Distinct fixes outside in a row.
    outside: SmallVec<[Sample; SAMPLES_MAX]>,
    before: Option<Sample>,
    newest_m: Option<f32>,
    is_ridden: bool,
    /// Where the receiver put the vehicle when it was last at rest: an error that was there before
    /// the shaking began is no departure.
    rest: Option<Sample>,
}

impl<'a> Run<'a> {
    fn new(params: &'a Params, vehicle: &Vehicle, anchor: &'a Anchor) -> Self {
        let spread_m = anchor.spread_m(&params.anchor);
        Self {
            p: &params.exit,
            anchor,
            spread_m,
            error_m: 0.5 * spread_m * (1.0 + params.exit.home_error / anchor.weight).sqrt(),
            speed_floor_kmh: vehicle.speed_floor_kmh(&params.exit),
            report_interval_s: vehicle.silence.report_interval_s(&params.silence),
            evidence: 0.0,
            shaking: 0,
            shaken_at: None,
            shaking_since: None,
            shaken_at_home: 0,
            on_course: 0,
            outside: SmallVec::new(),
            before: None,
            newest_m: None,
            is_ridden: false,
            rest: None,
        }
    }

    fn take(&mut self, sample: &Sample) {
        let p = self.p;
        let gap_s = self.shaken_at.map_or(f64::INFINITY, |t| sample.at.seconds_since(t));
        self.shake(sample, gap_s);
        if sample.kind != SampleKind::Satellite {
            return;
        }
        let from_home = sample.place.distance_m(self.anchor.centre);
        let distance = self.rest.map_or(from_home, |r| from_home.min(sample.place.distance_m(r.place)));
        let is_at_rest = sample.moving == Some(false) && gap_s > p.rest_s;
        if is_at_rest {
            self.shaken_at_home = 0;
            self.on_course = 0;
            self.rest = Some(*sample);
        }
        self.newest_m = Some(distance);
        let facts = FixFacts {
            sample,
            before: self.before.as_ref(),
            home: self.anchor.centre,
            z: distance / self.error_m.hypot(0.5 * sample.error_m().min(40.0)),
            progress_m: self.before.map_or(0.0, |b| from_home - b.place.distance_m(self.anchor.centre)),
            is_at_rest,
            is_shaken_on: gap_s <= p.rest_s,
            shaking: self.shaking,
            shaking_s: self.shaking_since.map_or(0.0, |t| sample.at.seconds_since(t) as f32),
            shaken_at_home: self.shaken_at_home,
            speed_floor_kmh: self.speed_floor_kmh,
            report_interval_s: self.report_interval_s,
        };
        let course = facts.course(p);
        match course {
            Course::Agrees => self.on_course += 1,
            Course::Contradicts => self.on_course = self.on_course.saturating_sub(2),
            _ => {}
        }
        if facts.z < p.inside_z {
            if facts.is_setting_off(p) {
                self.evidence = (self.evidence + p.setting_off).min(p.evidence_max);
            } else {
                self.evidence = (self.evidence - p.inside_cost).max(0.0);
                self.shaken_at_home += u32::from(gap_s < p.rest_s);
                self.on_course = 0;
            }
            self.outside.clear();
            self.is_ridden = false;
        } else if !self.is_repeated(sample) {
            self.is_ridden = self.is_ridden || facts.is_ridden(p);
            self.evidence = (self.evidence + facts.weigh(p)).clamp(0.0, p.evidence_max);
            self.outside.push(*sample);
        }
        self.before = Some(*sample);
    }

    /// Follows the accelerometer. One packet at rest between shaken ones is a thief who waits.
    fn shake(&mut self, sample: &Sample, gap_s: f64) {
        match sample.moving {
            Some(true) => {
                if gap_s > f64::from(self.p.shaking_gap_s) || self.shaking == 0 {
                    self.shaking = 0;
                    self.shaking_since = Some(sample.at);
                }
                self.shaking += 1;
                self.shaken_at = Some(sample.at);
            }
            Some(false) if gap_s > self.p.rest_s => self.shaking = 0,
            _ => {}
        }
    }

    /// A place reported before is no new evidence.
    fn is_repeated(&self, sample: &Sample) -> bool {
        self.outside.iter().any(|o| o.place.distance_m(sample.place) < SAME_PLACE_M)
    }
}

/// Re-appeared far away, at rest: carried off behind an outage. Fixes that agree, for a while, of an
/// old guard point; a stuck receiver repeats one place and does not count.
fn is_elsewhere(p: &ExitParams, vehicle: &Vehicle, anchor: &Anchor) -> bool {
    let n = usize::from(p.elsewhere_fixes);
    let mut last = vehicle.samples.iter().rev().filter(|s| s.kind == SampleKind::Satellite).take(n);
    let (Some(newest), true) = (last.next(), anchor.weight >= p.elsewhere_weight) else { return false };
    let is_far = |s: &Sample| s.place.distance_m(anchor.centre) > p.elsewhere_m;
    let (mut count, mut distinct, mut since_s) = (1, 1, 0.0);
    let mut place = newest.place;
    for sample in last {
        if !is_far(sample) || sample.place.distance_m(newest.place) > p.elsewhere_m {
            return false;
        }
        distinct += usize::from(sample.place.distance_m(place) > SAME_PLACE_M);
        place = sample.place;
        since_s = newest.at.seconds_since(sample.at);
        count += 1;
    }
    is_far(newest) && count == n && 2 * distinct >= n && since_s >= p.elsewhere_s
}

/// Whether the fixes outside hang together as a departure does: heading out, or far off; and the
/// accelerometer, where there is one, was shaken.
fn is_coherent(p: &ExitParams, vehicle: &Vehicle, anchor: &Anchor, run: &Run, distance_m: f32) -> bool {
    let (outside, spread_m) = (&run.outside, run.spread_m);
    let far = distance_m > p.far_m.max(p.far_spreads * spread_m);
    let (shaken, told) = vehicle.shaken(4);
    if told > 0 && !far && shaken < told.min(3) {
        return false;
    }
    // Without accelerometer and Doppler speed there is only the path: it must head out all along.
    let is_path_only = told == 0 && !vehicle.tells_speed;
    if far && !is_path_only {
        return true;
    }
    if is_path_only && outside.len() < 3 {
        return false;
    }
    let last: Vec<_> = outside.iter().rev().take(3).map(|s| s.place.distance_m(anchor.centre)).collect();
    let heads_out = last.windows(2).all(|w| w[0] > w[1] - 2.0);
    let net = match (outside.first(), outside.last()) {
        (Some(a), Some(b)) => a.place.distance_m(b.place),
        _ => 0.0,
    };
    heads_out && net > 8.0
}
