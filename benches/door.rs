//! The door against the broker: the same trackers, load, lanes and PostgreSQL, by turns in one run.
//!
//! A step's cost is the processor time of the whole server side: broker, `rideguard ingest` and PostgreSQL, for each message.
//! Both ways have all their connections all the time. A rate counts as held if everything that was sent in a step is applied
//! within `LAG_S_MAX` of its end and nobody's connection broke.
//!
//! `RIDEGUARD_BENCH_CONNECTIONS`, `_STEP_S` and `_TURNS` change the sizes.

#[allow(dead_code)] // what other benches ask of the place
#[path = "support/place.rs"]
mod place;

use place::{Flood, Meter, Place};
use std::time::{Duration, Instant};

/// A step's backlog must be gone this soon after it, seconds.
const LAG_S_MAX: f64 = 1.0;
/// Rates at which costs are compared, messages a second.
const RATES: [u64; 3] = [2_000, 10_000, 30_000];
/// The first rate that may not be held, and how much each next is above the one before.
const CLIMB: (u64, f64) = (24_000, 1.15);
/// The first use of the log's files costs three times the later ones.
const WARM_UP_S: u64 = 8;
/// Longest that a step's backlog is waited for, seconds.
const DRAIN_S_MAX: f64 = 30.0;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What one step came to.
struct Step {
    server_us: f64,
    lag_s: f64,
    is_held: bool,
    sent_a_second: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let connections = setting("RIDEGUARD_BENCH_CONNECTIONS", 5000);
    let (step_s, turns) = (setting("RIDEGUARD_BENCH_STEP_S", 4), setting("RIDEGUARD_BENCH_TURNS", 3));
    let mut place = Place::make(connections as usize).await?;
    place.start_ingest().await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // until the door knows whom to let in
    let mut broker = place.flood(1, false, step_s).await?;
    let before = place.ingest_rss_bytes();
    let mut door = place.flood_at(place.door_port(), 1, false, step_s).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rss = place.ingest_rss_bytes().saturating_sub(before) as f64 / connections as f64;
    println!("door.rss_per_tls_connection: {rss:.0} B");
    for _ in 0..WARM_UP_S.div_ceil(step_s) {
        step(&mut place, &mut broker, 5_000).await?;
        step(&mut place, &mut door, 5_000).await?;
    }
    for rate in RATES {
        let mut ratios = Vec::new();
        for turn in 0..turns {
            let by_broker = step(&mut place, &mut broker, rate).await?;
            let by_door = step(&mut place, &mut door, rate).await?;
            let ratio = by_door.server_us / by_broker.server_us;
            eprintln!(
                "turn {turn}, {rate}/s: server µs a message by broker {:.1} (lag {:.2} s), by door {:.1} (lag {:.2} s): {ratio:.2}",
                by_broker.server_us, by_broker.lag_s, by_door.server_us, by_door.lag_s
            );
            ratios.push(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        let name = if rate == 30_000 { String::new() } else { format!("_at_{rate}") };
        println!("door.server_cpu_vs_broker{name}: {:.2} x", ratios[ratios.len() / 2]);
    }
    let (mut held, mut rate) = ([0.0, 0.0], CLIMB.0 as f64);
    let mut failed = [0, 0];
    while failed.iter().any(|failures| *failures < 2) {
        for (way, flood) in [&mut broker, &mut door].into_iter().enumerate() {
            if failed[way] >= 2 {
                continue;
            }
            let done = step(&mut place, flood, rate as u64).await?;
            let (name, verdict) = (["broker", "door"][way], if done.is_held { "held" } else { "not held" });
            eprintln!(
                "{name}: {rate:.0}/s offered, {:.0}/s sent, lag {:.2} s: {verdict}",
                done.sent_a_second, done.lag_s
            );
            if done.is_held {
                (held[way], failed[way]) = (done.sent_a_second, 0);
            } else {
                failed[way] += 1;
            }
        }
        rate *= CLIMB.1;
    }
    println!("door.rate: {:.0} fixes/s", held[1]);
    println!("door.rate_vs_broker: {:.2} x", held[1] / held[0]);
    broker.end().await;
    door.end().await;
    place.stop().await
}

/// One step by one way.
async fn step(place: &mut Place, flood: &mut Flood, rate: u64) -> anyhow::Result<Step> {
    let (stood, before, started) = (place.consumed().await?, Meter::read(place, flood), Instant::now());
    let sent = flood.step(rate).await?;
    let sent_s = started.elapsed().as_secs_f64();
    let mut lag_s = 0.0;
    while place.consumed().await? - stood < sent.sent && lag_s < DRAIN_S_MAX {
        tokio::time::sleep(Duration::from_millis(50)).await;
        lag_s = started.elapsed().as_secs_f64() - sent_s;
    }
    let spent = before.until(&Meter::read(place, flood));
    let server_s: f64 = spent.iter().filter(|(who, _)| *who != "simulator").map(|(_, s)| s).sum();
    let sent_a_second = sent.sent as f64 / sent_s;
    Ok(Step {
        server_us: server_s * 1e6 / sent.sent as f64,
        lag_s,
        is_held: lag_s <= LAG_S_MAX && sent.broken == 0 && sent_a_second > 0.97 * rate as f64,
        sent_a_second,
    })
}
