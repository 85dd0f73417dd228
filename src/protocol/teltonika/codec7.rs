//! Codec 7, of the older GH3000: masks say which fields follow.
//!
//! Source: Teltonika, "GH3000 protocols": 30 bits of seconds since 2007, floats for the position.

use crate::domain::{Alarm, AlarmKind, Cell, Fix, FixSource, LatLon, Moment, Report, Timestamp};
use crate::protocol::cursor::Cursor;
use crate::protocol::{DecodeError, keep};

/// 2007-01-01 00:00:00 UTC, seconds since 1970.
const EPOCH_S: i64 = 1_167_609_600;
/// A record has at least its time and the mask of what follows.
const RECORD_BYTES_MIN: usize = 5;

/// Records behind the codec id.
///
/// # Errors
/// The field that is cut.
pub fn records(mut data: Cursor<'_>, report: &mut Report) -> Result<u8, DecodeError> {
    report.message = "codec 0x07".into();
    let count = data.u8("number of records")?;
    report.moments.reserve_exact(usize::from(count).min(data.len() / RECORD_BYTES_MIN));
    for _ in 0..count {
        let moment = record(&mut data, report)?;
        report.moments.push(moment);
    }
    Ok(count)
}

fn record(data: &mut Cursor<'_>, report: &mut Report) -> Result<Moment, DecodeError> {
    let at = Timestamp::from_secs(EPOCH_S + i64::from(data.u32("time")? & 0x3fff_ffff));
    let groups = data.u8("mask of groups")?;
    let mut moment = Moment { at: Some(at), ..Moment::default() };
    if groups & 1 != 0 {
        place(data, at, &mut moment)?;
    }
    for (bit, size) in [(1, 1), (2, 2), (3, 4)] {
        if groups >> bit & 1 != 0 {
            for _ in 0..data.u8("number of values")? {
                let id = data.u8("id of a value")?;
                let bytes = data.take(size, "value")?;
                if value(id, bytes, &mut moment).is_none() {
                    keep(&mut report.unknown, || format!("io{id}"), bytes);
                }
            }
        }
    }
    Ok(moment)
}

fn place(data: &mut Cursor<'_>, at: Timestamp, moment: &mut Moment) -> Result<(), DecodeError> {
    let mask = data.u8("mask of the position")?;
    let has = |bit: u8| mask >> bit & 1 != 0;
    let position = if has(0) {
        let lat = f64::from(f32::from_bits(data.u32("latitude")?));
        Some(LatLon::new(lat, f64::from(f32::from_bits(data.u32("longitude")?))))
    } else {
        None
    };
    let altitude_m = if has(1) { Some(f32::from(data.u16("altitude")? as i16)) } else { None };
    let course_deg = if has(2) { Some(f32::from(data.u8("angle")?) * 360.0 / 256.0) } else { None };
    let speed_kmh = if has(3) { Some(f32::from(data.u8("speed")?)) } else { None };
    let satellites = if has(4) { Some(data.u8("satellites")?) } else { None };
    if has(5) {
        let (area, cell) = (data.u16("area")?.into(), data.u16("cell")?.into());
        moment.network.cells.push(Cell { mcc: 0, mnc: 0, area, cell, signal_dbm: None });
    }
    if has(6) {
        moment.status.signal_percent = Some((data.u8("signal")?.min(5)) * 20);
    }
    if has(7) {
        data.u32("operator")?;
    }
    moment.status.satellites = satellites;
    moment.fix = position.map(|position| Fix {
        fixed_at: Some(at),
        valid: satellites != Some(0),
        position,
        altitude_m,
        speed_kmh,
        course_deg,
        satellites,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    });
    Ok(())
}

/// One value; `None` if we have no name for it.
fn value(id: u8, bytes: &[u8], moment: &mut Moment) -> Option<()> {
    let n = bytes.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
    match (id, bytes.len()) {
        (1, 1) => moment.status.battery_percent = Some(n.min(100) as u8),
        (67, 2) => moment.status.battery_v = Some(n as f32 / 1000.0),
        (222, 1) if n == 1 => moment.alarms.push(Alarm { kind: AlarmKind::Sos, raw: 222 << 8 | n }),
        (240, 1) => moment.status.moving = Some(n == 1),
        _ => return None,
    }
    Some(())
}
