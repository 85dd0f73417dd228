//! Items with an id and a length: the modular report 0x70, and what follows a location of 0x37.

use super::place;
use crate::domain::{Moment, Report, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;

/// Items kept by number when we have no name for them.
const UNKNOWN_MAX: usize = 64;

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
            (0x0033, 18) => {
                let mut place = Cursor::new(value);
                let at = Timestamp::from_secs(place.u32("time")?.into());
                let satellites = place.u8("satellites")?;
                let altitude_m = f32::from(place.u16("altitude")? as i16);
                let usual = [&[satellites], place.rest()].concat();
                let mut gps = place::gps_at(&mut Cursor::new(&usual), Some(at))?;
                gps.fix.satellites = Some(satellites);
                gps.fix.altitude_m = Some(altitude_m);
                moment.at = Some(at);
                moment.fix = Some(gps.fix);
            }
            (0x0003, 10) => moment.status.iccid = Some(hex::encode(value).trim_end_matches('f').to_owned()),
            (0x0018, 2) => moment.status.battery_v = Some(f32::from(u16::from_be_bytes([value[0], value[1]])) / 100.0),
            (0x0028, 1) => {
                if let Some(fix) = &mut moment.fix {
                    fix.hdop = Some(f32::from(value[0]) / 10.0);
                }
            }
            _ if report.unknown.len() < UNKNOWN_MAX => {
                report.unknown.insert(format!("module {id:#06x}"), hex::encode(value));
            }
            _ => {}
        }
    }
    report.moments.push(moment);
    Ok(())
}

/// Behind a location of 0x37: id in two bytes, length in one. A cut last item is ignored.
pub fn short(body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    while body.len() > 3 {
        let id = body.u16("id of an item").ok()?;
        let length = usize::from(body.u8("length of an item").ok()?);
        let value = body.take(length, "item").ok()?;
        if (id, length) == (0x002e, 4) {
            moment.status.odometer_m = Some(value.iter().fold(0.0, |n, b| n * 256.0 + f64::from(*b)));
        }
    }
    Some(())
}
