//! Facts about the guard.

use super::*;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, Status};

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
    Seen { received_at: after(at + 1.0), digest: PacketDigest((at * 10.0) as u64), report_interval_s: None }
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

/// The deadline of a cut stands before that of silence; what was scheduled for the vehicle before it must
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

/// A moment at home that says nothing of the supply but these alarms.
fn cut_word(guard: &mut Guard, at: f64, kinds: &[AlarmKind]) -> Vec<AlertKind> {
    let mut m = moment(at, 0.0, 0.0, Some(false));
    m.status.external_power = None;
    m.alarms = kinds.iter().map(|kind| Alarm { kind: *kind, raw: 2 }).collect();
    let mut findings = guard.advance(V, after(at + 1.0));
    findings.extend(guard.consider(V, &m, &seen(at)));
    woken(&findings)
}

/// Armed, an hour at home; its supply is never spoken of.
fn parked_without_a_word_of_supply() -> Guard {
    let mut guard = Guard::new(Params::default());
    guard.arm(V, after(0.0), after(0.0));
    for i in 1..=12 {
        assert_eq!(cut_word(&mut guard, f64::from(i) * 300.0, &[]), []);
    }
    guard
}

#[test]
fn a_power_cut_alarm_alone_wakes_once_however_often_it_is_repeated() {
    let cut: &[AlarmKind] = &[AlarmKind::PowerCut];
    let mut guard = parked_without_a_word_of_supply();
    let mut told = Vec::new();
    for n in 0..6 {
        told.extend(cut_word(&mut guard, 3610.0 + 15.0 * f64::from(n), cut));
    }
    assert_eq!(told, [AlertKind::PowerCut]);
    // A word of something else between, then the alarm again: still the same loss.
    for n in 0..6 {
        let kinds = if n % 2 == 0 { &[] } else { cut };
        assert_eq!(cut_word(&mut guard, 3700.0 + 120.0 * f64::from(n), kinds), []);
    }
}

#[test]
fn a_power_cut_alarm_that_nobody_takes_back_is_told_at_its_deadline() {
    let mut guard = parked_without_a_word_of_supply();
    assert_eq!(cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]), []);
    assert_eq!(woken(&guard.tick(after(3670.0))), []);
    assert_eq!(woken(&guard.tick(after(3672.0))), [AlertKind::PowerCut]);
}

#[test]
fn a_power_cut_alarm_that_is_taken_back_at_once_is_a_flicker() {
    let mut guard = parked_without_a_word_of_supply();
    assert_eq!(cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]), []);
    assert_eq!(cut_word(&mut guard, 3640.0, &[AlarmKind::PowerRestored]), []);
    assert_eq!(woken(&guard.tick(after(3900.0))), []);
    assert_eq!(cut_word(&mut guard, 4000.0, &[AlarmKind::PowerCut]), []);
    let mut there = moment(4030.0, 0.0, 0.0, Some(false));
    there.status.external_power = Some(true);
    guard.consider(V, &there, &seen(4030.0));
    assert_eq!(woken(&guard.tick(after(4300.0))), []);
}

#[test]
fn a_battery_taken_out_before_arming_is_no_cut_however_its_alarm_is_repeated() {
    let mut guard = parked_without_a_word_of_supply();
    guard.disarm(V, after(3601.0), after(3601.0));
    cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]);
    guard.arm(V, after(3700.0), after(3700.0));
    for n in 0..10 {
        let kinds: &[AlarmKind] = if n % 2 == 0 { &[] } else { &[AlarmKind::PowerCut] };
        assert_eq!(cut_word(&mut guard, 3710.0 + 60.0 * f64::from(n), kinds), []);
    }
    // It was put back, without a word of it; more than a day later it is another loss.
    assert_eq!(cut_word(&mut guard, 3700.0 + 600.0, &[]), []);
    guard.disarm(V, after(5000.0), after(5000.0));
    guard.arm(V, after(100_000.0), after(100_000.0));
    let mut told = Vec::new();
    for n in 0..4 {
        told.extend(cut_word(&mut guard, 100_010.0 + 20.0 * f64::from(n), &[AlarmKind::PowerCut]));
    }
    assert_eq!(told, [AlertKind::PowerCut]);
}

#[test]
fn a_bike_ridden_off_behind_an_outage_is_noticed_when_its_fixes_arrive_in_any_order() {
    let fixes: Vec<f64> = (1..=12).map(f64::from).collect();
    for order in [fixes.clone(), fixes.iter().rev().copied().collect()] {
        let mut guard = parked(Some(false));
        let mut findings = Vec::new();
        for (n, i) in order.iter().enumerate() {
            let late = Seen { received_at: after(4000.0 + n as f64), ..seen(3600.0 + i * 10.0) };
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

mod at_random {
    use super::*;
    use proptest::prelude::*;

    /// One step of a vehicle's life, coarse on purpose: duplicates and ties must happen.
    #[derive(Clone, Debug)]
    enum Step {
        Fix { metres: f64, speed_kmh: f32, moving: Option<bool>, lag_s: f64, external_power: bool, cell: bool },
        Arm,
        Disarm,
        Wait(f64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let fix = (
            prop_oneof![5 => 0.0..20.0, 2 => 0.0..400.0, 1 => Just(5e6)],
            0.0_f32..40.0,
            proptest::option::of(any::<bool>()),
            prop_oneof![4 => Just(1.0), 1 => 0.0..900.0],
            proptest::bool::weighted(0.8),
            proptest::bool::weighted(0.1),
        );
        prop_oneof![
            12 => fix.prop_map(|(metres, speed_kmh, moving, lag_s, external_power, cell)| Step::Fix {
                metres, speed_kmh, moving, lag_s, external_power, cell
            }),
            1 => Just(Step::Arm),
            1 => Just(Step::Disarm),
            2 => (0.0..4000.0).prop_map(Step::Wait),
        ]
    }

    /// Lives the steps; `twice` repeats every packet, `save` goes through a checkpoint before step n.
    fn live(steps: &[Step], twice: bool, save: Option<usize>) -> (Vec<Finding>, Vec<u8>) {
        let mut guard = Guard::new(Params::default());
        let mut findings = guard.arm(V, after(0.0), after(0.0));
        let mut now = 0.0;
        for (n, step) in steps.iter().enumerate() {
            if save == Some(n) {
                guard = rmp_serde::from_slice(&rmp_serde::to_vec_named(&guard).unwrap()).unwrap();
                guard = serde_json::from_str(&serde_json::to_string(&guard).unwrap()).unwrap();
            }
            now += 10.0;
            findings.extend(guard.tick(after(now)));
            match step {
                Step::Fix { metres, speed_kmh, moving, lag_s, external_power, cell } => {
                    let mut m = moment(now - lag_s, *metres, *speed_kmh, *moving);
                    m.status.external_power = Some(*external_power);
                    if let (Some(fix), true) = (&mut m.fix, *cell) {
                        fix.source = FixSource::Cell;
                    }
                    let seen =
                        Seen { received_at: after(now), digest: PacketDigest(n as u64), report_interval_s: None };
                    findings.extend(guard.consider(V, &m, &seen));
                    if twice {
                        let again = Seen { received_at: after(now + 3.0), ..seen };
                        findings.extend(guard.consider(V, &m, &again));
                    }
                }
                Step::Arm => findings.extend(guard.arm(V, after(now), after(now))),
                Step::Disarm => findings.extend(guard.disarm(V, after(now), after(now))),
                Step::Wait(secs) => now += secs,
            }
        }
        (findings, rmp_serde::to_vec_named(&guard).unwrap())
    }

    proptest! {
        #[test]
        fn giving_every_packet_twice_changes_nothing(steps in proptest::collection::vec(step(), 1..60)) {
            prop_assert_eq!(live(&steps, false, None), live(&steps, true, None));
        }

        #[test]
        fn a_checkpoint_at_any_packet_changes_nothing(
            steps in proptest::collection::vec(step(), 1..60),
            at in 0_usize..60,
        ) {
            prop_assert_eq!(live(&steps, false, None), live(&steps, false, Some(at)));
        }

        #[test]
        fn absurd_values_are_survived(
            numbers in proptest::collection::vec((any::<f64>(), any::<f64>(), any::<i64>(), any::<i64>(), any::<f32>()), 1..40)
        ) {
            let mut guard = Guard::new(Params::default());
            guard.arm(V, after(0.0), after(0.0));
            for (n, (lat, lon, told, received, other)) in numbers.into_iter().enumerate() {
                let mut m = moment(0.0, 0.0, other, Some(n % 2 == 0));
                if let Some(fix) = &mut m.fix {
                    fix.fixed_at = Some(Timestamp::from_micros(told));
                    fix.position = LatLon::new(lat, lon);
                    fix.hdop = Some(other);
                    fix.accuracy_m = Some(-other);
                }
                let seen = Seen { received_at: Timestamp::from_micros(received), digest: PacketDigest(n as u64), report_interval_s: None };
                guard.consider(V, &m, &seen);
                guard.tick(Timestamp::from_micros(received));
                let saved = serde_json::to_string(&guard).unwrap();
                prop_assert!(serde_json::from_str::<Guard>(&saved).is_ok(), "no NaN in the state");
            }
        }

        #[test]
        fn a_vehicle_has_one_open_incident(steps in proptest::collection::vec(step(), 1..80)) {
            let mut open = None;
            for finding in live(&steps, false, None).0 {
                match finding {
                    Finding::IncidentOpened { incident, .. } => prop_assert_eq!(open.replace(incident), None),
                    Finding::IncidentClosed { incident, .. } => prop_assert_eq!(open.take(), Some(incident)),
                    Finding::Alert(alert) => {
                        prop_assert_eq!(alert.kind.wakes_owner(), alert.incident.is_some());
                        if alert.kind.wakes_owner() {
                            prop_assert_eq!(alert.incident, open);
                        }
                        prop_assert!(alert.evidence.fixes.len() <= 16);
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn a_vehicle_handed_over_is_not_missed_and_its_incident_is_over() {
    let mut guard = parked(Some(false));
    let told = guard.tick(after(3600.0 + 6.0 * 3600.0));
    assert_eq!(woken(&told), [AlertKind::Silent]);
    let over = guard.hand_over(V, after(26_000.0));
    assert!(
        matches!(over[..], [Finding::IncidentClosed { vehicle: V, end: IncidentEnd::TrackerChanged, .. }]),
        "{over:?}"
    );
    assert_eq!(guard.snapshot(V), None);

    let mut guard = parked(Some(false));
    assert_eq!(guard.hand_over(V, after(3601.0)), []);
    assert_eq!(guard.tick(after(3600.0 + 6.0 * 3600.0)), []);
}
