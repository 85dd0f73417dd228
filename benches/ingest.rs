//! Ingest under load: how many fixes a second go from the trackers' publish to committed effects.
//!
//! Everything on this machine: PostgreSQL, Mosquitto (TLS, ACL), `rideguard ingest`, and a load
//! generator with thousands of connections (QoS 1, open loop, JT/T 808 and JSON in turn). The
//! baseline of the same run is a bare rumqttc subscriber on as many sessions that throws the
//! messages away. A rate counts as held if everything that was sent in a step is applied within
//! `LAG_S_MAX` of its end and nobody's connection broke.
//!
//! `RIDEGUARD_BENCH_CONNECTIONS`, `_STEP_S`, `_SUSTAIN_S`, `_SUSTAIN_RATE`, `_FROM` (first rate) change the sizes, `_ONLY`
//! (`rate`, `batched`, `replies`, `bare`) leaves parts out, `_UNDER` runs ingest under another program (a profiler),
//! `_COMMIT_DELAY_US` makes each commit of PostgreSQL's so much slower, `_DATABASE_BY=tcp` goes there by loopback and
//! `_BROKER_BY=tcp` to the broker, each instead of the Unix socket.

#[path = "support/place.rs"]
mod place;

use place::{Meter, Place};
use rideguard::domain::Lane;
use rideguard::domain::topic;
use rideguard::ingest::client_options;
use rumqttc::{AsyncClient, Event, Packet, QoS, SubscribeFilter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A step's backlog must be gone this soon after it, seconds.
const LAG_S_MAX: f64 = 1.0;
/// Messages a second of the first step, and by how much each is above the one before.
const RATES: (u64, f64) = (16_000, 1.1);
/// Before anything counts: the first use of the log's files costs three times the later ones, and after its start
/// ingest inserts until some batches had no duplicates.
const WARM_UP_S: u64 = 16;
/// What minutes beyond the limit have left behind is given so long to arrive, seconds.
const DRAIN_S_MAX: f64 = 180.0;
/// Nothing here goes beyond.
const RATE_MAX: u64 = 150_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    // The bare subscriber has threads of its own, as the program has.
    let bare = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(bare.handle()))
}

async fn measure(runtime: &tokio::runtime::Handle) -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let connections = setting("RIDEGUARD_BENCH_CONNECTIONS", 5000) as usize;
    let step_s = setting("RIDEGUARD_BENCH_STEP_S", 8);
    let only = std::env::var("RIDEGUARD_BENCH_ONLY").unwrap_or_default();
    let is_asked = |what: &str| only.is_empty() || only.split(',').any(|o| o == what);

    let mut place = Place::make(connections).await?;
    let mut best = 0.0;
    if is_asked("rate") {
        place.start_ingest().await?;
        let found = climb(&mut place, "ingest.rate", 1, false, step_s).await?;
        best = found.rate;
        println!("ingest.rate: {:.0} fixes/s", found.rate);
        println!("ingest.cpu_per_fix: {:.2} us", found.cpu_us("rideguard"));
        println!("postgres.cpu_per_fix: {:.2} us", found.cpu_us("postgres"));
        println!("broker.cpu_per_fix: {:.2} us", found.cpu_us("mosquitto"));
        println!("load.cpu_per_fix: {:.2} us", found.cpu_us("simulator"));
        let sustain_s = setting("RIDEGUARD_BENCH_SUSTAIN_S", 60);
        if sustain_s > 0 {
            let rate = setting("RIDEGUARD_BENCH_SUSTAIN_RATE", (found.rate * 0.9) as u64);
            sustain(&mut place, rate, sustain_s).await?;
        }
    }
    if is_asked("batched") {
        place.start_ingest().await?;
        let found = climb(&mut place, "ingest.batched_rate", 10, false, step_s).await?;
        println!("ingest.batched_rate: {:.0} fixes/s", found.rate * 10.0);
        println!("ingest.batched_cpu_per_fix: {:.2} us", found.cpu_us("rideguard") / 10.0);
        println!("postgres.batched_cpu_per_fix: {:.2} us", found.cpu_us("postgres") / 10.0);
    }
    if is_asked("replies") {
        place.ask_for_replies().await?;
        place.start_ingest().await?;
        let found = climb(&mut place, "ingest.rate_with_replies", 1, true, step_s).await?;
        println!("ingest.rate_with_replies: {:.0} fixes/s", found.rate);
    }
    if is_asked("bare") {
        place.stop_ingest().await?;
        let counter = Arc::new(AtomicU64::new(0));
        let sessions: Vec<_> =
            Lane::all().map(|lane| bare(runtime, &place, lane, counter.clone())).collect::<anyhow::Result<_>>()?;
        tokio::time::sleep(Duration::from_secs(1)).await; // until all of them listen
        place.bare = Some(counter);
        let found = climb(&mut place, "bare subscriber", 1, false, step_s).await?;
        println!("bare.rate: {:.0} fixes/s", found.rate);
        if best > 0.0 {
            println!("ingest.vs_bare_subscriber: {:.2} x", best / found.rate);
        }
        sessions.iter().for_each(tokio::task::JoinHandle::abort);
    }
    place.stop().await
}

/// A rate that was held, and what it cost.
struct Held {
    rate: f64,
    spent: Vec<(&'static str, f64)>,
    fixes: f64,
}

impl Held {
    fn cpu_us(&self, who: &str) -> f64 {
        self.spent.iter().filter(|(name, _)| *name == who).map(|(_, s)| s).sum::<f64>() * 1e6 / self.fixes
    }
}

/// What everybody spent on each of so many.
fn cpu_us(spent: &[(&str, f64)], fixes: u64) -> String {
    let each = spent.iter().map(|(who, s)| format!("{who} {:.1}", s * 1e6 / fixes as f64));
    each.collect::<Vec<_>>().join(", ")
}

/// Raises the rate until it is not held, twice; the best that was.
async fn climb(place: &mut Place, what: &str, fixes: u16, replies: bool, step_s: u64) -> anyhow::Result<Held> {
    let mut flood = place.flood(fixes, replies, step_s).await?;
    let mut best = Held { rate: 0.0, spent: Vec::new(), fixes: 1.0 };
    let (mut rate, mut failures) = (setting("RIDEGUARD_BENCH_FROM", RATES.0) / u64::from(fixes).min(4), 0);
    if place.bare.is_none() {
        for _ in 0..WARM_UP_S.div_ceil(step_s) {
            flood.step(rate / 2).await?;
        }
    }
    while rate <= RATE_MAX && failures < 2 {
        let stood = (place.consumed().await?, place.fixes().await?);
        let before = Meter::read(place, &flood);
        let started = Instant::now();
        let step = flood.step(rate).await?;
        let sent_s = started.elapsed().as_secs_f64();
        let (mut lag_s, mut missing, mut spent) = (0.0, Missing::all(step.sent), Vec::new());
        while missing.is_any() && lag_s < 20.0 {
            lag_s = started.elapsed().as_secs_f64() - sent_s;
            missing.messages = step.sent.saturating_sub(place.consumed().await? - stood.0);
            spent = before.until(&Meter::read(place, &flood)); // to count rows is not ingest's work
            missing.ask_for_rows(place, stood.1, step.sent, fixes).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The generator itself must have kept its schedule, or the rate was another one.
        let real = step.sent as f64 / sent_s;
        let batch = place.packets_per_batch().await?;
        let is_held = !missing.is_any() && lag_s <= LAG_S_MAX && step.broken == 0 && real > 0.97 * rate as f64;
        eprintln!(
            "{what}: {rate}/s offered, {real:.0}/s sent, lag {lag_s:.2} s, {missing}, {} connections broken, {batch:.0} a batch: {}; µs a fix: {}",
            step.broken,
            if is_held { "held" } else { "not held" },
            cpu_us(&spent, step.sent)
        );
        if is_held {
            best = Held { rate: real, spent, fixes: step.sent as f64 };
            failures = 0;
        } else {
            failures += 1;
        }
        if failures == 0 || failures == 2 {
            rate = (rate as f64 * RATES.1) as u64;
        }
    }
    flood.end().await;
    Ok(best)
}

/// What of a step is not there.
struct Missing {
    /// Messages that were not taken in. What a broker sends again may hide some.
    messages: u64,
    /// Messages without rows in the table, which takes longer to count: asked for when all have come.
    rows: u64,
}

impl Missing {
    fn all(sent: u64) -> Self {
        Self { messages: sent, rows: sent }
    }

    fn is_any(&self) -> bool {
        self.any() > 0
    }

    /// Messages, and rows when no message is: until then rows are not counted.
    fn any(&self) -> u64 {
        if self.messages > 0 { self.messages } else { self.rows }
    }

    /// `stood`: rows before the step.
    async fn ask_for_rows(&mut self, place: &Place, stood: u64, sent: u64, fixes: u16) -> anyhow::Result<()> {
        if self.messages == 0 {
            self.rows = match place.bare {
                Some(_) => 0, // keeps none
                None => sent.saturating_sub((place.fixes().await? - stood) / u64::from(fixes)),
            };
        }
        Ok(())
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} missing", self.any(), if self.messages > 0 { "messages" } else { "rows" })
    }
}

/// Minutes at a rate: whether it lasts, and whether memory stays flat.
async fn sustain(place: &mut Place, rate: u64, seconds: u64) -> anyhow::Result<()> {
    let mut flood = place.flood(1, false, seconds.div_ceil(2)).await?;
    let before = (place.consumed().await?, place.fixes().await?);
    let started = Instant::now();
    let first = flood.step(rate).await?;
    let half = place.ingest_rss_bytes();
    let at_half = Meter::read(place, &flood);
    let second = flood.step(rate).await?;
    let sent_s = started.elapsed().as_secs_f64();
    let spent = at_half.until(&Meter::read(place, &flood));
    let end = place.ingest_rss_bytes();
    let sent = first.sent + second.sent;
    let (mut lag_s, mut missing) = (0.0, Missing::all(sent));
    while missing.is_any() && lag_s < DRAIN_S_MAX {
        lag_s = started.elapsed().as_secs_f64() - sent_s;
        missing.messages = sent.saturating_sub(place.consumed().await? - before.0);
        missing.ask_for_rows(place, before.1, sent, 1).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("ingest.sustained_rate: {:.0} fixes/s", sent as f64 / sent_s);
    println!("ingest.sustained_missing: {} fixes", missing.any());
    println!("ingest.sustained_s: {sent_s:.0} s");
    println!("ingest.sustained_lag: {lag_s:.2} s");
    eprintln!("sustained, second half: µs a fix: {}", cpu_us(&spent, second.sent));
    println!("ingest.rss_half_time: {:.0} MB", half as f64 / 1e6);
    println!("ingest.rss_end: {:.0} MB", end as f64 / 1e6);
    flood.end().await;
    Ok(())
}

/// The baseline: a session of rumqttc with automatic acknowledgements that throws everything away.
fn bare(
    runtime: &tokio::runtime::Handle,
    place: &Place,
    lane: Lane,
    counter: Arc<AtomicU64>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut options = client_options::options(&place.config.broker.for_services(), &format!("bare-{}", lane.0))?;
    options.set_clean_session(true);
    let (client, mut events) = AsyncClient::new(options, 64);
    Ok(runtime.spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(_))) => {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let filters = topic::filters(lane).into_iter().map(|f| SubscribeFilter::new(f, QoS::AtLeastOnce));
                    if let Err(error) = client.try_subscribe_many(filters) {
                        eprintln!("bare subscriber: {error}");
                    }
                }
                Ok(_) => {}
                // Sixteen at once may be too many for the socket's queue.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }))
}
