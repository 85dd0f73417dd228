//! The rules: what each asks, in which order, and how a moment runs through them.

pub mod battery;
pub mod cell_tower;
mod crossings;
pub mod departure;
pub mod evidence;
mod learning;
mod observation;
pub mod power;
pub mod stale_position;

use crate::domain::{AlarmKind, Evidence, Threshold};
use crate::guard::params::Params;
use crate::guard::state::alarms;
use crate::guard::state::vehicle::Vehicle;
use crate::guard::zones::Zones;
use crate::guard::{Alert, AlertKind, Arrival, Cause, Finding, Moment, VehicleId, incident, session};
use observation::Observation;

/// A question asked of every moment.
pub struct Rule {
    /// Its name in `explain`.
    pub name: &'static str,
    /// Raised whenever its meaning changes.
    pub version: u32,
    /// What it establishes.
    pub kind: AlertKind,
    check: fn(&Situation) -> Option<Vec<Threshold>>,
}

/// All rules over moments. The order is the order in which one moment's alerts are raised: the most
/// certain word first. Zones and deadlines follow below, as they need no question.
pub const RULES: &[Rule] = &[
    Rule { name: "sos", version: 1, kind: AlertKind::Sos, check: sos },
    Rule { name: "tampering", version: 1, kind: AlertKind::Tampered, check: tampered },
    Rule { name: "power_cut", version: 2, kind: AlertKind::PowerCut, check: power_cut },
    Rule { name: "exit", version: 1, kind: AlertKind::Moved, check: moved },
    Rule { name: "exit_by_cell", version: 1, kind: AlertKind::MovedByCell, check: moved_by_cell },
    Rule { name: "suspicion", version: 1, kind: AlertKind::Suspicion, check: suspicion },
    Rule { name: "stale_position", version: 1, kind: AlertKind::StalePosition, check: stale_position },
    Rule { name: "low_battery", version: 2, kind: AlertKind::LowBattery, check: low_battery },
];

/// Version of the rules over time that passes (`timers`).
pub(in crate::guard) const DEADLINE_VERSION: u32 = 1;

/// What a rule may look at.
struct Situation<'a> {
    params: &'a Params,
    vehicle: &'a Vehicle,
    seen: &'a Observation,
}

pub(in crate::guard) fn threshold(name: &str, value: impl Into<f64>) -> Threshold {
    Threshold { name: name.to_owned(), value: value.into() }
}

fn sos(s: &Situation) -> Option<Vec<Threshold>> {
    s.seen.rising.any(&[AlarmKind::Sos]).then(Vec::new)
}

fn tampered(s: &Situation) -> Option<Vec<Threshold>> {
    (s.seen.is_guarded && s.seen.rising.any(alarms::TAMPERING)).then(Vec::new)
}

fn power_cut(s: &Situation) -> Option<Vec<Threshold>> {
    s.seen.power_cut_confirmed.then(|| vec![threshold("power_confirmed_s", s.params.power.confirmed_s)])
}

fn moved(s: &Situation) -> Option<Vec<Threshold>> {
    let d = &s.seen.departure;
    (s.seen.is_guarded && d.is_departure).then(|| {
        vec![
            threshold("exit_evidence_min", s.params.exit.evidence_min),
            threshold("exit_evidence", d.evidence),
            threshold("guard_radius_m", d.boundary_m),
            threshold("distance_m", d.distance_m),
            threshold("drift_spread_m", d.spread_m),
            threshold("fixes_outside", d.fixes_outside),
        ]
    })
}

fn moved_by_cell(s: &Situation) -> Option<Vec<Threshold>> {
    let d = &s.seen.by_cell;
    (s.seen.is_guarded && d.is_departure).then(|| {
        vec![
            threshold("cell_distance_min_m", s.params.cell.distance_min_m),
            threshold("cell_distance_m", d.distance_m),
            threshold("cell_fixes", d.fixes),
            threshold("shaken_without_sky_s", d.without_gnss_s),
        ]
    })
}

fn suspicion(s: &Situation) -> Option<Vec<Threshold>> {
    let half = 0.5 * s.params.exit.evidence_min;
    let leaving =
        s.seen.departure.evidence >= half && s.seen.departure.fixes_outside >= 2 && !s.vehicle.suspicion_raised;
    let reported = s.seen.rising.any(alarms::SUSPICIOUS);
    (s.seen.is_guarded && s.vehicle.rare.incident().is_none() && (leaving || reported))
        .then(|| vec![threshold("suspicion_evidence_min", half), threshold("exit_evidence", s.seen.departure.evidence)])
}

fn stale_position(s: &Situation) -> Option<Vec<Threshold>> {
    s.seen.stale.map(|stale| {
        vec![
            threshold("stale_after_s", s.params.stale.after_s),
            threshold("stale_for_s", stale.for_s),
            threshold("reports_moving", stale.moving),
        ]
    })
}

fn low_battery(s: &Situation) -> Option<Vec<Threshold>> {
    s.seen.battery_is_newly_low.then(|| vec![threshold("battery_low_percent", s.params.battery.low_percent)])
}

/// Names a moment, so that the same one given again is known.
pub fn packet_key(moment: &Moment, seen: &Arrival) -> u32 {
    let mut key = seen.digest.0 ^ 0x9e37_79b9_7f4a_7c15;
    let mut mix = |value: u64| key = (key ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    mix(moment.at.map_or(1, |t| t.micros() as u64));
    if let Some(fix) = &moment.fix {
        mix(fix.fixed_at.map_or(2, |t| t.micros() as u64));
        mix(fix.position.lat_deg.to_bits());
        mix(fix.position.lon_deg.to_bits());
    }
    ((key >> 32) as u32 ^ key as u32).max(1) // 0 means none
}

/// Runs a moment through the state and the rules: what it says is observed, each rule is asked, and only then may the
/// vehicle's memory learn from it.
pub fn consider(
    params: &Params,
    zones: &mut Zones,
    id: VehicleId,
    vehicle: &mut Vehicle,
    moment: &Moment,
    arrival: &Arrival,
    findings: &mut Vec<Finding>,
) {
    let seen = observation::observe(params, vehicle, moment, arrival);
    evaluate(params, id, vehicle, &seen, arrival, findings);
    learning::learn_from(params, id, vehicle, &seen, arrival, findings);
    if let Some(sighting) = seen.sighting() {
        crossings::raise(params, zones, (id, vehicle), sighting, arrival, findings);
    }
    let report = (&seen.sample, moment.status.ignition);
    session::follow(params, (id, vehicle), report, seen.is_last, arrival.received_at, findings);
}

/// Asks every rule; what is established becomes an alert.
fn evaluate(
    params: &Params,
    id: VehicleId,
    vehicle: &mut Vehicle,
    seen: &Observation,
    arrival: &Arrival,
    findings: &mut Vec<Finding>,
) {
    let situation = Situation { params, vehicle, seen };
    let established: Vec<_> =
        RULES.iter().filter_map(|rule| (rule.check)(&situation).map(|numbers| (rule, numbers))).collect();
    for (rule, thresholds) in established {
        vehicle.suspicion_raised |= rule.kind == AlertKind::Suspicion;
        let alert = Alert {
            vehicle: id,
            kind: rule.kind,
            raised_at: arrival.received_at,
            cause: Cause::Packet(arrival.digest),
            incident: None,
            late: arrival.received_at.seconds_since(seen.at) > params.clock.late_s,
            position: vehicle.last_place(),
            held_back: false,
            evidence: evidence(vehicle, rule.name, rule.version, thresholds),
        };
        incident::raise(&params.incident, vehicle, alert, findings);
    }
}

pub(in crate::guard) fn evidence(vehicle: &Vehicle, rule: &str, version: u32, thresholds: Vec<Threshold>) -> Evidence {
    Evidence {
        rule: rule.to_owned(),
        rule_version: version,
        guard_point: vehicle.guard_point(),
        armed_at: vehicle.armed_at,
        zone: None,
        zone_name: None,
        thresholds,
        fixes: vehicle.evidence_fixes(),
    }
}
