//! Guard sessions that begin and end without a command: by schedule, after parking with the ignition
//! off; and what the owner's phone ends.
//!
//! A schedule ends only the sessions that it began. Parking begins a session once per ride: a bike
//! that its owner has disarmed and left parked stays disarmed until it was ridden.

use crate::domain::{Finding, SessionBy, Timestamp, VehicleId};
use crate::guard::incident;
use crate::guard::params::Params;
use crate::guard::state::sample::Sample;
use crate::guard::state::vehicle::Vehicle;

/// Speed above which a vehicle is not parked, km/h.
const PARKED_KMH_MAX: f32 = 5.0;

/// What a moment means for the session, once its rules have spoken: a claimed ride that is over lets the
/// guard begin again, a parked vehicle is guarded.
pub fn follow(
    params: &Params,
    (id, vehicle): (VehicleId, &mut Vehicle),
    (sample, ignition): (&Sample, Option<bool>),
    is_last: bool,
    received_at: Timestamp,
    out: &mut Vec<Finding>,
) {
    let is_ride_over = incident::follow(&params.incident, (id, vehicle), sample, is_last, received_at, out);
    let is_parked = is_last && is_parked_long_enough(vehicle, ignition, sample);
    let by = match &vehicle.session {
        Some(session) if is_ride_over && vehicle.armed_at.is_some() => session.by,
        Some(_) if is_parked => SessionBy::Parked,
        _ => return,
    };
    begin(params, vehicle, (sample.at, received_at), None, by);
    out.push(Finding::Session { vehicle: id, at: received_at, begun: true, by });
}

/// Begins a guard session at `at` (event time), known at `known_at`. `resumed_at`: we ourselves were away until then.
pub fn begin(
    params: &Params,
    vehicle: &mut Vehicle,
    (at, known_at): (Timestamp, Timestamp),
    resumed_at: Option<Timestamp>,
    by: SessionBy,
) {
    vehicle.begin_session(params, at);
    vehicle.silence.begin_session(&params.silence, known_at, resumed_at);
    if let Some(session) = &mut vehicle.session {
        session.settle(by);
    }
}

/// Follows ignition and rest of a vehicle that is not guarded. Returns whether it is to be guarded now.
fn is_parked_long_enough(vehicle: &mut Vehicle, ignition: Option<bool>, sample: &Sample) -> bool {
    if vehicle.armed_at.is_some() {
        return false;
    }
    let Some(session) = &mut vehicle.session else { return false };
    let Some(after_s) = session.policy.auto_after_s else { return false };
    match ignition {
        Some(true) => {
            session.was_on = true;
            session.off_since = None;
        }
        Some(false) if session.was_on => {
            session.off_since.get_or_insert(sample.at);
        }
        _ => {}
    }
    if sample.speed_kmh().is_some_and(|v| v > PARKED_KMH_MAX) && session.off_since.is_some() {
        session.off_since = Some(sample.at); // still rolling, or pushed
    }
    session.off_since.is_some_and(|since| sample.at.seconds_since(since) >= f64::from(after_s))
}

#[cfg(test)]
mod tests;
