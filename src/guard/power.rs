//! Power cut: the vehicle's supply is gone while guarded, and it is no flicker.

use super::params::PowerParams;
use super::vehicle::Vehicle;
use crate::domain::Timestamp;

/// What we know of the supply, but for its loss, which few have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerState {
    /// Whether it was there in this guard session: a tracker without supply cannot lose it.
    pub was_there: bool,
    /// Whether this loss was told.
    pub told: bool,
    /// Whether the low battery of the tracker itself was told.
    pub battery_is_low: bool,
}

/// A guard session begins: a loss is judged anew, what was there before still counts.
pub fn begin_session(vehicle: &mut Vehicle) {
    if vehicle.apart().lost.is_some() {
        // It went away before: no cut of this session.
        vehicle.power.was_there = false;
    }
    vehicle.set_lost(None);
    vehicle.power.told = false;
}

/// Takes in what the newest moment says. Returns whether this confirms a cut.
pub fn observe(
    params: &PowerParams,
    vehicle: &mut Vehicle,
    there: bool,
    is_armed: bool,
    at: Timestamp,
    received_at: Timestamp,
) -> bool {
    if there {
        (vehicle.power.was_there, vehicle.power.told) = (true, false);
        vehicle.set_lost(None);
        return false;
    }
    if !is_armed {
        // A battery taken out by the owner is no loss later on.
        vehicle.power.was_there = false;
        vehicle.set_lost(None);
        return false;
    }
    if !vehicle.power.was_there {
        return false;
    }
    let lost = vehicle.apart().lost.unwrap_or((at, received_at));
    vehicle.set_lost(Some(lost));
    let confirmed = !vehicle.power.told && at.seconds_since(lost.0) >= f64::from(params.confirmed_s);
    vehicle.power.told |= confirmed;
    confirmed
}

/// When the loss counts as a cut with no further word. `resumed_at`: we ourselves were away
/// until then and cannot know what was said.
pub fn due(params: &PowerParams, vehicle: &Vehicle, resumed_at: Option<Timestamp>) -> Option<Timestamp> {
    if vehicle.power.told {
        return None;
    }
    let (_, heard) = vehicle.apart().lost?;
    Some(resumed_at.map_or(heard, |r| r.max(heard)).plus_secs_f64(f64::from(params.deadline_s)))
}
