//! Jointech's locks: 0x5501 and, kept while there was no network, 0x5502.

use crate::domain::{Alarm, AlarmKind, Cell, Fix, FixSource, LatLon, Moment};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::jt808::location::time;

/// The message for what was kept.
pub const BLIND: u16 = 0x5502;
/// A lock for doors and containers, whose alarm word has many bits.
const PRODUCT_WITH_ALARMS: u8 = 3;
/// Its alarm bits.
const ALARMS: &[(u32, AlarmKind)] = &[
    (0, AlarmKind::Overspeed),
    (1, AlarmKind::LowPower),
    (2, AlarmKind::Vibration),
    (3, AlarmKind::LowBattery),
    (5, AlarmKind::GeofenceEnter),
    (6, AlarmKind::GeofenceExit),
];

/// Day first and UTC, degrees and minutes in BCD, then the lock's state.
///
/// # Errors
/// The field that is cut or no BCD.
pub fn read(message: u16, bytes: &[u8]) -> Result<Moment, DecodeError> {
    let mut body = Cursor::new(bytes);
    let t = body.take(6, "time")?;
    let at = time(&[t[2], t[1], t[0], t[3], t[4], t[5]], 0);
    let lat = degrees("latitude", &hex::encode(body.take(4, "latitude")?), 2)?;
    let digits = hex::encode(body.take(5, "longitude")?);
    let lon = degrees("longitude", &digits[..9], 3)?;
    let flags = digits.as_bytes().last().and_then(|c| char::from(*c).to_digit(16)).unwrap_or(0);
    let bit = |n: u32| flags >> n & 1 == 1;
    let speed_kmh = f32::from(body.u8("speed")?);
    let course_deg = f32::from(body.u8("course")?) * 2.0;
    let signal = body.u8("signal")?;
    let satellites = body.u8("satellites")?;
    let mut moment = Moment { at, buffered: message == BLIND, ..Moment::default() };
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
        0xaa | 0xab => status.charging = Some(true),
        _ => {}
    }
    behind(&mut body, &mut moment);
    Ok(moment)
}

fn degrees(field: &'static str, digits: &str, whole: usize) -> Result<f64, DecodeError> {
    let read = || Some(digits.get(..whole)?.parse::<f64>().ok()? + digits.get(whole..)?.parse::<f64>().ok()? / 6e5);
    read().ok_or_else(|| DecodeError::Field { field, problem: format!("{digits:?} is not in BCD") })
}

/// Cell, product, alarm word, items; as far as they are there.
fn behind(body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let (cell, area) = (u64::from(body.u32("cell").ok()?), u32::from(body.u16("area").ok()?));
    if cell > 0 && area > 0 {
        moment.network.cells.push(Cell { mcc: 0, mnc: 0, area, cell, signal_dbm: None });
    }
    let product = body.u8("product").ok()?;
    body.u16("status").ok()?;
    let alarms = u32::from(body.u16("alarms").ok()?);
    let table = if product == PRODUCT_WITH_ALARMS { ALARMS } else { &[(0, AlarmKind::LowPower)] };
    let raised = |(bit, kind): &(u32, AlarmKind)| (alarms >> bit & 1 == 1).then_some(Alarm { kind: *kind, raw: *bit });
    moment.alarms.extend(table.iter().filter_map(raised));
    while let (Ok(id), Ok(length)) = (body.u8("id of an item"), body.u8("length of an item")) {
        let value = body.take(length.into(), "item").ok()?;
        if let (0x02, [high, low], Some(fix)) = (id, value, &mut moment.fix) {
            fix.altitude_m = Some(f32::from(i16::from_be_bytes([*high, *low])));
        }
    }
    Some(())
}
