//! GT06 and its family (Concox, Jimi and many others): binary, over TCP.
//!
//! Source: Concox "GPS Tracker Communication Protocol" 1.8 and Jimi's manuals of later models. Only the
//! login carries an identity; afterwards it is the connection's.

mod alarm;
mod command;
mod content;
mod frame;
mod hints;
mod location;
mod modules;
mod place;
mod radio;
mod state;
mod words;

pub use command::{Request, encode};
pub use frame::{build, frame};

use crate::domain::{Profile, ReplyBytes, Report, Timestamp};
use crate::protocol::heard::{Heard, Kind};
use crate::protocol::{DecodeError, dialect};
use frame::Frame;
use hints::Hints;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Reads one frame.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let dialect = dialect::of(profile);
    let frame = Frame::read(payload, profile.tolerate_checksum || dialect.tolerate_checksum)?;
    let is_check_sum_wrong = frame.is_check_sum_wrong;
    let mut report = Report { message: name(frame.number), is_check_sum_wrong, ..Report::default() };
    let hints = Hints { offset_s: dialect.offset_s(profile), dialect };
    content::read(hints, &frame, &mut report)?;
    report.moments.iter_mut().for_each(alarm::supply);
    report.replies.extend(owed(&frame));
    Ok(report)
}

/// Hears a frame as whoever holds the connection: see [`crate::protocol::connected`].
///
/// # Errors
/// No start, too short, a wrong CRC that the profile does not tolerate.
pub fn hear(profile: &Profile, payload: &[u8], now: Timestamp) -> Result<Heard, DecodeError> {
    let dialect = dialect::of(profile);
    let frame = Frame::read(payload, profile.tolerate_checksum || dialect.tolerate_checksum)?;
    let heard = |kind, is_kept, answer| Heard { idents: SmallVec::new(), kind, is_kept, answer };
    Ok(match frame.number {
        0x01 => {
            let mut report = Report::default();
            let hints = Hints { offset_s: dialect.offset_s(profile), dialect };
            content::read(hints, &frame, &mut report)?;
            Heard { idents: report.tracker_idents, ..heard(Kind::Session, true, frame.reply()) }
        }
        0x13 | 0x23 => heard(Kind::Session, true, frame.reply()),
        // Year since 2000 and the rest, UTC.
        0x8a => {
            let content = now.civil_utc().map(|(year, [month, day, hour, minute, second])| {
                [(year - 2000) as u8, month, day, hour, minute, second]
            });
            let answer = build(false, 0x8a, &content.unwrap_or_default(), frame.serial.unwrap_or_default());
            heard(Kind::Session, false, answer)
        }
        _ => heard(Kind::Data, true, owed(&frame).unwrap_or_default()),
    })
}

/// Most messages of the short form are answered by their number and serial, and sensors' reports of the
/// long form. A question for an address is answered by none, in the form that it expects; one for the
/// time is the gateway's, which has a clock; pictures are not taken.
fn owed(frame: &Frame<'_>) -> Option<ReplyBytes> {
    const NO_ADDRESS: &[u8] = b"\x0b\0\0\0\0NA&&NA&&0##";
    match frame.number {
        0x17 | 0x69 if content::is_wifi(frame) && frame.serial.is_some() => None,
        0x2a if !frame.is_long => Some(build(true, 0x97, NO_ADDRESS, 0)),
        0x34 | 0x35 | 0x80 | 0x81 | 0x83 | 0x8a | 0xf3 | 0xfd => None,
        0x70 | 0xf1 | 0xf2 | 0x32 | 0x33 => Some(frame.reply()),
        _ => (!frame.is_long).then(|| frame.reply()),
    }
}

/// Number and word; the frequent ones without a copy.
fn name(number: u8) -> Cow<'static, str> {
    let word = match number {
        0x01 => return "0x01 login".into(),
        0x12 => return "0x12 location".into(),
        0x13 => return "0x13 heartbeat".into(),
        0x22 => return "0x22 location".into(),
        0xa0 => return "0xa0 location".into(),
        0x23 => "heartbeat",
        0x15 | 0x21 => "text",
        0x16 | 0x26 | 0x27 | 0xa3 | 0xa4 | 0xa5 => "alarm",
        0x17 | 0x69 | 0xf3 | 0x2c => "wifi and cells",
        0x18 | 0x19 | 0x24 | 0x28 | 0x2e | 0xa1 => "cells",
        0x2a => "address request",
        0x40 => "battery",
        0x8a => "time request",
        0x8c => "vehicle bus",
        0x94 => "information",
        0x10 | 0x11 | 0x1e | 0x2d | 0x31 | 0x32 | 0x37 | 0x38 | 0xa2 => "location",
        _ => "other",
    };
    format!("{number:#04x} {word}").into()
}

#[cfg(test)]
mod tests;
