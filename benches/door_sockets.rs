//! Trackers of GT06 on sockets of their own at the door, PostgreSQL on: memory of an idle connection, latency of an answer, which
//! means "in the journal", how fast a tracker with one message in flight uploads what it has kept, and processor time.
//!
//! `RIDEGUARD_BENCH_SOCKETS` and `_STEP_S` change the sizes.

#[allow(dead_code)] // what other benches ask of the place
#[path = "support/place.rs"]
mod place;

use anyhow::Context;
use place::Place;
use rideguard::clock::now;
use rideguard::protocol::gt06::build;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Lanes, and positions a second and lane at which latency is asked for.
const LANES: u32 = 16;
const PER_LANE: u32 = 100;
/// Positions a second at which costs are measured.
const COST_RATE: u32 = 10_000;
/// Positions that one tracker has kept.
const BACKLOG: u32 = 300;
/// Connections opened at once: the door's own bound is 2,000 a second and thread.
const AT_ONCE: usize = 500;
/// Clock ticks of a second (/proc/PID/stat).
const TICKS_PER_S: f64 = 100.0;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// A tracker on its connection.
struct Tracker {
    stream: TcpStream,
    serial: u16,
}

impl Tracker {
    /// Connects and logs in; tries again until it is let in.
    async fn enter(port: u16, number: u32) -> anyhow::Result<Self> {
        let login = build(false, 1, &hex::decode(format!("0{}", 860_000_000_000_000_u64 + u64::from(number)))?, 1);
        let since = Instant::now();
        loop {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&login).await?;
            let mut answer = [0; 10];
            if stream.read_exact(&mut answer).await.is_ok() {
                return Ok(Self { stream, serial: 1 });
            }
            anyhow::ensure!(since.elapsed() < Duration::from_secs(20), "tracker {number} is not let in");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a position and waits for its answer.
    async fn tell(&mut self) -> anyhow::Result<Duration> {
        self.serial = self.serial.wrapping_add(1);
        let at = now().plus_secs_f64(f64::from(self.serial) - 2000.0);
        let (year, rest) = at.civil_utc().context("a time")?;
        let mut content = vec![(year - 2000) as u8];
        content.extend(rest);
        content.push(0xc9);
        content.extend(51_480_000_u32.to_be_bytes());
        content.extend(202_230_000_u32.to_be_bytes());
        content.extend([0, 0x14, 0, 1, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0xb8]);
        let began = Instant::now();
        self.stream.write_all(&build(false, 0x12, &content, self.serial)).await?;
        self.stream.read_exact(&mut [0; 10]).await?;
        Ok(began.elapsed())
    }
}

/// Everybody tells in turn, so many a second, for so long; how long each answer took.
async fn press(mut trackers: Vec<Tracker>, rate: u32, step_s: u32) -> anyhow::Result<(Vec<Tracker>, Vec<Duration>)> {
    let count = trackers.len() as u32;
    let (pause, began) = (Duration::from_secs_f64(f64::from(count) / f64::from(rate)), Instant::now());
    let until = began + Duration::from_secs(step_s.into());
    let tasks = trackers.drain(..).enumerate().map(|(n, mut tracker)| {
        tokio::spawn(async move {
            let mut took = Vec::new();
            let mut next = began + pause.mul_f64(n as f64 / f64::from(count));
            while next < until {
                tokio::time::sleep_until(next.into()).await;
                took.push(tracker.tell().await?);
                next += pause;
            }
            anyhow::Ok((tracker, took))
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let (mut back, mut all) = (Vec::new(), Vec::new());
    for task in tasks {
        let (tracker, took) = task.await??;
        back.push(tracker);
        all.extend(took);
    }
    all.sort_unstable();
    Ok((back, all))
}

/// Processor time of ingest and of PostgreSQL so far, seconds.
fn server_s() -> f64 {
    let of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let name = stat.split(['(', ')']).nth(1).unwrap_or_default().to_owned();
        let numbers: Vec<f64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|t| t.parse().ok())
            .collect();
        // Those that ended count through their parent (cutime, cstime).
        (name == "rideguard" || name == "postgres").then(|| numbers.iter().sum::<f64>() / TICKS_PER_S)
    };
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(|folder| of(&folder.file_name().to_string_lossy())).sum()
}

fn ms(all: &[Duration], share: f64) -> f64 {
    let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
    all.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (sockets, step_s) = (setting("RIDEGUARD_BENCH_SOCKETS", 19_000), setting("RIDEGUARD_BENCH_STEP_S", 8));
    let mut place = Place::make(16).await?;
    place.register_sockets(sockets).await?;
    place.start_ingest().await?;
    let port = place.socket_port();
    let first = Tracker::enter(port, 0).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = place.ingest_rss_bytes();
    let mut trackers = vec![first];
    let numbers: Vec<u32> = (1..sockets).collect();
    for some in numbers.chunks(AT_ONCE) {
        let entering: Vec<_> = some.iter().map(|n| tokio::spawn(Tracker::enter(port, *n))).collect();
        for tracker in entering {
            trackers.push(tracker.await??);
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rss = place.ingest_rss_bytes().saturating_sub(before) as f64 / f64::from(sockets);
    println!("door.tcp_connections: {}", trackers.len());
    println!("door.rss_per_tcp_connection: {rss:.0} B");
    let (back, _) = press(trackers, LANES * PER_LANE, step_s).await?; // warm
    let (mut back, all) = press(back, LANES * PER_LANE, step_s).await?;
    println!("door.ack_p50: {:.1} ms", ms(&all, 0.5));
    println!("door.ack_p99: {:.1} ms", ms(&all, 0.99));
    let mut alone = back.pop().context("a tracker")?;
    let began = Instant::now();
    for _ in 0..BACKLOG {
        alone.tell().await?;
    }
    println!("door.upload_alone: {:.0} positions/s", f64::from(BACKLOG) / began.elapsed().as_secs_f64());
    let loaded = tokio::spawn(press(back, LANES * PER_LANE, step_s));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    for _ in 0..BACKLOG {
        alone.tell().await?;
    }
    println!("door.upload_beside_1600: {:.0} positions/s", f64::from(BACKLOG) / began.elapsed().as_secs_f64());
    let (back, _) = loaded.await??;
    let (stood, before) = (place.consumed().await?, server_s());
    let (_back, all) = press(back, COST_RATE, step_s).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (told, spent) = (place.consumed().await? - stood, server_s() - before);
    println!("door.tcp_server_us_at_10000: {:.1} us", spent * 1e6 / told as f64);
    println!("door.tcp_ack_p99_at_10000: {:.1} ms", ms(&all, 0.99));
    place.stop().await
}
