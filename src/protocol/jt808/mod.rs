//! JT/T 808 (2011, 2013, 2019): the language of Chinese vehicle terminals.
//!
//! Source: JT/T 808-2019 and its predecessors as collected in the standard's sections 4.4 (frame), 8
//! (messages) and annex A (items). Vendors redefine reserved bits; the profile's model says whose.

mod command;
mod extras;
mod frame;
pub(super) mod location;
mod reply;

pub use command::{Request, encode};
pub use frame::{escape_frame, frame};

use super::DecodeError;
use super::cursor::Cursor;
use crate::domain::{ClockZone, Moment, Profile, Report};
use frame::{Frame, Header};
use std::borrow::Cow;

/// The standard's clock: GMT+8 (section 8.18, time in BCD).
const STANDARD_OFFSET_S: i32 = 8 * 3600;
/// Most locations in one 0x0704; a frame of 1,023 bytes holds 34.
const BATCH_MAX: usize = 512;

/// Reads a frame, escaped as on the socket or already unescaped.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    if payload.first() == Some(&b'(') {
        return side_channel(payload);
    }
    let Frame { mut header, body: bytes } = Frame::read(payload, profile.tolerate_checksum)?;
    let mut report = Report { message: name(header.message), ..Report::default() };
    if header.parts.is_some_and(|(total, _)| total > 1) {
        // One part of a longer message: its bytes mean nothing alone. It is answered, so that the
        // terminal goes on sending.
        report.message.to_mut().push_str(" (part)");
        report.replies.push(reply::general(&header));
    } else {
        report.replies.extend(reply::owed(&header));
        body(profile, &header, &bytes, &mut report)?;
    }
    report.tracker_idents.insert(0, std::mem::take(&mut header.phone));
    Ok(report)
}

/// The offset of the tracker's clock, seconds east of UTC.
pub(super) fn offset_s(profile: &Profile) -> i32 {
    match profile.clock {
        ClockZone::Standard => STANDARD_OFFSET_S,
        ClockZone::Utc => 0,
        ClockZone::OffsetS(s) => s,
    }
}

fn body(profile: &Profile, header: &Header, bytes: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    let mut body = Cursor::new(bytes);
    let offset_s = offset_s(profile);
    let location = |bytes: &[u8], report: &mut Report| -> Result<Moment, DecodeError> {
        location::read(profile, offset_s, bytes, &mut report.unknown)
    };
    match header.message {
        0x0200 => {
            let moment = location(bytes, report)?;
            report.moments.push(moment);
        }
        0x0201 | 0x0500 => {
            body.u16("answered sequence number")?;
            let moment = location(body.rest(), report)?;
            report.moments.push(moment);
        }
        0x0704 => {
            let count = usize::from(body.u16("number of locations")?);
            let is_backfill = body.u8("kind of batch")? == 1;
            for _ in 0..count.min(BATCH_MAX) {
                let length = usize::from(body.u16("length of a location")?);
                let mut moment = location(body.take(length, "location of a batch")?, report)?;
                moment.buffered |= is_backfill;
                report.moments.push(moment);
            }
        }
        0x5501 | 0x5502 => report.moments.push(location::of_a_lock(bytes)?),
        0x0210 if bytes.len() == 7 => report.moments.push(location::battery_only(offset_s, bytes)?),
        0x0210 => {
            while !body.is_empty() {
                let length = usize::from(body.u8("length of a location")?);
                let item = body.take(length, "location of a compact batch")?;
                let moment =
                    if length == 7 { location::battery_only(offset_s, item)? } else { location(item, report)? };
                report.moments.push(moment);
            }
        }
        0x0102 if header.is_2019 => {
            let length = usize::from(body.u8("length of the authentication code")?);
            body.take(length, "authentication code")?;
            report.tracker_idents.extend(text(body.take(15, "IMEI")?));
        }
        0x0002 if !bytes.is_empty() => {
            report.unknown.insert("heartbeat".into(), hex::encode(bytes));
        }
        0x0100 | 0x0102 | 0x0002 | 0x0001 | 0x0003 => {}
        _ => {
            report.unknown.insert("body".into(), hex::encode(bytes));
        }
    }
    Ok(())
}

/// Some makers send text in brackets on the same socket: answers to commands.
fn side_channel(payload: &[u8]) -> Result<Report, DecodeError> {
    if payload.last() != Some(&b')') {
        return Err(DecodeError::Truncated { field: "text in brackets", at: payload.len() });
    }
    let mut report = Report { message: "text".into(), ..Report::default() };
    report.unknown.insert("text".into(), String::from_utf8_lossy(payload).into_owned());
    Ok(report)
}

fn text(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().map(|b| char::from(*b)).filter(char::is_ascii_alphanumeric).collect();
    (!text.is_empty()).then_some(text)
}

/// Number and word; the frequent ones without a copy.
pub(super) fn name(message: u16) -> Cow<'static, str> {
    let word = match message {
        0x0002 => return "0x0002 heartbeat".into(),
        0x0200 => return "0x0200 location".into(),
        0x0704 => return "0x0704 location batch".into(),
        0x0001 => "terminal reply",
        0x0003 => "logout",
        0x0100 => "register",
        0x0102 => "authenticate",
        0x0104 => "parameters",
        0x0107 => "attributes",
        0x0201 => "location answer",
        0x0210 => "compact location batch",
        0x0500 => "vehicle control answer",
        0x0900 => "transparent uplink",
        0x5501 | 0x5502 => "lock's location",
        _ => "other",
    };
    format!("{message:#06x} {word}").into()
}

#[cfg(test)]
mod tests;
