//! The location body of 0x0200: 28 fixed bytes, then items.

use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Report, Status, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::dialect::{AlarmTable, Dialect};
use crate::protocol::jt808::items;
use smallvec::SmallVec;

/// What reading a location needs to know of the tracker.
#[derive(Clone, Copy)]
pub struct Hints {
    /// Offset of its clock, seconds east of UTC.
    pub offset_s: i32,
    /// Its dialect.
    pub dialect: &'static Dialect,
}

/// Reads a location body into a report; `buffered`: its message says that it was kept.
///
/// # Errors
/// One of the 28 bytes is missing.
pub fn read(hints: Hints, bytes: &[u8], buffered: bool, report: &mut Report) -> Result<(), DecodeError> {
    let mut body = Cursor::new(bytes);
    let numbers = Numbers {
        alarm_bits: body.u32("alarm bits")?,
        status_bits: body.u32("status bits")?,
        lat: body.u32("latitude")?,
        lon: body.u32("longitude")?,
        altitude: body.u16("altitude")?,
        speed: body.u16("speed")?,
        direction: body.u16("direction")?,
        fixed_at: time(body.take(6, "time")?, hints.offset_s),
    };
    let mut moment = numbers.moment(hints.dialect);
    moment.buffered = buffered;
    items::read(body.rest(), hints.dialect, &mut moment, &mut report.unknown);
    supply_by_alarm(&mut moment);
    report.moments.push(moment);
    Ok(())
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
    pub fn moment(&self, dialect: &Dialect) -> Moment {
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
            external_power: (dialect.alarms.kind(8) == Some(AlarmKind::PowerCut))
                .then_some(self.alarm_bits >> 8 & 1 == 0),
            armed: dialect.armed_bit.map(|n| bit(n.into())),
            moving: dialect.moving_bit.map(|n| bit(n.into())),
            ..Status::default()
        };
        let alarms = alarms(&dialect.alarms, self.alarm_bits);
        Moment { at: self.fixed_at, fix: Some(fix), status, alarms, ..Moment::default() }
    }
}

/// Lets a vendor's own item say that the supply is lost or back, which the alarm bits may not know.
pub fn supply_by_alarm(moment: &mut Moment) {
    for alarm in &moment.alarms {
        match alarm.kind {
            AlarmKind::PowerCut => moment.status.external_power = Some(false),
            AlarmKind::PowerRestored => moment.status.external_power = Some(true),
            _ => {}
        }
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

fn alarms(table: &AlarmTable, bits: u32) -> SmallVec<[Alarm; 2]> {
    let mut alarms = SmallVec::new();
    let mut rest = bits;
    while rest != 0 {
        let bit = rest.trailing_zeros();
        rest &= rest - 1;
        alarms.extend(table.kind(bit as u8).map(|kind| Alarm { kind, raw: bit }));
    }
    alarms
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
