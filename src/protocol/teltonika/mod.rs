//! Teltonika: codec 7, 8, 8 extended, 16 (positions) and 12, 13, 14 (commands), over TCP and UDP.
//!
//! Source: Teltonika's "Codec" and "AVL ID" documents. Identity is the connection's (TCP login) or
//! the datagram's (UDP); an AVL packet over TCP has none.

mod codec7;
mod command;
mod io;

pub use command::{Request, encode};

use crate::domain::{Fix, FixSource, LatLon, Moment, Profile, ReplyBytes, Report, Timestamp};
use crate::protocol::cursor::Cursor;
use crate::protocol::heard::{Heard, Kind};
use crate::protocol::{DecodeError, FrameStep, crc16_table, dialect};
use compact_str::CompactString;
use dialect::Dialect;
use smallvec::{SmallVec, smallvec};

/// Length of the preamble (four zeros) and the length field.
const HEAD_BYTES: usize = 8;
/// Longest packet taken from a stream; the codec's own limit is 1,280 bytes of data.
const FRAME_BYTES_MAX: usize = 65_536;
/// A record has at least its place and the counts of its groups.
const RECORD_BYTES_MIN: usize = 30;

/// Which layout the records have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Codec {
    Eight,
    EightExtended,
    Sixteen,
}

/// Reads a login, an AVL packet, a datagram or a command's answer.
///
/// # Errors
/// The field that is cut or wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    match payload {
        [0xff] => Ok(Report { message: "keep-alive".into(), ..Report::default() }),
        [0, 0, 0, 0, ..] => packet(profile, payload),
        [0, length, digits @ ..]
            if !digits.is_empty() && usize::from(*length) == digits.len() && digits.iter().all(u8::is_ascii_digit) =>
        {
            Ok(Report {
                message: "login".into(),
                tracker_idents: imei(digits),
                replies: smallvec![smallvec![1]],
                ..Report::default()
            })
        }
        _ => datagram(profile, payload),
    }
}

/// Hears a packet or a datagram as whoever holds the connection: see [`crate::protocol::connected`]. Records that nobody can read
/// are kept and counted all the same where both counts and the check sum are right: a device that is not answered repeats them and
/// says nothing else.
///
/// # Errors
/// The field that is cut or wrong: its count cannot be promised.
pub fn hear(profile: &Profile, payload: &[u8], _: Timestamp) -> Result<Heard, DecodeError> {
    let report = match decode(profile, payload) {
        Ok(report) => report,
        Err(error) => {
            let answer = promised(payload).ok_or(error)?;
            let idents = name(payload).into_iter().collect();
            return Ok(Heard { idents, kind: Kind::Data, is_kept: true, answer });
        }
    };
    // A short datagram begins as a log-in does.
    let is_session = matches!(report.message.as_ref(), "login" | "keep-alive");
    Ok(Heard {
        idents: report.tracker_idents,
        kind: if is_session { Kind::Session } else { Kind::Data },
        is_kept: !is_session,
        answer: report.replies.into_iter().next().unwrap_or_default(),
    })
}

/// The answer to records of codec 8, 8 extended or 16 that are whole, whatever stands in them; a datagram's has no check sum.
fn promised(payload: &[u8]) -> Option<ReplyBytes> {
    let counted = |data: &[u8]| match data {
        [0x08 | 0x8e | 0x10, count, .., again] if count == again => Some(*count),
        _ => None,
    };
    if let [0, 0, 0, 0, _, _, _, _, rest @ ..] = payload {
        let (data, crc) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
        let is_right = crc == u32::from(crc16_arc(data)).to_be_bytes();
        return counted(data).filter(|_| is_right).map(|n| ReplyBytes::from_slice(&u32::from(n).to_be_bytes()));
    }
    let [a, b, high, low, 1, avl_id, 0, 15, rest @ ..] = payload else { return None };
    if usize::from(u16::from_be_bytes([*a, *b])) != payload.len() - 2 {
        return None; // it was cut
    }
    let count = counted(rest.get(15..)?)?;
    Some(ReplyBytes::from_slice(&[0, 5, *high, *low, 1, *avl_id, count]))
}

/// Whom a log-in or a datagram names, whatever stands behind.
pub fn name(payload: &[u8]) -> Option<CompactString> {
    let digits = match payload {
        [0, 0, 0, 0, ..] => return None,
        [0, length, digits @ ..] if usize::from(*length) == digits.len() && digits.iter().all(u8::is_ascii_digit) => {
            digits
        }
        [_, _, _, _, 1, _, 0, 15, rest @ ..] => rest.get(..15)?,
        _ => return None,
    };
    digits.iter().all(u8::is_ascii_digit).then(|| imei(digits).into_iter().next()).flatten()
}

/// Finds the first packet in a stream that may be cut anywhere.
pub fn frame(stream: &[u8]) -> FrameStep {
    match stream {
        [] => FrameStep::More,
        [0xff, ..] => FrameStep::Frame(1),
        [0, 0, 0, 0, a, b, c, d, ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize + HEAD_BYTES + 4;
            match length {
                l if l > FRAME_BYTES_MAX => FrameStep::Skip(1),
                l if l > stream.len() => FrameStep::More,
                l => FrameStep::Frame(l),
            }
        }
        [0, length, ..] if *length > 0 => {
            let length = usize::from(*length) + 2;
            if length > stream.len() { FrameStep::More } else { FrameStep::Frame(length) }
        }
        // A datagram of more than 255 bytes: its length, ids, type 1, and an IMEI of 15 digits.
        [high, low, _, _, 1, _, 0, 15, ..] if *high > 0 => {
            let length = usize::from(u16::from_be_bytes([*high, *low])) + 2;
            if length > stream.len() { FrameStep::More } else { FrameStep::Frame(length) }
        }
        [0, ..] if stream.len() < HEAD_BYTES => FrameStep::More,
        _ => FrameStep::Skip(1),
    }
}

fn imei(digits: &[u8]) -> SmallVec<[CompactString; 1]> {
    let text: CompactString = digits.iter().map(|b| char::from(*b)).filter(char::is_ascii_alphanumeric).collect();
    if text.is_empty() { SmallVec::new() } else { smallvec![text] }
}

/// Over TCP: four zeros, length, data, CRC.
fn packet(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let mut head = Cursor::new(payload);
    head.u32("preamble")?;
    let length = head.u32("data length")? as usize;
    let data = head.take(length, "data")?;
    let found = head.u32("CRC")?;
    let computed = u32::from(crc16_arc(data));
    let dialect = dialect::of(profile);
    let is_check_sum_wrong = found != computed;
    if is_check_sum_wrong && !(profile.tolerate_checksum || dialect.tolerate_checksum) {
        return Err(DecodeError::Checksum { field: "CRC", found, computed });
    }
    let mut report = Report { is_check_sum_wrong, ..Report::default() };
    match data.first() {
        Some(0x0c..=0x0e) => command::answer(data, &mut report)?,
        _ => {
            let accepted = records(profile, dialect, data, &mut report)?;
            report.replies.push(ReplyBytes::from_slice(&u32::from(accepted).to_be_bytes()));
        }
    }
    Ok(report)
}

/// Over UDP: length, packet id, type, AVL packet id, IMEI, data; no CRC.
fn datagram(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let mut head = Cursor::new(payload);
    head.u16("length")?;
    let packet_id = head.u16("packet id")?;
    head.u8("type")?;
    let avl_id = head.u8("AVL packet id")?;
    let length = usize::from(head.u16("IMEI length")?);
    let digits = head.take(length, "IMEI")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecodeError::Field { field: "IMEI", problem: "has other characters than digits".into() });
    }
    let mut report = Report { tracker_idents: imei(digits), ..Report::default() };
    let accepted = records(profile, dialect::of(profile), head.rest(), &mut report)?;
    let [high, low] = packet_id.to_be_bytes();
    report.replies.push(ReplyBytes::from_slice(&[0, 5, high, low, 1, avl_id, accepted]));
    Ok(report)
}

/// Codec id, count, records, count again.
fn records(profile: &Profile, dialect: &Dialect, data: &[u8], report: &mut Report) -> Result<u8, DecodeError> {
    let mut data = Cursor::new(data);
    let id = data.u8("codec id")?;
    let codec = match id {
        0x07 => return codec7::records(data, report),
        0x08 => Codec::Eight,
        0x8e => Codec::EightExtended,
        0x10 => Codec::Sixteen,
        other => {
            return Err(DecodeError::Field {
                field: "codec id",
                problem: format!("{other:#04x} is not valid; expected 0x07, 0x08, 0x8e, 0x10, 0x0c, 0x0d or 0x0e"),
            });
        }
    };
    report.message = match codec {
        Codec::Eight => "codec 0x08",
        Codec::EightExtended => "codec 0x8e",
        Codec::Sixteen => "codec 0x10",
    }
    .into();
    let has_16_byte_values = profile.has_16_byte_values || dialect.has_16_byte_values;
    let layout = io::Layout { codec, has_16_byte_values };
    let count = data.u8("number of records")?;
    report.moments.reserve_exact(usize::from(count).min(data.len() / RECORD_BYTES_MIN));
    for _ in 0..count {
        record(layout, &mut data, report)?;
    }
    let again = data.u8("number of records, again")?;
    if again != count {
        let problem = format!("is {again} at the end and {count} at the beginning");
        return Err(DecodeError::Field { field: "number of records", problem });
    }
    Ok(count)
}

fn record(layout: io::Layout, data: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let at_ms = data.u64("time")?;
    data.u8("priority")?;
    let lon = f64::from(data.u32("longitude")? as i32) / 1e7;
    let lat = f64::from(data.u32("latitude")? as i32) / 1e7;
    let altitude_m = f32::from(data.u16("altitude")? as i16);
    let course_deg = f32::from(data.u16("angle")?);
    let satellites = data.u8("satellites")?;
    let speed_kmh = f32::from(data.u16("speed")?);
    let at = i64::try_from(at_ms).ok().and_then(|ms| ms.checked_mul(1000)).map(Timestamp::from_micros);
    let fix = Fix {
        fixed_at: at,
        valid: satellites > 0,
        position: LatLon::new(lat, lon),
        altitude_m: Some(altitude_m),
        speed_kmh: Some(speed_kmh),
        course_deg: Some(course_deg),
        satellites: Some(satellites),
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    let mut moment = Moment { at, fix: Some(fix), ..Moment::default() };
    moment.status.satellites = Some(satellites);
    io::read(layout, data, &mut moment, &mut report.unknown)?;
    report.moments.push(moment);
    Ok(())
}

/// CRC-16/ARC: polynomial 0x8005 reflected, initial value 0.
fn crc16_arc(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = crc16_table(0xa001);
    bytes.iter().fold(0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests;
