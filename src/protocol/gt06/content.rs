//! What stands in a frame, by its number. The same number with another length is another vendor's
//! layout: the common beginning is read, the rest is kept.

use crate::domain::{Moment, Report};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::alarm;
use crate::protocol::gt06::frame::Frame;
use crate::protocol::gt06::hints::Hints;
use crate::protocol::gt06::place::{self, CellForm, GPS_BYTES};
use crate::protocol::gt06::{location, modules, radio, state, words};

/// Whether a frame of 0x17 or 0x69 lists access points: then its time is BCD and no GPS block follows.
pub fn is_wifi(frame: &Frame<'_>) -> bool {
    matches!(frame.number, 0x17 | 0x69)
        && (frame.serial.is_none()
            || frame.content.len() < GPS_BYTES
            || frame.content.get(6).is_none_or(|info| info >> 4 != 0x0c))
}

/// Reads a frame's content.
///
/// # Errors
/// The field that is cut.
pub fn read(hints: Hints, frame: &Frame<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let mut body = Cursor::new(frame.content);
    match frame.number {
        0x01 => state::login(&mut body, report)?,
        0x13 => report.moments.push(state::status_heartbeat(hints, frame, &mut body)?),
        0x23 => report.moments.push(state::heartbeat(&mut body)?),
        0x15 | 0x21 => words::answer(frame, &mut body, report)?,
        0x40 => report.moments.push(state::battery_management(&mut body)?),
        0x70 => modules::read(&mut body, report)?,
        0x8a => {} // answered with the time by the gateway, which has a clock
        0x8c => report.moments.push(state::vehicle_bus(hints, &mut body)?),
        0x94 => words::information(frame, &mut body, report)?,
        _ if is_wifi(frame) && (frame.serial.is_none() || frame.content.len() >= GPS_BYTES) => {
            report.moments.push(radio::wifi(frame, &mut body)?);
        }
        // A place where other models have none: the VL103's 0x36 and 0x24, the XT40's 0x25.
        0x24 | 0x25 | 0x36 if location::surely_begins(frame.content).is_some() => {
            place_inside(hints, frame, &mut body, report)?
        }
        0x18 | 0x24 | 0x28 | 0x2e | 0x2c | 0xa1 | 0xf3 if body.len() >= 6 => {
            report.moments.push(radio::read(frame, hints.offset_s, &mut body)?);
        }
        0xa2 if body.len() >= 6 && !location::says_gps(frame) => {
            report.moments.push(radio::read(frame, hints.offset_s, &mut body)?);
        }
        0x19 | 0xa5 => {
            let mut moment = Moment::default();
            let form = if frame.number == 0xa5 { CellForm::Long } else { CellForm::Short };
            moment.network.cells.extend(place::cell(&mut body, form)?);
            alarm::status(&hints.dialect.alarms, &mut body, &mut moment);
            report.moments.push(moment);
        }
        0x32 | 0x33 if frame.is_long => report.moments.push(location::optional(hints, frame, &mut body)?),
        number if location::has_gps(number) => match location::begin(frame) {
            Some(at) => {
                body.take(at, "vendor's head")?;
                report.moments.push(location::read(hints, frame, &mut body)?);
            }
            None if number == 0x95 && body.len() >= 7 => {
                report.moments.push(location::driving(hints.offset_s, &mut body)?);
            }
            None => keep(&body, report),
        },
        _ if location::surely_begins(frame.content).is_some() => place_inside(hints, frame, &mut body, report)?,
        _ => keep(&body, report),
    }
    Ok(())
}

fn place_inside(
    hints: Hints,
    frame: &Frame<'_>,
    body: &mut Cursor<'_>,
    report: &mut Report,
) -> Result<(), DecodeError> {
    let at = location::surely_begins(frame.content).unwrap_or(0);
    let head = body.take(at, "vendor's head")?;
    if !head.is_empty() {
        report.unknown.insert("head".into(), hex::encode(head));
    }
    report.moments.push(location::read(hints, frame, body)?);
    keep(body, report);
    Ok(())
}

fn keep(body: &Cursor<'_>, report: &mut Report) {
    if !body.is_empty() {
        report.unknown.insert("rest".into(), hex::encode(body.rest()));
    }
}
