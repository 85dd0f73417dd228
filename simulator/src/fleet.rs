//! `simulator fleet`: a city's daily life in real time, with staged events.

use crate::encode::{Language, Said};
use crate::mqtt::{Broker, Credential, Manners, Message, Promise, credentials, publish, topic};
use crate::socket::{Door, speak};
use crate::truth::Lines;
use crate::vehicle::{Doing, Vehicle};
use anyhow::bail;
use clap::Parser;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Flags of `fleet`.
#[derive(Parser)]
pub struct Args {
    /// The broker, HOST:PORT, TLS; for trackers whose language no --door-… has.
    #[arg(long, requires = "ca")]
    broker: Option<String>,
    /// The authority that signed its certificate, PEM.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// LANGUAGE=HOST:PORT: trackers of jt808, gt06, h02 or teltonika connect there by TCP, without MQTT.
    #[arg(long, value_name = "LANGUAGE=HOST:PORT")]
    door_tcp: Vec<String>,
    /// The same by UDP, for h02.
    #[arg(long, value_name = "LANGUAGE=HOST:PORT")]
    door_udp: Vec<String>,
    /// A line per tracker: IDENT PASSWORD PROTOCOL (json, jt808; at a door gt06, h02, teltonika, too).
    #[arg(long)]
    credentials: PathBuf,
    /// How many of them to play.
    #[arg(long, default_value_t = 200)]
    vehicles: usize,
    /// The same seed plays the same city.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times faster than life.
    #[arg(long, default_value_t = 1.0)]
    speedup: f64,
    /// Vehicles to steal; the named one first.
    #[arg(long, default_value_t = 1)]
    thefts: usize,
    /// The tracker whose vehicle is stolen first.
    #[arg(long)]
    theft_vehicle: Option<String>,
    /// When, seconds after the start.
    #[arg(long, default_value_t = 45.0)]
    theft_after_s: f64,
    /// Vehicles whose main power is cut at that time.
    #[arg(long, default_value_t = 0)]
    power_cuts: usize,
    /// Vehicles that fall silent at that time.
    #[arg(long, default_value_t = 0)]
    silent: usize,
    /// Standard deviation of a position's error, metres.
    #[arg(long, default_value_t = 5.0)]
    noise_m: f64,
    /// Seconds between reports of a parked vehicle.
    #[arg(long, default_value_t = 60.0)]
    parked_interval_s: f64,
    /// Seconds between reports of a moving vehicle.
    #[arg(long, default_value_t = 10.0)]
    moving_interval_s: f64,
    /// Seconds to play; for ever if not given.
    #[arg(long)]
    duration_s: Option<f64>,
    /// Where to write what was really played.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Where to write what was sent, what the broker has acknowledged and what the server has answered.
    #[arg(long, alias = "obligations")]
    acknowledged: Option<PathBuf>,
    /// Trackers keep each message until the server's answer, and repeat it meanwhile.
    #[arg(long)]
    wait_for_answers: bool,
    /// How long a tracker goes on after its last message, seconds.
    #[arg(long, default_value_t = 3.0)]
    patience_s: f64,
}

/// What happens to a vehicle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Life,
    Theft,
    PowerCut,
    Silence,
}

/// How a tracker reaches the server.
enum Way {
    Broker(Broker),
    Door(Door),
}

impl Way {
    /// A door of its language, or else the broker.
    fn of(tracker: &Credential, doors: &[Door], broker: Option<&Broker>) -> anyhow::Result<Self> {
        let door = doors.iter().find(|door| door.language == tracker.language).cloned().map(Self::Door);
        let says_who = matches!(tracker.language, Language::Json | Language::Jt808);
        match door.or_else(|| broker.filter(|_| says_who).cloned().map(Self::Broker)) {
            Some(way) => Ok(way),
            None if says_who => bail!("tracker {} needs --broker and --ca, or a door of its language", tracker.ident),
            None => bail!("tracker {} speaks a language that needs --door-tcp", tracker.ident),
        }
    }
}

/// Plays the fleet until it is told to stop.
///
/// # Errors
/// A flag, a file.
pub async fn run(args: Args) -> anyhow::Result<()> {
    for (name, value, low, high) in [
        ("--speedup", args.speedup, 0.01, 10_000.0),
        ("--noise-m", args.noise_m, 0.0, 1000.0),
        ("--parked-interval-s", args.parked_interval_s, 0.1, 86_400.0),
        ("--moving-interval-s", args.moving_interval_s, 0.1, 3600.0),
        ("--patience-s", args.patience_s, 0.0, 3600.0),
    ] {
        if !(low..=high).contains(&value) {
            bail!("{name} is {value}; it must be {low} to {high}");
        }
    }
    let broker = args.broker.as_deref().zip(args.ca.as_deref());
    let broker = broker.map(|(address, ca)| Broker::new(address, ca)).transpose()?;
    let by_tcp = args.door_tcp.iter().map(|door| Door::parse("--door-tcp", door, false));
    let by_udp = args.door_udp.iter().map(|door| Door::parse("--door-udp", door, true));
    let doors: Vec<Door> = by_tcp.chain(by_udp).collect::<anyhow::Result<_>>()?;
    let trackers = credentials(&args.credentials, args.vehicles)?;
    let ways: Vec<Way> =
        trackers.iter().map(|tracker| Way::of(tracker, &doors, broker.as_ref())).collect::<anyhow::Result<_>>()?;
    let (truth, obligations) = (Lines::open(args.truth.as_deref())?, Lines::open(args.acknowledged.as_deref())?);
    let fates = fates(&args, &trackers)?;
    let (tell, stop) = watch::channel(false);
    let mut playing = JoinSet::new();
    for (n, ((credential, fate), way)) in trackers.into_iter().zip(fates).zip(ways).enumerate() {
        let player = Player {
            vehicle: Vehicle::new(args.seed, n as u64, args.noise_m),
            credential,
            fate,
            speedup: args.speedup,
            staged_after_s: args.theft_after_s,
            intervals_s: (args.parked_interval_s, args.moving_interval_s),
            truth: truth.clone(),
            obligations: obligations.clone(),
            manners: Manners {
                waits_for_answers: args.wait_for_answers,
                patience: Duration::from_secs_f64(args.patience_s),
            },
        };
        playing.spawn(player.play(way, n, stop.clone()));
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let duration = args.duration_s.map_or(Duration::MAX, Duration::from_secs_f64);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tokio::time::sleep(duration.min(Duration::from_secs(10 * 365 * 86_400))) => {}
    }
    let _ = tell.send(true);
    while playing.join_next().await.is_some() {}
    Ok(())
}

fn fates(args: &Args, trackers: &[Credential]) -> anyhow::Result<Vec<Fate>> {
    let mut fates = vec![Fate::Life; trackers.len()];
    let mut order: Vec<usize> = (0..trackers.len()).collect();
    if let Some(name) = &args.theft_vehicle {
        let Some(named) = trackers.iter().position(|c| c.ident == *name) else {
            bail!("--theft-vehicle is {name:?}, which is not among the {} trackers played", trackers.len());
        };
        order.swap(0, named);
    }
    let staged = [(args.thefts, Fate::Theft), (args.power_cuts, Fate::PowerCut), (args.silent, Fate::Silence)];
    if staged.iter().map(|s| s.0).sum::<usize>() > trackers.len() {
        bail!("thefts, power cuts and silences are more than the {} vehicles", trackers.len());
    }
    let mut next = order.into_iter();
    for (count, fate) in staged {
        next.by_ref().take(count).for_each(|n| fates[n] = fate);
    }
    Ok(fates)
}

struct Player {
    vehicle: Vehicle,
    credential: Credential,
    fate: Fate,
    speedup: f64,
    staged_after_s: f64,
    intervals_s: (f64, f64),
    truth: Lines,
    obligations: Lines,
    manners: Manners,
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

impl Player {
    async fn play(mut self, way: Way, n: usize, mut stop: watch::Receiver<bool>) {
        let (to_broker, messages) = mpsc::channel(100);
        let (ident, obligations) = (self.credential.ident.clone(), self.obligations.clone());
        let address = topic(&ident);
        let note = move |payload: &[u8], what: &str| {
            if obligations.is_wanted() {
                obligations.write(&json!({ "ident": ident, "topic": address, "payload_sha256": hex::encode(Sha256::digest(payload)), what: now_ms() }));
            }
        };
        let note_promise = note.clone();
        let promised = move |payload: &[u8], by| {
            let what = match by {
                Promise::Server => "answered_at_ms",
                Promise::Broker => "puback_at_ms",
                Promise::Nobody => "sent_at_ms",
            };
            note_promise(payload, what);
        };
        let (credential, manners) = (self.credential.clone(), self.manners);
        let publishing = match way {
            Way::Broker(broker) => tokio::spawn(publish(broker, credential, messages, promised, manners)),
            Way::Door(door) => tokio::spawn(speak(door, credential, messages, promised, manners)),
        };
        if self.fate != Fate::Life {
            self.vehicle.park();
        }
        // First fixes come within the first seconds, spread so that the broker is not stormed.
        tokio::time::sleep(Duration::from_millis((n as u64 * 23) % 4000)).await;
        let started = tokio::time::Instant::now();
        let mut sequence = 0;
        let mut staged = false;
        while !*stop.borrow() {
            let played_s = started.elapsed().as_secs_f64() * self.speedup;
            if !staged && played_s >= self.staged_after_s {
                staged = true;
                self.stage();
            }
            if !(staged && self.fate == Fate::Silence) {
                let said: Said = self.vehicle.measure(now_ms());
                sequence += 1;
                let payload = self.credential.language.message(&self.credential.ident, sequence, &said);
                note(&payload, "sent_at_ms");
                if to_broker.send(Message { sequence, payload }).await.is_err() {
                    return;
                }
            }
            let interval_s = match (self.fate, self.vehicle.doing) {
                (Fate::Theft, _) => 5.0,
                (_, Doing::Parked) => self.intervals_s.0,
                _ => self.intervals_s.1,
            };
            let interval_s =
                if staged { interval_s } else { interval_s.min((self.staged_after_s - played_s).max(0.1)) };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(interval_s / self.speedup)) => {}
                _ = stop.changed() => {}
            }
            self.vehicle.live(interval_s);
        }
        drop(to_broker);
        let _ = publishing.await;
    }

    fn stage(&mut self) {
        let at_s = now_ms() as f64 / 1000.0;
        let sub = match self.fate {
            Fate::Life => return,
            Fate::Theft => {
                self.vehicle.steal();
                "ride"
            }
            Fate::PowerCut => {
                self.vehicle.external_power = false;
                "power_cut"
            }
            Fate::Silence => "silent",
        };
        self.truth.write(&json!({ "kind": "incident", "vehicle": self.credential.ident, "sub": sub, "t0": at_s, "t_first": at_s, "t1": at_s + 900.0 }));
    }
}
