//! Registration, authentication and heartbeats: what a terminal says of its connection (JT/T 808-2019, 8.3 to 8.9).

use crate::domain::{Profile, ReplyBytes, Timestamp};
use crate::protocol::heard::{Heard, Kind};
use crate::protocol::jt808::frame::{Frame, Tolerance, escape_frame};
use crate::protocol::jt808::reply;
use crate::protocol::{DecodeError, dialect};
use smallvec::{SmallVec, smallvec};

/// Bytes of province and city, before what a terminal is.
const PLACE_BYTES: usize = 4;
/// Bytes of maker, model and terminal id in the editions of 2011, 2013 and 2019.
const TERMINAL_BYTES: [usize; 3] = [5 + 8 + 7, 5 + 20 + 7, 11 + 30 + 30];

/// Hears a frame as whoever holds the connection: see [`crate::protocol::connected`]. Text in brackets is data that names nobody.
///
/// # Errors
/// The field that is cut or wrong.
pub fn hear(profile: &Profile, payload: &[u8], now: Timestamp) -> Result<Heard, DecodeError> {
    if payload.first() == Some(&b'(') {
        let (idents, answer) = (SmallVec::new(), ReplyBytes::new());
        return Ok(Heard { idents, kind: Kind::Data, is_kept: true, answer });
    }
    let dialect = dialect::of(profile);
    let check_sum = profile.tolerate_checksum || dialect.tolerate_checksum;
    let frame = Frame::read(payload, Tolerance { check_sum, length: dialect.tolerate_length })?;
    let header = &frame.header;
    let is_part = header.parts.is_some_and(|(total, _)| total > 1);
    let reply = if is_part { Some(reply::general(header, reply::OK)) } else { reply::owed(header) };
    let (kind, is_kept, reply) = match header.message {
        0x0100 => (Kind::Register, false, None),
        0x0102 => (Kind::Authenticate, false, None),
        0x0004 => (Kind::Session, false, now.civil_utc().map(|at| reply::time_of_2019(header, at))),
        0x0109 => (Kind::Session, false, now.civil_utc().map(|at| reply::time(header, at))),
        0x0002 | 0x0003 | 0x0506 => (Kind::Session, true, reply),
        _ => (Kind::Data, true, reply),
    };
    let answer = reply.map_or_else(ReplyBytes::new, |reply| ReplyBytes::from_vec(escape_frame(&reply)));
    Ok(Heard { idents: smallvec![header.phone.digits()], kind, is_kept, answer })
}

/// Whoever answers has heard the frame by its tracker's own profile before.
fn read(payload: &[u8]) -> Result<Frame<'_>, DecodeError> {
    Frame::read(payload, Tolerance { check_sum: true, length: true })
}

/// Whether a frame may hold an authentication code, whatever else is wrong with it: registration and authentication.
pub fn may_hold_code(payload: &[u8]) -> bool {
    matches!(payload, [0x7e | 0xe7, 0x01, 0x00 | 0x02, ..])
}

/// What a registration (0x0100) says of the terminal: maker, model and terminal id as they stand there.
///
/// The editions of 2011 and 2013 differ by the length of the model alone, which nothing states; a plate of more than 11 bytes
/// makes the former look like the latter, and a part of it then counts as the terminal's.
///
/// # Errors
/// The frame cannot be read, or says nothing of the terminal.
pub fn registering_terminal(payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let frame = read(payload)?;
    let said = frame.body().get(PLACE_BYTES..).filter(|said| !said.is_empty());
    let said = said.ok_or(DecodeError::Truncated { field: "maker", at: frame.body().len() })?;
    let [of_2011, of_2013, of_2019] = TERMINAL_BYTES;
    let length = match (frame.header.version, said.len()) {
        (Some(_), _) => of_2019,
        (None, length) if length > of_2013 => of_2013,
        (None, _) => of_2011,
    };
    Ok(said[..length.min(said.len())].to_vec())
}

/// The codes that an authentication (0x0102) may mean: all of the body, and in the edition of 2019 what its first byte is the
/// length of. Some terminals of 2019 leave that byte out, some fill up with NUL.
///
/// # Errors
/// The frame cannot be read.
pub fn shown_codes(payload: &[u8]) -> Result<[Vec<u8>; 2], DecodeError> {
    let frame = read(payload)?;
    let body = frame.body();
    let code = match (frame.header.version, body) {
        (Some(_), [length, rest @ ..]) => rest.get(..usize::from(*length)).unwrap_or(rest),
        _ => body,
    };
    let plain = |code: &[u8]| code.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Ok([plain(code), plain(body)])
}

/// 0x8100 to a registration, as it goes onto the wire: the code, or why there is none (3: the terminal is registered already,
/// 4: there is no such terminal).
///
/// # Errors
/// The frame cannot be read.
pub fn registration_answer(payload: &[u8], code: Result<&str, u8>) -> Result<Vec<u8>, DecodeError> {
    Ok(escape_frame(&reply::registered(&read(payload)?.header, code)))
}

/// 0x8001 to any message, as it goes onto the wire. 0: done, 1: failed.
///
/// # Errors
/// The frame cannot be read.
pub fn general_answer(payload: &[u8], result: u8) -> Result<Vec<u8>, DecodeError> {
    Ok(escape_frame(&reply::general(&read(payload)?.header, result)))
}
