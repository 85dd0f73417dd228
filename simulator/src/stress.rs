//! `simulator stress`: thousands of trackers on connections of their own, at given rates.
//!
//! Where `load` hides thefts and keeps every promise, this only presses: open loop, one MQTT
//! message a fix (or a batch of fixes a message), PUBACKs and answers are counted and nothing is kept.
//! It speaks MQTT 3.1.1 by hand and in one thread, because a client library's queues and timers for each of
//! thousands of connections, and being woken for each of their PUBACKs, would take the processor away from what is measured.

mod line;

use crate::encode::{Language, Said, json, jt808};
use crate::fleet::now_ms;
use crate::mqtt::{Broker, Credential, credentials, topic};
use crate::vehicle::Vehicle;
use anyhow::{Context, bail};
use clap::Parser;
use line::{Heard, Line, publish};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How far a tracker's clock is behind at first, and how far it runs with a fix, milliseconds: no two fixes
/// of a tracker at once, and none so old that its quarter of an hour is closed, however hard we press.
const CLOCK_BEHIND_MS: i64 = 150_000;
const CLOCK_STEP_MS: i64 = 50;
/// JT/T 808 tells seconds, so twenty fixes share one; the last digits of the latitude (1e-6 degrees) keep so
/// many apart. Two of one second at one place are a repetition, and that is not what is measured.
const PLACES_OF_A_SECOND: i64 = 32;

/// Flags of `stress`.
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
    /// Messages a second, all together, of each step. `-`: read from standard input, a line a step, so
    /// that somebody can read meters between them.
    #[arg(long)]
    rate: String,
    /// Seconds of each step.
    #[arg(long, default_value_t = 10)]
    step_s: u64,
    /// How many trackers (connections) share them.
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Fixes in a message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
    fixes: u16,
    /// Listens to answers, too.
    #[arg(long)]
    listen: bool,
    /// The same seed plays the same places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One tracker: what it says, and where it says it.
struct Tracker {
    credential: Credential,
    topic: String,
    vehicle: Vehicle,
    sequence: u32,
    /// Its clock, which we drive.
    at_ms: i64,
    said: Vec<Said>,
    line: Line,
}

/// Presses.
///
/// # Errors
/// A flag, a file, a broker that lets nobody in.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let broker = Broker::new(&args.broker, &args.ca)?;
    let mut trackers = Vec::new();
    for (n, credential) in credentials(&args.credentials, args.connections)?.into_iter().enumerate() {
        if !matches!(credential.language, Language::Json | Language::Jt808) {
            bail!("{} speaks neither json nor jt808", credential.ident);
        }
        let line = Line::connect(&broker, &credential, args.listen)?;
        let mut vehicle = Vehicle::new(args.seed, n as u64, 3.0);
        vehicle.park();
        let topic = topic(&credential.ident);
        let at_ms = now_ms() - CLOCK_BEHIND_MS;
        trackers.push(Tracker { credential, topic, vehicle, sequence: 0, at_ms, said: Vec::new(), line });
    }
    println!("flood.connected: {} connections", trackers.len());
    let (mut heard, mut next) = (Heard::default(), 0);
    let mut rates = args.rate.split(',').map(str::to_owned).collect::<VecDeque<_>>();
    while let Some(rate) = next_rate(&mut rates)? {
        let (sent, behind_ms) = press(&mut trackers, &mut next, &mut heard, rate, args)?;
        trackers.iter_mut().for_each(|t| t.line.hear(&mut heard));
        let Heard { acks, answers, broken } = heard;
        // One line a step, for whoever paces us.
        println!(
            "flood.step: {sent} sent, {acks} acked, {answers} answered, {broken} broken, {behind_ms:.0} ms behind"
        );
    }
    Ok(())
}

/// The rate of the next step; `None` when there is none.
fn next_rate(rates: &mut VecDeque<String>) -> anyhow::Result<Option<u64>> {
    let text = match rates.front().map(String::as_str) {
        None => return Ok(None),
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            line
        }
        Some(_) => rates.pop_front().unwrap_or_default(),
    };
    match text.trim() {
        "" => Ok(None),
        rate => rate.parse().map(Some).with_context(|| format!("the rate is {rate:?}; it must be a whole number")),
    }
}

/// One step: messages on schedule. Returns how many were sent and how far behind it was at worst, ms.
fn press(
    trackers: &mut [Tracker],
    next: &mut usize,
    heard: &mut Heard,
    rate: u64,
    args: &Args,
) -> anyhow::Result<(u64, f64)> {
    let started = Instant::now();
    let total = rate * args.step_s;
    let (mut sent, mut behind) = (0, Duration::ZERO);
    let mut bytes = Vec::with_capacity(4096);
    while sent < total {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due.min(total) {
            let count = trackers.len();
            let Some(n) = (*next..*next + count).map(|n| n % count).find(|&n| !trackers[n].line.is_broken()) else {
                bail!("the broker has ended all {count} connections");
            };
            *next = (n + 1) % count;
            bytes.clear();
            trackers[n].speak(args.fixes, &mut bytes);
            trackers[n].line.say(&bytes, heard);
            sent += 1;
        }
        behind = behind.max(started.elapsed().saturating_sub(Duration::from_secs_f64(sent as f64 / rate as f64)));
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((sent, behind.as_secs_f64() * 1000.0))
}

impl Tracker {
    /// Its next message as a PUBLISH of QoS 1.
    fn speak(&mut self, fixes: u16, out: &mut Vec<u8>) {
        self.said.clear();
        for _ in 0..fixes {
            self.at_ms = (self.at_ms + CLOCK_STEP_MS).min(now_ms());
            self.vehicle.live(CLOCK_STEP_MS as f64 / 1000.0);
            let measured = self.vehicle.measure(self.at_ms);
            self.said.push(Said { lat: told_apart(measured.lat, self.at_ms / CLOCK_STEP_MS), ..measured });
        }
        self.sequence += 1;
        let ident = &self.credential.ident;
        let payload = match (self.credential.language, &self.said[..]) {
            (Language::Jt808, [said]) => jt808::location(ident, self.sequence as u16, said),
            (Language::Jt808, said) => jt808::batch(ident, self.sequence as u16, said),
            (_, said) => json::batch(ident, self.sequence, said),
        };
        publish(&self.topic, (self.sequence % 65_535 + 1) as u16, &payload, out);
    }
}

/// A latitude whose last digits are those of fix number `n`.
fn told_apart(lat: f64, n: i64) -> f64 {
    let places = (lat * 1e6) as i64;
    (places.div_euclid(PLACES_OF_A_SECOND) * PLACES_OF_A_SECOND + n.rem_euclid(PLACES_OF_A_SECOND)) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fixes_of_a_second_stand_at_one_place() {
        let digits = |n| (told_apart(28.553_219_8, n) * 1e6).round() as i64;
        let places: std::collections::BTreeSet<i64> = (0..1000 / CLOCK_STEP_MS).map(digits).collect();
        assert_eq!(places.len() as i64, 1000 / CLOCK_STEP_MS);
        assert!((digits(31) - 28_553_219).abs() < PLACES_OF_A_SECOND);
    }
}
