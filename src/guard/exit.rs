//! Departure: is the vehicle leaving its guard point?
//!
//! A sequential test over the recent samples in event time. Each fix adds a bounded piece of
//! evidence: its distance in units of the vehicle's own drift, whether it lies further out than the
//! one before at a speed a vehicle can have, whether Doppler speed and displacement agree, and what
//! the accelerometer says. Fixes at the guard point take evidence away. The same place told again
//! is no new evidence (a stuck receiver), and a leap that no vehicle makes counts next to nothing.
//! The test is folded anew over the window for every sample, so the order of arrival is no matter.

use super::anchor::Anchor;
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
    let mut outside: [Option<Sample>; super::vehicle::SAMPLES_MAX] = [None; super::vehicle::SAMPLES_MAX];
    let mut outside_n = 0;
    let mut before: Option<Sample> = None;
    let mut newest = None;
    for sample in &vehicle.samples {
        match sample.moving {
            Some(true) => {
                let broken = shaken_at.is_some_and(|t| sample.at.seconds_since(t) > f64::from(p.shaking_gap_s));
                shaking = if broken { 1 } else { shaking + 1 };
                shaken_at = Some(sample.at);
            }
            Some(false) => shaking = 0,
            None => {}
        }
        if sample.kind != SampleKind::Satellite {
            continue;
        }
        newest = Some(*sample);
        let distance = sample.place.distance_m(anchor.centre);
        let error = (spread_m / 2.0).hypot(0.5 * sample.error_m.min(40.0));
        let z = distance / error;
        if z < p.inside_z {
            evidence = (evidence - p.inside_cost).max(0.0);
            outside_n = 0;
        } else if !outside[..outside_n].iter().flatten().any(|o| o.place.distance_m(sample.place) < SAME_PLACE_M) {
            evidence += fix_evidence(p, sample, before.as_ref(), z, distance, anchor, shaking, vehicle.tells_speed);
            evidence = evidence.clamp(0.0, p.evidence_max);
            outside[outside_n] = Some(*sample);
            outside_n += 1;
        }
        before = Some(*sample);
    }
    let Some(newest) = newest else { return Departure { spread_m, ..Departure::default() } };
    let distance_m = newest.place.distance_m(anchor.centre);
    let boundary_m = p.distance_min_m.max(p.distance_min_spreads * spread_m);
    let is_departure = outside_n >= 2
        && evidence >= p.evidence_min
        && distance_m > boundary_m
        && is_coherent(p, vehicle, anchor, &outside[..outside_n], distance_m, spread_m);
    Departure { evidence, distance_m, boundary_m, spread_m, fixes_outside: outside_n as u32, is_departure }
}

/// The evidence of one fix outside.
#[allow(clippy::too_many_arguments)]
fn fix_evidence(
    p: &ExitParams,
    sample: &Sample,
    before: Option<&Sample>,
    z: f32,
    distance: f32,
    anchor: &Anchor,
    shaking: u32,
    tells_speed: bool,
) -> f32 {
    let mut w = (p.per_z * (z - p.inside_z) + 0.2).min(p.distance_max);
    let speed = sample.speed_kmh.filter(|_| tells_speed);
    if let Some(before) = before {
        let dt = (sample.at.seconds_since(before.at) as f32).max(1.0);
        let step = sample.place.distance_m(before.place);
        let progress = distance - before.place.distance_m(anchor.centre);
        let moved_kmh = step / dt * 3.6;
        if moved_kmh > p.jump_speed_mps * 3.6 {
            w = w.min(0.2);
        } else {
            if dt <= 30.0 && step > 6.0 && progress > 3.0 {
                w += p.progress;
            }
            if speed.is_some_and(|v| v > 4.0 && (moved_kmh - v).abs() < (0.5 * moved_kmh).max(6.0)) {
                w += p.speed_agrees;
            }
        }
    }
    match sample.moving {
        Some(true) => w += p.shaking * shaking.min(3) as f32,
        Some(false) => w = if z < 12.0 { -p.at_rest_cost } else { -p.at_rest_cost / 3.0 },
        None => {
            if speed.is_some_and(|v| v < 1.0) && z < 8.0 {
                w *= 0.3;
            }
        }
    }
    w
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
    if far {
        return true;
    }
    let last: Vec<_> = outside.iter().flatten().rev().take(3).map(|s| s.place.distance_m(anchor.centre)).collect();
    let heads_out = last.windows(2).all(|w| w[0] > w[1] - 2.0);
    let net = match (outside.first(), outside.last()) {
        (Some(Some(a)), Some(Some(b))) => a.place.distance_m(b.place),
        _ => 0.0,
    };
    heads_out && net > 8.0
}
