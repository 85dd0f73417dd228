//! Whatever a vehicle goes through.

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
                let seen = Arrival {
                    received_at: after(now),
                    digest: PacketDigest(n as u64),
                    report_interval_s: None,
                    way: Way::Broker,
                };
                findings.extend(guard.consider(V, &m, &seen));
                if twice {
                    let again = Arrival { received_at: after(now + 3.0), ..seen };
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
            let seen = Arrival { received_at: Timestamp::from_micros(received), digest: PacketDigest(n as u64), report_interval_s: None, way: Way::Broker };
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
