//! The fold over a made-up city, whatever happens on the way: restarts, repetitions, another order.

use super::*;
use crate::domain::Shard;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const START_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
const VEHICLES: i64 = 4;
/// Vehicle number 1 is ridden away after this many seconds.
const THEFT_S: i64 = 300;
const END_S: i64 = 480;

/// One packet: when it was measured, by whose tracker.
struct Said {
    at_s: i64,
    vehicle: i64,
    payload: String,
}

/// Parked bikes that report every ten seconds; the first is ridden away.
fn city(random: &mut StdRng) -> Vec<Said> {
    let mut said = Vec::new();
    for at_s in (0..END_S).step_by(10) {
        for vehicle in 1..=VEHICLES {
            let ridden_s = if vehicle == 1 { (at_s - THEFT_S).max(0) } else { 0 };
            let metres = ridden_s as f64 * 6.0 + random.random_range(-4.0..4.0);
            let (lat, t_ms) = (28.5 + vehicle as f64 * 0.01 + metres / 111_195.0, (START_S + at_s) * 1000);
            let (kmh, moving) = if ridden_s > 0 { (21.6, true) } else { (0.0, false) };
            let payload = format!(
                r#"{{"v":1,"id":"yy{vehicle}","seq":{at_s},"fixes":[{{"t":{t_ms},"lat":{lat:.6},"lon":112.35,"kmh":{kmh},"sats":11,"acc":5}}],"status":{{"battery":80,"moving":{moving}}}}}"#
            );
            said.push(Said { at_s, vehicle, payload });
        }
    }
    said
}

fn packet(said: &Said, received_s: i64) -> Entry {
    let ident = format!("yy{}", said.vehicle);
    let topic = format!("v1/{}/{ident}/up", Shard::of(&ident).0);
    let received_at = Timestamp::from_secs(START_S + received_s);
    Entry::Packet(Packet { topic, received_at, payload: said.payload.clone().into_bytes(), way: Way::Broker })
}

/// Trackers, installed, and their vehicles armed.
fn people() -> Vec<Entry> {
    let at = Timestamp::from_secs(START_S - 1);
    let tracker = |n: i64| Setting::Tracker {
        tracker: TrackerKey(n),
        ident: TrackerIdent::parse(&format!("yy{n}")).unwrap(),
        profile: Profile::of("json"),
        vehicle: Some(VehicleId(n)),
        vehicle_kind: None,
    };
    let both = (1..=VEHICLES).flat_map(|n| [tracker(n), Setting::Arm { vehicle: VehicleId(n) }]);
    both.map(|setting| Entry::Setting { at, setting }).collect()
}

/// The journal of a day without trouble: packets as they come, and the clock.
fn journal(random: &mut StdRng) -> Vec<Entry> {
    let mut entries = people();
    for said in city(random) {
        if said.vehicle == 1 && said.at_s % 10 == 0 {
            entries.push(Entry::Tick { at: Timestamp::from_secs(START_S + said.at_s) });
        }
        entries.push(packet(&said, said.at_s));
    }
    entries
}

fn fold(entries: &[Entry]) -> Vec<Effects> {
    let mut lane = LaneState::default();
    entries.iter().map(|entry| lane.apply(entry, &SETTINGS)).collect()
}

/// Vehicles for which an incident was opened, as often as it was.
fn incidents(effects: &[Effects]) -> Vec<i64> {
    let opened = effects.iter().flat_map(|e| &e.findings).filter_map(|finding| match finding {
        Finding::IncidentOpened { vehicle, .. } => Some(vehicle.0),
        _ => None,
    });
    opened.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn twenty_restarts_are_no_restart(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let entries = journal(&mut random);
        let undisturbed = fold(&entries);
        prop_assert_eq!(incidents(&undisturbed), [1]);
        let mut kills: Vec<usize> = (0..20).map(|_| random.random_range(0..entries.len())).collect();
        kills.sort_unstable();
        let (mut lane, mut checkpoint) = (LaneState::default(), (0, Vec::new()));
        for (n, entry) in entries.iter().enumerate() {
            if n % 50 == 0 {
                checkpoint = (n, crate::store::journal::pack_any(&lane).unwrap());
            }
            if kills.contains(&n) {
                // Killed here: what was known is the checkpoint and the journal behind it.
                lane = crate::store::journal::unpack_any(&checkpoint.1).unwrap();
                for again in &entries[checkpoint.0..n] {
                    lane.apply(again, &SETTINGS);
                }
            }
            prop_assert_eq!(&lane.apply(entry, &SETTINGS), &undisturbed[n], "entry {}", n);
        }
    }

    #[test]
    fn batches_cut_anywhere_say_what_their_entries_say_one_by_one(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let entries = journal(&mut random);
        let (mut lane, mut rest, mut told) = (LaneState::default(), &entries[..], Vec::new());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(random.random_range(1..=rest.len().min(50)));
            told.extend(lane.apply_all(batch, &SETTINGS));
            rest = later;
        }
        prop_assert_eq!(told, fold(&entries));
    }

    #[test]
    fn repetitions_change_nothing(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let entries = journal(&mut random);
        let undisturbed = fold(&entries);
        let mut lane = LaneState::default();
        for (n, entry) in entries.iter().enumerate() {
            prop_assert_eq!(&lane.apply(entry, &SETTINGS), &undisturbed[n], "entry {}", n);
            // Whatever came within the last minutes may come again, as often as the broker likes.
            for _ in 0..random.random_range(0..3) {
                let earlier = &entries[random.random_range(n.saturating_sub(60)..=n)];
                if matches!(earlier, Entry::Packet(_)) {
                    let again = lane.apply(earlier, &SETTINGS);
                    let replies = again.replies.clone();
                    let nothing = Effects { outcome: Some(Outcome::Duplicate), replies, ..Effects::default() };
                    prop_assert_eq!(again, nothing);
                }
            }
        }
    }

    #[test]
    fn any_order_of_a_burst_ends_in_the_same_incidents(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let (on_time, mut burst): (Vec<Said>, Vec<Said>) =
            city(&mut random).into_iter().partition(|said| said.at_s < THEFT_S - 60);
        // The trackers were cut off for the last minutes; what they kept comes in any order, with repeats.
        burst.shuffle(&mut random);
        let mut entries = people();
        entries.extend(on_time.iter().map(|said| packet(said, said.at_s)));
        for (n, said) in burst.iter().enumerate() {
            let received_s = END_S + n as i64 / 20;
            entries.push(packet(said, received_s));
            if random.random_bool(0.2) {
                entries.push(packet(&burst[random.random_range(0..=n)], received_s));
            }
        }
        entries.push(Entry::Tick { at: Timestamp::from_secs(START_S + END_S + 60) });
        prop_assert_eq!(incidents(&fold(&entries)), [1]);
    }
}
