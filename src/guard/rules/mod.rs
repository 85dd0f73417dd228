//! The rules: what each asks, in which order, and how a moment runs through them.

pub mod battery;
pub mod cell_tower;
pub mod departure;
pub mod evidence;
pub mod power;
pub mod silence;
pub mod stale_position;
pub mod tampering;

use crate::domain::{AlarmKind, Evidence, Threshold};
use crate::guard::params::Params;
use crate::guard::rules::tampering::Alarms;
use crate::guard::sample_intake;
use crate::guard::state::anchor;
use crate::guard::state::anchor::Anchor;
use crate::guard::state::vehicle::{Sample, SampleKind, Vehicle};
use crate::guard::zones::Zones;
use crate::guard::zones::presence;
use crate::guard::zones::presence::{Crossing, Sighting, ZoneEvent};
use crate::guard::{Alert, AlertKind, Arrival, Cause, Finding, Moment, VehicleId};
use crate::guard::{clock, incident, session};

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

/// All rules over moments. The order is the order in which one moment's alerts are told: the most
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

/// Samples among which none may be shaken before a vehicle counts as at ease.
const SAMPLES_SHAKEN: usize = 4;
/// Versions of the rules that stand outside the list.
const ZONE_VERSION: u32 = 2;
pub(in crate::guard) const DEADLINE_VERSION: u32 = 1;

/// What a rule may look at.
struct Situation<'a> {
    params: &'a Params,
    vehicle: &'a Vehicle,
    /// Alarms that were off in the moment before.
    rising: Alarms,
    is_guarded: bool,
    power_cut_confirmed: bool,
    battery_is_newly_low: bool,
    departure: departure::Departure,
    by_cell: cell_tower::CellDeparture,
    stale: Option<stale_position::Staleness>,
}

pub(in crate::guard) fn threshold(name: &str, value: impl Into<f64>) -> Threshold {
    Threshold { name: name.to_owned(), value: value.into() }
}

fn sos(s: &Situation) -> Option<Vec<Threshold>> {
    s.rising.any(&[AlarmKind::Sos]).then(Vec::new)
}

fn tampered(s: &Situation) -> Option<Vec<Threshold>> {
    (s.is_guarded && s.rising.any(tampering::TAMPERING)).then(Vec::new)
}

fn power_cut(s: &Situation) -> Option<Vec<Threshold>> {
    s.power_cut_confirmed.then(|| vec![threshold("power_confirmed_s", s.params.power.confirmed_s)])
}

fn moved(s: &Situation) -> Option<Vec<Threshold>> {
    let d = &s.departure;
    (s.is_guarded && d.is_departure).then(|| {
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
    let d = &s.by_cell;
    (s.is_guarded && d.is_departure).then(|| {
        vec![
            threshold("cell_distance_min_m", s.params.cell.distance_min_m),
            threshold("cell_distance_m", d.distance_m),
            threshold("cell_fixes", d.fixes),
            threshold("shaken_without_sky_s", d.dark_s),
        ]
    })
}

fn suspicion(s: &Situation) -> Option<Vec<Threshold>> {
    let half = 0.5 * s.params.exit.evidence_min;
    let leaving = s.departure.evidence >= half && s.departure.fixes_outside >= 2 && !s.vehicle.suspicion_told;
    let told = s.rising.any(tampering::SUSPICIOUS);
    (s.is_guarded && s.vehicle.incident().is_none() && (leaving || told))
        .then(|| vec![threshold("suspicion_evidence_min", half), threshold("exit_evidence", s.departure.evidence)])
}

fn stale_position(s: &Situation) -> Option<Vec<Threshold>> {
    s.stale.map(|stale| {
        vec![
            threshold("stale_after_s", s.params.stale.after_s),
            threshold("stale_for_s", stale.for_s),
            threshold("reports_moving", stale.moving),
        ]
    })
}

fn low_battery(s: &Situation) -> Option<Vec<Threshold>> {
    s.battery_is_newly_low.then(|| vec![threshold("battery_low_percent", s.params.battery.low_percent)])
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
    ((key >> 32) as u32 ^ key as u32).max(1) // 0 stands for none
}

/// Runs a moment through the state and the rules.
pub fn consider(
    params: &Params,
    zones: &mut Zones,
    id: VehicleId,
    vehicle: &mut Vehicle,
    moment: &Moment,
    seen: &Arrival,
    findings: &mut Vec<Finding>,
) {
    let told = moment.fix.as_ref().and_then(|f| f.fixed_at).or(moment.at);
    let at = clock::event_time(&params.clock, told, seen.received_at).at;
    vehicle.silence.heard(seen.received_at);

    // Status and alarms of an older moment are history: they must not undo what is newer.
    let is_newest = vehicle.newest_at.is_none_or(|n| at >= n);
    let is_guarded = vehicle.armed_at.is_some_and(|a| at.seconds_since(a) >= -2.0);
    let alarms = Alarms::of(&moment.alarms);
    let rising = alarms.rising_from(vehicle.alarms);
    let mut power_cut_confirmed = false;
    let mut battery_is_newly_low = false;
    if is_newest {
        let before = vehicle.newest_at.replace(at);
        vehicle.alarms = alarms;
        vehicle.silence.learn_rhythm(&params.silence, before, at);
        vehicle.silence.learn_interval(&params.silence, seen.report_interval_s);
        let cut_alarm = rising.any(&[AlarmKind::PowerCut]);
        if let Some(word) = power::Word::of(moment.status.external_power, &moment.alarms, cut_alarm) {
            power_cut_confirmed = power::observe(&params.power, vehicle, word, is_guarded, at, seen.received_at);
        }
        let low_alarm = rising.any(&[AlarmKind::LowBattery]);
        battery_is_newly_low = battery::observe(
            &params.battery,
            &mut vehicle.power.battery_is_low,
            moment.status.battery_percent,
            low_alarm,
        );
    }

    let (sample, usable) = sample_intake::sample(params, vehicle, moment, at);
    let sky_at = vehicle
        .samples
        .iter()
        .rev()
        .find(|s| s.kind == SampleKind::Satellite)
        .map(|s| s.at)
        .max(vehicle.sides.last_at());
    let since_s = sky_at.map(|t| at.seconds_since(t));
    let is_last = if vehicle.armed_at.is_none() || is_guarded { vehicle.remember(sample) } else { false };

    if is_last {
        cell_tower::follow(params, vehicle, &sample, sky_at);
    }

    let is_on = moment.status.ignition == Some(true);
    let stale =
        if is_last && is_guarded { stale_position::follow(&params.stale, vehicle, &sample, is_on) } else { None };
    let mut departure = departure::Departure::default();
    let mut by_cell = cell_tower::CellDeparture::default();
    if is_guarded {
        match (vehicle.anchor, sample.kind) {
            (None, SampleKind::Satellite) => vehicle.anchor = Some(Anchor::new(&params.anchor, sample.place)),
            (Some(anchor), _) => {
                departure = departure::weigh(params, vehicle, &anchor);
                by_cell = cell_tower::weigh(params, vehicle);
            }
            (None, _) => {}
        }
    }
    if departure.evidence <= 0.0 {
        vehicle.suspicion_told = false;
    }

    let situation = Situation {
        params,
        vehicle,
        rising,
        is_guarded,
        power_cut_confirmed,
        battery_is_newly_low,
        departure,
        by_cell,
        stale,
    };
    let established: Vec<_> =
        RULES.iter().filter_map(|rule| (rule.check)(&situation).map(|numbers| (rule, numbers))).collect();
    for (rule, thresholds) in established {
        vehicle.suspicion_told |= rule.kind == AlertKind::Suspicion;
        let alert = Alert {
            vehicle: id,
            kind: rule.kind,
            raised_at: seen.received_at,
            cause: Cause::Packet(seen.digest),
            incident: None,
            late: seen.received_at.seconds_since(at) > params.clock.late_s,
            position: vehicle.last_place(),
            held_back: false,
            evidence: evidence(vehicle, rule.name, rule.version, thresholds),
        };
        incident::tell(&params.incident, vehicle, alert, findings);
    }

    if is_last && is_guarded {
        let is_calm = learn(params, vehicle, &sample, &departure, since_s);
        if let Some(is_calm) = is_calm {
            incident::note_calm(&params.incident, id, vehicle, is_calm, seen.received_at, findings);
        }
    }
    if is_guarded {
        let is_calm = is_at_ease(params, vehicle, &departure);
        vehicle.silence.is_pressing = departure.evidence > 0.0 || departure.fixes_outside > 0;
        vehicle.calm(is_calm);
    }
    if let Some(position) = usable.filter(|_| is_last && sample.kind == SampleKind::Satellite) {
        observe_zones(params, zones, id, vehicle, Sighting { at, place: position }, seen, findings);
    }
    let told = (&sample, moment.status.ignition);
    session::follow(params, (id, vehicle), told, is_last, seen.received_at, findings);
}

/// Lets the vehicle's memory learn from a sample that nothing speaks against. Returns whether it stands
/// quietly at its guard point, if the sample can tell.
fn learn(
    params: &Params,
    vehicle: &mut Vehicle,
    sample: &Sample,
    departure: &departure::Departure,
    since_s: Option<f64>,
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
                anchor.learn(&params.anchor, sample.place, since_s.unwrap_or(60.0) as f32);
                if let Some(speed) = sample.speed_kmh().filter(|_| !is_shaken) {
                    vehicle.speed_at_rest_kmh += 0.05 * (speed.min(5.0) - vehicle.speed_at_rest_kmh);
                }
            } else if !is_shaken {
                anchor::settle(&params.anchor, vehicle);
            }
            Some(departure.evidence <= 0.0 && !is_shaken)
        }
    }
}

/// Whether it stands at its guard point and nothing is going on that older samples could throw light on.
fn is_at_ease(params: &Params, vehicle: &Vehicle, departure: &departure::Departure) -> bool {
    let Some(anchor) = vehicle.anchor else { return false };
    let newest = vehicle.samples.iter().rev().find(|s| s.kind == SampleKind::Satellite);
    departure.evidence <= 0.0
        && departure.fixes_outside == 0
        && vehicle.shaken(SAMPLES_SHAKEN).0 == 0
        && newest.is_some_and(|s| s.place.distance_m(anchor.centre) < 2.0 * anchor.spread_m(&params.anchor))
}

fn observe_zones(
    params: &Params,
    zones: &mut Zones,
    id: VehicleId,
    vehicle: &mut Vehicle,
    sighting: Sighting,
    seen: &Arrival,
    findings: &mut Vec<Finding>,
) {
    let crossings = presence::observe(&params.zone, zones, (id, vehicle.kind), &mut vehicle.sides, sighting);
    for Crossing { zone, news, since, by_way } in crossings {
        let thresholds = vec![
            threshold("zone_margin_m", params.zone.margin_m),
            threshold("zone_confirm_fixes", params.zone.confirm_fixes),
            threshold("zone_inside_s", sighting.at.seconds_since(since)),
            threshold("zone_passed_between_fixes", by_way),
        ];
        let mut evidence = evidence(vehicle, "zone", ZONE_VERSION, thresholds);
        evidence.zone = Some(zone);
        evidence.zone_name = zones.valid(zone, since).map(|(z, _)| z.name.clone());
        let alert = Alert {
            vehicle: id,
            kind: match news {
                ZoneEvent::Entered => AlertKind::ZoneEnter,
                ZoneEvent::Left => AlertKind::ZoneExit,
                ZoneEvent::Stayed => AlertKind::ZoneDwell,
                ZoneEvent::Forbidden => AlertKind::ZoneForbidden,
            },
            raised_at: seen.received_at,
            cause: Cause::Packet(seen.digest),
            incident: None,
            late: seen.received_at.seconds_since(sighting.at) > params.clock.late_s,
            position: Some(sighting.place),
            held_back: !zones.take_token(&params.zone, zone, seen.received_at),
            evidence,
        };
        findings.push(Finding::Alert(Box::new(alert)));
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
