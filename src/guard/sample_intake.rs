//! What one moment says to the question whether the vehicle is leaving.

use crate::domain::{AlarmKind, Fix, FixSource, LatLon, Moment, Timestamp};
use crate::guard::params::Params;
use crate::guard::state::plane::Plane;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::vehicle::Vehicle;

/// What the moment contributes, and its position if it is one.
pub fn sample(params: &Params, vehicle: &mut Vehicle, moment: &Moment, at: Timestamp) -> (Sample, Option<LatLon>) {
    let shaken = moment.alarms.iter().any(|a| a.kind == AlarmKind::Vibration);
    let moving = moment.status.moving.or(shaken.then_some(true));
    let mut sample = Sample::blind(at, moving);
    let Some(fix) = &moment.fix else { return (sample, None) };
    let p = &params.anchor;
    let finite = |v: Option<f32>| v.filter(|v| v.is_finite() && *v >= 0.0);
    let speed_kmh = finite(fix.speed_kmh).filter(|v| *v < 400.0);
    // A tracker without a course writes 0.
    let course_deg = finite(fix.course_deg).filter(|c| *c > 0.0 && *c <= 360.0);
    sample = sample.with_velocity(speed_kmh, course_deg);
    vehicle.tells_speed |= speed_kmh.is_some_and(|v| v > 0.0);
    let is_place = fix.valid && fix.position.is_in_range() && !fix.position.is_null_island();
    if !is_place {
        return (sample, None);
    }
    let hdop = finite(fix.hdop);
    let accuracy_m = finite(fix.accuracy_m).filter(|a| *a > 0.0);
    let error_m = accuracy_m.or(hdop.map(|h| h * p.error_per_hdop_m)).unwrap_or(p.error_default_m);
    let place = vehicle.plane.get_or_insert(Plane::at(fix.position)).project(fix.position);
    sample = sample.at_place(place, kind(params, fix, error_m, hdop), error_m);
    sample.is_guess = fix.satellites.is_some_and(|n| n < params.exit.satellites_min)
        || hdop.is_some_and(|h| h > params.exit.hdop_max);
    (sample, Some(fix.position))
}

/// A fix without satellites, or with an error like a cell's, is a cell position whatever it is called.
fn kind(params: &Params, fix: &Fix, error_m: f32, hdop: Option<f32>) -> SampleKind {
    let is_coarse = fix.source != FixSource::Gnss || fix.satellites == Some(0) || error_m > params.anchor.error_cell_m;
    if is_coarse {
        SampleKind::Coarse
    } else if hdop.is_some_and(|h| h > 20.0) {
        SampleKind::Blind
    } else {
        SampleKind::Satellite
    }
}
