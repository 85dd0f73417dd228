//! `simulator city`: a city's days with thefts and outages, into a file or to a broker.

use super::plan::{City, Doing, Life, Outage, Theft};
use super::play::{self, Act, Acts, Stage, is_judged};
use super::receiver::{Nuisance, Packet, Receiver};
use crate::mqtt::{Broker, Credential, credentials};
use crate::owners::Owners;
use crate::truth::Lines;
use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::task::JoinSet;

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
    /// First second, since 1970; by default a Monday at four in the morning in China. A broker gets it as now, or
    /// faster than life at the last such hour of which all is over.
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
    #[arg(long, alias = "speed", default_value_t = 1.0)]
    speedup: f64,
    /// The API by which owners guard their vehicles when parked and end that before they ride: http://HOST:PORT.
    /// Without it nobody does, and the truth tells of no theft.
    #[arg(long, requires_all = ["owners", "broker"])]
    api: Option<String>,
    /// A line per owner: LOGIN PASSWORD.
    #[arg(long, requires = "api")]
    owners: Option<PathBuf>,
}

/// A vehicle's life as it was lived.
pub(super) struct Lived {
    life: Life,
    tracker: Receiver,
    /// By arrival.
    pub packets: Vec<Packet>,
    noise: Vec<Nuisance>,
}

/// Plays a city.
///
/// # Errors
/// A flag, a file.
pub async fn run(args: Args) -> anyhow::Result<()> {
    for (name, value, low, high) in [("--hours", args.hours, 4.0, 720.0), ("--speedup", args.speedup, 1.0, 10_000.0)] {
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
            let asked = city(&args);
            let from_s = begins_s(now_s, args.from, asked.played_s, args.speedup);
            let owners = match (&args.api, &args.owners) {
                (Some(url), Some(file)) => Some(Owners::log_in(url, file).await?),
                _ => None,
            };
            let stage = Stage { broker: Broker::new(broker, &ca)?, owners, speed: args.speedup };
            play(City { vehicles: trackers.len() as u32, from_s, ..asked }, stage, trackers, &truth).await
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

pub(super) fn live(city: &City, outages: &[Outage], vehicle: u32) -> Lived {
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
        tell(&name, &lived, &lived.life.armed, true, truth);
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

/// What really happened, as the scorer reads it; a theft only if it is to be judged.
fn tell(name: &str, lived: &Lived, armed: &[(f64, f64)], is_judged: bool, truth: &Lines) {
    let (life, environment) = (&lived.life, lived.tracker.environment.name());
    for (from_s, to_s) in armed {
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
    let Some((theft, at_s)) = life.theft.filter(|_| is_judged) else { return };
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

/// Plays to a broker; the truth is told first, for all of it.
async fn play(city: City, stage: Stage, trackers: Vec<Credential>, truth: &Lines) -> anyhow::Result<()> {
    let outages: Arc<[Outage]> = city.outages().into();
    for (vehicle, credential) in trackers.iter().enumerate() {
        let lived = live(&city, &outages, vehicle as u32);
        let mut guarded = Vec::new();
        if stage.owners.as_ref().is_some_and(|o| o.own(&credential.ident)) {
            let mut acts = Acts::new(&city, &outages, vehicle as u32);
            guarded.extend(acts.by_ref().filter_map(|act| match act {
                Act::EndGuard(from_s, to_s) => Some((from_s, to_s)),
                Act::Say(_) => None,
            }));
            guarded.extend(acts.guarded_since().map(|since| (since, lived.life.end_s())));
        }
        let is_judged = |(theft, at_s): (Theft, f64)| {
            guarded.iter().any(|(from_s, to_s)| (*from_s..*to_s).contains(&at_s)) && is_judged(theft, stage.speed)
        };
        let is_judged = lived.life.theft.is_some_and(is_judged);
        tell(&credential.ident, &lived, &guarded, is_judged, truth);
    }
    if let Some(owners) = &stage.owners {
        let mut guarding = JoinSet::new();
        for ident in trackers.iter().map(|t| t.ident.clone()).filter(|ident| owners.own(ident)) {
            let owners = owners.clone();
            guarding.spawn(async move { owners.guard_when_parked(&ident).await });
        }
        while let Some(done) = guarding.join_next().await {
            done??;
        }
    }
    let (stage, started) = (Arc::new(stage), tokio::time::Instant::now());
    let began_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    truth.write(&json!({
        "vehicle": "", "kind": "nontheft", "tag": "played", "t0": city.from_s, "t1": city.from_s + city.played_s,
        "began": began_s, "speed": stage.speed,
    }));
    let mut playing = JoinSet::new();
    for (number, credential) in (0..).zip(trackers) {
        playing.spawn(play::vehicle(city, outages.clone(), number, credential, stage.clone(), started));
    }
    while let Some(done) = playing.join_next().await {
        done??;
    }
    Ok(())
}

/// When a play begins, seconds since 1970. In real time it is now; faster, the city has caught up with now by its end
/// at the latest, and begins at the hour of the day that is asked for, so that a seed plays the same days.
fn begins_s(now_s: f64, asked_s: f64, played_s: f64, speed: f64) -> f64 {
    if speed == 1.0 {
        return now_s;
    }
    let latest_s = now_s - played_s * (1.0 - 1.0 / speed).max(0.0);
    asked_s + ((latest_s - asked_s) / 86_400.0).floor() * 86_400.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> City {
        City { seed: 3, vehicles: 40, thefts: 8, outages: 12, from_s: 1_779_652_800.0, played_s: 86_400.0 }
    }

    #[test]
    fn faster_than_life_a_city_is_over_when_it_is_and_begins_at_its_hour() {
        let (now_s, asked_s, played_s) = (1_790_000_000.0, 1_779_652_800.0, 86_400.0);
        assert_eq!(begins_s(now_s, asked_s, played_s, 1.0), now_s);
        for speed in [2.0, 60.0, 1440.0] {
            let from_s = begins_s(now_s, asked_s, played_s, speed);
            assert_eq!((from_s - asked_s) % 86_400.0, 0.0);
            let over_s = now_s + played_s / speed;
            assert!((0.0..=86_400.0).contains(&(over_s - (from_s + played_s))), "{speed}: {from_s}");
        }
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
