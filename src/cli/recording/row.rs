//! A row of a recording as JSON, and the report that a decoder would have made of it.

use crate::cli::recording::event::Event;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, Way};
use crate::guard::Arrival;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

/// A row of a recording. What it holds beyond this is no concern of the guard.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Row {
    Pos(Box<Position>),
    Arm { vehicle: String, t: f64, rx: f64 },
    Disarm { vehicle: String, t: f64, rx: f64 },
    Eos { vehicle: String, rx: f64 },
}

#[derive(Debug, Deserialize)]
pub struct Position {
    vehicle: String,
    #[serde(default)]
    seq: i64,
    t: Option<f64>,
    rx: f64,
    lat: f64,
    lon: f64,
    #[serde(default)]
    speed_kmh: Value,
    #[serde(default)]
    course: Value,
    #[serde(default)]
    sats: Value,
    valid: bool,
    source: Source,
    #[serde(default)]
    batt: Value,
    #[serde(default)]
    ext: Value,
    #[serde(default)]
    hdop: Value,
    #[serde(default)]
    acc: Value,
    #[serde(default)]
    motion: Value,
    #[serde(default)]
    vib: Value,
    #[serde(default)]
    buffered: bool,
}

/// What a receiver can say. Receivers write what lies beyond for "none": 9999 satellites, a charge of 255.
const SPEED_KMH: RangeInclusive<f64> = 0.0..=400.0;
const COURSE_DEG: RangeInclusive<f64> = 0.0..=360.0;
/// No receiver has that many channels for satellites in view.
const SATELLITES: RangeInclusive<f64> = 0.0..=99.0;
const BATTERY_PERCENT: RangeInclusive<f64> = 0.0..=100.0;
/// 99.9 is how receivers say that they have no sky; the guard takes it so.
const HDOP: RangeInclusive<f64> = 0.0..=100.0;
const ACCURACY_M: RangeInclusive<f64> = 0.0..=100_000.0;
/// A byte: 0 is no, all else is yes.
const FLAG: RangeInclusive<f64> = 0.0..=255.0;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Gnss,
    Lbs,
    Wifi,
}

/// What of a recording was not played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Lines that could not be read.
    pub lines: u64,
    /// Values that cannot be.
    pub values: u64,
}

impl LeftOut {
    /// Says on stderr how much was left out, if anything was.
    pub fn report(self) {
        if self != Self::default() {
            eprintln!("rideguard: left out: {} lines, {} values out of range", self.lines, self.values);
        }
    }

    /// Whether every line was played.
    pub fn is_whole(self) -> bool {
        self.lines == 0
    }

    fn number(&mut self, value: &Value, limits: RangeInclusive<f64>) -> Option<f64> {
        self.kept(value, value.as_f64().filter(|n| limits.contains(n)))
    }

    fn whole_number(&mut self, value: &Value, limits: RangeInclusive<f64>) -> Option<u8> {
        self.kept(value, value.as_f64().filter(|n| limits.contains(n) && n.fract() == 0.0).map(|n| n as u8))
    }

    fn kept<T>(&mut self, value: &Value, kept: Option<T>) -> Option<T> {
        self.values += u64::from(kept.is_none() && !value.is_null());
        kept
    }
}

impl std::ops::AddAssign for LeftOut {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.values += other.values;
    }
}

impl Row {
    /// The vehicle's name, and what happened to it.
    pub fn adapt(self, left_out: &mut LeftOut) -> (String, Event) {
        let at = Timestamp::from_secs_f64;
        match self {
            Self::Pos(p) => {
                let (moment, digest) = report(&p, left_out);
                (
                    p.vehicle,
                    Event::Report(
                        Box::new(moment),
                        Arrival { received_at: at(p.rx), digest, report_interval_s: None, way: Way::Broker },
                    ),
                )
            }
            Self::Arm { vehicle, t, rx } => (vehicle, Event::Arm(at(t), at(rx))),
            Self::Disarm { vehicle, t, rx } => (vehicle, Event::Disarm(at(t), at(rx))),
            Self::Eos { vehicle, rx } => (vehicle, Event::End(at(rx))),
        }
    }
}

/// The row as a decoder would have told it. The digest leaves out the arrival: a retransmission has
/// the same.
fn report(p: &Position, left_out: &mut LeftOut) -> (Moment, PacketDigest) {
    let fixed_at = p.t.map(Timestamp::from_secs_f64);
    let vibration = Alarm { kind: AlarmKind::Vibration, raw: 0 };
    let moment = Moment {
        at: fixed_at,
        fix: Some(Fix {
            fixed_at,
            valid: p.valid,
            position: LatLon::new(p.lat, p.lon),
            altitude_m: None,
            speed_kmh: left_out.number(&p.speed_kmh, SPEED_KMH).map(|n| n as f32),
            course_deg: left_out.number(&p.course, COURSE_DEG).map(|n| n as f32),
            satellites: left_out.whole_number(&p.sats, SATELLITES),
            hdop: left_out.number(&p.hdop, HDOP).map(|n| n as f32),
            accuracy_m: left_out.number(&p.acc, ACCURACY_M).map(|n| n as f32),
            source: match p.source {
                Source::Gnss => FixSource::Gnss,
                Source::Lbs => FixSource::Cell,
                Source::Wifi => FixSource::Wifi,
            },
        }),
        status: Status {
            battery_percent: left_out.whole_number(&p.batt, BATTERY_PERCENT),
            external_power: left_out.kept(&p.ext, p.ext.as_bool()),
            moving: left_out.whole_number(&p.motion, FLAG).map(|m| m != 0),
            ..Status::default()
        },
        alarms: (left_out.whole_number(&p.vib, FLAG) == Some(1)).then_some(vibration).into_iter().collect(),
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
