//! Incidents: signals of one theft become one, each kind wakes once, and the incident is followed
//! until it is over. What people and late packets say of it is noted, never used to withdraw.

use crate::domain::{
    Alert, AlertKind, Answer, Finding, IncidentEnd, IncidentId, IncidentState, Note, SeenAnswer, Timestamp, VehicleId,
    Weight,
};
use crate::guard::params::IncidentParams;
use crate::guard::state::incident::{ClaimedRide, OpenIncident};
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::vehicle::Vehicle;

/// How much one kind says, as the probability that it is a theft if it stood alone.
fn weight(p: &IncidentParams, kind: AlertKind) -> f32 {
    match kind.weight() {
        Weight::Sos => p.weight_sos,
        Weight::Tampered => p.weight_tampered,
        Weight::Moved => p.weight_moved,
        Weight::Indirect => p.weight_indirect,
        Weight::None => 0.0,
    }
}

/// Raises an alert. Kinds that wake the owner open an incident or attach to the open one; a kind
/// that the open incident knows already is not raised again, unless calm lay between.
pub fn raise(params: &IncidentParams, vehicle: &mut Vehicle, mut alert: Alert, out: &mut Vec<Finding>) {
    if is_held_off(vehicle, &alert, out) {
        return;
    }
    if !alert.kind.wakes_owner() {
        out.push(Finding::Alert(Box::new(alert)));
        return;
    }
    let (id, at) = (alert.vehicle, alert.raised_at);
    if vehicle.rare.incident().is_some_and(|open| open.state == IncidentState::Recovered) {
        // What happens after it stood at home again is another theft.
        out.extend(close(vehicle, id, at, IncidentEnd::Recovered));
    }
    match vehicle.rare.incident_mut() {
        Some(open) => {
            let raised_at = open.raised.iter().find(|(kind, _)| *kind == alert.kind).map(|(_, at)| *at);
            if raised_at.is_some_and(|raised| open.calm_again_at.is_none_or(|calm| calm <= raised)) {
                return;
            }
            alert.incident = Some(open.id);
            open.raised.retain(|(kind, _)| *kind != alert.kind);
            open.raised.push((alert.kind, at));
            let surer = weight(params, alert.kind);
            out.push(Finding::Alert(Box::new(alert)));
            open.become_surer(params, id, at, surer, out);
        }
        None => {
            let incident = IncidentId::derive(id, alert.cause, at);
            let fixes_from = alert.evidence.fixes.first().map_or(at, |f| f.at.min(at));
            let score = weight(params, alert.kind);
            out.push(Finding::IncidentOpened { incident, vehicle: id, at, fixes_from, score });
            alert.incident = Some(incident);
            let mut open = OpenIncident {
                id: incident,
                raised: vec![(alert.kind, at)],
                calm_since: None,
                calm_again_at: None,
                state: IncidentState::Suspected,
                score,
                away: 0,
                explained: Vec::new(),
                answer: None,
            };
            out.push(Finding::Alert(Box::new(alert)));
            if score >= params.confirmed_score {
                open.become_state(id, at, IncidentState::Confirmed, out);
            }
            vehicle.rare.set_incident(Some(Box::new(open)));
        }
    }
}

/// Follows an open incident, or a claimed ride, by a sample that arrived at `received_at` (and is the
/// newest by event time, or is not). Returns whether a claimed ride is over.
pub fn follow(
    params: &IncidentParams,
    (id, vehicle): (VehicleId, &mut Vehicle),
    sample: &Sample,
    is_last: bool,
    received_at: Timestamp,
    out: &mut Vec<Finding>,
) -> bool {
    if sample.kind != SampleKind::Satellite {
        return false;
    }
    let from_home_m = vehicle.anchor.map(|a| a.centre.distance_m(sample.place));
    if let (Some(open), Some(from_home_m)) = (vehicle.rare.incident_mut(), from_home_m) {
        if received_at.seconds_since(sample.at) > params.late_s && from_home_m < params.home_m {
            open.explain(sample.at, received_at, out);
        }
        if is_last {
            open.away = if from_home_m > params.away_m { open.away.saturating_add(1) } else { 0 };
            let state = open.state;
            match (open.away, state) {
                (2, IncidentState::Suspected) => {
                    open.become_surer(params, id, received_at, params.weight_away, out);
                }
                (3.., IncidentState::Confirmed) => {
                    open.become_state(id, received_at, IncidentState::Followed, out);
                }
                _ => {}
            }
        }
    }
    let Some(ride) = vehicle.session.as_mut().and_then(|s| s.ride.as_mut()).filter(|_| is_last) else { return false };
    let stands = ride.standing.filter(|(place, _)| place.distance_m(sample.place) < params.standing_m);
    let (_, since) = *ride.standing.insert(stands.unwrap_or((sample.place, sample.at)));
    let is_over = sample.at.seconds_since(since) >= params.standing_s || sample.at >= ride.until;
    if is_over {
        let (incident, held_off) = (ride.incident, ride.held_off);
        vehicle.session.iter_mut().for_each(|s| s.ride = None);
        out.push(Finding::IncidentNoted { incident, at: received_at, note: Note::RideOver { held_off } });
    }
    is_over
}

/// Whether an alarm belongs to the ride that the owner has claimed. Only movement does: a cut cable or
/// a tracker torn off is nobody's ride.
fn is_held_off(vehicle: &mut Vehicle, alert: &Alert, out: &mut Vec<Finding>) -> bool {
    let Some(ride) = vehicle.session.as_mut().and_then(|s| s.ride.as_mut()) else { return false };
    if !matches!(alert.kind, AlertKind::Moved | AlertKind::MovedByCell | AlertKind::Suspicion) {
        return false;
    }
    ride.held_off = ride.held_off.saturating_add(1);
    if ride.held_off == 1 {
        let note = Note::HeldOff { alert: alert.kind };
        out.push(Finding::IncidentNoted { incident: ride.incident, at: alert.raised_at, note });
    }
    true
}

/// What the owner says, and the answer that it is given over, if that is known.
pub type Said = (Answer, Option<SeenAnswer>);

/// The owner's word on an incident, open or over. One that was given over another answer than is stored here is
/// dropped: two people tapped at once, and the second has not seen the first.
pub fn answer(
    params: &IncidentParams,
    id: VehicleId,
    vehicle: &mut Vehicle,
    incident: IncidentId,
    (answer, seen): Said,
    at: Timestamp,
) -> Vec<Finding> {
    let mut out = vec![Finding::IncidentNoted { incident, at, note: Note::Answered { answer } }];
    let Some(open) = vehicle.rare.incident_mut().filter(|open| open.id == incident) else {
        return match seen {
            Some(seen) if answer == Answer::Stolen => reopen(id, vehicle, incident, seen, at, out),
            Some(_) => vec![Finding::IncidentAnsweredAfterEnd { incident, vehicle: id, at, answer }],
            None => out,
        };
    };
    if let (Some(stands), Some(seen)) = (open.answer, seen)
        && seen.answer != Some(stands)
    {
        return Vec::new();
    }
    open.answer = Some(answer);
    match answer {
        Answer::Stolen => {
            open.score = 1.0;
            if matches!(open.state, IncidentState::Suspected | IncidentState::Recovered) {
                open.become_state(id, at, IncidentState::Confirmed, &mut out);
            } else {
                out.push(open.changed(id, at));
            }
        }
        Answer::Me => {
            out.extend(close(vehicle, id, at, IncidentEnd::FalseAlarm));
            let until = at.plus_secs_f64(params.ride_s);
            let ride = ClaimedRide { incident, until, standing: None, held_off: 0 };
            vehicle.session.get_or_insert_default().ride = Some(ride);
        }
        Answer::Recovered => out.extend(close(vehicle, id, at, IncidentEnd::Recovered)),
    }
    out
}

/// "It is stolen" after "it is me": the incident is open again and its alarms are held off no longer. Only while
/// the claimed ride lasts (`ride_s`): afterwards the guard has begun again elsewhere, and a theft is another incident.
/// A vehicle has one open incident; another one that has begun stays.
fn reopen(
    id: VehicleId,
    vehicle: &mut Vehicle,
    incident: IncidentId,
    seen: SeenAnswer,
    at: Timestamp,
    mut out: Vec<Finding>,
) -> Vec<Finding> {
    if vehicle.rare.incident().is_some() {
        return Vec::new();
    }
    let is_claimed = |ride: &ClaimedRide| ride.incident == incident && at < ride.until;
    let session = vehicle.session.as_mut().filter(|s| s.ride.as_ref().is_some_and(is_claimed));
    let is_seen = seen.answer == Some(Answer::Me);
    let Some(session) = session.filter(|_| is_seen) else { return Vec::new() };
    session.ride = None;
    out.push(Finding::IncidentReopened { incident, vehicle: id, at, score: 1.0 });
    let open = OpenIncident {
        id: incident,
        raised: Vec::new(),
        calm_since: None,
        calm_again_at: None,
        state: IncidentState::Confirmed,
        score: 1.0,
        away: 0,
        explained: Vec::new(),
        answer: Some(Answer::Stolen),
    };
    out.push(open.noted(at, Note::Became { state: IncidentState::Confirmed }));
    vehicle.rare.set_incident(Some(Box::new(open)));
    out
}

/// The owner's disarm of `at` reached us only now: alerts after it are explained by it.
pub fn explain_by_disarm(vehicle: &Vehicle, at: Timestamp, known_at: Timestamp, out: &mut Vec<Finding>) {
    if let Some(open) = vehicle.rare.incident()
        && open.raised.iter().any(|(_, raised)| *raised >= at)
    {
        out.push(open.noted(known_at.max(at), Note::DisarmedBefore { at }));
    }
}

/// Notes whether the vehicle is parked quietly at its guard point, as a moment that arrived at
/// `received_at` says.
pub fn note_calm(
    params: &IncidentParams,
    id: VehicleId,
    vehicle: &mut Vehicle,
    is_calm: bool,
    received_at: Timestamp,
    out: &mut Vec<Finding>,
) {
    let Some(open) = vehicle.rare.incident_mut() else { return };
    if !is_calm {
        open.calm_since = None;
        return;
    }
    let since = *open.calm_since.get_or_insert(received_at);
    if received_at.seconds_since(since) >= f64::from(params.repeat_after_calm_s) {
        open.calm_again_at = Some(received_at);
        if matches!(open.state, IncidentState::Confirmed | IncidentState::Followed) {
            open.become_state(id, received_at, IncidentState::Recovered, out);
        }
    }
}

/// Closes the open incident, if any.
pub fn close(vehicle: &mut Vehicle, id: VehicleId, at: Timestamp, end: IncidentEnd) -> Vec<Finding> {
    let open = vehicle.rare.incident().map(|open| open.id);
    vehicle.rare.set_incident(None);
    open.map(|incident| Finding::IncidentClosed { incident, vehicle: id, at, end }).into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests;
