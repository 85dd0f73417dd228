//! What a known tracker costs in memory: resident bytes with so many trackers, each in a guarded vehicle
//! that has spoken a few times, above the same process without any. A process of its own for each size.

use rideguard::domain::{
    Entry, Lane, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey, VehicleId, Way,
};
use rideguard::engine::{FoldSettings, LaneState};
use std::process::Command;

/// Sizes of the city.
const SIZES: [u64; 3] = [20_000, 100_000, 1_000_000];
/// What each tracker has said, a minute apart.
const PACKETS: i64 = 3;
/// A size for the process that measures it.
const SIZE: &str = "RIDEGUARD_BENCH_TRACKERS";
const START_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

fn main() -> anyhow::Result<()> {
    if let Ok(size) = std::env::var(SIZE) {
        return measure(size.parse()?);
    }
    for size in SIZES {
        let output = Command::new(std::env::current_exe()?).env(SIZE, size.to_string()).output()?;
        let rss: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        println!("ingest.rss_growth_{size}_trackers: {:.0} MB", rss / 1e6);
        if Some(&size) == SIZES.last() {
            println!("ingest.bytes_per_tracker: {:.0} B", rss / size as f64);
        } else {
            println!("ingest.bytes_per_tracker_{size}: {:.0} B", rss / size as f64);
        }
    }
    Ok(())
}

fn measure(size: u64) -> anyhow::Result<()> {
    let before = resident_bytes()?;
    let mut lanes: Vec<LaneState> = Lane::all().map(|_| LaneState::default()).collect();
    for n in 0..size as i64 {
        let ident = format!("86{n:013}");
        let lane = &mut lanes[usize::from(Shard::of(&ident).lane().0)];
        let at = Timestamp::from_secs(START_S);
        let vehicle = VehicleId(n);
        let setting = Setting::Tracker {
            tracker: TrackerKey(n),
            ident: TrackerIdent::parse(&ident)?,
            profile: Profile::of("json"),
            vehicle: Some(vehicle),
            vehicle_kind: None,
        };
        lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
        lane.apply(&Entry::Setting { at, setting: Setting::Arm { vehicle } }, &SETTINGS);
    }
    for minute in 1..=PACKETS {
        for n in 0..size as i64 {
            let ident = format!("86{n:013}");
            lanes[usize::from(Shard::of(&ident).lane().0)].apply(&heartbeat(&ident, n, minute), &SETTINGS);
        }
    }
    println!("{}", resident_bytes()?.saturating_sub(before));
    drop(lanes);
    Ok(())
}

/// A parked vehicle's heartbeat with its fix, which strays a little.
fn heartbeat(ident: &str, n: i64, minute: i64) -> Entry {
    let at_s = START_S + 60 * minute;
    let stray = (n * 7919 + minute * 104_729) % 100;
    let payload = format!(
        r#"{{"v":1,"id":"{ident}","seq":{minute},"fixes":[{{"t":{}000,"lat":28.55{stray:04},"lon":112.35{stray:04},"kmh":0.0,"sats":9,"acc":5.0}}],"status":{{"battery":80,"external_power":true,"ignition":false,"moving":false,"firmware":"2.1.0"}}}}"#,
        at_s - 1
    );
    let topic = format!("v1/{}/{ident}/up", Shard::of(ident).0);
    Entry::Packet(Packet {
        topic,
        received_at: Timestamp::from_secs(at_s),
        payload: payload.into_bytes(),
        way: Way::Broker,
    })
}

/// Resident memory of this process (proc(5), statm, second field, in pages of 4 KiB).
fn resident_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok());
    Ok(pages.ok_or_else(|| anyhow::anyhow!("/proc/self/statm cannot be read"))? * 4096)
}
