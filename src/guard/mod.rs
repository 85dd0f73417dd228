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
//! Timers (silence, an unexplained power loss) lie in an ordered list (`deadlines`); `tick` looks at the
//! first entries only. An entry may be too early, never too late: it is checked when due.

mod checkpoint;
mod clock;
mod coverage;
mod deadlines;
mod hashing;
mod incident;
mod outage;
pub mod params;
mod rules;
mod sample_intake;
mod session;
pub(crate) mod slots;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod vehicle_table;
mod window_budget;
mod zones;

pub use {params::Params, rules::RULES, state::alarms::listened_alarms};

use crate::domain::{
    Alert, AlertKind, Cause, Finding, GuardPolicy, IncidentEnd, IncidentId, LatLon, Moment, PacketDigest, SessionBy,
    Timestamp, VehicleId, VehicleKind, Way, Zone, ZoneId,
};
use incident::Said;
use outage::OutageDetector;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use state::silence::Step;
use std::collections::BTreeSet;
use window_budget::WindowBudget;
use zones::Zones;
use {deadlines::Deadlines, state::vehicle::Vehicle, timers::Deadline, vehicle_table::VehicleTable};

/// How a moment reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// When it arrived.
    pub received_at: Timestamp,
    /// The packet that brought it: what an alert names as its cause.
    pub digest: PacketDigest,
    /// How often its tracker reports, seconds, where known.
    pub report_interval_s: Option<u16>,
    /// By which way.
    #[serde(default)]
    pub way: Way,
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
    /// What began the session.
    pub by: SessionBy,
}

/// Vehicles that are looked at together: as many waits as a processor can have at a time, and what they fetch stays in its cache.
pub const PREFETCH_MAX: usize = 16;

/// All vehicles of one lane, and the zones. Serialise it for a checkpoint; nothing else is state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "checkpoint::GuardCheckpoint")]
pub struct Guard {
    params: Params,
    vehicles: VehicleTable,
    /// When to look at which vehicle, as the vehicles themselves say.
    #[serde(skip)]
    deadlines: Deadlines,
    /// Since when we hear trackers behind the broker again, and those at our own door: see `coverage`.
    resumed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    door_resumed_at: Option<Timestamp>,
    zones: Zones,
    /// When windows of schedules begin and end.
    #[serde(rename = "appointments")]
    schedule_timers: BTreeSet<(Timestamp, VehicleId)>,
    #[serde(rename = "hood")]
    outages: OutageDetector,
    /// Which suspects remember more.
    #[serde(rename = "pool")]
    window_budget: WindowBudget,
}

impl Guard {
    /// An empty guard.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
    }

    /// Judges by other parameters from now on.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// Guards a vehicle from `at` (event time) on; the owner's command reached us at `known_at`.
    pub fn arm(&mut self, vehicle: VehicleId, at: Timestamp, known_at: Timestamp) -> Vec<Finding> {
        let resumed = self.resumed();
        let state = self.vehicles.entry(vehicle);
        if state.disarmed_at.is_some_and(|d| d > at) {
            return Vec::new(); // overtaken by a later disarm
        }
        if state.armed_at == Some(at) {
            return Vec::new(); // the same command again
        }
        let findings = incident::close(state, vehicle, known_at, IncidentEnd::Rearmed);
        session::begin(&self.params, state, (at, known_at), resumed.of(state), SessionBy::Owner);
        self.reschedule(vehicle);
        findings
    }

    /// Guards a vehicle no longer, from `at` (event time) on; closes an open incident.
    pub fn disarm(&mut self, vehicle: VehicleId, at: Timestamp, known_at: Timestamp) -> Vec<Finding> {
        self.end(vehicle, (at, known_at), SessionBy::Owner, IncidentEnd::Disarmed)
    }

    fn end(
        &mut self,
        vehicle: VehicleId,
        (at, known_at): (Timestamp, Timestamp),
        by: SessionBy,
        end: IncidentEnd,
    ) -> Vec<Finding> {
        let state = self.vehicles.entry(vehicle);
        if state.armed_at.is_some_and(|a| a > at) {
            return Vec::new(); // overtaken by a later arm
        }
        let mut findings = Vec::new();
        incident::explain_by_disarm(state, at, known_at, &mut findings);
        state.end_session(at);
        state.silence.has_window = false;
        self.window_budget.leave(vehicle);
        if let Some(session) = &mut state.session {
            session.settle(by);
            session.ride = None;
        }
        state.peers = self.outages.leave(vehicle, state.peers);
        findings.extend(incident::close(state, vehicle, known_at, end));
        findings
    }

    /// Looks at what the next moments of these vehicles will need, [`PREFETCH_MAX`] of them at a time. They speak in an order
    /// without any pattern, and one by one each would wait for memory again; looked at together, the waits overlap. Changes
    /// nothing and raises nothing.
    pub fn prefetch(&self, vehicles: &[VehicleId]) {
        for vehicles in vehicles.chunks(PREFETCH_MAX) {
            let known: SmallVec<[(VehicleId, &Vehicle); PREFETCH_MAX]> =
                vehicles.iter().filter_map(|id| Some((*id, self.vehicles.get(*id)?))).collect();
            let mut touched = 0;
            let places: SmallVec<[(VehicleId, LatLon); PREFETCH_MAX]> = known
                .iter()
                .filter_map(|(id, state)| {
                    let (part, place) = state.prefetch();
                    touched ^= part;
                    Some((*id, place?))
                })
                .collect();
            std::hint::black_box(touched); // else nothing of it would be read
            self.zones.prefetch(&places);
        }
    }

    /// One moment of a report.
    pub fn consider(&mut self, vehicle: VehicleId, moment: &Moment, seen: &Arrival) -> Vec<Finding> {
        let (mut findings, resumed) = (Vec::new(), self.resumed());
        let (place, state) = self.vehicles.placed(vehicle);
        if state.is_duplicate(rules::packet_key(moment, seen)) {
            return findings;
        }
        self.outages.come_by(vehicle, state, seen.way, resumed);
        rules::consider(&self.params, &mut self.zones, vehicle, state, moment, seen, &mut findings);
        let evicted = self.window_budget.settle(&self.params.pool, vehicle, state);
        self.outages.hear(vehicle, state.peers);
        let point = state.guard_point();
        state.peers = self.outages.follow(vehicle, state.peers, state.armed_at.is_some(), point, moment);
        if let Some((due, _)) = timers::next_deadline(&self.params, state, resumed) {
            self.deadlines.put(place, state, due);
        }
        self.narrow(evicted);
        findings
    }

    /// A packet without a moment (a heartbeat): a sign of life.
    pub fn heard(&mut self, vehicle: VehicleId, at: Timestamp, way: Way) -> Vec<Finding> {
        let resumed = self.resumed();
        let state = self.vehicles.entry(vehicle);
        self.outages.come_by(vehicle, state, way, resumed);
        state.silence.heard(at);
        self.outages.hear(vehicle, state.peers);
        self.reschedule(vehicle);
        Vec::new()
    }

    /// Timers of all vehicles that are due by `now`.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        while let Some(&(due, vehicle)) = self.schedule_timers.first().filter(|(due, _)| *due <= now) {
            findings.extend(self.fire_schedule_timer(vehicle, due));
        }
        for vehicle in self.take_due(now) {
            self.fire(vehicle, now, true, &mut findings);
        }
        findings.extend(self.outages.tick(&self.params.hood, now));
        findings
    }

    /// Vehicles that have a deadline by `now`, in the order of their next ones: the same after a restart, whatever their places.
    fn take_due(&mut self, now: Timestamp) -> Vec<VehicleId> {
        let mut due = Vec::new();
        for vehicle in self.deadlines.take_due(&mut self.vehicles, now) {
            let next = |state| timers::next_deadline(&self.params, state, self.resumed());
            match self.vehicles.get(vehicle).and_then(next) {
                Some((at, _)) if at <= now => due.push((at, vehicle)),
                _ => self.reschedule(vehicle),
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, vehicle)| vehicle).collect()
    }

    /// Timers of one vehicle that are due by `now`, for replays in which each has its own clock; so each
    /// is judged by itself there, without its neighbours.
    pub fn advance(&mut self, vehicle: VehicleId, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.fire(vehicle, now, false, &mut findings);
        findings
    }

    /// Adds or changes a zone; its rule is valid for events from then on.
    pub fn put_zone(&mut self, zone: Zone, from: Timestamp) {
        self.zones.put(&self.params.zone, zone, from);
    }

    /// Removes a zone, for events from then on.
    pub fn remove_zone(&mut self, id: ZoneId, from: Timestamp) {
        self.zones.remove(&self.params.zone, id, from);
    }

    /// What kind of vehicle it is.
    pub fn set_kind(&mut self, vehicle: VehicleId, kind: Option<VehicleKind>) {
        self.vehicles.entry(vehicle).kind = kind;
    }

    /// What people see as soon as it changes: since when it is guarded, whether its guard point is
    /// known, the open incident. Cheap enough to ask before and after every packet.
    pub fn visible_state(&self, vehicle: VehicleId) -> Option<(Option<Timestamp>, bool, Option<IncidentId>)> {
        let state = self.vehicles.get(vehicle)?;
        Some((state.armed_at, state.anchor.is_some(), state.rare.incident().map(|i| i.id)))
    }

    /// What status rows show.
    pub fn snapshot(&self, vehicle: VehicleId) -> Option<Snapshot> {
        self.vehicles.get(vehicle).map(|state| Snapshot {
            armed_at: state.armed_at,
            guard_point: state.guard_point(),
            incident: state.rare.incident().map(|i| i.id),
            by: state.session.as_ref().map_or(SessionBy::Owner, |s| s.by),
        })
    }

    /// Forgets a vehicle: its observation is over.
    pub fn remove(&mut self, vehicle: VehicleId) {
        let Some(state) = self.vehicles.remove(vehicle) else { return };
        self.outages.leave(vehicle, state.peers);
        self.window_budget.leave(vehicle);
        if let Some(due) = state.session.and_then(|s| s.schedule_timer) {
            self.schedule_timers.remove(&(due, vehicle));
        }
    }

    /// Nobody here watches over the vehicle from `at` on: nothing is known of it any more, and nothing is asked of its
    /// silence. An open incident ends so.
    pub fn release(&mut self, vehicle: VehicleId, at: Timestamp, end: IncidentEnd) -> Vec<Finding> {
        let Some(state) = self.vehicles.get_mut(vehicle) else { return Vec::new() };
        let findings = incident::close(state, vehicle, at, end);
        self.remove(vehicle);
        findings
    }

    /// Full windows that suspects hold, and moments of suspects that found none free since the beginning.
    pub fn windows(&self) -> (usize, u64) {
        (self.window_budget.held(), self.window_budget.refused())
    }

    /// The owner's word on an incident, and the answer that it was given over.
    pub fn answer(&mut self, vehicle: VehicleId, incident: IncidentId, said: Said, at: Timestamp) -> Vec<Finding> {
        incident::answer(&self.params.incident, vehicle, self.vehicles.entry(vehicle), incident, said, at)
    }

    /// The owner's phone is with the vehicle: its session ends, and an alarm that is on was theirs.
    pub fn phone(&mut self, vehicle: VehicleId, at: Timestamp) -> Vec<Finding> {
        let was_armed = self.vehicles.get(vehicle).is_some_and(|v| v.armed_at.is_some());
        let mut findings = self.end(vehicle, (at, at), SessionBy::Phone, IncidentEnd::Phone);
        if was_armed {
            findings.push(Finding::Session { vehicle, at, begun: false, by: SessionBy::Phone });
        }
        findings
    }

    /// When sessions of a vehicle are to begin by themselves, from `at` on.
    pub fn set_policy(&mut self, vehicle: VehicleId, policy: GuardPolicy, at: Timestamp) -> Vec<Finding> {
        let state = self.vehicles.entry(vehicle);
        let session = state.session.get_or_insert_default();
        session.policy = policy;
        if let Some(due) = session.schedule_timer.take() {
            self.schedule_timers.remove(&(due, vehicle));
        }
        self.fire_schedule_timer(vehicle, at)
    }

    /// A window of a vehicle's schedule begins or ends, or the schedule is new.
    fn fire_schedule_timer(&mut self, vehicle: VehicleId, due: Timestamp) -> Vec<Finding> {
        self.schedule_timers.remove(&(due, vehicle));
        let resumed = self.resumed();
        let Some(state) = self.vehicles.get_mut(vehicle) else { return Vec::new() };
        let Some(session) = &mut state.session else { return Vec::new() };
        session.schedule_timer = session.policy.schedule.as_ref().and_then(|s| s.next_change(due));
        self.schedule_timers.extend(session.schedule_timer.map(|next| (next, vehicle)));
        let is_in_force = session.policy.schedule.as_ref().is_some_and(|s| s.is_in_force(due));
        let by = SessionBy::Schedule;
        match (is_in_force, state.armed_at) {
            (true, None) => {
                session::begin(&self.params, state, (due, due), resumed.of(state), by);
                self.reschedule(vehicle);
                vec![Finding::Session { vehicle, at: due, begun: true, by }]
            }
            (false, Some(_)) if session.by == by => {
                let mut findings = self.end(vehicle, (due, due), by, IncidentEnd::Disarmed);
                findings.push(Finding::Session { vehicle, at: due, begun: false, by });
                findings
            }
            _ => Vec::new(),
        }
    }

    /// Fires one vehicle's deadlines up to `now`, in their order.
    fn fire(&mut self, vehicle: VehicleId, now: Timestamp, has_peers: bool, findings: &mut Vec<Finding>) {
        let resumed = self.resumed();
        if let Some(state) = self.vehicles.get_mut(vehicle) {
            let (p, peers) = (&self.params.hood, state.peers);
            while let Some((due, deadline)) = timers::next_deadline(&self.params, state, resumed)
                && due <= now
            {
                let heard_at = state.silence.last_heard().filter(|_| has_peers);
                let is_excused = deadline == Deadline::Silence(Step::Silent)
                    && has_peers
                    && self.outages.is_behind(p, vehicle, peers, resumed.broker, due);
                timers::meet_deadline(&self.params, vehicle, state, due, (deadline, is_excused), findings);
                if let (Deadline::Silence(Step::Lost), Some(heard)) = (deadline, heard_at) {
                    let is_broker_unheard = resumed.is_broker_unheard(&self.params.silence, due);
                    self.outages.lose(p, (vehicle, peers), is_broker_unheard, heard, due);
                }
            }
        }
        let mut evicted = None;
        if let Some(state) = self.vehicles.get_mut(vehicle) {
            // An incident may have begun: what it holds it keeps.
            evicted = self.window_budget.settle(&self.params.pool, vehicle, state);
        }
        self.narrow(evicted);
        self.reschedule(vehicle);
    }

    /// Its window is another's now.
    fn narrow(&mut self, evicted: Option<VehicleId>) {
        if let Some(state) = evicted.and_then(|evicted| self.vehicles.get_mut(evicted)) {
            state.narrow();
        }
    }

    fn reschedule(&mut self, vehicle: VehicleId) {
        let resumed = self.resumed();
        if let Some((place, state)) = self.vehicles.find(vehicle)
            && let Some((due, _)) = timers::next_deadline(&self.params, state, resumed)
        {
            self.deadlines.put(place, state, due);
        }
    }
}
