//! Facts about incidents: one theft from its first sign to its end, and what people say of it.

use crate::domain::{
    Alarm, AlarmKind, AlertKind, Answer, Finding, Fix, FixSource, IncidentEnd, IncidentId, IncidentState, LatLon,
    Moment, Note, PacketDigest, SeenAnswer, Setting, Status, Timestamp, VehicleId, Way,
};
use crate::guard::{Arrival, Guard, Params};

const V: VehicleId = VehicleId(7);
const START: Timestamp = Timestamp::from_secs(1_770_000_000);

/// So many seconds after it was armed.
pub fn after(secs: f64) -> Timestamp {
    START.plus_secs_f64(secs)
}

/// A guarded bike with an accelerometer.
pub struct Bike {
    pub guard: Guard,
}

impl Bike {
    /// Armed at 0, an hour of heartbeats every five minutes within a few metres.
    pub fn parked() -> Self {
        let mut bike = Self { guard: Guard::new(Params::default()) };
        bike.guard.arm(V, after(0.0), after(0.0));
        assert!(kinds(&bike.stand(0.0, 12, 0.0)).is_empty());
        bike
    }

    /// Heartbeats every five minutes after `from_s`, so far east of its guard point.
    pub fn stand(&mut self, from_s: f64, count: i32, east_m: f64) -> Vec<Finding> {
        (1..=count)
            .flat_map(|n| {
                self.say(from_s + f64::from(n) * 300.0, east_m + f64::from(n % 3) * 2.0, 0.3, Status::default())
            })
            .collect()
    }

    /// Ridden east at 5 m/s for two minutes, a fix every ten seconds.
    pub fn ride(&mut self, from_s: f64, east_m: f64) -> Vec<Finding> {
        let moving = Status { moving: Some(true), ..Status::default() };
        (1..=12)
            .flat_map(|n| self.say(from_s + f64::from(n) * 10.0, east_m + f64::from(n) * 50.0, 18.0, moving.clone()))
            .collect()
    }

    /// A packet that arrives a second after what it reports.
    pub fn say(&mut self, at_s: f64, east_m: f64, speed_kmh: f32, status: Status) -> Vec<Finding> {
        self.arrive(at_s, 1.0, east_m, speed_kmh, status, &[])
    }

    /// A packet that arrives `late_s` after what it reports.
    pub fn arrive(
        &mut self,
        at_s: f64,
        late_s: f64,
        east_m: f64,
        speed_kmh: f32,
        status: Status,
        alarms: &[AlarmKind],
    ) -> Vec<Finding> {
        let fix = Fix {
            fixed_at: Some(after(at_s)),
            valid: true,
            position: LatLon::new(28.55, 112.35 + east_m / 97_670.0),
            altitude_m: None,
            speed_kmh: Some(speed_kmh),
            course_deg: None,
            satellites: Some(9),
            hdop: Some(1.0),
            accuracy_m: None,
            source: FixSource::Gnss,
        };
        let moving = status.moving.or(Some(false));
        let moment = Moment {
            fix: Some(fix),
            status: Status { moving, ..status },
            alarms: alarms.iter().map(|kind| Alarm { kind: *kind, raw: 0 }).collect(),
            ..Moment::default()
        };
        let seen = Arrival {
            received_at: after(at_s + late_s),
            digest: PacketDigest((at_s * 10.0) as u64),
            report_interval_s: None,
            way: Way::Broker,
        };
        self.guard.consider(V, &moment, &seen)
    }

    /// The incident that is open.
    pub fn incident(&self) -> Option<IncidentId> {
        self.guard.snapshot(V)?.incident
    }
}

/// Alerts that wake, in order.
pub fn kinds(findings: &[Finding]) -> Vec<AlertKind> {
    let alert = |f: &Finding| match f {
        Finding::Alert(a) if a.kind.wakes_owner() => Some(a.kind),
        _ => None,
    };
    findings.iter().filter_map(alert).collect()
}

/// Notes of the timeline, in order.
pub fn notes(findings: &[Finding]) -> Vec<Note> {
    let note = |f: &Finding| match f {
        Finding::IncidentNoted { note, .. } => Some(*note),
        _ => None,
    };
    findings.iter().filter_map(note).collect()
}

fn ends(findings: &[Finding]) -> Vec<IncidentEnd> {
    let end = |f: &Finding| match f {
        Finding::IncidentClosed { end, .. } => Some(*end),
        _ => None,
    };
    findings.iter().filter_map(end).collect()
}

fn became(state: IncidentState) -> Note {
    Note::Became { state }
}

#[test]
fn a_theft_is_suspected_confirmed_and_followed_as_its_fixes_go_on() {
    let mut bike = Bike::parked();
    let findings = bike.ride(3600.0, 0.0);
    assert_eq!(kinds(&findings), [AlertKind::Moved]);
    assert_eq!(notes(&findings), [became(IncidentState::Confirmed), became(IncidentState::Followed)]);
    let Some(Finding::IncidentOpened { fixes_from, at, .. }) =
        findings.iter().find(|f| matches!(f, Finding::IncidentOpened { .. }))
    else {
        panic!("no incident was opened")
    };
    assert!(*fixes_from < *at && *fixes_from < after(3610.0), "its fixes begin before it was noticed");
}

#[test]
fn signals_that_agree_make_an_incident_surer() {
    let mut bike = Bike::parked();
    let score =
        |findings: &[Finding]| match findings.iter().rev().find(|f| matches!(f, Finding::IncidentChanged { .. })) {
            Some(Finding::IncidentChanged { score, state, .. }) => Some((*score, *state)),
            _ => None,
        };
    let mut findings = bike.arrive(3700.0, 1.0, 0.0, 0.3, Status::default(), &[AlarmKind::Removal]);
    assert_eq!((kinds(&findings), score(&findings)), (vec![AlertKind::Tampered], None));
    findings = bike.ride(3800.0, 0.0);
    let (score, state) = score(&findings).unwrap();
    assert!(score > 0.85 && state == IncidentState::Followed, "{score} {state:?}");
    assert!(!findings.iter().any(|f| matches!(f, Finding::IncidentOpened { .. })), "one theft, one incident");
}

#[test]
fn the_owners_it_is_me_closes_the_incident_and_holds_off_the_rest_of_the_ride() {
    let mut bike = Bike::parked();
    let mut findings = bike.ride(3600.0, 0.0);
    let incident = bike.incident().unwrap();
    findings = [findings, bike.guard.answer(V, incident, (Answer::Me, None), after(3725.0))].concat();
    assert_eq!(ends(&findings), [IncidentEnd::FalseAlarm]);
    findings = bike.ride(3730.0, 600.0);
    assert!(kinds(&findings).is_empty());
    assert!(matches!(notes(&findings)[..], [Note::HeldOff { alert: AlertKind::Moved }]), "{:?}", notes(&findings));
    // A cut cable is nobody's ride.
    let cut = |power| Status { external_power: Some(power), ..Status::default() };
    bike.say(3900.0, 1250.0, 0.3, cut(true));
    findings = (0..12).flat_map(|n| bike.say(3910.0 + f64::from(n) * 10.0, 1250.0, 0.3, cut(false))).collect();
    assert_eq!(kinds(&findings), [AlertKind::PowerCut]);
}

#[test]
fn after_a_claimed_ride_the_bike_is_guarded_where_it_stands() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let incident = bike.incident().unwrap();
    bike.guard.answer(V, incident, (Answer::Me, None), after(3725.0));
    bike.ride(3730.0, 600.0);
    let findings = bike.stand(3900.0, 12, 1200.0);
    assert!(matches!(notes(&findings)[..], [Note::RideOver { held_off: 12.. }]), "{:?}", notes(&findings));
    assert!(findings.iter().any(|f| matches!(f, Finding::Session { begun: true, .. })));
    assert_eq!(kinds(&bike.ride(7600.0, 1200.0)), [AlertKind::Moved], "the next theft is noticed from there");
}

#[test]
fn the_owners_stolen_confirms_and_the_incident_goes_on() {
    let mut bike = Bike::parked();
    bike.arrive(3700.0, 1.0, 0.0, 0.3, Status::default(), &[AlarmKind::Removal]);
    let incident = bike.incident().unwrap();
    let findings = bike.guard.answer(V, incident, (Answer::Stolen, None), after(3705.0));
    assert_eq!(notes(&findings), [Note::Answered { answer: Answer::Stolen }, became(IncidentState::Confirmed)]);
    assert_eq!(bike.incident(), Some(incident));
    assert_eq!(
        ends(&bike.guard.answer(V, incident, (Answer::Recovered, None), after(9000.0))),
        [IncidentEnd::Recovered]
    );
}

#[test]
fn an_answer_to_an_incident_that_is_over_is_noted_and_moves_nothing() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let incident = bike.incident().unwrap();
    bike.guard.disarm(V, after(3725.0), after(3725.0));
    let findings = bike.guard.answer(V, incident, (Answer::Me, None), after(3730.0));
    assert_eq!((notes(&findings), findings.len()), (vec![Note::Answered { answer: Answer::Me }], 1));
}

#[test]
fn a_disarm_that_was_made_before_the_alert_explains_it() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let findings = bike.guard.disarm(V, after(3590.0), after(3800.0));
    assert_eq!(notes(&findings), [Note::DisarmedBefore { at: after(3590.0) }]);
    assert_eq!(ends(&findings), [IncidentEnd::Disarmed]);
    // One that was made afterwards explains nothing.
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    assert!(notes(&bike.guard.disarm(V, after(3790.0), after(3800.0))).is_empty());
}

#[test]
fn buffered_fixes_that_show_it_at_home_explain_a_silence() {
    let mut bike = Bike::parked();
    let findings = bike.guard.tick(after(3.0 * 3600.0));
    assert_eq!(kinds(&findings), [AlertKind::Silent]);
    let late = bike.arrive(4200.0, 8000.0, 3.0, 0.3, Status::default(), &[]);
    assert_eq!(notes(&late), [Note::AtHome { at: after(4200.0), alert: AlertKind::Silent }]);
    assert!(notes(&bike.arrive(4500.0, 7800.0, 3.0, 0.3, Status::default(), &[])).is_empty(), "said once");
    assert!(bike.incident().is_some(), "nothing is withdrawn");
}

#[test]
fn a_bike_that_stands_at_home_again_is_recovered_and_the_next_theft_is_another_incident() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let first = bike.incident().unwrap();
    let findings = bike.stand(4000.0, 12, 0.0);
    assert_eq!(notes(&findings), [became(IncidentState::Recovered)]);
    assert!(ends(&findings).is_empty(), "whether it is over, its owner or the next theft says");
    let findings = bike.ride(8000.0, 0.0);
    assert_eq!((kinds(&findings), ends(&findings)), (vec![AlertKind::Moved], vec![IncidentEnd::Recovered]));
    assert_ne!(bike.incident(), Some(first));
}

#[test]
fn the_same_words_of_people_and_packets_give_the_same_findings_after_a_restart() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let incident = bike.incident().unwrap();
    bike.guard.answer(V, incident, (Answer::Me, None), after(3725.0));
    let kept = serde_json::to_string(&bike.guard).unwrap();
    let mut restarted = Bike { guard: serde_json::from_str(&kept).unwrap() };
    let go_on = |bike: &mut Bike| [bike.ride(3730.0, 600.0), bike.stand(3900.0, 6, 1200.0)].concat();
    assert_eq!(go_on(&mut bike), go_on(&mut restarted));
}

fn stolen_bike() -> (Bike, IncidentId) {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let incident = bike.incident().expect("a ride of 600 m is an incident");
    (bike, incident)
}

fn over(answer: Option<Answer>) -> Option<SeenAnswer> {
    Some(SeenAnswer { answer })
}

#[test]
fn an_answer_given_over_another_than_stands_changes_nothing() {
    let (mut bike, incident) = stolen_bike();
    let said = bike.guard.answer(V, incident, (Answer::Stolen, over(None)), after(3725.0));
    assert!(!said.is_empty());
    let stale = bike.guard.answer(V, incident, (Answer::Me, over(None)), after(3726.0));
    assert_eq!((stale, bike.incident()), (Vec::new(), Some(incident)));
    // Nor after a restart.
    let kept = serde_json::to_string(&bike.guard).unwrap();
    let mut bike = Bike { guard: serde_json::from_str(&kept).unwrap() };
    let stale = bike.guard.answer(V, incident, (Answer::Me, over(None)), after(3726.5));
    assert_eq!((stale, bike.incident()), (Vec::new(), Some(incident)));
    let taken_back = bike.guard.answer(V, incident, (Answer::Me, over(Some(Answer::Stolen))), after(3727.0));
    assert_eq!(ends(&taken_back), [IncidentEnd::FalseAlarm]);
}

#[test]
fn of_two_answers_at_once_the_second_comes_after_the_end_that_the_first_made() {
    for (first, second) in [(Answer::Recovered, Answer::Me), (Answer::Me, Answer::Recovered)] {
        let (mut bike, incident) = stolen_bike();
        bike.guard.answer(V, incident, (first, over(None)), after(3725.0));
        let at = after(3725.1);
        let late = bike.guard.answer(V, incident, (second, over(None)), at);
        assert_eq!(late, [Finding::IncidentAnsweredAfterEnd { incident, vehicle: V, at, answer: second }]);
        assert_eq!(bike.incident(), None);
    }
    let (mut bike, incident) = stolen_bike();
    bike.guard.answer(V, incident, (Answer::Recovered, over(None)), after(3725.0));
    assert_eq!(bike.guard.answer(V, incident, (Answer::Stolen, over(None)), after(3725.1)), Vec::new());
}

#[test]
fn stolen_after_me_opens_the_incident_again_and_ends_the_claimed_ride() {
    let (mut bike, incident) = stolen_bike();
    bike.guard.answer(V, incident, (Answer::Me, over(None)), after(3725.0));
    assert_eq!(bike.incident(), None);
    let again = bike.guard.answer(V, incident, (Answer::Stolen, over(Some(Answer::Me))), after(3785.0));
    assert!(again.iter().any(|f| matches!(f, Finding::IncidentReopened { score: 1.0, .. })), "{again:?}");
    assert_eq!(bike.incident(), Some(incident));
    assert_eq!(kinds(&bike.ride(3800.0, 600.0)), [AlertKind::Moved], "its alarms are held off no longer");
    // Twice is once.
    let twice = bike.guard.answer(V, incident, (Answer::Stolen, over(Some(Answer::Me))), after(3930.0));
    assert_eq!(twice, Vec::new());
}

#[test]
fn stolen_after_the_claimed_ride_is_over_opens_nothing() {
    let (mut bike, incident) = stolen_bike();
    bike.guard.answer(V, incident, (Answer::Me, over(None)), after(3725.0));
    let late = bike.guard.answer(V, incident, (Answer::Stolen, over(Some(Answer::Me))), after(3725.0 + 7200.0));
    assert_eq!((late, bike.incident()), (Vec::new(), None));
}

#[test]
fn an_answer_of_before_is_read_without_what_it_saw() {
    let old = serde_json::json!({ "kind": "answer", "vehicle": 7, "incident": 5, "answer": "me" });
    let read: Setting = serde_json::from_value(old).unwrap();
    assert!(matches!(read, Setting::Answer { seen: None, .. }));
}
