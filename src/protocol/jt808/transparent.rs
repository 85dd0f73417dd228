//! 0x0900: what a terminal passes on; the first byte says from where.

use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Report};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::jt808::location::{self, Hints};
use crate::protocol::jt808::values::{driving, number};

/// Reads a body. Kinds without a place or a state that we know are kept as they are.
///
/// # Errors
/// The field that is cut.
pub fn read(hints: Hints, bytes: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    let mut body = Cursor::new(bytes);
    match body.u8("kind of passing on")? {
        // AOVX: tags and samples of sensors around a location.
        0x53 | 0x54 => report.moments.push(location_of_tags(hints, &mut body)?),
        0xff => report.moments.push(location_with_signs(hints, &mut body)?),
        0xf0 => {
            let mut moment = vehicle(hints, &mut body)?;
            location::supply_by_alarm(&mut moment);
            report.moments.push(moment);
        }
        _ => {}
    }
    let rest = body.rest();
    if !rest.is_empty() {
        report.unknown.insert("body".into(), hex::encode(bytes));
    }
    Ok(())
}

/// Status bits, latitude, longitude, altitude, speed, direction, time.
fn location_of_tags(hints: Hints, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let numbers = location::Numbers {
        alarm_bits: 0,
        status_bits: body.u32("status bits")?,
        lat: body.u32("latitude")?,
        lon: body.u32("longitude")?,
        altitude: body.u16("altitude")?,
        speed: body.u16("speed")?,
        direction: body.u16("direction")?,
        fixed_at: location::time(body.take(6, "time")?, hints.offset_s),
    };
    Ok(numbers.moment(hints.dialect))
}

/// Time, then latitude and longitude with signs, altitude, speed, direction.
fn location_with_signs(hints: Hints, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let at = location::time(body.take(6, "time")?, hints.offset_s);
    let lat = f64::from(body.u32("latitude")? as i32) / 1e6;
    let lon = f64::from(body.u32("longitude")? as i32) / 1e6;
    let fix = Fix {
        fixed_at: at,
        valid: true,
        position: LatLon::new(lat, lon),
        altitude_m: Some(f32::from(body.u16("altitude")? as i16)),
        speed_kmh: Some(f32::from(body.u16("speed")?) / 10.0),
        course_deg: Some(f32::from(body.u16("direction")?)),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    Ok(Moment { at, fix: Some(fix), ..Moment::default() })
}

/// What a reader of the vehicle's bus says: time, kept or not, kind of vehicle, subject. Behind values
/// and events stand status bits and the place where the vehicle last was, which is no fix.
fn vehicle(hints: Hints, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let at = location::time(body.take(6, "time")?, hints.offset_s);
    let buffered = body.u8("kept")? > 0;
    body.u8("kind of vehicle")?;
    let subject = body.u8("subject")?;
    let mut moment = Moment { at, buffered, ..Moment::default() };
    match subject {
        0x01 => {
            for _ in 0..body.u8("number of values")? {
                let id = body.u16("id of a value")?;
                let length = body.u8("length of a value")?;
                let value = body.take(length.into(), "value")?;
                match (id, length) {
                    (0x0102 | 0x0528 | 0x0546, 4) => {
                        moment.status.odometer_m = Some(f64::from(number(value)) * 100.0);
                    }
                    (0x0530, 2) => moment.status.external_v = Some(number(value) as f32 / 1000.0),
                    _ => {}
                }
            }
        }
        0x03 => {
            for _ in 0..body.u8("number of events")? {
                let id = body.u8("id of an event")?;
                let length = body.u8("length of an event")?;
                body.take(length.into(), "event")?;
                event(id, &mut moment);
            }
        }
        0x15 => match body.u32("event")? {
            kind @ 51..=53 => driving(1 << (kind - 51), 0x00f0_1500, &mut moment),
            56 => moment.alarms.push(Alarm { kind: AlarmKind::Crash, raw: 56 }),
            _ => {}
        },
        _ => return Ok(moment),
    }
    if matches!(subject, 0x01 | 0x03) {
        let status_bits = body.u32("status bits")?;
        moment.status.ignition = Some(status_bits & 1 == 1);
        moment.status.charging = Some(status_bits >> 26 & 1 == 1);
        body.take(8, "last place")?;
    }
    Ok(moment)
}

fn event(id: u8, moment: &mut Moment) {
    let kind = match id {
        0x01 => AlarmKind::PowerRestored,
        0x02 => AlarmKind::PowerCut,
        0x0e => AlarmKind::Idle,
        0x1a => AlarmKind::HardAcceleration,
        0x1b => AlarmKind::HardBraking,
        0x1c => AlarmKind::HardCornering,
        0x23 => AlarmKind::Fatigue,
        0x25 => AlarmKind::Overspeed,
        0x26..=0x28 => AlarmKind::Crash,
        0x31 | 0x32 => AlarmKind::Door,
        _ => AlarmKind::Vendor,
    };
    moment.alarms.push(Alarm { kind, raw: id.into() });
}
