//! `rideguard replay`: runs a recording through the guard and writes what it says.
//!
//! In: `packets.jsonl[.gz]` in the benchmark's format, or a folder that holds one. Out: one JSON
//! object a line, sorted by vehicle, then in the order of handling, so that a recording grouped by
//! vehicle and one merged over all vehicles give the same file. Every vehicle has a clock of its own:
//! its timers run up to each row's `rx` before the row is handled. A row that cannot be read ends the
//! run: a referee must not skip.

use crate::domain::{
    Alarm, AlarmKind, Finding, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, VehicleId,
};
use crate::guard::{Guard, Params, Seen};
use anyhow::{Context, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

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

/// Runs `rideguard replay`.
///
/// # Errors
/// Names the file, and the line and the problem of a row that cannot be read.
pub fn run(scenario: &Path, alerts: &Path) -> anyhow::Result<()> {
    let mut lines = BTreeMap::<String, Vec<String>>::new();
    replay(scenario, Params::default(), |vehicle, finding| {
        if let Finding::Alert(alert) = finding {
            let line = serde_json::json!({
                "vehicle": vehicle, "t": alert.raised_at.secs_f64(), "kind": alert.kind.name(),
                "rule": alert.evidence.rule, "late": alert.late,
            });
            lines.entry(vehicle.to_owned()).or_default().push(line.to_string());
        }
    })?;
    let file = File::create(alerts).with_context(|| format!("cannot write {}", alerts.display()))?;
    let mut out = BufWriter::new(file);
    for line in lines.values().flatten() {
        writeln!(out, "{line}")?;
    }
    out.flush().with_context(|| format!("cannot write {}", alerts.display()))
}

/// Runs a recording through a guard; `tell` gets each finding with its vehicle's name, in the order
/// of handling.
///
/// # Errors
/// Names the file, and the line and the problem of a row that cannot be read.
pub fn replay(scenario: &Path, params: Params, mut tell: impl FnMut(&str, &Finding)) -> anyhow::Result<()> {
    let path = packets_file(scenario)?;
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let is_gz = path.extension().is_some_and(|e| e == "gz");
    let stream: Box<dyn Read> = if is_gz { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut guard = Guard::new(params);
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
        let (vehicle, findings) = handle(&mut guard, row);
        for finding in &findings {
            tell(&vehicle, finding);
        }
    }
    Ok(())
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

fn handle(guard: &mut Guard, row: Row) -> (String, Vec<Finding>) {
    match row {
        Row::Pos(p) => {
            let (id, received_at) = (vehicle_id(&p.vehicle), Timestamp::from_secs_f64(p.rx));
            let mut findings = guard.advance(id, received_at);
            let (moment, digest) = adapt(&p);
            findings.extend(guard.consider(id, &moment, &Seen { received_at, digest }));
            (p.vehicle, findings)
        }
        Row::Arm { vehicle, t, rx } => {
            let (id, known_at) = (vehicle_id(&vehicle), Timestamp::from_secs_f64(rx));
            let mut findings = guard.advance(id, known_at);
            findings.extend(guard.arm(id, Timestamp::from_secs_f64(t), known_at));
            (vehicle, findings)
        }
        Row::Disarm { vehicle, t, rx } => {
            let (id, known_at) = (vehicle_id(&vehicle), Timestamp::from_secs_f64(rx));
            let mut findings = guard.advance(id, known_at);
            findings.extend(guard.disarm(id, Timestamp::from_secs_f64(t), known_at));
            (vehicle, findings)
        }
        Row::Eos { vehicle, rx } => {
            let id = vehicle_id(&vehicle);
            let findings = guard.advance(id, Timestamp::from_secs_f64(rx));
            guard.forget(id);
            (vehicle, findings)
        }
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
fn adapt(p: &Position) -> (Moment, PacketDigest) {
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
