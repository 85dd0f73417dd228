//! Frames: delimiters, escapes, check sum, header (JT/T 808, section 4.4).

use crate::protocol::cursor::Cursor;
use crate::protocol::{DecodeError, FrameStep};
use std::borrow::Cow;

const DELIMITER: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;
/// Longest frame taken from a stream: 1,023 bytes of body, all of them escaped, and the rest.
const FRAME_BYTES_MAX: usize = 2200;

/// A message's header.
pub struct Header {
    /// Message id.
    pub message: u16,
    /// The terminal's phone number as written, digits; six bytes that are no BCD give their
    /// 48-bit number with its Luhn digit, which is how such terminals hide an IMEI.
    pub phone: String,
    /// The same bytes, for the answer.
    pub phone_bytes: Vec<u8>,
    /// Sequence number.
    pub sequence: u16,
    /// Total and number of a part, if the message comes in parts.
    pub parts: Option<(u16, u16)>,
    /// Bit 15 of the attributes: reserved; Jointech asks for an answer by it.
    pub wants_answer: bool,
    /// Header of 2019: version byte, ten bytes of phone number.
    pub is_2019: bool,
    /// Version byte of 2019.
    pub version: u8,
}

/// A frame taken apart.
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Cow<'a, [u8]>,
}

/// Finds the first frame in a stream that may be cut anywhere; text in brackets is one too.
pub fn frame(stream: &[u8]) -> FrameStep {
    let Some(start) = stream.iter().position(|b| matches!(*b, DELIMITER | b'(')) else {
        return if stream.is_empty() { FrameStep::More } else { FrameStep::Skip(stream.len()) };
    };
    if start > 0 {
        return FrameStep::Skip(start);
    }
    let close = if stream[0] == DELIMITER { DELIMITER } else { b')' };
    match stream[1..].iter().position(|b| *b == close) {
        Some(0) => FrameStep::Skip(1), // the end of one frame and the beginning of the next
        Some(end) => FrameStep::Frame(end + 2),
        None if stream.len() > FRAME_BYTES_MAX => FrameStep::Skip(1),
        None => FrameStep::More,
    }
}

/// Escapes an unescaped frame (delimiters at both ends stay) for the wire.
pub fn escape_frame(frame: &[u8]) -> Vec<u8> {
    let inner = frame.strip_prefix(&[DELIMITER]).and_then(|f| f.strip_suffix(&[DELIMITER])).unwrap_or(frame);
    let mut out = Vec::with_capacity(frame.len() + 8);
    out.push(DELIMITER);
    for byte in inner {
        match *byte {
            DELIMITER => out.extend([ESCAPE, 0x02]),
            ESCAPE => out.extend([ESCAPE, 0x01]),
            other => out.push(other),
        }
    }
    out.push(DELIMITER);
    out
}

fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&ESCAPE) {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (ESCAPE, Some(0x02)) => {
                bytes.next();
                out.push(DELIMITER);
            }
            (ESCAPE, Some(0x01)) => {
                bytes.next();
                out.push(ESCAPE);
            }
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// XOR of every byte from the header to the body's end.
pub fn check_sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

impl<'a> Frame<'a> {
    /// Takes a frame apart. Escaped or not is told by which of both has a right check sum and length.
    ///
    /// # Errors
    /// No delimiters, too short, a wrong check sum or length.
    pub fn read(bytes: &'a [u8], tolerate_checksum: bool) -> Result<Self, DecodeError> {
        let inner = bytes.strip_prefix(&[DELIMITER]).and_then(|b| b.strip_suffix(&[DELIMITER])).ok_or_else(|| {
            DecodeError::Field { field: "delimiter", problem: "the packet does not begin and end with 0x7e".into() }
        })?;
        let unescaped = unescape(inner);
        let changed = matches!(unescaped, Cow::Owned(_));
        match Self::take_apart(unescaped, tolerate_checksum) {
            Err(first) if changed => Self::take_apart(Cow::Borrowed(inner), tolerate_checksum).map_err(|_| first),
            result => result,
        }
    }

    fn take_apart(bytes: Cow<'a, [u8]>, tolerate_checksum: bool) -> Result<Self, DecodeError> {
        let Some((found, content)) = bytes.split_last() else {
            return Err(DecodeError::Truncated { field: "message id", at: 0 });
        };
        let computed = check_sum(content);
        let mut cursor = Cursor::new(content);
        let header = Header::read(&mut cursor)?;
        if *found != computed && !tolerate_checksum {
            return Err(DecodeError::Checksum {
                field: "check sum",
                found: (*found).into(),
                computed: computed.into(),
            });
        }
        let body_at = content.len() - cursor.rest().len();
        let said = usize::from(u16::from_be_bytes([content[2], content[3]]) & 0x03ff);
        let there = cursor.rest().len();
        if said > there {
            return Err(DecodeError::Truncated { field: "body", at: there });
        }
        let body = match bytes {
            Cow::Borrowed(b) => Cow::Borrowed(&b[body_at..b.len() - 1]),
            Cow::Owned(b) => Cow::Owned(b[body_at..b.len() - 1].to_vec()),
        };
        // Some terminals count less than they send; what is beyond the length is kept out.
        let body = if said < there && said > 0 { Cow::Owned(body[..said].to_vec()) } else { body };
        Ok(Self { header, body })
    }
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let message = cursor.u16("message id")?;
        let attributes = cursor.u16("body attributes")?;
        let is_2019 = attributes & 0x4000 != 0;
        let version = if is_2019 { cursor.u8("protocol version")? } else { 0 };
        let phone_bytes = cursor.take(if is_2019 { 10 } else { 6 }, "phone number")?.to_vec();
        let sequence = if matches!(message, 0x5501 | 0x5502) {
            cursor.u8("sequence number")?.into() // Jointech's own messages count in one byte
        } else {
            cursor.u16("sequence number")?
        };
        let parts = if attributes & 0x2000 != 0 {
            Some((cursor.u16("number of parts")?, cursor.u16("part number")?))
        } else {
            None
        };
        let wants_answer = attributes & 0x8000 != 0;
        Ok(Self { message, phone: phone(&phone_bytes), phone_bytes, sequence, parts, wants_answer, is_2019, version })
    }
}

fn phone(bytes: &[u8]) -> String {
    if bytes.iter().all(|b| b >> 4 < 10 && b & 15 < 10) {
        return bytes.iter().flat_map(|b| [char::from(b'0' + (b >> 4)), char::from(b'0' + (b & 15))]).collect();
    }
    let number = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let digits = number.to_string();
    format!("{digits}{}", luhn(&digits))
}

/// The Luhn check digit (ISO/IEC 7812-1, annex B).
fn luhn(digits: &str) -> u32 {
    let doubled = |d: u32| if d > 4 { 2 * d - 9 } else { 2 * d };
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(i, d)| if i % 2 == 0 { doubled(d) } else { d })
        .sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_there_and_back() {
        let frame = [0x7e, 0x30, 0x7e, 0x08, 0x7d, 0x55, 0x7e];
        let wire = escape_frame(&frame);
        assert_eq!(wire, [0x7e, 0x30, 0x7d, 0x02, 0x08, 0x7d, 0x01, 0x55, 0x7e]); // the standard's own example, 4.4.2
        assert_eq!(unescape(&wire[1..wire.len() - 1]).as_ref(), &frame[1..frame.len() - 1]);
    }

    #[test]
    fn a_stream_is_cut_at_its_delimiters() {
        assert_eq!(frame(&[]), FrameStep::More);
        assert_eq!(frame(&[1, 2, 0x7e]), FrameStep::Skip(2));
        assert_eq!(frame(&[0x7e, 1, 2]), FrameStep::More);
        assert_eq!(frame(&[0x7e, 0x7e, 1, 0x7e]), FrameStep::Skip(1));
        assert_eq!(frame(&[0x7e, 1, 2, 0x7e, 9]), FrameStep::Frame(4));
    }

    #[test]
    fn luhn_of_a_published_example() {
        assert_eq!(luhn("7992739871"), 3); // Wikipedia's worked example
    }
}
