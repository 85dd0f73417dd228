//! The steps of a packet's way, each by itself: decode, fold with the guard, pack for the journal, COPY's bytes.
//! Statistics by criterion, so that two commits can be compared (`cargo bench --bench micro`).

#[path = "support/packets.rs"]
mod packets;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rideguard::domain::{Entry, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey, VehicleId, Way};
use rideguard::engine::{Effects, FoldSettings, LaneState};
use rideguard::protocol;
use rideguard::store::commit::fixes;
use rideguard::store::journal;
use std::hint::black_box;

/// Trackers of the lane.
const TRACKERS: i64 = 5_000;
/// Packets in a journal row, as a busy lane has them.
const BATCH: i64 = 200;
const START_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, packet) in packets::packets() {
        let profile = Profile::of(name);
        group.bench_function(name, |b| b.iter(|| protocol::decode(&profile, black_box(&packet))));
    }
    group.finish();
}

fn guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard");
    group.throughput(Throughput::Elements(BATCH as u64));
    // Each time another minute, so that nothing is a repetition.
    for (name, metres_a_minute) in [("fold_of_the_parked", 0), ("fold_of_a_ride", 600)] {
        let (mut lane, mut minute) = (parked_lane(), 10);
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    minute += 1;
                    batch(minute, metres_a_minute * minute)
                },
                |entries| fold(&mut lane, &entries),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn store(criterion: &mut Criterion) {
    let entries = batch(11, 0);
    let packed = journal::pack(&entries).expect("packs");
    let lane = parked_lane();
    let effects = fold(&mut lane.clone(), &entries);
    let rows: Vec<_> = effects.iter().flat_map(|e| &e.fixes).collect();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("journal_pack", |b| b.iter(|| journal::pack(black_box(&entries))));
    group.bench_function("journal_unpack", |b| b.iter(|| journal::unpack(black_box(&packed))));
    group.bench_function("copy_encode", |b| b.iter(|| fixes::encode(black_box(&rows))));
    group.throughput(Throughput::Elements(TRACKERS as u64));
    group.bench_function("checkpoint_pack", |b| b.iter(|| journal::pack_any(black_box(&lane))));
    group.finish();
}

/// A lane whose vehicles stand armed, and have spoken ten times.
fn parked_lane() -> LaneState {
    let mut lane = LaneState::default();
    let at = Timestamp::from_secs(START_S);
    for n in 0..TRACKERS {
        let vehicle = VehicleId(n);
        let setting = Setting::Tracker {
            tracker: TrackerKey(n),
            ident: TrackerIdent::parse(&ident(n)).expect("an identifier"),
            profile: Profile::of("json"),
            vehicle: Some(vehicle),
            vehicle_kind: None,
        };
        lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
        lane.apply(&Entry::Setting { at, setting: Setting::Arm { vehicle } }, &SETTINGS);
    }
    for minute in 1..=10 {
        (0..TRACKERS).for_each(|n| drop(lane.apply(&report(n, minute, 0), &SETTINGS)));
    }
    lane
}

fn fold(lane: &mut LaneState, entries: &[Entry]) -> Vec<Effects> {
    entries.iter().map(|entry| lane.apply(entry, &SETTINGS)).collect()
}

/// Packets of as many trackers, far from each other in the lane.
fn batch(minute: i64, metres: i64) -> Vec<Entry> {
    (0..BATCH).map(|n| report((n * 7919 + minute * 31) % TRACKERS, minute, metres)).collect()
}

fn ident(n: i64) -> String {
    format!("86{n:013}")
}

fn report(n: i64, minute: i64, metres: i64) -> Entry {
    let (ident, at_s) = (ident(n), START_S + 60 * minute);
    let stray = (n * 7919 + minute * 104_729) % 100 + 9 * (metres % 10_000);
    let payload = format!(
        r#"{{"v":1,"id":"{ident}","seq":{minute},"fixes":[{{"t":{}000,"lat":28.{:06},"lon":112.35{:04},"kmh":0.0,"sats":9,"acc":5.0}}],"status":{{"battery":80,"external_power":true,"ignition":false,"moving":false,"firmware":"2.1.0"}}}}"#,
        at_s - 1,
        550_000 + stray,
        n % 10_000,
    );
    let topic = format!("v1/{}/{ident}/up", Shard::of(&ident).0);
    let received_at = Timestamp::from_secs(at_s);
    Entry::Packet(Packet { topic, received_at, payload: payload.into_bytes(), way: Way::Broker })
}

criterion_group!(steps, decode, guard, store);
criterion_main!(steps);
