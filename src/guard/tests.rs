//! Facts about the guard.

use super::*;
use crate::domain::{Fix, FixSource, Status};

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

fn seen(at: f64) -> Seen {
    Seen { received_at: after(at + 1.0), digest: PacketDigest((at * 10.0) as u64) }
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

#[test]
fn a_duplicate_packet_changes_nothing() {
    let mut guard = parked(Some(false));
    consider(&mut guard, 3610.0, 50.0, 18.0, Some(true));
    let before = rmp_serde::to_vec_named(&guard).unwrap();
    let again = Seen { received_at: after(3640.0), ..seen(3610.0) };
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
            let late = Seen { received_at: after(3800.0 + f64::from(i)), ..seen(at) };
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
    guard.gap(after(3_700.0), after(9_000.0));
    assert_eq!(guard.tick(after(9_300.0)), []);
    assert_eq!(woken(&guard.tick(after(12_100.0))), [AlertKind::Silent]);
}

#[test]
fn a_flicker_of_the_supply_is_no_cut_and_a_cut_is_told_within_a_minute() {
    let power = |guard: &mut Guard, at: f64, there: bool| {
        let mut m = moment(at, 0.0, 0.0, Some(false));
        m.status.external_power = Some(there);
        let mut findings = guard.advance(V, after(at + 1.0));
        findings.extend(guard.consider(V, &m, &seen(at)));
        findings
    };
    let mut guard = parked(Some(false));
    let mut findings = power(&mut guard, 3610.0, false);
    findings.extend(power(&mut guard, 3650.0, true));
    findings.extend(power(&mut guard, 3900.0, true));
    assert_eq!(woken(&findings), []);
    assert_eq!(woken(&power(&mut guard, 4000.0, false)), []);
    assert_eq!(woken(&guard.tick(after(4061.0))), [AlertKind::PowerCut]);
}
