//! What stands in a message, by its id.

use crate::domain::{Report, Status};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::jt808::location::{self, Hints};
use crate::protocol::jt808::values::{push_status, signal_percent, text};
use crate::protocol::jt808::{attributes, lock, transparent};
use compact_str::CompactString;

/// Most locations in one batch. A frame of 1,023 bytes holds 34; a message in parts can hold more.
const BATCH_MAX: usize = 512;
/// A batch of fewer bytes than this a location is a lie; so memory is reserved for what is there.
const LOCATION_BYTES_MIN: usize = 28;

/// What a header says of its body.
#[derive(Clone, Copy)]
pub struct Head {
    /// Message id.
    pub message: u16,
    /// Whether the header is that of 2019.
    pub is_2019: bool,
}

/// Reads a body into a report.
///
/// # Errors
/// The field that is cut or wrong.
pub fn read(hints: Hints, header: Head, bytes: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    let mut body = Cursor::new(bytes);
    match header.message {
        0x0200 => location::read(hints, bytes, false, report)?,
        0x0201 | 0x0500 => {
            body.u16("answered sequence number")?;
            location::read(hints, body.rest(), false, report)?;
        }
        0x0704 => batch(hints, &mut body, report)?,
        0x0210 => compact_batch(hints, bytes, report)?,
        0x5501 | 0x5502 => report.moments.push(lock::read(header.message, bytes)?),
        0x0900 => transparent::read(hints, bytes, report)?,
        // Some makers say how they are in a heartbeat: battery, signal, state.
        0x0002 => match bytes {
            [battery @ 0..=100, signal, ..] => {
                let signal_percent = Some(signal_percent((*signal).into()));
                push_status(report, Status { battery_percent: Some(*battery), signal_percent, ..Status::default() });
            }
            [] => {}
            rest => drop(report.unknown.insert("heartbeat".into(), hex::encode(rest))),
        },
        // The IMEI and the firmware stand behind the code since 2019; not every terminal fills them.
        0x0102 if header.is_2019 => {
            let length = usize::from(body.u8("length of the authentication code")?);
            body.take(length, "authentication code")?;
            authenticated(body.take(15, "IMEI").ok(), body.take(20, "firmware").ok(), report);
        }
        0x0107 => attributes::read(bytes, report)?,
        0x0104 => parameters(&mut body, report)?,
        0x6006 => said(bytes.get(1..), report),
        0x0701 => said(bytes.get(4..), report),
        0x1300 => {
            let units: Vec<u16> =
                bytes.get(2..).unwrap_or_default().chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]])).collect();
            said(Some(String::from_utf16_lossy(&units).as_bytes()), report);
        }
        0x0001 | 0x0003 | 0x0100 | 0x0102 | 0x0109 | 0x0506 | 0x1007 => {}
        _ => drop(report.unknown.insert("body".into(), hex::encode(bytes))),
    }
    Ok(())
}

/// IMEI and firmware behind a code, as far as they are there.
pub fn authenticated(imei: Option<&[u8]>, firmware: Option<&[u8]>, report: &mut Report) {
    report.tracker_idents.extend(imei.and_then(word));
    push_status(report, Status { firmware: firmware.and_then(text), ..Status::default() });
}

/// The answer to a command, in words.
fn said(bytes: Option<&[u8]>, report: &mut Report) {
    let text = String::from_utf8_lossy(bytes.unwrap_or_default());
    report.unknown.insert("answer".into(), text.trim_matches(['\0', ' ']).to_owned());
}

fn batch(hints: Hints, body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let count = usize::from(body.u16("number of locations")?);
    let is_backfill = body.u8("kind of batch")? == 1;
    report.moments.reserve_exact(count.min(body.len() / LOCATION_BYTES_MIN).min(BATCH_MAX));
    for _ in 0..count.min(BATCH_MAX) {
        let length = usize::from(body.u16("length of a location")?);
        location::read(hints, body.take(length, "location of a batch")?, is_backfill, report)?;
    }
    Ok(())
}

/// Locations, or times with the battery, each with its length in one byte; alone without a length.
fn compact_batch(hints: Hints, bytes: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    const BATTERY_ONLY: usize = 7;
    if bytes.len() == BATTERY_ONLY {
        report.moments.push(location::battery_only(hints.offset_s, bytes)?);
        return Ok(());
    }
    let mut body = Cursor::new(bytes);
    while !body.is_empty() && report.moments.len() < BATCH_MAX {
        let length = usize::from(body.u8("length of a location")?);
        let item = body.take(length, "location of a compact batch")?;
        if report.moments.len() == report.moments.capacity() {
            report.moments.reserve_exact(body.len() / (BATTERY_ONLY + 1) + 1);
        }
        match length {
            BATTERY_ONLY => report.moments.push(location::battery_only(hints.offset_s, item)?),
            _ => location::read(hints, item, false, report)?,
        }
    }
    Ok(())
}

/// Answered sequence, count, then ids of four bytes with their lengths; a cut last one is ignored.
fn parameters(body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    body.u16("answered sequence number")?;
    body.u8("number of parameters")?;
    while let (Ok(id), Ok(length)) = (body.u32("parameter"), body.u8("length of a parameter")) {
        let Ok(value) = body.take(length.into(), "value of a parameter") else { break };
        parameter(id, value, report);
    }
    Ok(())
}

/// One parameter of the terminal.
pub fn parameter(id: u32, value: &[u8], report: &mut Report) {
    match (id, value) {
        // Odometer, tenths of a kilometre.
        (0x0080, [a, b, c, d]) => {
            let odometer_m = Some(f64::from(u32::from_be_bytes([*a, *b, *c, *d])) * 100.0);
            push_status(report, Status { odometer_m, ..Status::default() });
        }
        _ => crate::protocol::keep(&mut report.unknown, || format!("parameter {id:#06x}"), value),
    }
}

fn word(bytes: &[u8]) -> Option<CompactString> {
    let text: CompactString = bytes.iter().map(|b| char::from(*b)).filter(char::is_ascii_alphanumeric).collect();
    (!text.is_empty()).then_some(text)
}
