//! Frames with a GPS block, and what follows it.

use crate::domain::{AlarmKind, Moment};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::alarm;
use crate::protocol::gt06::frame::Frame;
use crate::protocol::gt06::hints::Hints;
use crate::protocol::gt06::modules;
use crate::protocol::gt06::place::{self, CellForm, GPS_BYTES};

/// Messages with a GPS block.
const WITH_GPS: &[u8] = &[
    0x10, 0x11, 0x12, 0x16, 0x17, 0x1a, 0x1e, 0x22, 0x26, 0x27, 0x2a, 0x2d, 0x31, 0x32, 0x33, 0x34, 0x37, 0x38, 0x61,
    0x69, 0x95, 0xa0, 0xa2, 0xa3, 0xa4,
];
/// Lengths of LBS blocks that count themselves; a country code begins with 0 to 3 or, marked, 0x80 to 0x83.
const LBS_BYTES: std::ops::RangeInclusive<usize> = 8..=0x40;
/// Length of an identity in front of a block: an IMEI in BCD.
const IDENTITY_BYTES: usize = 8;
/// From this length on, 0x12 carries a driver's card.
const CARD_BYTES_MIN: usize = 0x71;

/// Whether frames of this number have a GPS block.
pub fn has_gps(number: u8) -> bool {
    WITH_GPS.contains(&number)
}

/// Whether behind a time the length of GPS information, 12, stands.
pub fn says_gps(frame: &Frame<'_>) -> bool {
    frame.content.get(6).is_some_and(|info| info >> 4 == 0x0c)
}

/// Whether this is the edition with type, IMEI and two times.
fn has_two_times(frame: &Frame<'_>) -> bool {
    frame.number == 0x22 && frame.content.len() > 50
}

/// Where the GPS block begins: behind nothing, an identity, a type, or a second time. Told by a time
/// that can be, followed by the information byte.
pub fn begin(frame: &Frame<'_>) -> Option<usize> {
    let starts_at = |at: usize| {
        let block = frame.content.get(at..at + GPS_BYTES)?;
        place::begins_with_time(block).then_some(at)
    };
    match frame.number {
        0xa2 | 0x32 | 0x33 if !says_gps(frame) => None,
        0x61 => starts_at(8),
        0x34 => starts_at(4),
        0x95 => starts_at(3).or_else(|| starts_at(0)),
        // Type and IMEI, the device's time, then the fix's.
        0x22 if has_two_times(frame) && starts_at(9).is_some() => starts_at(15),
        // The QH302R puts an identity of eight bytes in front.
        0x12 => match surely_begins(frame.content) {
            Some(at) => Some(at),
            None => starts_at(0),
        },
        _ => starts_at(0).or_else(|| surely_begins(frame.content)),
    }
}

/// Where a GPS block surely begins: at the beginning or behind an identity of eight bytes, with a time, a place
/// and a course that can be.
pub fn surely_begins(content: &[u8]) -> Option<usize> {
    [0, IDENTITY_BYTES].into_iter().find(|at| {
        content.get(*at..*at + GPS_BYTES).is_some_and(|b| place::begins_with_time(b) && place::is_possible(b))
    })
}

/// A GPS block and what follows.
///
/// # Errors
/// The block is cut.
pub fn read(hints: Hints, frame: &Frame<'_>, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let gps = match frame.number {
        0x95 => place::gps_of_cameras(body, hints.offset_s)?,
        _ => place::gps(body, hints.offset_s)?,
    };
    let mut moment = Moment { at: gps.fix.fixed_at, ..Moment::default() };
    moment.status.ignition = gps.ignition;
    moment.status.satellites = gps.fix.satellites;
    moment.fix = Some(gps.fix);
    behind(hints, frame, body, &mut moment);
    Ok(moment)
}

/// 0x32 and 0x33 of the long form: a GPS block where its length is not 0, then cells and a state.
///
/// # Errors
/// The time or the block is cut.
pub fn optional(hints: Hints, frame: &Frame<'_>, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let at = place::time(body, hints.offset_s)?;
    let mut moment = Moment { at, ..Moment::default() };
    if body.u8("length of GPS")? > 0 {
        let gps = place::gps_at(body, at)?;
        moment.status.satellites = gps.fix.satellites;
        moment.status.ignition = gps.ignition;
        moment.fix = Some(gps.fix);
    }
    state_behind_lists(frame, body, &mut moment);
    Ok(moment)
}

fn state_behind_lists(frame: &Frame<'_>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    if body.u8("length of LBS").ok()? > 0 {
        moment.network.cells.extend(place::cell(body, CellForm::Short).ok()?);
        alarm::signal(body.u8("signal").ok()?, moment);
    }
    for list in ["more cells", "access points"] {
        let length = body.u8(list).ok()?;
        body.take(length.into(), list).ok()?;
    }
    let state = body.u8("state").ok()?;
    if frame.number == 0x33 {
        match state {
            0xa0 | 0xa1 => moment.status.armed = Some(state == 0xa0),
            0xa2 | 0xa3 => alarm::push(AlarmKind::LowBattery, state.into(), moment),
            0xa4 => alarm::push(AlarmKind::Vendor, state.into(), moment),
            0xa5 => alarm::push(AlarmKind::Door, state.into(), moment),
            _ => {}
        }
    }
    Some(())
}

/// What follows the GPS block, as far as it is there.
fn behind(hints: Hints, frame: &Frame<'_>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let alarms = &hints.dialect.alarms;
    let form = match frame.number {
        0x11 => CellForm::Middle,
        0xa0 | 0xa2 | 0xa3 | 0xa4 => CellForm::Long,
        _ => CellForm::Short,
    };
    match frame.number {
        0x16 | 0x26 | 0x27 | 0xa3 | 0xa4 => {
            lbs_with_length(form, body, moment)?;
            // Two editions of 0x16: one byte more, or the supply instead of a level (length 0x24).
            if frame.number == 0x16 && body.len() == 6 {
                body.u8("vendor's byte").ok()?;
            }
            let fits_supply = || !alarm::is_level_and_signal(body.rest());
            let may_have_supply = frame.number == 0x16 && frame.said == 0x24;
            match may_have_supply && hints.dialect.has_supply_in_alarm.unwrap_or_else(fits_supply) {
                true => alarm::status_with_supply(alarms, body, moment)?,
                false => alarm::status(alarms, body, moment)?,
            }
            mileage(body, moment);
        }
        0x22 if has_two_times(frame) => {
            body.take(9, "LBS").ok()?;
            alarm::information(body.u8("terminal information").ok()?, moment);
            moment.status.external_v = Some(f32::from(body.u16("supply").ok()?) / 100.0);
            moment.status.battery_v = Some(f32::from(body.u8("battery").ok()?) / 10.0);
            alarm::signal(body.u8("signal").ok()?, moment);
            body.take(2, "alarm and language").ok()?;
            moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
        }
        0xa2 => {
            moment.network.cells.extend(place::cell(body, form).ok()?);
            body.u8("reason").ok()?;
            alarm::information(body.u8("terminal information").ok()?, moment);
            moment.status.external_v = Some(f32::from(body.u16("supply").ok()?) / 100.0);
            alarm::battery(body.u8("voltage level").ok()?, moment);
            alarm::signal(body.u8("signal").ok()?, moment);
            body.take(2, "alarm and language").ok()?;
            moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
        }
        0x34 => {
            body.take(2, "vendor's bytes").ok()?;
            moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
        }
        0x11 | 0x32 => {
            moment.network.cells.extend(place::cell(body, form).ok()?);
        }
        0x12 => {
            moment.network.cells.extend(place::cell(body, form).ok()?);
            behind_0x12(hints, frame, body, moment)?;
        }
        0x22 | 0x2d | 0x31 | 0x37 | 0x38 | 0xa0 => {
            moment.network.cells.extend(place::cell(body, form).ok()?);
            if matches!(frame.number, 0x22 | 0xa0 | 0x31 | 0x37) {
                moment.status.ignition = Some(body.u8("ACC").ok()? == 1);
                body.u8("upload reason").ok()?;
                moment.buffered = body.u8("re-upload").ok()? == 1;
                if frame.number == 0x37 {
                    modules::short(body, moment);
                } else {
                    mileage(body, moment);
                }
            }
        }
        0x95 => {
            body.take(body.len().min(2), "speed").ok()?;
            alarm::of_cameras(body.u8("event").ok()?, moment);
        }
        _ => {}
    }
    Some(())
}

/// The LBS block with its length, which counts itself; 0 says that there is none.
fn lbs_with_length(form: CellForm, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let length = usize::from(*body.rest().first()?);
    match length {
        0 if body.len() >= 1 + 8 + 5 => drop(body.take(1 + 8, "empty LBS").ok()?),
        0 => drop(body.u8("length of LBS").ok()?),
        // Some models' lengths count more or less than the block has, so its own form is trusted.
        length if LBS_BYTES.contains(&length) || form == CellForm::Long => {
            body.u8("length of LBS").ok()?;
            moment.network.cells.extend(place::cell(body, form).ok()?);
        }
        _ => moment.network.cells.extend(place::cell(body, form).ok()?),
    }
    Some(())
}

/// Vendors of 0x12 are told apart by its length.
fn behind_0x12(hints: Hints, frame: &Frame<'_>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let alarms = &hints.dialect.alarms;
    match frame.said {
        // A word of inputs: bit 15 is the ignition.
        0x21 => moment.status.ignition = Some(body.u16("inputs").ok()? >> 15 == 1),
        0x24 => alarm::status_with_supply(alarms, body, moment)?,
        0x2b => {
            alarm::status_with_supply(alarms, body, moment)?;
            body.take(3, "oil and temperature").ok()?;
            moment.status.odometer_m = Some(f64::from(body.u32("mileage").ok()?) * 10.0);
        }
        0x29 | CARD_BYTES_MIN.. => mileage(body, moment)?,
        _ => {}
    }
    Some(())
}

fn mileage(body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    if body.len() >= 4 {
        moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
    }
    Some(())
}

/// The cameras' short 0x95: a time, a code, a value.
///
/// # Errors
/// The field that is cut.
pub fn driving(offset_s: i32, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let at = place::time(body, offset_s)?;
    let mut moment = Moment { at, ..Moment::default() };
    alarm::of_cameras(body.u8("event")?, &mut moment);
    Ok(moment)
}
