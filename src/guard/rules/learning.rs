//! The last step of a moment: what the vehicle's memory may learn from it, once every rule has spoken.

use crate::domain::{Finding, VehicleId};
use crate::guard::params::{AnchorParams, Params};
use crate::guard::rules::cell_tower;
use crate::guard::rules::departure::Departure;
use crate::guard::rules::observation::Observation;
use crate::guard::state::anchor::Anchor;
use crate::guard::state::plane::Point;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::vehicle::Vehicle;
use crate::guard::{Arrival, incident};

/// Samples among which none may be shaken before a vehicle counts as at ease.
const SAMPLES_SHAKEN: usize = 4;

/// Learns from a moment of a guarded vehicle.
pub fn learn_from(
    params: &Params,
    id: VehicleId,
    vehicle: &mut Vehicle,
    seen: &Observation,
    arrival: &Arrival,
    findings: &mut Vec<Finding>,
) {
    if !seen.is_guarded {
        return;
    }
    if seen.is_last
        && let Some(is_calm) = learn(params, vehicle, &seen.sample, &seen.departure, seen.since_fix_s)
    {
        incident::note_calm(&params.incident, id, vehicle, is_calm, arrival.received_at, findings);
    }
    let is_calm = is_at_ease(params, vehicle, &seen.departure);
    vehicle.silence.is_pressing = seen.departure.evidence > 0.0 || seen.departure.fixes_outside > 0;
    vehicle.calm(is_calm);
}

/// Lets the vehicle's memory learn from a sample that nothing speaks against. Returns whether it is parked
/// quietly at its guard point, if the sample can say.
fn learn(
    params: &Params,
    vehicle: &mut Vehicle,
    sample: &Sample,
    departure: &Departure,
    since_fix_s: Option<f64>,
) -> Option<bool> {
    match sample.kind {
        SampleKind::Blind => None,
        SampleKind::Coarse => {
            cell_tower::learn_at_rest(vehicle, sample.place);
            None
        }
        SampleKind::Satellite => {
            let (shaken, told) = vehicle.shaken(2);
            let is_shaken = told > 0 && shaken == told;
            let anchor = vehicle.anchor.as_mut()?;
            let z = sample.place.distance_m(anchor.centre) / (0.5 * anchor.spread_m(&params.anchor));
            if z < 4.0 && !(is_shaken && z > 2.0) {
                anchor.learn(&params.anchor, sample.place, since_fix_s.unwrap_or(60.0) as f32);
                if let Some(speed) = sample.speed_kmh().filter(|_| !is_shaken) {
                    vehicle.speed_at_rest_kmh += 0.05 * (speed.min(5.0) - vehicle.speed_at_rest_kmh);
                }
            } else if !is_shaken {
                resettle(&params.anchor, vehicle);
            }
            Some(departure.evidence <= 0.0 && !is_shaken)
        }
    }
}

/// Whether it is parked at its guard point and nothing is going on that older samples could throw light on.
fn is_at_ease(params: &Params, vehicle: &Vehicle, departure: &Departure) -> bool {
    let Some(anchor) = vehicle.anchor else { return false };
    let newest = vehicle.samples.iter().rev().find(|s| s.kind == SampleKind::Satellite);
    departure.evidence <= 0.0
        && departure.fixes_outside == 0
        && vehicle.shaken(SAMPLES_SHAKEN).0 == 0
        && newest.is_some_and(|s| s.place.distance_m(anchor.centre) < 2.0 * anchor.spread_m(&params.anchor))
}

/// Moves a young guard point to where the vehicle is evidently parked: its first fixes may have been
/// wrong. Needs fixes that agree, at rest, over some minutes, and not one place repeated by a stuck
/// receiver.
fn resettle(params: &AnchorParams, vehicle: &mut Vehicle) {
    let n = usize::from(params.settle_fixes);
    let Some(anchor) = &vehicle.anchor else { return };
    if anchor.weight > params.young_weight {
        return;
    }
    let armed_at = vehicle.armed_at;
    let last: Vec<_> = vehicle
        .samples
        .iter()
        .rev()
        .filter(|s| s.kind == SampleKind::Satellite && armed_at.is_some_and(|a| s.at >= a))
        .take(n)
        .collect();
    let ([newest, .., oldest], true) = (&last[..], last.len() == n) else { return };
    let share = 1.0 / n as f32;
    let mean = last.iter().fold(Point::default(), |sum, s| Point {
        east_m: sum.east_m + share * s.place.east_m,
        north_m: sum.north_m + share * s.place.north_m,
    });
    let agree = last.iter().all(|s| s.place.distance_m(mean) < params.spread_start_m && s.moving != Some(true));
    let is_stuck = last.windows(2).all(|w| w[0].place.distance_m(w[1].place) < 0.3);
    let long_s = newest.at.seconds_since(oldest.at);
    if agree && !is_stuck && long_s >= f64::from(params.settle_s) {
        let mut settled = Anchor::new(params, mean);
        settled.weight = n as f32;
        vehicle.anchor = Some(settled);
    }
}
