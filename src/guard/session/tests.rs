//! Facts about sessions that begin and end without a command.

use crate::domain::schedule::{CivilClock, Window};
use crate::domain::{AlertKind, Finding, GuardPolicy, IncidentEnd, Schedule, SessionBy, Status, VehicleId};
use crate::guard::incident::tests::{Bike, after, kinds};
use crate::guard::{Guard, Params};

const V: VehicleId = VehicleId(7);

fn sessions(findings: &[Finding]) -> Vec<(bool, SessionBy)> {
    let session = |f: &Finding| match f {
        Finding::Session { begun, by, .. } => Some((*begun, *by)),
        _ => None,
    };
    findings.iter().filter_map(session).collect()
}

/// Never armed by hand; guarded five minutes after parking.
fn automatic() -> Bike {
    let mut bike = Bike { guard: Guard::new(Params::default()) };
    bike.guard.set_policy(V, GuardPolicy { schedule: None, auto_after_s: Some(300) }, after(0.0));
    bike
}

fn ignition(on: bool) -> Status {
    Status { ignition: Some(on), ..Status::default() }
}

fn is_armed(bike: &Bike) -> bool {
    bike.guard.snapshot(V).is_some_and(|s| s.armed_at.is_some())
}

#[test]
fn a_bike_is_guarded_after_parking_with_the_ignition_off() {
    let mut bike = automatic();
    for n in 0..10 {
        bike.say(f64::from(n) * 10.0, f64::from(n) * 50.0, 18.0, ignition(true));
    }
    let findings: Vec<_> =
        (0..7).flat_map(|n| bike.say(100.0 + f64::from(n) * 60.0, 500.0, 0.0, ignition(false))).collect();
    assert_eq!(sessions(&findings), [(true, SessionBy::Parked)]);
    assert_eq!(bike.guard.snapshot(V).unwrap().by, SessionBy::Parked);
    assert!(kinds(&bike.stand(600.0, 12, 500.0)).is_empty());
    assert_eq!(kinds(&bike.ride(4300.0, 500.0)), [AlertKind::Moved]);
}

#[test]
fn a_bike_that_its_owner_disarmed_stays_so_until_it_was_ridden() {
    let mut bike = automatic();
    let park = |bike: &mut Bike, from_s: f64| -> Vec<Finding> {
        (0..10).flat_map(|n| bike.say(from_s + f64::from(n) * 60.0, 0.0, 0.0, ignition(false))).collect()
    };
    bike.say(0.0, 0.0, 10.0, ignition(true));
    park(&mut bike, 10.0);
    assert!(is_armed(&bike));
    bike.guard.disarm(V, after(700.0), after(700.0));
    assert!(sessions(&park(&mut bike, 710.0)).is_empty());
    bike.say(1400.0, 0.0, 10.0, ignition(true));
    assert_eq!(sessions(&park(&mut bike, 1410.0)), [(true, SessionBy::Parked)]);
}

#[test]
fn a_red_light_is_no_parking() {
    let mut bike = automatic();
    let mut findings = bike.say(0.0, 0.0, 18.0, ignition(true));
    findings.extend(bike.say(60.0, 300.0, 0.0, ignition(false)));
    findings.extend(bike.say(200.0, 300.0, 0.0, ignition(true)));
    findings.extend(bike.say(260.0, 500.0, 18.0, ignition(true)));
    findings.extend(bike.say(500.0, 900.0, 0.0, ignition(false)));
    assert!(sessions(&findings).is_empty());
}

#[test]
fn a_schedule_begins_and_ends_its_own_sessions_only() {
    // START is 2026-02-02 10:40 in China, a Monday.
    let window = Window { days: vec![1], from_min: 11 * 60, to_min: 12 * 60 };
    let schedule = Schedule { time_zone: CivilClock::default(), windows: vec![window] };
    let policy = GuardPolicy { schedule: Some(schedule), auto_after_s: None };
    let mut bike = Bike { guard: Guard::new(Params::default()) };
    assert!(bike.guard.set_policy(V, policy.clone(), after(0.0)).is_empty());
    assert_eq!(sessions(&bike.guard.tick(after(1210.0))), [(true, SessionBy::Schedule)]);
    assert_eq!(sessions(&bike.guard.tick(after(4810.0))), [(false, SessionBy::Schedule)]);
    // The owner's own session outlives the window.
    bike.guard.arm(V, after(5000.0), after(5000.0));
    let week_s = 7.0 * 86_400.0;
    assert!(sessions(&bike.guard.tick(after(week_s + 4810.0))).is_empty());
    assert!(is_armed(&bike));
    // A schedule that is set within its window begins at once.
    let mut late = Bike { guard: Guard::new(Params::default()) };
    assert_eq!(sessions(&late.guard.set_policy(V, policy, after(2000.0))), [(true, SessionBy::Schedule)]);
}

#[test]
fn the_owners_phone_ends_the_session_and_the_incident() {
    let mut bike = Bike::parked();
    bike.ride(3600.0, 0.0);
    let findings = bike.guard.phone(V, after(3730.0));
    assert_eq!(sessions(&findings), [(false, SessionBy::Phone)]);
    assert!(findings.iter().any(|f| matches!(f, Finding::IncidentClosed { end: IncidentEnd::Phone, .. })));
    assert!(kinds(&bike.ride(3740.0, 600.0)).is_empty());
    assert!(sessions(&bike.guard.phone(V, after(4000.0))).is_empty(), "there is nothing left to end");
}
