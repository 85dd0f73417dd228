//! Items with an id and a length: the modular report 0x70, and what follows a location of 0x37.

use crate::domain::{Alarm, AlarmKind, Moment, Report, Timestamp};
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::place::{self, CellForm};
use crate::protocol::{DecodeError, keep};

/// Events of module 0x2b.
const EVENTS: [(u8, AlarmKind); 4] = [
    (0x11, AlarmKind::LowBattery),
    (0x12, AlarmKind::LowPower),
    (0x13, AlarmKind::PowerCut),
    (0x14, AlarmKind::Removal),
];

/// 0x70: id and length in two bytes each.
///
/// # Errors
/// The field that is cut.
pub fn read(body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let mut moment = Moment::default();
    while body.len() >= 4 {
        let id = body.u16("id of a module")?;
        let length = usize::from(body.u16("length of a module")?);
        let value = body.take(length, "module")?;
        match (id, length) {
            (0x0033, 18) => place_of(value, &mut moment)?,
            (0x0003, 10) => moment.status.iccid = Some(hex::encode(value).trim_end_matches('f').into()),
            (0x0009, 1) => moment.status.satellites = Some(value[0]),
            (0x0011, 10) => {
                let mut place = Cursor::new(value);
                let network = (place.u16("MCC")?, place.u16("MNC")?);
                moment.network.cells.extend(place::cell_of(&mut place, CellForm::Short, network)?);
            }
            (0x0018, 2) => moment.status.battery_v = Some(number(value) as f32 / 100.0),
            (0x0028, 1) => {
                if let Some(fix) = &mut moment.fix {
                    fix.hdop = Some(f32::from(value[0]) / 10.0);
                }
            }
            (0x002b, 1) => {
                let kind = EVENTS.iter().find(|(code, _)| *code == value[0]);
                moment.alarms.extend(kind.map(|(code, kind)| Alarm { kind: *kind, raw: 0x2b00 | u32::from(*code) }));
            }
            (0x002e, 4) => moment.status.odometer_m = Some(number(value).into()),
            _ => keep(&mut report.unknown, || format!("module {id:#06x}"), value),
        }
    }
    report.moments.push(moment);
    Ok(())
}

/// Seconds since 1970, satellites, altitude, and the words of a GPS block.
fn place_of(value: &[u8], moment: &mut Moment) -> Result<(), DecodeError> {
    let mut place = Cursor::new(value);
    let at = Timestamp::from_secs(place.u32("time")?.into());
    let satellites = place.u8("satellites")?;
    let altitude_m = f32::from(place.u16("altitude")? as i16);
    let (lat, lon) = (place.u32("latitude")?, place.u32("longitude")?);
    let speed_kmh = f32::from(place.u8("speed")?);
    let mut gps = place::gps_of(Some(at), satellites, (lat, lon), speed_kmh, place.u16("course and flags")?);
    gps.fix.altitude_m = Some(altitude_m);
    moment.at = Some(at);
    moment.status.satellites = Some(satellites);
    moment.fix = Some(gps.fix);
    Ok(())
}

fn number(value: &[u8]) -> u32 {
    value.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// Behind a location of 0x37: id in two bytes, length in one. A cut last item is ignored.
pub fn short(body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    while body.len() > 3 {
        let id = body.u16("id of an item").ok()?;
        let length = usize::from(body.u8("length of an item").ok()?);
        let value = body.take(length, "item").ok()?;
        match (id, length) {
            (0x0027, 2) => moment.status.external_v = Some(number(value) as f32 / 100.0),
            (0x002e, 4) => moment.status.odometer_m = Some(number(value).into()),
            (0x003b, 2) => {
                if let Some(fix) = &mut moment.fix {
                    fix.accuracy_m = Some(number(value) as f32 / 100.0);
                }
            }
            _ => {}
        }
    }
    Some(())
}
