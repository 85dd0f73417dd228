//! `simulator load`: an open-loop load with thefts hidden in it.
//!
//! Arrivals keep their schedule whatever the answers are, so that a slow system is seen as slow
//! instead of being asked less.

use crate::fleet::now_ms;
use crate::mqtt::{Broker, Credential, Manners, Message, Promise, credentials, publish};
use crate::truth::Lines;
use crate::vehicle::Vehicle;
use anyhow::bail;
use clap::Parser;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// Flags of `load`.
#[derive(Parser)]
pub struct Args {
    /// The broker, HOST:PORT, TLS.
    #[arg(long)]
    broker: String,
    /// The authority that signed its certificate, PEM.
    #[arg(long)]
    ca: PathBuf,
    /// A line per tracker: IDENT PASSWORD PROTOCOL.
    #[arg(long)]
    credentials: PathBuf,
    /// Messages a second, all together.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How many trackers (connections) share them.
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Seconds.
    #[arg(long, default_value_t = 30)]
    duration_s: u64,
    /// The same seed plays the same places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write each fix that shows a theft.
    #[arg(long)]
    thefts_file: Option<PathBuf>,
    /// Seconds between thefts, from among the last third of the trackers; 0: none.
    #[arg(long, default_value_t = 0.0)]
    theft_every_s: f64,
    /// Seconds before the first theft: guard points must be known.
    #[arg(long, default_value_t = 10.0)]
    first_theft_s: f64,
}

struct Tracker {
    credential: Credential,
    vehicle: Vehicle,
    sequence: u32,
    way: mpsc::Sender<Message>,
    stolen_fixes: u32,
    stolen: bool,
    last: Instant,
}

/// Sends the load.
///
/// # Errors
/// A flag, a file.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if !(1..=1_000_000).contains(&args.rate) {
        bail!("--rate is {}; it must be 1 to 1000000", args.rate);
    }
    let broker = Broker::new(&args.broker, &args.ca)?;
    let thefts = Lines::open(args.thefts_file.as_deref())?;
    let acked = Arc::new(AtomicU64::new(0));
    let mut publishing = Vec::new();
    let mut trackers: Vec<Tracker> = Vec::new();
    for (n, credential) in credentials(&args.credentials, args.connections)?.into_iter().enumerate() {
        let (way, messages) = mpsc::channel(1000);
        let counter = acked.clone();
        let count = move |_: &[u8], promise| {
            if promise == Promise::Broker {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        publishing.push(tokio::spawn(publish(
            broker.clone(),
            credential.clone(),
            messages,
            count,
            Manners { waits_for_answers: false, patience: Duration::from_secs(10) },
        )));
        let mut vehicle = Vehicle::new(args.seed, n as u64, 3.0);
        vehicle.park();
        trackers.push(Tracker {
            credential,
            vehicle,
            sequence: 0,
            way,
            stolen_fixes: 0,
            stolen: false,
            last: Instant::now(),
        });
        if n % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(100)).await; // TLS handshakes cost the broker's one thread
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut sent, mut dropped, mut behind) = (0u64, 0u64, Duration::ZERO);
    let started = Instant::now();
    let mut next_theft_s = if args.theft_every_s > 0.0 { args.first_theft_s } else { f64::INFINITY };
    let (thieves_from, mut stolen) = (trackers.len() * 2 / 3, 0);
    for number in 0..args.rate * args.duration_s {
        let due = started + Duration::from_secs_f64(number as f64 / args.rate as f64);
        let now = Instant::now();
        if due > now {
            tokio::time::sleep(due - now).await;
        } else {
            behind = behind.max(now - due);
        }
        if started.elapsed().as_secs_f64() >= next_theft_s && thieves_from + stolen < trackers.len() {
            let tracker = &mut trackers[thieves_from + stolen];
            tracker.vehicle.steal();
            tracker.stolen = true;
            stolen += 1;
            next_theft_s += args.theft_every_s;
        }
        let count = trackers.len() as u64;
        let tracker = &mut trackers[(number % count) as usize];
        let passed_s = tracker.last.elapsed().as_secs_f64();
        tracker.last = Instant::now();
        let before = tracker.vehicle.place;
        tracker.vehicle.live(passed_s);
        let said = tracker.vehicle.measure(now_ms());
        tracker.sequence += 1;
        let payload = tracker.credential.language.message(&tracker.credential.ident, tracker.sequence, &said);
        let message = Message { sequence: tracker.sequence, payload };
        if tracker.stolen {
            tracker.stolen_fixes += 1;
            let at_us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
            thefts.write(&json!({ "ident": tracker.credential.ident, "fix_index": tracker.stolen_fixes, "step_m": before.distance_m(tracker.vehicle.place), "fixed_at_ms": said.at_ms, "published_at_us": at_us }));
        }
        match tracker.way.try_send(message) {
            Ok(()) => sent += 1,
            Err(_) => dropped += 1,
        }
    }
    let elapsed_s = started.elapsed().as_secs_f64();
    drop(trackers);
    for task in publishing {
        let _ = task.await;
    }
    println!("load.sent: {sent} messages");
    println!("load.dropped: {dropped} messages");
    println!("load.acked: {} messages", acked.load(Ordering::Relaxed));
    println!("load.rate: {:.0} messages/s", sent as f64 / elapsed_s);
    println!("load.behind_max: {:.1} ms", behind.as_secs_f64() * 1000.0);
    Ok(())
}
