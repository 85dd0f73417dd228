//! Facts about the guard.

mod at_random;
mod coverage;
mod power;

use super::*;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, GapCause, Status};

const V: VehicleId = VehicleId(7);
const HOME: LatLon = LatLon::new(28.55, 112.35);
const START: Timestamp = Timestamp::from_secs(1_770_000_000);

fn after(secs: f64) -> Timestamp {
    START.plus_secs_f64(secs)
}

fn east(metres: f64) -> LatLon {
    LatLon::new(HOME.lat_deg, HOME.lon_deg + metres / 97_670.0)
}

/// A good fix `metres` east of home with a tracker that has an accelerometer.
fn moment(at: f64, metres: f64, speed_kmh: f32, moving: Option<bool>) -> Moment {
    Moment {
        fix: Some(Fix {
            fixed_at: Some(after(at)),
            valid: true,
            position: east(metres),
            altitude_m: None,
            speed_kmh: Some(speed_kmh),
            course_deg: None,
            satellites: Some(9),
            hdop: Some(1.0),
            accuracy_m: None,
            source: FixSource::Gnss,
        }),
        status: Status { external_power: Some(true), moving, ..Status::default() },
        ..Moment::default()
    }
}

fn seen(at: f64) -> Arrival {
    Arrival {
        received_at: after(at + 1.0),
        digest: PacketDigest((at * 10.0) as u64),
        report_interval_s: None,
        way: Way::Broker,
    }
}

fn consider(guard: &mut Guard, at: f64, metres: f64, speed_kmh: f32, moving: Option<bool>) -> Vec<Finding> {
    guard.consider(V, &moment(at, metres, speed_kmh, moving), &seen(at))
}

/// Armed at 0, an hour of heartbeats every five minutes within a few metres.
fn parked(moving: Option<bool>) -> Guard {
    let mut guard = Guard::new(Params::default());
    guard.arm(V, after(0.0), after(0.0));
    for i in 1..=12 {
        let findings = consider(&mut guard, f64::from(i) * 300.0, f64::from(i % 3) * 2.0, 0.3, moving);
        assert!(woken(&findings).is_empty());
    }
    guard
}

fn woken(findings: &[Finding]) -> Vec<AlertKind> {
    let alert = |f: &Finding| match f {
        Finding::Alert(a) if a.kind.wakes_owner() => Some(a.kind),
        _ => None,
    };
    findings.iter().filter_map(alert).collect()
}

/// Rides off at 5 m/s, a fix every ten seconds.
fn ride(guard: &mut Guard) -> Vec<Finding> {
    (1..=12)
        .flat_map(|i| consider(guard, 3600.0 + f64::from(i) * 10.0, f64::from(i) * 50.0, 18.0, Some(true)))
        .collect()
}

#[test]
fn a_bike_ridden_off_is_one_incident() {
    let mut guard = parked(Some(false));
    let findings = ride(&mut guard);
    assert_eq!(woken(&findings), [AlertKind::Moved]);
    assert!(matches!(
        findings.iter().find(|f| !matches!(f, Finding::Alert(a) if !a.kind.wakes_owner())),
        Some(Finding::IncidentOpened { .. })
    ));
    assert!(guard.snapshot(V).is_some_and(|s| s.incident.is_some()));
    let closed = guard.disarm(V, after(4000.0), after(4000.0));
    assert!(matches!(closed[..], [Finding::IncidentClosed { .. }]));
}

#[test]
fn a_bike_that_is_not_guarded_may_ride() {
    let mut guard = parked(Some(false));
    guard.disarm(V, after(3601.0), after(3601.0));
    assert_eq!(woken(&ride(&mut guard)), []);
}

#[test]
fn one_far_fix_is_not_theft() {
    let mut guard = parked(Some(false));
    let mut findings = consider(&mut guard, 3900.0, 900.0, 0.0, Some(false));
    findings.extend(consider(&mut guard, 4200.0, 3.0, 0.0, Some(false)));
    assert_eq!(woken(&findings), []);
}

#[test]
fn a_wrong_fix_repeated_is_not_theft() {
    let mut guard = parked(Some(false));
    let findings: Vec<_> =
        (0..4).flat_map(|i| consider(&mut guard, 3900.0 + 300.0 * f64::from(i), 700.0, 0.0, Some(false))).collect();
    assert_eq!(woken(&findings), []);
}

#[test]
fn a_parked_bike_whose_gps_wanders_is_not_stolen() {
    let mut guard = parked(Some(false));
    let findings: Vec<_> = (0..20)
        .flat_map(|i| {
            let metres = 80.0 * (f64::from(i) / 19.0 * std::f64::consts::PI).sin();
            consider(&mut guard, 3900.0 + 60.0 * f64::from(i), metres, 0.0, Some(false))
        })
        .collect();
    assert_eq!(woken(&findings), []);
}

/// The deadline of a cut is before that of silence; what was scheduled for the vehicle before it must
/// neither fire twice nor be lost.
#[test]
fn a_deadline_that_a_nearer_one_overtook_is_still_met_once() {
    let mut guard = parked(Some(false));
    let mut supplied = moment(3605.0, 0.0, 0.0, Some(false));
    supplied.status.external_power = Some(true);
    guard.consider(V, &supplied, &seen(3605.0));
    let mut cut = moment(3610.0, 0.0, 0.0, Some(false));
    cut.status.external_power = Some(false);
    let mut findings = guard.consider(V, &cut, &seen(3610.0));
    for n in 0..300 {
        findings.extend(guard.tick(after(3620.0 + 30.0 * f64::from(n))));
    }
    assert_eq!(woken(&findings), [AlertKind::PowerCut, AlertKind::Silent]);
}

#[test]
fn a_duplicate_packet_changes_nothing() {
    let mut guard = parked(Some(false));
    consider(&mut guard, 3610.0, 50.0, 18.0, Some(true));
    let before = rmp_serde::to_vec_named(&guard).unwrap();
    let again = Arrival { received_at: after(3640.0), ..seen(3610.0) };
    assert_eq!(guard.consider(V, &moment(3610.0, 50.0, 18.0, Some(true)), &again), []);
    assert_eq!(rmp_serde::to_vec_named(&guard).unwrap(), before);
}

#[test]
fn a_ride_uploaded_after_the_next_arming_is_not_theft() {
    let mut guard = parked(Some(false));
    guard.disarm(V, after(3601.0), after(3601.0));
    guard.arm(V, after(3700.0), after(3701.0));
    let findings: Vec<_> = (1..=9)
        .flat_map(|i| {
            let at = 3602.0 + f64::from(i) * 10.0;
            let late = Arrival { received_at: after(3800.0 + f64::from(i)), ..seen(at) };
            guard.consider(V, &moment(at, f64::from(i) * 50.0, 18.0, Some(true)), &late)
        })
        .collect();
    assert_eq!(woken(&findings), []);
}

#[test]
fn silence_beyond_the_rhythm_wakes_and_lost_contact_does_not() {
    let mut guard = parked(Some(false));
    assert_eq!(woken(&guard.tick(after(3600.0 + 2_700.0))), []);
    let findings = guard.tick(after(3600.0 + 3_100.0));
    assert_eq!(woken(&findings), [AlertKind::Silent]);
    assert_eq!(guard.tick(after(99_999.0)), []);
}

#[test]
fn silence_after_our_own_outage_is_not_theft() {
    let mut guard = parked(Some(false));
    guard.coverage_gap(after(3_700.0), after(9_000.0), GapCause::Connection);
    assert_eq!(guard.tick(after(9_300.0)), []);
    assert_eq!(woken(&guard.tick(after(12_100.0))), [AlertKind::Silent]);
}

#[test]
fn a_bike_ridden_off_behind_an_outage_is_noticed_when_its_fixes_arrive_in_any_order() {
    let fixes: Vec<f64> = (1..=12).map(f64::from).collect();
    for order in [fixes.clone(), fixes.iter().rev().copied().collect()] {
        let mut guard = parked(Some(false));
        let mut findings = Vec::new();
        for (n, i) in order.iter().enumerate() {
            let late = Arrival { received_at: after(4000.0 + n as f64), ..seen(3600.0 + i * 10.0) };
            findings.extend(guard.consider(V, &moment(3600.0 + i * 10.0, i * 50.0, 18.0, Some(true)), &late));
        }
        assert_eq!(woken(&findings), [AlertKind::Moved]);
        assert!(findings.iter().any(|f| matches!(f, Finding::Alert(a) if a.late && a.kind == AlertKind::Moved)));
    }
}

#[test]
fn a_false_alarm_does_not_hide_a_later_theft() {
    let mut guard = parked(Some(false));
    assert_eq!(woken(&ride(&mut guard)), [AlertKind::Moved]);
    for i in 0..20 {
        assert_eq!(woken(&consider(&mut guard, 4000.0 + 300.0 * f64::from(i), 1.0, 0.0, Some(false))), []);
    }
    let again: Vec<_> = (1..=12)
        .flat_map(|i| consider(&mut guard, 10_000.0 + f64::from(i) * 10.0, f64::from(i) * 50.0, 18.0, Some(true)))
        .collect();
    assert_eq!(woken(&again), [AlertKind::Moved]);
    assert!(again.iter().any(|f| matches!(f, Finding::IncidentOpened { .. })), "it is an incident of its own");
}

#[test]
fn a_bike_carried_off_in_a_van_is_noticed_by_shaking_without_sky() {
    let mut guard = parked(Some(false));
    let mut findings = Vec::new();
    for i in 1..=60 {
        let mut m = moment(3600.0 + 10.0 * f64::from(i), 0.0, 0.0, Some(true));
        if let Some(fix) = &mut m.fix {
            fix.valid = false;
        }
        findings.extend(guard.consider(V, &m, &seen(3600.0 + 10.0 * f64::from(i))));
    }
    assert_eq!(woken(&findings), [AlertKind::MovedByCell]);
}

#[test]
fn no_position_and_swapped_axes_are_not_theft() {
    let mut guard = parked(None);
    let mut findings = Vec::new();
    for (n, position) in
        [LatLon::new(0.0, 0.0), LatLon::new(112.35, 28.55), LatLon::new(-28.55, 112.35), LatLon::new(f64::NAN, 1.0)]
            .into_iter()
            .enumerate()
    {
        let at = 3900.0 + 60.0 * n as f64;
        let mut m = moment(at, 0.0, 0.0, None);
        if let Some(fix) = &mut m.fix {
            fix.position = position;
        }
        findings.extend(guard.consider(V, &m, &seen(at)));
        findings.extend(consider(&mut guard, at + 30.0, 2.0, 0.0, None));
    }
    assert_eq!(woken(&findings), []);
}

#[test]
fn a_clock_in_the_future_silences_no_vehicle() {
    let mut guard = parked(Some(false));
    let mut m = moment(3605.0, 0.0, 0.0, Some(false));
    if let Some(fix) = &mut m.fix {
        fix.fixed_at = Some(after(3605.0 + 86_400.0 * 365.0));
    }
    guard.consider(V, &m, &seen(3605.0));
    assert_eq!(woken(&ride(&mut guard)), [AlertKind::Moved]);
}

#[test]
fn a_tracker_taken_off_is_told_once_and_sos_even_unguarded() {
    use crate::domain::{Alarm, AlarmKind};
    let with = |at: f64, kind: AlarmKind| {
        let mut m = moment(at, 0.0, 0.0, Some(false));
        m.alarms.push(Alarm { kind, raw: 1 });
        m
    };
    let mut guard = parked(Some(false));
    assert_eq!(woken(&guard.consider(V, &with(3610.0, AlarmKind::Removal), &seen(3610.0))), [AlertKind::Tampered]);
    assert_eq!(woken(&guard.consider(V, &with(3620.0, AlarmKind::Removal), &seen(3620.0))), []);
    guard.disarm(V, after(3700.0), after(3700.0));
    assert_eq!(woken(&guard.consider(V, &with(3800.0, AlarmKind::Removal), &seen(3800.0))), []);
    assert_eq!(woken(&guard.consider(V, &with(3900.0, AlarmKind::Sos), &seen(3900.0))), [AlertKind::Sos]);
}

#[test]
fn advancing_one_vehicle_tells_the_same_as_a_tick() {
    let (mut ticked, mut advanced) = (parked(Some(false)), parked(Some(false)));
    assert_eq!(ticked.tick(after(20_000.0)), advanced.advance(V, after(20_000.0)));
}

#[test]
fn a_vehicle_handed_over_is_not_missed_and_its_incident_is_over() {
    let mut guard = parked(Some(false));
    let told = guard.tick(after(3600.0 + 6.0 * 3600.0));
    assert_eq!(woken(&told), [AlertKind::Silent]);
    let over = guard.release(V, after(26_000.0), IncidentEnd::TrackerChanged);
    assert!(
        matches!(over[..], [Finding::IncidentClosed { vehicle: V, end: IncidentEnd::TrackerChanged, .. }]),
        "{over:?}"
    );
    assert_eq!(guard.snapshot(V), None);

    let mut guard = parked(Some(false));
    assert_eq!(guard.release(V, after(3601.0), IncidentEnd::TrackerChanged), []);
    assert_eq!(guard.tick(after(3600.0 + 6.0 * 3600.0)), []);
}
