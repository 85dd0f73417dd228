//! Facts about times in which we could not hear, by way.

use super::*;

fn by(way: Way, at: f64) -> Arrival {
    Arrival { way, ..seen(at) }
}

/// Parked for an hour; its last packet came by this way.
fn parked_by(way: Way) -> Guard {
    let mut guard = parked(Some(false));
    guard.consider(V, &moment(3650.0, 1.0, 0.3, Some(false)), &by(way, 3650.0));
    guard
}

#[test]
fn a_gap_of_the_broker_concerns_only_who_comes_by_it() {
    for (way, cause, is_concerned) in [
        (Way::Broker, GapCause::Connection, true),
        (Way::Broker, GapCause::SessionLost, true),
        (Way::Broker, GapCause::WithoutBroker, true),
        (Way::Broker, GapCause::Away, true),
        (Way::Door, GapCause::Connection, false),
        (Way::Door, GapCause::SessionLost, false),
        (Way::Door, GapCause::WithoutBroker, false),
        (Way::Door, GapCause::Away, true),
    ] {
        let mut guard = parked_by(way);
        guard.coverage_gap(after(3_700.0), after(9_000.0), cause);
        let early = woken(&guard.tick(after(9_300.0)));
        assert_eq!(early, if is_concerned { vec![] } else { vec![AlertKind::Silent] }, "{way:?} {cause:?}");
        assert_eq!(woken(&guard.tick(after(12_100.0))).len(), usize::from(is_concerned), "{way:?} {cause:?}");
    }
}

#[test]
fn a_tracker_that_comes_to_the_door_is_judged_so_from_its_next_packet() {
    let mut guard = parked_by(Way::Broker);
    guard.coverage_gap(after(3_700.0), after(4_000.0), GapCause::WithoutBroker);
    guard.heard(V, after(4_000.0), Way::Door);
    guard.coverage_gap(after(4_000.0), after(8_000.0), GapCause::WithoutBroker);
    assert_eq!(woken(&guard.tick(after(8_000.0))), [AlertKind::Silent]);
    guard.heard(V, after(8_100.0), Way::Broker);
    guard.coverage_gap(after(8_000.0), after(14_000.0), GapCause::WithoutBroker);
    assert_eq!(guard.tick(after(14_000.0)), []);
}

#[test]
fn a_disarm_or_a_checkpoint_does_not_forget_the_way() {
    let mut guard = parked_by(Way::Door);
    guard.disarm(V, after(3_700.0), after(3_700.0));
    guard.arm(V, after(3_800.0), after(3_800.0));
    let mut guard: Guard = rmp_serde::from_slice(&rmp_serde::to_vec_named(&guard).unwrap()).unwrap();
    guard.coverage_gap(after(3_700.0), after(9_000.0), GapCause::WithoutBroker);
    assert_eq!(woken(&guard.tick(after(9_000.0))), [AlertKind::Silent]);
}

#[test]
fn another_tracker_of_the_vehicle_counts_as_the_broker_s_until_it_speaks() {
    let mut guard = parked_by(Way::Door);
    guard.change_tracker(V);
    guard.coverage_gap(after(3_700.0), after(9_000.0), GapCause::WithoutBroker);
    assert_eq!(guard.tick(after(9_000.0)), []);
}

#[test]
fn a_session_that_begins_while_the_broker_is_away_is_not_without_contact() {
    let kinds = |way| {
        let mut guard = parked_by(way);
        guard.disarm(V, after(3_700.0), after(3_700.0));
        guard.coverage_gap(after(3_700.0), after(9_000.0), GapCause::WithoutBroker);
        guard.arm(V, after(9_000.0), after(9_000.0));
        let findings = guard.tick(after(9_100.0));
        findings.iter().filter_map(|f| if let Finding::Alert(a) = f { Some(a.kind) } else { None }).collect::<Vec<_>>()
    };
    assert_eq!((kinds(Way::Broker), kinds(Way::Door)), (vec![], vec![AlertKind::ArmedWithoutContact]));
}

#[test]
fn a_loss_of_power_that_waited_for_the_broker_is_not_due_at_once_at_the_door() {
    let mut guard = parked_by(Way::Broker);
    guard.consider(V, &supply(true), &by(Way::Broker, 3_700.0));
    guard.consider(V, &supply(false), &by(Way::Broker, 3_710.0));
    guard.coverage_gap(after(3_711.0), after(6_000.0), GapCause::WithoutBroker);
    guard.heard(V, after(6_000.0), Way::Door);
    assert_eq!(guard.tick(after(6_001.0)), [], "who knows what it told the broker meanwhile");
    assert_eq!(woken(&guard.tick(after(6_400.0))), [AlertKind::PowerCut]);
}

fn supply(supplied: bool) -> Moment {
    Moment { status: Status { external_power: Some(supplied), ..Status::default() }, ..Moment::default() }
}
