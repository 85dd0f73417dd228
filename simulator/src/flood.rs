//! `simulator flood`: thousands of trackers on connections of their own, as fast as it is told.
//!
//! Where `load` hides thefts and keeps every promise, this only presses: open loop, one MQTT
//! message a fix (or a batch of fixes a message), PUBACKs and answers are counted and nothing is kept.
//! It speaks MQTT 3.1.1 by hand, because a client library's queues and timers for each of
//! thousands of connections would take the processor away from what is measured.

use crate::encode::{Language, Said, json, jt808};
use crate::fleet::now_ms;
use crate::mqtt::{Broker, Credential, credentials, topic};
use crate::vehicle::Vehicle;
use anyhow::{Context, bail};
use clap::Parser;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How far a tracker's clock is behind at first, and how far it runs with a fix, milliseconds: no two fixes
/// of a tracker at once, and none so old that its quarter of an hour is closed, however hard we press.
const CLOCK_BEHIND_MS: i64 = 150_000;
const CLOCK_STEP_MS: i64 = 50;
/// JT/T 808 tells seconds, so twenty fixes share one; the last digits of the latitude (1e-6 degrees) keep so
/// many apart. Two of one second at one place are a repetition, and that is not what is measured.
const PLACES_OF_A_SECOND: i64 = 32;

/// Flags of `flood`.
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
    way: WriteHalf<TlsStream<TcpStream>>,
}

/// What came back.
#[derive(Default)]
struct Heard {
    acks: AtomicU64,
    answers: AtomicU64,
    broken: AtomicU64,
}

/// Presses.
///
/// # Errors
/// A flag, a file, a broker that lets nobody in.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let broker = Broker::new(&args.broker, &args.ca)?;
    let heard = Arc::new(Heard::default());
    let mut trackers = Vec::new();
    for (n, credential) in credentials(&args.credentials, args.connections)?.into_iter().enumerate() {
        if !matches!(credential.language, Language::Json | Language::Jt808) {
            bail!("{} speaks neither json nor jt808", credential.ident);
        }
        let (reading, way) = connect(&broker, &credential, args.listen).await?;
        tokio::spawn(listen(reading, heard.clone()));
        let mut vehicle = Vehicle::new(args.seed, n as u64, 3.0);
        vehicle.park();
        let topic = topic(&credential.ident);
        let at_ms = now_ms() - CLOCK_BEHIND_MS;
        trackers.push(Tracker { credential, topic, vehicle, sequence: 0, at_ms, said: Vec::new(), way });
    }
    println!("flood.connected: {} connections", trackers.len());
    let mut next = 0;
    let mut rates = args.rate.split(',').map(str::to_owned).collect::<VecDeque<_>>();
    while let Some(rate) = next_rate(&mut rates).await? {
        let step = press(&mut trackers, &mut next, rate, args.step_s, args.fixes).await?;
        let (acks, answers) = (heard.acks.load(Ordering::Relaxed), heard.answers.load(Ordering::Relaxed));
        let broken = heard.broken.load(Ordering::Relaxed);
        // One line a step, for whoever paces us.
        println!(
            "flood.step: {} sent, {acks} acked, {answers} answered, {broken} broken, {:.0} ms behind",
            step.0, step.1
        );
    }
    Ok(())
}

/// The rate of the next step; `None` when there is none.
async fn next_rate(rates: &mut VecDeque<String>) -> anyhow::Result<Option<u64>> {
    let text = match rates.front().map(String::as_str) {
        None => return Ok(None),
        Some("-") => {
            let read = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map(|_| line)
            });
            read.await??
        }
        Some(_) => rates.pop_front().unwrap_or_default(),
    };
    match text.trim() {
        "" => Ok(None),
        rate => rate.parse().map(Some).with_context(|| format!("the rate is {rate:?}; it must be a whole number")),
    }
}

/// One step: messages on schedule. Returns how many were sent and how far behind it was at worst, ms.
async fn press(
    trackers: &mut [Tracker],
    next: &mut usize,
    rate: u64,
    step_s: u64,
    fixes: u16,
) -> anyhow::Result<(u64, f64)> {
    let started = Instant::now();
    let total = rate * step_s;
    let (mut sent, mut behind) = (0, Duration::ZERO);
    let mut bytes = Vec::with_capacity(4096);
    while sent < total {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due.min(total) {
            let count = trackers.len();
            let tracker = &mut trackers[*next];
            *next = (*next + 1) % count;
            bytes.clear();
            tracker.speak(fixes, &mut bytes);
            tracker.way.write_all(&bytes).await?;
            tracker.way.flush().await?;
            sent += 1;
            if sent % 64 == 0 {
                tokio::task::yield_now().await; // the listeners of this thread
            }
        }
        behind = behind.max(started.elapsed().saturating_sub(Duration::from_secs_f64(sent as f64 / rate as f64)));
        tokio::time::sleep(Duration::from_millis(2)).await;
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

/// TLS, CONNECT, and the wish for answers.
async fn connect(
    broker: &Broker,
    credential: &Credential,
    listen: bool,
) -> anyhow::Result<(ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>)> {
    let tcp = TcpStream::connect((broker.host.as_str(), broker.port)).await.context("cannot reach the broker")?;
    tcp.set_nodelay(true)?;
    let name = rustls::pki_types::ServerName::try_from(broker.host.clone())?;
    let mut stream = tokio_rustls::TlsConnector::from(broker.tls.clone()).connect(name, tcp).await?;
    let mut bytes = Vec::new();
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b1100_0010, 0, 240];
    for text in [&credential.ident, &credential.ident, &credential.password] {
        put_text(text, &mut body);
    }
    put_packet(0x10, &body, &mut bytes);
    if listen {
        let mut body = vec![0, 1];
        put_text(&topic(&credential.ident).replace("/up", "/down"), &mut body);
        body.push(0);
        put_packet(0x82, &body, &mut bytes);
    }
    stream.write_all(&bytes).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.with_context(|| format!("the broker refuses {}", credential.ident))?;
    if answer != [0x20, 2, 0, 0] {
        bail!("the broker refuses {} with code {}", credential.ident, answer[3]);
    }
    Ok(tokio::io::split(stream))
}

/// Counts PUBACKs and answers until the connection ends.
async fn listen(mut reading: ReadHalf<TlsStream<TcpStream>>, heard: Arc<Heard>) {
    let mut kept: Vec<u8> = Vec::with_capacity(512);
    while let Ok(1..) = reading.read_buf(&mut kept).await {
        let mut at = 0;
        while let Some((kind, length)) = next_packet(&kept[at..]) {
            match kind >> 4 {
                4 => heard.acks.fetch_add(1, Ordering::Relaxed),
                3 => heard.answers.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            at += length;
        }
        kept.drain(..at);
    }
    heard.broken.fetch_add(1, Ordering::Relaxed);
}

/// The first byte and the whole length of the packet at the front, if it is all there.
fn next_packet(bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut length, mut digits) = (0usize, 0);
    loop {
        let byte = *bytes.get(1 + digits)?;
        length |= usize::from(byte & 0x7f) << (7 * digits);
        digits += 1;
        if byte & 0x80 == 0 || digits == 4 {
            break;
        }
    }
    (bytes.len() >= 1 + digits + length).then_some((bytes[0], 1 + digits + length))
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A packet: first byte, remaining length (MQTT 3.1.1, 2.2.3), body.
fn put_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    put_length(body.len(), out);
    out.extend_from_slice(body);
}

fn put_length(mut length: usize, out: &mut Vec<u8>) {
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            return;
        }
    }
}

fn publish(topic: &str, id: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x32);
    put_length(2 + topic.len() + 2 + payload.len(), out);
    put_text(topic, out);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
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

    #[test]
    fn a_packet_that_is_put_is_found_again_and_a_cut_one_is_awaited() {
        let mut bytes = Vec::new();
        publish("v1/1/a/up", 7, &[9; 300], &mut bytes);
        let length = bytes.len();
        put_packet(0x40, &[0, 7], &mut bytes);
        assert_eq!(next_packet(&bytes), Some((0x32, length)));
        assert_eq!(next_packet(&bytes[length..]), Some((0x40, 4)));
        assert_eq!(next_packet(&bytes[..length - 1]), None);
    }
}
