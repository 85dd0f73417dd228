//! Departure: is the vehicle leaving its guard point?
//!
//! A sequential test over the recent samples in event time. Each fix adds a bounded piece of
//! evidence: its distance in units of the vehicle's own drift, whether it lies further out than the
//! one before at a speed a vehicle can have, whether Doppler speed and displacement agree, and what
//! the accelerometer says. Fixes at the guard point take evidence away. The same place told again
//! is no new evidence (a stuck receiver), and a leap that no vehicle makes counts next to nothing.
//! The test is folded anew over the window for every sample, so the order of arrival is no matter.

use super::anchor::{Anchor, Point};
use super::params::{ExitParams, Params};
use super::vehicle::{Sample, SampleKind, Vehicle};

/// Two fixes within this are the same place told twice, metres (a stuck receiver repeats exactly).
const SAME_PLACE_M: f32 = 0.3;

/// What the window says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Departure {
    /// Sum of the evidence, nats.
    pub evidence: f32,
    /// Distance of the newest satellite fix from the guard point, metres.
    pub distance_m: f32,
    /// Distance at which the boundary stands, metres.
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
    let spread_m = anchor.spread_m(&params.anchor);
    let mut evidence = 0.0_f32;
    let mut shaking = 0_u32;
    let mut shaken_at = None;
    let mut shaking_since = None;
    let speed_floor_kmh = vehicle.speed_floor_kmh(p);
    let mut outside: [Option<Sample>; super::vehicle::SAMPLES_MAX] = [None; super::vehicle::SAMPLES_MAX];
    let mut outside_n = 0;
    let mut before: Option<Sample> = None;
    let mut newest_m = None;
    let mut is_ridden = false;
    let mut shaken_at_home = 0;
    // Where the receiver put the vehicle when it was last at rest: an error that was there before the
    // shaking began is no departure.
    let mut rest: Option<Sample> = None;
    for sample in &vehicle.samples {
        let gap_s = shaken_at.map_or(f64::INFINITY, |t| sample.at.seconds_since(t));
        match sample.moving {
            Some(true) => {
                let broken = shaken_at.is_some_and(|t| sample.at.seconds_since(t) > f64::from(p.shaking_gap_s));
                if broken || shaking == 0 {
                    shaking = 0;
                    shaking_since = Some(sample.at);
                }
                shaking += 1;
                shaken_at = Some(sample.at);
            }
            Some(false) => shaking = 0,
            None => {}
        }
        if sample.kind != SampleKind::Satellite {
            continue;
        }
        let far_from = |place: Point| sample.place.distance_m(place);
        let from_anchor = far_from(anchor.centre);
        let distance = rest.map_or(from_anchor, |r: Sample| from_anchor.min(far_from(r.place)));
        if sample.moving == Some(false) && gap_s > p.rest_s {
            shaken_at_home = 0;
            rest = Some(*sample);
        }
        newest_m = Some(distance);
        let error = (spread_m / 2.0).hypot(0.5 * sample.error_m.min(40.0));
        let z = distance / error;
        let progress_m = before.map_or(0.0, |b| from_anchor - b.place.distance_m(anchor.centre));
        let shaking_s = shaking_since.map_or(0.0, |t| sample.at.seconds_since(t) as f32);
        let facts = FixFacts {
            sample,
            before: before.as_ref(),
            z,
            progress_m,
            shaking,
            shaking_s,
            shaken_at_home,
            speed_floor_kmh,
        };
        if z < p.inside_z {
            if facts.is_setting_off() {
                evidence = (evidence + p.setting_off).min(p.evidence_max);
            } else {
                evidence = (evidence - p.inside_cost).max(0.0);
                shaken_at_home += u32::from(gap_s < p.rest_s);
            }
            outside_n = 0;
            is_ridden = false;
        } else if !outside[..outside_n].iter().flatten().any(|o| o.place.distance_m(sample.place) < SAME_PLACE_M) {
            is_ridden = is_ridden || facts.is_ridden(p);
            evidence = (evidence + fix_evidence(p, &facts)).clamp(0.0, p.evidence_max);
            outside[outside_n] = Some(*sample);
            outside_n += 1;
        }
        before = Some(*sample);
    }
    let Some(distance_m) = newest_m else { return Departure { spread_m, ..Departure::default() } };
    let boundary_m = p.distance_min_m.max(p.distance_min_spreads * spread_m);
    let no_speed = if speed_floor_kmh.is_some() { 0.0 } else { p.without_speed_extra };
    let is_young = anchor.weight < p.young_fixes && vehicle.shaken(4).1 == 0;
    let asked = p.evidence_min + no_speed + if is_young { p.young_extra } else { 0.0 };
    let is_departure = is_elsewhere(p, vehicle, anchor)
        || distance_m > boundary_m
            && if outside_n >= 2 {
                evidence >= asked && is_coherent(p, vehicle, anchor, &outside[..outside_n], distance_m, spread_m)
            } else {
                is_ridden && distance_m > p.far_m.max(p.far_spreads * spread_m)
            };
    Departure { evidence, distance_m, boundary_m, spread_m, fixes_outside: outside_n as u32, is_departure }
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

/// What the evidence of one fix is reckoned from.
struct FixFacts<'a> {
    sample: &'a Sample,
    /// The satellite fix before it.
    before: Option<&'a Sample>,
    /// Distance from the guard point in standard errors.
    z: f32,
    /// Further out than the fix before by this, metres.
    progress_m: f32,
    /// Packets of shaking in a row, and for how long, seconds.
    shaking: u32,
    shaking_s: f32,
    /// Fixes at the guard point since the shaking began: so long shaken and still here.
    shaken_at_home: u32,
    /// Doppler speed that this tracker seldom tells at rest, km/h; `None` if it tells no speed.
    speed_floor_kmh: Option<f32>,
}

impl FixFacts<'_> {
    /// Still near, but shaken, with speed, and heading out.
    fn is_setting_off(&self) -> bool {
        let has_speed = matches!((self.sample.speed_kmh, self.speed_floor_kmh), (Some(v), Some(floor)) if v >= floor);
        has_speed && self.shaking >= 2 && self.sample.moving == Some(true) && self.progress_m > 3.0
    }

    /// Shaken for a while, then far off and fast: one such fix is enough, as the first after the
    /// receiver found the sky again often is.
    fn is_ridden(&self, p: &ExitParams) -> bool {
        self.shaking >= u32::from(p.ridden_shaking)
            && self.sample.moving == Some(true)
            && matches!((self.sample.speed_kmh, self.speed_floor_kmh), (Some(v), Some(f)) if v >= p.ridden_kmh.max(2.0 * f))
            && self
                .before
                .is_none_or(|b| b.place.distance_m(self.sample.place) / (self.shaking_s + 10.0) < p.jump_speed_mps)
    }
}

/// The evidence of one fix outside, bounded: distance, velocity, accelerometer.
fn fix_evidence(p: &ExitParams, f: &FixFacts) -> f32 {
    let mut w = (p.per_z * (f.z - p.inside_z) + 0.2).min(p.distance_max);
    let (mut moved_kmh, mut step_m) = (None, 0.0);
    if let Some(before) = f.before {
        let mut dt = (f.sample.at.seconds_since(before.at) as f32).max(1.0);
        if f.shaking > 0 && f.sample.moving == Some(true) {
            // It cannot have moved before it was shaken.
            dt = dt.min(f.shaking_s + 5.0);
        }
        step_m = f.sample.place.distance_m(before.place);
        moved_kmh = Some(step_m / dt * 3.6);
    }
    let is_jump = moved_kmh.is_some_and(|v| v > p.jump_speed_mps * 3.6);
    let is_creep = moved_kmh.is_some_and(|v| v < p.creep_kmh);
    if is_jump {
        w = w.min(p.jump);
    } else if !is_creep && step_m > 6.0 && f.progress_m > 3.0 {
        w += p.progress;
    }
    if f.sample.moving == Some(true) {
        let patience = (1.0 - f.shaken_at_home as f32 / p.shaken_at_home).max(0.0);
        w += p.shaking * f.shaking.min(4) as f32 * patience;
    }
    if f.progress_m < -3.0 && f.z < 12.0 {
        // On its way home: an error that fades.
        w = w.min(p.jump);
    }
    if is_creep {
        // Error that creeps or stays is no news: a thief is faster than this.
        w *= p.creep_share;
    }
    if let (Some(speed), Some(floor)) = (f.sample.speed_kmh, f.speed_floor_kmh) {
        let moved = moved_kmh.unwrap_or(0.0);
        if speed >= floor {
            w += if speed >= 2.0 * floor { p.speed_high } else { p.speed_moderate };
            if !is_jump && (moved - speed).abs() < (0.5 * moved).max(4.0) {
                w += p.speed_agrees;
            }
        } else if speed < 0.5 * floor {
            // The place moves but the carrier wave does not: an error of the place.
            w = w.min(p.contradicted_max)
                - if moved > p.contradiction_kmh { p.contradiction_cost } else { p.speed_none_cost };
        }
    }
    if f.sample.moving == Some(false) {
        w = w.min(0.0) - if f.z < 12.0 { p.at_rest_cost } else { p.at_rest_cost / 3.0 };
    }
    w.min(p.fix_max)
}

/// Whether the fixes outside hang together as a departure does: heading out, or far off; and the
/// accelerometer, where there is one, was shaken.
fn is_coherent(
    p: &ExitParams,
    vehicle: &Vehicle,
    anchor: &Anchor,
    outside: &[Option<Sample>],
    distance_m: f32,
    spread_m: f32,
) -> bool {
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
    let last: Vec<_> = outside.iter().flatten().rev().take(3).map(|s| s.place.distance_m(anchor.centre)).collect();
    let heads_out = last.windows(2).all(|w| w[0] > w[1] - 2.0);
    let net = match (outside.first(), outside.last()) {
        (Some(Some(a)), Some(Some(b))) => a.place.distance_m(b.place),
        _ => 0.0,
    };
    heads_out && net > 8.0
}
