//! GT06 and its family (Concox, Jimi and many others): binary, over TCP.
//!
//! Source: Concox "GPS Tracker Communication Protocol" 1.8 and Jimi's manuals of later models. Only the
//! login carries an identity; afterwards it is the connection's.

mod alarm;
mod command;
mod content;
mod frame;
mod modules;
mod place;

pub use command::{Request, encode};
pub use frame::frame;

use super::DecodeError;
use crate::domain::{ClockZone, Profile, Report};
use frame::Frame;
use std::borrow::Cow;

/// Reads one frame.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let frame = Frame::read(payload, profile.tolerate_checksum)?;
    let mut report = Report { message: name(frame.number), ..Report::default() };
    let offset_s = match profile.clock {
        // Newer devices send UTC; older ones send local time and say so at the login.
        ClockZone::Standard | ClockZone::Utc => 0,
        ClockZone::OffsetS(s) => s,
    };
    content::read(profile, offset_s, &frame, &mut report)?;
    if is_answered(&frame) {
        report.replies.push(frame.reply());
    }
    Ok(report)
}

/// Which messages are answered by their number and serial: all of the short form but a few, and
/// sensors' reports of the long form.
fn is_answered(frame: &Frame<'_>) -> bool {
    match frame.number {
        0x17 | 0x69 if content::is_wifi(frame) => false,
        0x34 | 0x35 | 0x80 | 0x81 | 0x83 | 0x8a | 0xf3 | 0xfd => false,
        0x70 | 0xf1 | 0xf2 | 0x32 | 0x33 => true,
        _ => !frame.is_long,
    }
}

/// Number and word; the frequent ones without a copy.
fn name(number: u8) -> Cow<'static, str> {
    let word = match number {
        0x01 => return "0x01 login".into(),
        0x12 => return "0x12 location".into(),
        0x13 => return "0x13 heartbeat".into(),
        0x22 => return "0x22 location".into(),
        0x23 => "heartbeat",
        0x15 | 0x21 => "text",
        0x16 | 0x26 | 0x27 | 0xa4 | 0xa5 => "alarm",
        0x17 | 0x69 | 0xf3 | 0x2c => "wifi and cells",
        0x18 | 0x19 | 0x24 | 0x28 | 0x2e | 0xa1 => "cells",
        0x8a => "time request",
        0x94 => "information",
        0x10 | 0x11 | 0x1e | 0x2d | 0x31 | 0x32 | 0x37 | 0x38 | 0xa0 | 0xa2 => "location",
        _ => "other",
    };
    format!("{number:#04x} {word}").into()
}

#[cfg(test)]
mod tests;
