//! JT/T 808 (2011, 2013, 2019): the language of Chinese vehicle terminals.
//!
//! Source: JT/T 808-2019 and its predecessors as collected in the standard's sections 4.4 (frame), 8
//! (messages) and annex A (items). Vendors redefine reserved bits; the tracker's dialect says whose.

mod attributes;
mod command;
mod frame;
pub(super) mod items;
mod lists;
pub(super) mod location;
mod lock;
pub(super) mod message;
mod parts;
mod reply;
mod session;
mod transparent;
pub(super) mod values;

pub use command::{Request, encode};
pub use frame::{escape_frame, frame, frame_in_payload};
pub use parts::Parts;
pub use session::{general_answer, hear, may_hold_code, registering_terminal, registration_answer, shown_codes};

use crate::domain::{Profile, Report};
use crate::protocol::{DecodeError, dialect};
use frame::{Frame, Tolerance};
use location::Hints;
use message::Head;
use std::borrow::Cow;

/// Reads a frame, escaped as on the socket or already unescaped.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    read(profile, payload, None)
}

/// Reads a frame. A part of a longer message is put to the others of its tracker; the last one that
/// was missing gives the whole.
///
/// # Errors
/// The field that is cut or wrong, in the frame or in the whole.
pub fn decode_with_parts(profile: &Profile, payload: &[u8], parts: &mut Parts) -> Result<Report, DecodeError> {
    read(profile, payload, Some(parts))
}

fn read(profile: &Profile, payload: &[u8], parts: Option<&mut Parts>) -> Result<Report, DecodeError> {
    if payload.first() == Some(&b'(') {
        return side_channel(payload);
    }
    let dialect = dialect::of(profile);
    let hints = Hints { offset_s: dialect.offset_s(profile), dialect };
    let check_sum = profile.tolerate_checksum || dialect.tolerate_checksum;
    let frame = Frame::read(payload, Tolerance { check_sum, length: dialect.tolerate_length })?;
    let header = &frame.header;
    let head = Head { message: header.message, is_2019: header.version.is_some() };
    let mut report =
        Report { message: name(header.message), is_check_sum_wrong: frame.is_check_sum_wrong, ..Report::default() };
    report.tracker_idents.push(header.phone.digits());
    match header.parts.filter(|(total, _)| *total > 1) {
        // One part of a longer message: its bytes mean nothing alone. It is answered, so that the
        // terminal goes on sending.
        Some((total, number)) => {
            report.replies.push(reply::general(header, reply::OK));
            match parts.and_then(|p| p.add(header.message, header.sequence, (total, number), frame.body())) {
                Some(whole) => message::read(hints, head, &whole, &mut report)?,
                None => {
                    report.is_part = true;
                    report.message.to_mut().push_str(" (part)");
                }
            }
        }
        None => {
            if let Some(reply) = reply::owed(header) {
                report.replies.push(reply);
            }
            message::read(hints, head, frame.body(), &mut report)?;
        }
    }
    Ok(report)
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
        0x0109 => "time request",
        0x0201 => "location answer",
        0x0210 => "compact location batch",
        0x0500 => "vehicle control answer",
        0x0506 => "heartbeat",
        0x0701 | 0x1300 | 0x6006 => "command answer",
        0x0900 => "transparent uplink",
        0x5501 | 0x5502 => "lock's location",
        _ => "other",
    };
    format!("{message:#06x} {word}").into()
}

#[cfg(test)]
mod tests;
