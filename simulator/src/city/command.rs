//! `simulator city`: a city's days with thefts and outages, into a file or to a broker.

use super::plan::{City, Doing, Life, Outage, Theft};
use super::receiver::{Nuisance, Packet, Receiver};
use crate::encode::Said;
use crate::mqtt::{Broker, Credential, Manners, Message, credentials, publish};
use crate::truth::Lines;
use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Vehicles of a city rely on the broker's PUBACK.
const MANNERS: Manners = Manners { waits_for_answers: false, patience: Duration::from_secs(3) };

/// Flags of `city`.
#[derive(Parser)]
pub struct Args {
    /// Vehicles in the city.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    vehicles: u32,
    /// How many are stolen.
    #[arg(long, default_value_t = 20)]
    thefts: u32,
    /// Mobile cells that go silent for one to two and a half hours.
    #[arg(long, default_value_t = 2)]
    outages: u32,
    /// The same seed plays the same city.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hours to play.
    #[arg(long, default_value_t = 24.0)]
    hours: f64,
    /// First second, since 1970; by default a Monday at four in the morning in China. A broker gets it as now.
    #[arg(long, default_value_t = 1_779_652_800.0)]
    from: f64,
    /// Where to write the packets, in the format of `rideguard replay`.
    #[arg(long, conflicts_with = "broker")]
    out: Option<PathBuf>,
    /// Where to write what really happened.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Plays to this broker instead: HOST:PORT, TLS.
    #[arg(long, requires_all = ["ca", "credentials"])]
    broker: Option<String>,
    /// The authority that signed its certificate, PEM.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// A line per tracker: IDENT PASSWORD PROTOCOL.
    #[arg(long)]
    credentials: Option<PathBuf>,
    /// How many times faster than life a broker gets it.
    #[arg(long, default_value_t = 1.0)]
    speedup: f64,
}

/// A vehicle's life as it was lived.
struct Lived {
    life: Life,
    tracker: Receiver,
    /// By arrival.
    packets: Vec<Packet>,
    noise: Vec<Nuisance>,
}

/// Plays a city.
///
/// # Errors
/// A flag, a file.
pub async fn run(args: Args) -> anyhow::Result<()> {
    for (name, value, low, high) in [("--hours", args.hours, 4.0, 720.0), ("--speedup", args.speedup, 0.01, 10_000.0)] {
        if !(low..=high).contains(&value) {
            bail!("{name} is {value}; it must be {low} to {high}");
        }
    }
    if args.thefts > args.vehicles {
        bail!("--thefts is {}; there are {} vehicles", args.thefts, args.vehicles);
    }
    let truth = Lines::open(args.truth.as_deref())?;
    match (&args.out, &args.broker) {
        (Some(out), _) => write(&city(&args), out, &truth),
        (None, Some(broker)) => {
            let (ca, file) = (args.ca.clone().unwrap_or_default(), args.credentials.clone().unwrap_or_default());
            let trackers = credentials(&file, args.vehicles as usize)?;
            let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
            let city = City { vehicles: trackers.len() as u32, from_s: now_s, ..city(&args) };
            play(city, &Broker::new(broker, &ca)?, trackers, args.speedup, &truth).await
        }
        (None, None) => bail!("--out or --broker is missing: where is the city to go?"),
    }
}

fn city(args: &Args) -> City {
    City {
        seed: args.seed,
        vehicles: args.vehicles,
        thefts: args.thefts,
        outages: args.outages,
        from_s: args.from,
        played_s: args.hours * 3600.0,
    }
}

fn live(city: &City, outages: &[Outage], vehicle: u32) -> Lived {
    let life = city.life(vehicle);
    let mut tracker = Receiver::new(city, vehicle);
    let (mut packets, mut noise) = (Vec::new(), Vec::new());
    for leg in &life.legs {
        tracker.live(leg, outages, &mut packets, &mut noise);
    }
    packets.retain(|p| p.rx_s < life.end_s());
    packets.sort_by(|a, b| a.rx_s.total_cmp(&b.rx_s));
    Lived { life, tracker, packets, noise }
}

/// Writes every vehicle's rows, grouped by vehicle, by arrival within it.
fn write(city: &City, out: &PathBuf, truth: &Lines) -> anyhow::Result<()> {
    let file = File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let outages = city.outages();
    for vehicle in 0..city.vehicles {
        let (name, lived) = (format!("c{vehicle:06}"), live(city, &outages, vehicle));
        let mut rows: Vec<(f64, Value)> = lived.packets.iter().map(|p| (p.rx_s, row(&name, p))).collect();
        let command = |kind: &str, t: f64| (t + 0.5, json!({ "type": kind, "vehicle": name, "t": t, "rx": t + 0.5 }));
        for (from_s, to_s) in &lived.life.armed {
            rows.push(command("arm", *from_s));
            if *to_s < lived.life.end_s() {
                rows.push(command("disarm", *to_s));
            }
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows.push((0.0, json!({ "type": "eos", "vehicle": name, "rx": lived.life.end_s() })));
        for (_, row) in &rows {
            writeln!(file, "{row}")?;
        }
        tell(&name, &lived, truth);
    }
    file.flush().with_context(|| format!("cannot write {}", out.display()))
}

/// A packet in the format of recordings.
fn row(vehicle: &str, p: &Packet) -> Value {
    let degrees = |d: f64| (d * 1e6).round() / 1e6;
    let mut row = json!({
        "type": "pos", "vehicle": vehicle, "seq": p.seq, "t": p.at_s, "rx": p.rx_s, "lat": degrees(p.place.lat), "lon": degrees(p.place.lon),
        "speed_kmh": p.speed_kmh, "course": p.course_deg, "sats": p.satellites, "valid": p.valid,
        "source": if p.is_lbs { "lbs" } else { "gnss" }, "batt": p.battery, "ext": p.external_power,
    });
    let mut add = |key: &str, value: Option<Value>| value.map(|v| row[key] = v);
    add("hdop", p.hdop.map(Value::from));
    add("motion", p.moving.map(|m| u8::from(m).into()));
    add("vib", p.moving.map(|_| u8::from(p.shake).into()));
    add("buffered", p.buffered.then_some(true.into()));
    row
}

/// What really happened, as the scorer reads it.
fn tell(name: &str, lived: &Lived, truth: &Lines) {
    let (life, environment) = (&lived.life, lived.tracker.environment.name());
    for (from_s, to_s) in &life.armed {
        let until_s = life.theft.map_or(*to_s, |(_, at_s)| to_s.min(at_s));
        truth.write(&json!({ "vehicle": name, "kind": "armed", "t0": from_s, "t1": until_s, "drift": "modelled", "env": environment, "src": "city" }));
    }
    let note = |tag: &str, from_s: f64, to_s: f64| {
        truth.write(&json!({ "vehicle": name, "kind": "nontheft", "tag": tag, "t0": from_s, "t1": to_s }));
    };
    lived.noise.iter().for_each(|n| note(n.tag, n.from_s, n.to_s));
    for leg in life.legs.iter().filter(|l| l.doing == Doing::Ridden) {
        note(if leg.tunnel_s.is_some() { "tunnel_ride" } else { "owner_ride" }, leg.from_s, leg.to_s);
    }
    let Some((theft, at_s)) = life.theft else { return };
    let Some(leg) = life.legs.iter().find(|l| matches!(l.doing, Doing::Stolen(_))) else { return };
    let moves = !matches!(theft, Theft::PowerCut | Theft::Silent);
    let window_s = if theft == Theft::Silent { 7200.0 } else { 900.0 };
    let far = |p: &&Packet| p.valid && !p.is_lbs && p.satellites > 0 && p.truly.distance_m(leg.from) >= 30.0;
    let floor = lived.packets.iter().filter(|p| p.at_s >= at_s).find(far).map(|p| p.rx_s);
    let distances =
        (0..=90).map(|n| json!([n * 10, leg.at(at_s + f64::from(n) * 10.0).0.distance_m(leg.from).round()]));
    let distances = moves.then(|| distances.collect::<Vec<_>>());
    truth.write(&json!({
        "vehicle": name, "kind": "incident", "sub": theft.name(), "t0": at_s, "t_first": at_s, "t1": at_s + window_s,
        "floor_rx": floor.filter(|_| moves), "dist": distances, "mode": "modelled", "env": environment, "accel": lived.tracker.has_accelerometer,
    }));
}

/// Plays to a broker, every tracker over its own connection, each packet when it arrives. Positions of masts
/// are left out, since not every language has them. Nobody here can arm a vehicle: that is the owners'.
async fn play(
    city: City,
    broker: &Broker,
    trackers: Vec<Credential>,
    speedup: f64,
    truth: &Lines,
) -> anyhow::Result<()> {
    let outages = city.outages();
    let started = tokio::time::Instant::now();
    let mut playing = JoinSet::new();
    for (vehicle, credential) in trackers.into_iter().enumerate() {
        let lived = live(&city, &outages, vehicle as u32);
        tell(&credential.ident, &lived, truth);
        let (broker, from_s) = (broker.clone(), city.from_s);
        playing.spawn(async move {
            let (to_broker, messages) = mpsc::channel(100);
            let (ident, language) = (credential.ident.clone(), credential.language);
            let publishing = tokio::spawn(publish(broker, credential, messages, |_, _| {}, MANNERS));
            for packet in lived.packets.iter().filter(|p| p.valid && p.satellites > 0) {
                let after_s = |s: f64| (s - from_s) / speedup;
                tokio::time::sleep_until(started + Duration::from_secs_f64(after_s(packet.rx_s).max(0.0))).await;
                // Faster than life, the clock of the trackers runs faster, too.
                let said = said(packet, from_s + after_s(packet.at_s));
                if to_broker
                    .send(Message { sequence: packet.seq, payload: language.message(&ident, packet.seq, &said) })
                    .await
                    .is_err()
                {
                    break;
                }
            }
            drop(to_broker);
            let _ = publishing.await;
        });
    }
    while playing.join_next().await.is_some() {}
    Ok(())
}

fn said(p: &Packet, at_s: f64) -> Said {
    Said {
        at_ms: (at_s * 1000.0) as i64,
        lat: p.place.lat,
        lon: p.place.lon,
        speed_kmh: p.speed_kmh,
        course_deg: p.course_deg,
        satellites: p.satellites,
        accuracy_m: p.hdop.unwrap_or(2.0) * 4.0,
        battery_percent: p.battery,
        external_power: p.external_power,
        ignition: p.ignition,
        moving: p.moving.unwrap_or(p.speed_kmh > 3.0),
        vibration: p.shake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> City {
        City { seed: 3, vehicles: 40, thefts: 8, outages: 12, from_s: 1_779_652_800.0, played_s: 86_400.0 }
    }

    #[test]
    fn the_same_seed_lives_the_same_city() {
        let (city, outages) = (small(), small().outages());
        let life = |vehicle| live(&city, &outages, vehicle).packets;
        assert_eq!(life(5), life(5));
        assert_ne!(life(5), life(6));
    }

    #[test]
    fn packets_come_in_order_of_arrival_and_never_before_they_were_measured() {
        let (city, outages) = (small(), small().outages());
        for vehicle in 0..city.vehicles {
            let packets = live(&city, &outages, vehicle).packets;
            assert!(packets.windows(2).all(|w| w[0].rx_s <= w[1].rx_s), "{vehicle}");
            assert!(packets.iter().all(|p| p.rx_s > p.at_s - 0.1), "{vehicle}");
            assert!(packets.len() > 50, "{vehicle}: {}", packets.len()); // a theft may end it early
        }
    }

    #[test]
    fn nothing_arrives_from_a_cell_that_is_silent() {
        let (city, outages) = (small(), small().outages());
        let mut behind = 0;
        for vehicle in 0..city.vehicles {
            for packet in live(&city, &outages, vehicle).packets {
                behind += usize::from(packet.buffered);
                let is_silent = outages.iter().any(|o| o.holds(packet.truly, packet.at_s).is_some());
                assert_eq!(is_silent, packet.buffered, "{vehicle}: {packet:?}");
            }
        }
        assert!(behind > 0);
    }
}
