//! When we ourselves could not hear: silence of that time says nothing, and deadlines start again at its end.
//!
//! Trackers come by the broker or at our own door. A broker that is away says nothing of those at the door, so each
//! way has its own end of the last such time.

use crate::domain::{GapCause, Timestamp, VehicleId, Way};
use crate::guard::Guard;
use crate::guard::params::SilenceParams;
use crate::guard::state::vehicle::Vehicle;

/// When we last began to hear again, by way; `None`: we were never away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Those behind the broker.
    pub broker: Option<Timestamp>,
    /// Those at our own door.
    pub door: Option<Timestamp>,
}

impl Resumed {
    /// For one vehicle: until then its silence was ours.
    pub fn of(self, vehicle: &Vehicle) -> Option<Timestamp> {
        if vehicle.peers.comes_by_door() { self.door } else { self.broker }
    }

    /// Whether trackers behind the broker have not had the time yet to be missed since it is back, while those at the door
    /// have. `at`: now.
    pub fn is_broker_unheard(self, params: &SilenceParams, at: Timestamp) -> bool {
        let usual_s = params.lost_rhythms * params.rhythm_start_s + params.lost_extra_s;
        let late = self.broker.filter(|broker| self.door.is_none_or(|door| *broker > door));
        late.is_some_and(|resumed| at.seconds_since(resumed) <= f64::from(usual_s))
    }
}

impl Guard {
    /// We could not hear: deadlines of those whom the cause concerns start again at `to`, for silence then says nothing.
    pub fn coverage_gap(&mut self, from: Timestamp, to: Timestamp, cause: GapCause) {
        if to > from {
            if !cause.is_of_door() {
                self.resumed_at = self.resumed_at.max(Some(to));
            }
            if !cause.is_of_broker() {
                self.door_resumed_at = self.door_resumed_at.max(Some(to));
            }
        }
    }

    /// See [`Resumed`].
    pub(super) fn resumed(&self) -> Resumed {
        Resumed { broker: self.resumed_at, door: self.door_resumed_at }
    }

    /// The vehicle's tracker is another one: until it speaks, nobody knows by which way it comes, and the broker is usual.
    pub fn change_tracker(&mut self, id: VehicleId) {
        let resumed = self.resumed();
        if let Some(state) = self.vehicles.get_mut(id) {
            self.outages.come_by(id, state, Way::Broker, resumed);
        }
    }
}
