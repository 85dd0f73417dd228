//! The first step of a moment: what it says of the vehicle, put beside what is remembered.

use crate::domain::{AlarmKind, LatLon, Moment, Timestamp};
use crate::guard::params::Params;
use crate::guard::rules::{battery, cell_tower, departure, power, stale_position};
use crate::guard::state::alarms::Alarms;
use crate::guard::state::anchor::Anchor;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::vehicle::Vehicle;
use crate::guard::zones::presence::Sighting;
use crate::guard::{Arrival, clock, sample_intake};

/// What a moment says.
pub struct Observation {
    /// When it happened, as far as the tracker's clock can be believed.
    pub at: Timestamp,
    /// What it contributes to the question whether the vehicle is leaving.
    pub sample: Sample,
    /// Its position, if it is one.
    position: Option<LatLon>,
    /// Whether its sample is the newest.
    pub is_last: bool,
    /// Seconds since the last satellite fix.
    pub since_fix_s: Option<f64>,
    /// Whether the vehicle was guarded then.
    pub is_guarded: bool,
    /// Alarms that were off in the moment before.
    pub rising: Alarms,
    /// Whether a loss of supply is established by it.
    pub power_cut_confirmed: bool,
    /// Whether the battery has just become low.
    pub battery_is_newly_low: bool,
    /// What speaks for a departure.
    pub departure: departure::Departure,
    /// The same by cell towers.
    pub by_cell: cell_tower::CellDeparture,
    /// A receiver that repeats one place while the vehicle moves.
    pub stale: Option<stale_position::Staleness>,
}

impl Observation {
    /// Where a satellite saw it, if that is its newest word.
    pub fn sighting(&self) -> Option<Sighting> {
        let is_fix = self.is_last && self.sample.kind == SampleKind::Satellite;
        self.position.filter(|_| is_fix).map(|place| Sighting { at: self.at, place })
    }
}

/// Takes a moment into the vehicle's memory and weighs it.
pub fn observe(params: &Params, vehicle: &mut Vehicle, moment: &Moment, arrival: &Arrival) -> Observation {
    let told = moment.fix.as_ref().and_then(|f| f.fixed_at).or(moment.at);
    let at = clock::event_time(&params.clock, told, arrival.received_at).at;
    vehicle.silence.heard(arrival.received_at);
    let is_guarded = vehicle.armed_at.is_some_and(|a| at.seconds_since(a) >= -2.0);
    let (rising, power_cut_confirmed, battery_is_newly_low) =
        observe_status(params, vehicle, moment, (at, is_guarded), arrival);

    let (sample, position) = sample_intake::sample(params, vehicle, moment, at);
    let newest_fix = vehicle.samples.iter().rev().find(|s| s.kind == SampleKind::Satellite);
    let fix_at = newest_fix.map(|s| s.at).max(vehicle.sides.last_at());
    let since_fix_s = fix_at.map(|t| at.seconds_since(t));
    let is_last = if vehicle.armed_at.is_none() || is_guarded { vehicle.remember(sample) } else { false };
    if is_last {
        cell_tower::follow(params, vehicle, &sample, fix_at);
    }
    let is_on = moment.status.ignition == Some(true);
    let stale =
        if is_last && is_guarded { stale_position::follow(&params.stale, vehicle, &sample, is_on) } else { None };
    let (departure, by_cell) = weigh(params, vehicle, &sample, is_guarded);
    if departure.evidence <= 0.0 {
        vehicle.suspicion_raised = false;
    }
    Observation {
        at,
        sample,
        position,
        is_last,
        since_fix_s,
        is_guarded,
        rising,
        power_cut_confirmed,
        battery_is_newly_low,
        departure,
        by_cell,
        stale,
    }
}

/// Status and alarms: those that rise, whether a power cut is established, whether the battery is newly low. Those of an
/// older moment are history: they must not undo what is newer.
fn observe_status(
    params: &Params,
    vehicle: &mut Vehicle,
    moment: &Moment,
    (at, is_guarded): (Timestamp, bool),
    arrival: &Arrival,
) -> (Alarms, bool, bool) {
    let alarms = Alarms::of(&moment.alarms);
    let rising = alarms.rising_from(vehicle.alarms);
    if vehicle.newest_at.is_some_and(|newest| at < newest) {
        return (rising, false, false);
    }
    let before = vehicle.newest_at.replace(at);
    vehicle.alarms = alarms;
    vehicle.silence.learn_report_interval(&params.silence, before, at);
    vehicle.silence.learn_known_interval(&params.silence, arrival.report_interval_s);
    let word = power::Word::of(moment.status.external_power, &moment.alarms, rising.any(&[AlarmKind::PowerCut]));
    let is_cut =
        word.is_some_and(|word| power::observe(&params.power, vehicle, word, is_guarded, at, arrival.received_at));
    let is_newly_low = battery::observe(
        &params.battery,
        &mut vehicle.power.battery_is_low,
        moment.status.battery_percent,
        rising.any(&[AlarmKind::LowBattery]),
    );
    (rising, is_cut, is_newly_low)
}

/// What speaks for a departure; the first satellite fix of a session is its guard point.
fn weigh(
    params: &Params,
    vehicle: &mut Vehicle,
    sample: &Sample,
    is_guarded: bool,
) -> (departure::Departure, cell_tower::CellDeparture) {
    match (vehicle.anchor, sample.kind) {
        _ if !is_guarded => {}
        (None, SampleKind::Satellite) => vehicle.anchor = Some(Anchor::new(&params.anchor, sample.place)),
        (Some(anchor), _) => {
            return (departure::weigh(params, vehicle, &anchor), cell_tower::weigh(params, vehicle));
        }
        (None, _) => {}
    }
    Default::default()
}
