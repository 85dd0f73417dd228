//! What a fix costs the guard with 100,000 zones loaded, and what a parked vehicle weighs.
//!
//! 50,000 zones of the city and 50,000 of single vehicles over 60 km; 50,000 guarded vehicles that
//! have stood for hours, in ten lanes' worth of order at random. Nine fixes in ten are of vehicles at rest.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::domain::{
    Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, VehicleId, Way, Zone, ZoneId, ZoneRule, ZoneShape,
};
use rideguard::guard::{Arrival, Guard, PREFETCH_MAX, Params};
use std::hint::black_box;
use std::time::Instant;

const VEHICLES: usize = 50_000;
const ZONES: i64 = 100_000;
const SEED: u64 = 5;
/// Heartbeats of a parked vehicle before it is weighed.
const HEARTBEATS: i64 = 30;
const START: Timestamp = Timestamp::from_secs(1_790_000_000);
/// Packets of a vehicle while all are shaken.
const SHAKES: i64 = 20;
/// Half of the city's extent, degrees: about 30 km.
const REACH_DEG: f64 = 0.27;

fn main() {
    let mut random = StdRng::seed_from_u64(SEED);
    let homes: Vec<LatLon> = (0..VEHICLES).map(|_| somewhere(&mut random)).collect();

    let before = resident_bytes();
    let mut guard = Guard::new(Params::default());
    for id in 0..VEHICLES {
        guard.arm(VehicleId(id as i64), START, START);
    }
    for beat in 1..=HEARTBEATS {
        everybody_speaks(&mut guard, &mut random, &homes, beat);
    }
    println!("guard.bytes_per_vehicle: {:.0} B", (resident_bytes() - before) as f64 / VEHICLES as f64);

    for n in 0..ZONES {
        guard.put_zone(zone(n, somewhere(&mut random)), START);
    }
    // The first fix at a place pays for looking it up; those of a standing vehicle go on for hours.
    everybody_speaks(&mut guard, &mut random, &homes, HEARTBEATS + 1);
    println!("guard.cost_per_fix: {:.0} ns", cost_per_fix(&mut guard, &mut random, &homes));

    // Last, as it moves everything in memory: the ground shakes, and everybody is a suspect.
    let quiet = resident_bytes();
    for beat in 0..SHAKES {
        everybody_is_shaken(&mut guard, &mut random, &homes, 300 * (HEARTBEATS + 20) + 10 * beat);
    }
    println!("guard.bytes_more_per_suspect: {:.0} B", (resident_bytes() - quiet) as f64 / VEHICLES as f64);
    println!("guard.windows_held: {}", guard.windows().0);
}

/// Fastest of eleven rounds over a tenth of the vehicles each: what it costs when nobody disturbs.
fn cost_per_fix(guard: &mut Guard, random: &mut StdRng, homes: &[LatLon]) -> f64 {
    let per_round = VEHICLES / 10;
    let mut fastest = f64::INFINITY;
    for round in 0..11 {
        let at = 300 * (HEARTBEATS + 2 + round);
        let batch: Vec<usize> = (0..per_round).map(|_| random.random_range(0..VEHICLES)).collect();
        let moments: Vec<_> = batch
            .iter()
            .enumerate()
            .map(|(n, id)| {
                // Every tenth is one of ten fixes of a ride, ten seconds apart.
                let is_ridden = n % 10 == 0;
                let metres = if is_ridden { 40.0 * round as f64 } else { 0.0 };
                moment(random, homes[*id], at, Some(is_ridden), metres)
            })
            .collect();
        let started = Instant::now();
        // As a lane folds them: some at a time are looked at ahead.
        for (batch, moments) in batch.chunks(PREFETCH_MAX).zip(moments.chunks(PREFETCH_MAX)) {
            let ids: Vec<VehicleId> = batch.iter().map(|id| VehicleId(*id as i64)).collect();
            guard.prefetch(&ids);
            for (id, moment) in ids.iter().zip(moments) {
                let seen = Arrival {
                    received_at: START.plus_secs_f64(at as f64 + 1.0),
                    digest: PacketDigest(id.0 as u64),
                    report_interval_s: None,
                    way: Way::Broker,
                };
                black_box(guard.consider(*id, black_box(moment), &seen));
            }
        }
        fastest = fastest.min(started.elapsed().as_nanos() as f64 / per_round as f64);
    }
    fastest
}

fn everybody_speaks(guard: &mut Guard, random: &mut StdRng, homes: &[LatLon], beat: i64) {
    let at = 300 * beat;
    for (id, home) in homes.iter().enumerate() {
        let digest = PacketDigest((at as u64) << 32 | id as u64);
        let seen = Arrival {
            received_at: START.plus_secs_f64(at as f64 + 1.0),
            digest,
            report_interval_s: None,
            way: Way::Broker,
        };
        black_box(guard.consider(VehicleId(id as i64), &moment(random, *home, at, Some(false), 0.0), &seen));
    }
}

/// A packet of everybody at once, ten seconds after the last: the ground shakes.
fn everybody_is_shaken(guard: &mut Guard, random: &mut StdRng, homes: &[LatLon], at: i64) {
    for (id, home) in homes.iter().enumerate() {
        let digest = PacketDigest((at as u64) << 32 | id as u64);
        let seen = Arrival {
            received_at: START.plus_secs_f64(at as f64 + 1.0),
            digest,
            report_interval_s: None,
            way: Way::Broker,
        };
        black_box(guard.consider(VehicleId(id as i64), &moment(random, *home, at, Some(true), 0.0), &seen));
    }
}

fn moment(random: &mut StdRng, home: LatLon, at: i64, moving: Option<bool>, metres: f64) -> Moment {
    let mut stray = || random.random_range(-1e-4..1e-4);
    Moment {
        fix: Some(Fix {
            fixed_at: Some(START.plus_secs_f64(at as f64)),
            valid: true,
            position: LatLon::new(home.lat_deg + stray(), home.lon_deg + stray() + metres / 97_000.0),
            altitude_m: None,
            speed_kmh: Some(if metres > 0.0 { 14.0 } else { 0.4 }),
            course_deg: Some(90.0),
            satellites: Some(9),
            hdop: Some(1.1),
            accuracy_m: None,
            source: FixSource::Gnss,
        }),
        status: Status { external_power: Some(true), moving, ..Status::default() },
        ..Moment::default()
    }
}

fn zone(n: i64, centre: LatLon) -> Zone {
    Zone {
        id: ZoneId(n),
        name: format!("zone {n}"),
        shape: ZoneShape::Circle { centre, radius_m: 100.0 },
        rule: ZoneRule::Both,
        vehicle: (n % 2 == 1).then_some(VehicleId(n / 2)),
        dwell_s: 0,
        schedule: None,
        vehicle_kind: None,
    }
}

fn somewhere(random: &mut StdRng) -> LatLon {
    let mut off = || random.random_range(-REACH_DEG..REACH_DEG);
    LatLon::new(28.55 + off(), 112.35 + off())
}

/// Memory of this process that is in use, allocator's slack included.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).expect("a number of pages");
    pages * 4096
}
