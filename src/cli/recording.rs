//! Recordings: `packets.jsonl[.gz]` in the benchmark's format, row by row as the guard takes them.
//!
//! Every vehicle has a clock of its own: its timers run up to each row's `rx` before the row is
//! handled. A row that cannot be read ends the reading: a referee must not skip.

use crate::domain::{
    Alarm, AlarmKind, Finding, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, VehicleId,
};
use crate::guard::{Guard, Seen};
use anyhow::{Context, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What a row says to the guard.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A report.
    Report(Box<Moment>, Seen),
    /// The owner arms: from when, and when we learned it.
    Arm(Timestamp, Timestamp),
    /// The owner disarms: from when, and when we learned it.
    Disarm(Timestamp, Timestamp),
    /// The observation of the vehicle ends.
    End(Timestamp),
}

impl Event {
    /// Lets a guard handle it, after the vehicle's timers that are due by then.
    pub fn play(&self, guard: &mut Guard, vehicle: VehicleId) -> Vec<Finding> {
        let mut findings = guard.advance(vehicle, self.at());
        match self {
            Self::Report(moment, seen) => findings.extend(guard.consider(vehicle, moment, seen)),
            Self::Arm(at, known_at) => findings.extend(guard.arm(vehicle, *at, *known_at)),
            Self::Disarm(at, known_at) => findings.extend(guard.disarm(vehicle, *at, *known_at)),
            Self::End(_) => guard.forget(vehicle),
        }
        findings
    }

    /// When it reached us.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Report(_, seen) => seen.received_at,
            Self::Arm(_, at) | Self::Disarm(_, at) | Self::End(at) => *at,
        }
    }
}

/// A row of a recording. What it holds beyond this is no concern of the guard.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Row {
    Pos(Box<Position>),
    Arm { vehicle: String, t: f64, rx: f64 },
    Disarm { vehicle: String, t: f64, rx: f64 },
    Eos { vehicle: String, rx: f64 },
}

#[derive(Debug, Deserialize)]
struct Position {
    vehicle: String,
    #[serde(default)]
    seq: i64,
    t: Option<f64>,
    rx: f64,
    lat: f64,
    lon: f64,
    speed_kmh: Option<f32>,
    course: Option<f32>,
    sats: Option<u8>,
    valid: bool,
    source: Source,
    batt: Option<u8>,
    ext: Option<bool>,
    hdop: Option<f32>,
    acc: Option<f32>,
    motion: Option<u8>,
    vib: Option<u8>,
    #[serde(default)]
    buffered: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Gnss,
    Lbs,
    Wifi,
}

/// Reads a recording; `tell` gets each row: the vehicle's name, its number, what happened.
///
/// # Errors
/// Names the file, and the line and the problem of a row that cannot be read.
pub fn read(scenario: &Path, mut tell: impl FnMut(&str, VehicleId, Event)) -> anyhow::Result<()> {
    let path = packets_file(scenario)?;
    let mut reader = open(&path)?;
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_line(&mut line).with_context(|| format!("{}: line {number}", path.display()))?;
        if read == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(&line).with_context(|| format!("{}: line {number}", path.display()))?;
        let (name, event) = adapt(row);
        tell(&name, vehicle_id(&name), event);
    }
    Ok(())
}

/// Opens a text file, unpacked if its name ends in `.gz`.
///
/// # Errors
/// Names the file.
pub fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let is_gz = path.extension().is_some_and(|e| e == "gz");
    let stream: Box<dyn Read> = if is_gz { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Box::new(BufReader::with_capacity(1 << 20, stream)))
}

/// The recording itself, or the one in a folder.
fn packets_file(scenario: &Path) -> anyhow::Result<PathBuf> {
    if !scenario.is_dir() {
        return Ok(scenario.to_path_buf());
    }
    for name in ["packets.jsonl.gz", "packets.jsonl"] {
        let path = scenario.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("{} holds no packets.jsonl and no packets.jsonl.gz", scenario.display())
}

fn adapt(row: Row) -> (String, Event) {
    let at = Timestamp::from_secs_f64;
    match row {
        Row::Pos(p) => {
            let (moment, digest) = report(&p);
            (p.vehicle, Event::Report(Box::new(moment), Seen { received_at: at(p.rx), digest }))
        }
        Row::Arm { vehicle, t, rx } => (vehicle, Event::Arm(at(t), at(rx))),
        Row::Disarm { vehicle, t, rx } => (vehicle, Event::Disarm(at(t), at(rx))),
        Row::Eos { vehicle, rx } => (vehicle, Event::End(at(rx))),
    }
}

/// A number for a name, the same whatever came before it in the file.
fn vehicle_id(name: &str) -> VehicleId {
    let hash = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    VehicleId(i64::from_be_bytes(bytes) & i64::MAX)
}

/// The row as a decoder would have told it. The digest leaves out the arrival: a retransmission has
/// the same.
fn report(p: &Position) -> (Moment, PacketDigest) {
    let fixed_at = p.t.map(Timestamp::from_secs_f64);
    let vibration = Alarm { kind: AlarmKind::Vibration, raw: 0 };
    let moment = Moment {
        at: fixed_at,
        fix: Some(Fix {
            fixed_at,
            valid: p.valid,
            position: LatLon::new(p.lat, p.lon),
            altitude_m: None,
            speed_kmh: p.speed_kmh,
            course_deg: p.course,
            satellites: p.sats,
            hdop: p.hdop,
            accuracy_m: p.acc,
            source: match p.source {
                Source::Gnss => FixSource::Gnss,
                Source::Lbs => FixSource::Cell,
                Source::Wifi => FixSource::Wifi,
            },
        }),
        status: Status {
            battery_percent: p.batt,
            external_power: p.ext,
            moving: p.motion.map(|m| m != 0),
            ..Status::default()
        },
        alarms: (p.vib == Some(1)).then_some(vibration).into_iter().collect(),
        buffered: p.buffered,
        ..Moment::default()
    };
    let mut hasher = Sha256::new();
    hasher.update(p.vehicle.as_bytes());
    for number in [p.seq as u64, p.t.unwrap_or(0.0).to_bits(), p.lat.to_bits(), p.lon.to_bits()] {
        hasher.update(number.to_be_bytes());
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize()[..8]);
    (moment, PacketDigest(u64::from_be_bytes(bytes)))
}
