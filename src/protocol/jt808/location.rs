//! The location body of 0x0200: 28 fixed bytes, then items.

use super::extras;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Profile, Status, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use std::collections::BTreeMap;

/// Alarm bits of the standard (table 24 of 2013, table 24 of 2019): bit, kind.
const ALARM_BITS: &[(u32, AlarmKind)] = &[
    (0, AlarmKind::Sos),
    (1, AlarmKind::Overspeed),
    (2, AlarmKind::Fatigue),
    (3, AlarmKind::Danger),
    (4, AlarmKind::Fault),
    (5, AlarmKind::AntennaCut),
    (6, AlarmKind::AntennaCut),
    (7, AlarmKind::LowPower),
    (8, AlarmKind::PowerCut),
    (9, AlarmKind::Fault),
    (10, AlarmKind::Fault),
    (11, AlarmKind::Fault),
    (12, AlarmKind::Fault),
    (13, AlarmKind::Overspeed),
    (14, AlarmKind::Fatigue),
    (18, AlarmKind::Fatigue),
    (19, AlarmKind::LongParking),
    (20, AlarmKind::Geofence),
    (21, AlarmKind::Geofence),
    (22, AlarmKind::RouteDeviation),
    (23, AlarmKind::RouteDeviation),
    (24, AlarmKind::Fault),
    (25, AlarmKind::Fault),
    (26, AlarmKind::Stolen),
    (27, AlarmKind::IllegalIgnition),
    (28, AlarmKind::Displacement),
    (29, AlarmKind::Crash),
    (30, AlarmKind::Crash),
    (31, AlarmKind::Door),
];
/// What most tracker makers do with the reserved bits 15 to 17.
const ALARM_BITS_COMMON: &[(u32, AlarmKind)] =
    &[(15, AlarmKind::Vibration), (16, AlarmKind::Tamper), (17, AlarmKind::Tamper)];
/// Makers that differ, by the profile's model.
const ALARM_BITS_OF_MODELS: &[(&str, &[(u32, AlarmKind)])] = &[
    ("g10ls", &[(15, AlarmKind::LowBattery), (16, AlarmKind::Vibration), (17, AlarmKind::Removal)]),
    ("removal15", &[(15, AlarmKind::Removal), (16, AlarmKind::Vibration)]),
    ("standard2019", &[]),
];

/// Reads a location body.
///
/// # Errors
/// One of the 28 bytes is missing.
pub fn read(
    profile: &Profile,
    offset_s: i32,
    bytes: &[u8],
    unknown: &mut BTreeMap<String, String>,
) -> Result<Moment, DecodeError> {
    let mut body = Cursor::new(bytes);
    let numbers = Numbers {
        alarm_bits: body.u32("alarm bits")?,
        status_bits: body.u32("status bits")?,
        lat: body.u32("latitude")?,
        lon: body.u32("longitude")?,
        altitude: body.u16("altitude")?,
        speed: body.u16("speed")?,
        direction: body.u16("direction")?,
        fixed_at: time(body.take(6, "time")?, offset_s),
    };
    let mut moment = numbers.moment(profile);
    extras::read(body.rest(), &mut moment, unknown);
    Ok(moment)
}

/// The fixed part of a location, as the wire counts.
pub struct Numbers {
    /// Alarm bits.
    pub alarm_bits: u32,
    /// Status bits.
    pub status_bits: u32,
    /// Millionths of a degree; the sign is a status bit.
    pub lat: u32,
    /// Millionths of a degree; the sign is a status bit.
    pub lon: u32,
    /// Metres, in two's complement.
    pub altitude: u16,
    /// Tenths of km/h.
    pub speed: u16,
    /// Degrees.
    pub direction: u16,
    /// When.
    pub fixed_at: Option<Timestamp>,
}

impl Numbers {
    /// What they mean.
    pub fn moment(&self, profile: &Profile) -> Moment {
        let bit = |n: u32| self.status_bits >> n & 1 == 1;
        let (lat, lon) = (f64::from(self.lat) / 1e6, f64::from(self.lon) / 1e6);
        let fix = Fix {
            fixed_at: self.fixed_at,
            valid: bit(1),
            position: LatLon::new(if bit(2) { -lat } else { lat }, if bit(3) { -lon } else { lon }),
            altitude_m: Some(f32::from(self.altitude as i16)),
            speed_kmh: Some(f32::from(self.speed) / 10.0),
            course_deg: Some(f32::from(self.direction)),
            satellites: None,
            hdop: None,
            accuracy_m: None,
            source: FixSource::Gnss,
        };
        let status = Status {
            ignition: Some(bit(0)),
            // Reserved by the standard; makers that use it say "charging" here.
            charging: Some(bit(26)),
            // Only the loss is reported, as an alarm that stays while it lasts.
            external_power: Some(self.alarm_bits >> 8 & 1 == 0),
            ..Status::default()
        };
        let alarms = alarms(profile, self.alarm_bits);
        Moment { at: self.fixed_at, fix: Some(fix), status, alarms, ..Moment::default() }
    }
}

/// The vendor's short form in 0x0210: battery percent and time, no position.
///
/// # Errors
/// Fewer than seven bytes.
pub fn battery_only(offset_s: i32, bytes: &[u8]) -> Result<Moment, DecodeError> {
    let mut body = Cursor::new(bytes);
    let battery_percent = Some(body.u8("battery")?.min(100));
    let at = time(body.take(6, "time")?, offset_s);
    Ok(Moment { at, status: Status { battery_percent, ..Status::default() }, ..Moment::default() })
}

fn alarms(profile: &Profile, bits: u32) -> Vec<Alarm> {
    let of_model = profile
        .model
        .as_deref()
        .and_then(|m| ALARM_BITS_OF_MODELS.iter().find(|(model, _)| model.eq_ignore_ascii_case(m)));
    let reserved = of_model.map_or(ALARM_BITS_COMMON, |(_, table)| table);
    let raised = |(bit, kind): &(u32, AlarmKind)| (bits >> bit & 1 == 1).then_some(Alarm { kind: *kind, raw: *bit });
    ALARM_BITS.iter().chain(reserved).filter_map(raised).collect()
}

/// Jointech's 0x5501 and 0x5502: day first and UTC, degrees and minutes in BCD, then the lock's state.
///
/// # Errors
/// The field that is cut.
pub fn of_a_lock(bytes: &[u8]) -> Result<Moment, DecodeError> {
    let mut body = Cursor::new(bytes);
    let t = body.take(6, "time")?;
    let at = time(&[t[2], t[1], t[0], t[3], t[4], t[5]], 0);
    let minutes = |digits: &str, degrees: usize| -> Option<f64> {
        let (whole, rest) = (digits.get(..degrees)?, digits.get(degrees..)?);
        Some(whole.parse::<f64>().ok()? + rest.parse::<f64>().ok()? / 1e4 / 60.0)
    };
    let bcd = |field: &'static str, value: Option<f64>| {
        value.ok_or_else(|| DecodeError::Field { field, problem: "is not in BCD".into() })
    };
    let lat = bcd("latitude", minutes(&hex::encode(body.take(4, "latitude")?), 2))?;
    let digits = hex::encode(body.take(5, "longitude")?);
    let lon = bcd("longitude", minutes(&digits[..9], 3))?;
    let flags = digits.as_bytes().last().and_then(|c| char::from(*c).to_digit(16)).unwrap_or(0);
    let bit = |n: u32| flags >> n & 1 == 1;
    let speed_kmh = f32::from(body.u8("speed")?);
    let course_deg = f32::from(body.u8("course")?) * 2.0;
    let signal = body.u8("signal")?;
    let satellites = body.u8("satellites")?;
    let mut moment = Moment { at, ..Moment::default() };
    moment.fix = Some(Fix {
        fixed_at: at,
        valid: bit(0) || bit(3),
        position: LatLon::new(if bit(1) { lat } else { -lat }, if bit(2) { lon } else { -lon }),
        altitude_m: None,
        speed_kmh: Some(speed_kmh),
        course_deg: Some(course_deg),
        satellites: Some(satellites),
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    });
    let status = &mut moment.status;
    status.satellites = Some(satellites);
    status.signal_percent = Some((u16::from(signal.min(31)) * 100 / 31) as u8);
    status.odometer_m = Some(f64::from(body.u32("mileage")?) * 1000.0);
    match body.u8("battery")? {
        percent @ 0..=100 => status.battery_percent = Some(percent),
        0xaa => status.charging = Some(true),
        _ => {}
    }
    Ok(moment)
}

/// Six BCD bytes, YY MM DD hh mm ss; `None` if they name no time.
pub fn time(bytes: &[u8], offset_s: i32) -> Option<Timestamp> {
    let mut parts = [0u8; 6];
    for (part, byte) in parts.iter_mut().zip(bytes) {
        let (tens, ones) = (byte >> 4, byte & 0x0f);
        if tens > 9 || ones > 9 {
            return None;
        }
        *part = tens * 10 + ones;
    }
    let [year, month, day, hour, minute, second] = parts;
    Timestamp::from_civil(2000 + i16::from(year), month, day, hour, minute, second, offset_s)
}
