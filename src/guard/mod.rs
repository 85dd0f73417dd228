//! What we believe about each vehicle, and when that is worth an alert. Pure and deterministic.
//!
//! In: moments of reports, arm and disarm, zones, the passing of time, and when we ourselves were
//! away. Out: [`Finding`]s. Never: clocks, I/O, logs. The story of one moment:
//!
//! 1. `clock`: when did it happen, as far as the tracker's clock can be believed?
//! 2. `vehicle`: is it a packet seen before? Then nothing happens. Else it takes its place in event time.
//! 3. [`rules`]: each rule asks the vehicle's state one question; what is established becomes an alert.
//! 4. `incident`: alerts that wake the owner open an incident, or attach to the open one.
//! 5. `anchor`: only then is the guard point allowed to learn, so no theft teaches it.
//!
//! Timers (silence, an unexplained power loss) lie in an ordered schedule; `tick` looks at the
//! first entries only. An entry may stand too early, never too late: it is checked when due.

mod anchor;
mod battery;
mod cell;
mod clock;
mod exit;
mod incident;
pub mod params;
mod power;
mod rules;
mod silence;
mod tampering;
#[cfg(test)]
mod tests;
mod vehicle;
mod zones;

pub use params::Params;
pub use rules::RULES;

use crate::domain::{
    Alert, AlertKind, Cause, Finding, IncidentEnd, IncidentId, LatLon, Moment, PacketDigest, Timestamp, VehicleId,
    Zone, ZoneId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vehicle::Vehicle;
use zones::Zones;

/// How a moment reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When it arrived.
    pub received_at: Timestamp,
    /// The packet that brought it: what an alert names as its cause.
    pub digest: PacketDigest,
}

/// What status rows show of a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Since when it is guarded; `None`: it is not.
    pub armed_at: Option<Timestamp>,
    /// Where it is guarded, once known.
    pub guard_point: Option<LatLon>,
    /// The incident that is open.
    pub incident: Option<IncidentId>,
}

/// All vehicles of one lane, and the zones. Serialise it for a checkpoint; nothing else is state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Guard {
    params: Params,
    vehicles: BTreeMap<VehicleId, Vehicle>,
    schedule: BTreeSet<(Timestamp, VehicleId)>,
    resumed_at: Option<Timestamp>,
    zones: Zones,
}

impl Guard {
    /// An empty guard.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
    }

    /// Guards a vehicle from `at` (event time) on; the owner's command reached us at `known_at`.
    pub fn arm(&mut self, vehicle: VehicleId, at: Timestamp, known_at: Timestamp) -> Vec<Finding> {
        let state = self.vehicles.entry(vehicle).or_default();
        if state.disarmed_at.is_some_and(|d| d > at) {
            return Vec::new(); // overtaken by a later disarm
        }
        if state.armed_at == Some(at) {
            return Vec::new(); // the same command again
        }
        let findings = incident::close(state, vehicle, known_at, IncidentEnd::Rearmed);
        state.begin_session(&self.params, at);
        state.silence.begin_session(known_at);
        self.reschedule(vehicle);
        findings
    }

    /// Guards a vehicle no longer, from `at` (event time) on; closes an open incident.
    pub fn disarm(&mut self, vehicle: VehicleId, at: Timestamp, known_at: Timestamp) -> Vec<Finding> {
        let state = self.vehicles.entry(vehicle).or_default();
        if state.armed_at.is_some_and(|a| a > at) {
            return Vec::new(); // overtaken by a later arm
        }
        state.end_session(at);
        incident::close(state, vehicle, known_at, IncidentEnd::Disarmed)
    }

    /// One moment of a report.
    pub fn consider(&mut self, vehicle: VehicleId, moment: &Moment, seen: &Seen) -> Vec<Finding> {
        let mut findings = Vec::new();
        let state = self.vehicles.entry(vehicle).or_default();
        if state.is_duplicate(rules::packet_key(moment, seen)) {
            return findings;
        }
        rules::consider(&self.params, &mut self.zones, vehicle, state, moment, seen, &mut findings);
        self.reschedule(vehicle);
        findings
    }

    /// A packet without a moment (a heartbeat): a sign of life.
    pub fn heard(&mut self, vehicle: VehicleId, at: Timestamp) -> Vec<Finding> {
        self.vehicles.entry(vehicle).or_default().silence.heard(at);
        self.reschedule(vehicle);
        Vec::new()
    }

    /// Timers of all vehicles that are due by `now`.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        while let Some(&(due, vehicle)) = self.schedule.first() {
            if due > now {
                break;
            }
            self.fire(vehicle, now, &mut findings);
        }
        findings
    }

    /// Timers of one vehicle that are due by `now`, for replays in which each has its own clock.
    pub fn advance(&mut self, vehicle: VehicleId, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.fire(vehicle, now, &mut findings);
        findings
    }

    /// We were away ourselves: deadlines start again at `to`, for silence then tells nothing.
    pub fn gap(&mut self, from: Timestamp, to: Timestamp) {
        if to > from {
            self.resumed_at = Some(self.resumed_at.map_or(to, |r| r.max(to)));
        }
    }

    /// Adds or replaces a zone.
    pub fn put_zone(&mut self, zone: Zone) {
        self.zones.put(zone);
    }

    /// Removes a zone.
    pub fn remove_zone(&mut self, id: ZoneId) {
        self.zones.remove(id);
    }

    /// What status rows show.
    pub fn snapshot(&self, vehicle: VehicleId) -> Option<Snapshot> {
        self.vehicles.get(&vehicle).map(|state| Snapshot {
            armed_at: state.armed_at,
            guard_point: state.guard_point(),
            incident: state.incident.as_ref().map(|i| i.id),
        })
    }

    /// Forgets a vehicle: its observation is over.
    pub fn forget(&mut self, vehicle: VehicleId) {
        if let Some(Vehicle { scheduled: Some(due), .. }) = self.vehicles.remove(&vehicle) {
            self.schedule.remove(&(due, vehicle));
        }
    }

    /// Fires one vehicle's deadlines up to `now`, in their order.
    fn fire(&mut self, vehicle: VehicleId, now: Timestamp, findings: &mut Vec<Finding>) {
        if let Some(state) = self.vehicles.get_mut(&vehicle) {
            while let Some((due, deadline)) = rules::next_deadline(&self.params, state, self.resumed_at)
                && due <= now
            {
                rules::meet_deadline(&self.params, vehicle, state, due, deadline, findings);
            }
        }
        if let Some(state) = self.vehicles.get_mut(&vehicle)
            && let Some(scheduled) = state.scheduled.filter(|s| *s <= now)
        {
            self.schedule.remove(&(scheduled, vehicle));
            state.scheduled = None;
        }
        self.reschedule(vehicle);
    }

    /// Sees to it that the schedule holds an entry no later than the next deadline. A deadline that
    /// moved away keeps its early entry: cheaper than moving it with every packet.
    fn reschedule(&mut self, vehicle: VehicleId) {
        let Some(state) = self.vehicles.get_mut(&vehicle) else { return };
        let Some((due, _)) = rules::next_deadline(&self.params, state, self.resumed_at) else { return };
        if state.scheduled.is_none_or(|s| s > due) {
            if let Some(late) = state.scheduled.replace(due) {
                self.schedule.remove(&(late, vehicle));
            }
            self.schedule.insert((due, vehicle));
        }
    }
}
