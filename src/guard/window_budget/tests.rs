//! A whole lane is shaken at once: memory is bounded, and the thefts among it are raised.

use super::*;
use crate::domain::{AlertKind, Finding, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, Way};
use crate::guard::state::vehicle::SAMPLES_MAX;
use crate::guard::{Arrival, Guard, Params};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const VEHICLES: i64 = 300;
const WINDOWS: u32 = 20;
/// Every tenth vehicle is stolen, half a minute after the ground has begun to shake.
const STOLEN_EVERY: i64 = 10;

fn at(s: f64) -> Timestamp {
    Timestamp::from_secs(1_790_000_000).plus_secs_f64(s)
}

fn says(guard: &mut Guard, id: i64, s: f64, metres: f64, moving: bool) -> Vec<Finding> {
    let stray_m = 3.0 * (s * 0.37 + id as f64).sin();
    let moment = Moment {
        fix: Some(Fix {
            fixed_at: Some(at(s)),
            valid: true,
            position: LatLon::new(28.5 + id as f64 * 0.001, 112.35 + (metres + stray_m) / 97_700.0),
            altitude_m: None,
            speed_kmh: Some(if metres > 0.0 { 18.0 } else { 0.3 }),
            course_deg: Some(90.0),
            satellites: Some(10),
            hdop: Some(1.0),
            accuracy_m: None,
            source: FixSource::Gnss,
        }),
        status: Status { external_power: Some(true), moving: Some(moving), ..Status::default() },
        ..Moment::default()
    };
    let digest = PacketDigest(((s * 10.0) as u64) << 20 | id as u64);
    guard.consider(
        VehicleId(id),
        &moment,
        &Arrival { received_at: at(s + 1.0), digest, report_interval_s: None, way: Way::Broker },
    )
}

/// A lane whose vehicles have stood for an hour.
fn quiet() -> Guard {
    let mut guard = Guard::new(Params { pool: PoolParams { windows_max: WINDOWS }, ..Params::default() });
    for id in 0..VEHICLES {
        guard.arm(VehicleId(id), at(0.0), at(0.0));
        (1..=12).for_each(|n| drop(says(&mut guard, id, 300.0 * f64::from(n), 0.0, false)));
    }
    guard
}

fn woken(findings: &[Finding]) -> impl Iterator<Item = (VehicleId, AlertKind)> {
    findings.iter().filter_map(|f| match f {
        Finding::Alert(a) if a.kind.wakes_owner() => Some((a.vehicle, a.kind)),
        _ => None,
    })
}

/// Shakes everybody for five minutes, who speak in an order of their own each time; says who was woken.
fn shake(guard: &mut Guard, random: &mut StdRng) -> Vec<(VehicleId, AlertKind)> {
    let mut told = Vec::new();
    let mut everybody: Vec<i64> = (0..VEHICLES).collect();
    for n in 0..30 {
        everybody.shuffle(random);
        for id in &everybody {
            let is_stolen = id % STOLEN_EVERY == 3 && n >= 3;
            let metres = if is_stolen { 50.0 * f64::from(n - 2) } else { 0.0 };
            told.extend(woken(&says(guard, *id, 3600.0 + 10.0 * f64::from(n), metres, true)));
            assert!(guard.windows().0 <= WINDOWS as usize);
        }
    }
    told
}

fn full(guard: &Guard) -> usize {
    guard.vehicles.iter().filter(|(_, v)| v.silence.has_window).count()
}

#[test]
fn when_all_are_suspects_at_once_memory_is_bounded_and_the_thefts_among_them_are_told() {
    for seed in 0..2 {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut guard = quiet();
        assert_eq!(guard.windows(), (0, 0), "who is at rest needs none");
        let told = shake(&mut guard, &mut random);
        let mut stolen: Vec<_> = told.iter().map(|(v, _)| v.0).collect();
        stolen.sort_unstable();
        assert_eq!(stolen, (0..VEHICLES).filter(|v| v % STOLEN_EVERY == 3).collect::<Vec<_>>());
        let (held, refused) = guard.windows();
        assert_eq!((held, full(&guard)), (WINDOWS as usize, WINDOWS as usize));
        assert!(refused > 0);
        let long = guard.vehicles.iter().filter(|(_, v)| v.samples.len() > SAMPLES_MAX / 2).count();
        assert!(long <= held, "{long} windows are long");
        // Those that are gone hold them, not those that are merely shaken.
        let pressing =
            guard.vehicles.iter().filter(|(_, v)| v.silence.has_window && v.rare.incident().is_some()).count();
        assert_eq!(pressing, held);

        // The ground is quiet again: what was not stolen gives its window back, and nothing is left over.
        for n in 0..12 {
            (0..VEHICLES).for_each(|id| drop(says(&mut guard, id, 4200.0 + 300.0 * f64::from(n), 0.0, false)));
        }
        assert_eq!(guard.windows().0, full(&guard));
        (0..VEHICLES).for_each(|id| drop(guard.disarm(VehicleId(id), at(9000.0), at(9000.0))));
        assert_eq!((guard.windows().0, full(&guard)), (0, 0));
    }
}

#[test]
fn windows_are_shared_out_the_same_after_any_restart() {
    for seed in 0..2 {
        println!("seed {seed}");
        let play = |restarts| {
            let (mut guard, mut told) = (quiet(), Vec::new());
            let mut random = StdRng::seed_from_u64(seed);
            told.extend(shake(&mut guard, &mut random));
            for n in 0..600 {
                if restarts && n % 60 == 0 {
                    guard = serde_json::from_str(&serde_json::to_string(&guard).unwrap()).unwrap();
                }
                let (id, moving) = (random.random_range(0..VEHICLES), random.random_bool(0.5));
                let metres = if random.random_bool(0.2) { 120.0 } else { 0.0 };
                told.extend(woken(&says(&mut guard, id, 4000.0 + 5.0 * f64::from(n), metres, moving)));
            }
            let mut holders: Vec<_> =
                guard.vehicles.iter().filter(|(_, v)| v.silence.has_window).map(|(id, _)| id.0).collect();
            holders.sort_unstable();
            (told, holders, guard.windows())
        };
        assert_eq!(play(false), play(true));
    }
}

#[test]
fn no_window_with_an_open_incident_is_given_away() {
    let params = Params { pool: PoolParams { windows_max: 1 }, ..Params::default() };
    let mut guard = quiet();
    guard.set_params(params);
    for n in 0..10 {
        says(&mut guard, 1, 3600.0 + 10.0 * f64::from(n), 50.0 * f64::from(n), true);
    }
    assert!(guard.vehicles.get(VehicleId(1)).unwrap().rare.incident().is_some());
    for n in 0..10 {
        says(&mut guard, 2, 3700.0 + 10.0 * f64::from(n), 50.0 * f64::from(n), true);
    }
    let holds = |id| guard.vehicles.get(VehicleId(id)).unwrap().silence.has_window;
    assert!(guard.vehicles.get(VehicleId(2)).unwrap().rare.incident().is_some(), "told from its newest samples");
    assert_eq!((holds(1), holds(2)), (true, false));
}
