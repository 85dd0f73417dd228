//! Frames: delimiters, escapes, check sum, header (JT/T 808, section 4.4).

use crate::protocol::cursor::Cursor;
use crate::protocol::{DecodeError, FrameStep};
use compact_str::{CompactString, ToCompactString};
use std::borrow::Cow;
use std::ops::Range;

/// Longest frame taken from a stream: 1,023 bytes of body, all of them escaped, and the rest.
const FRAME_BYTES_MAX: usize = 2200;

/// How frames begin, end and hide their own delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// First and last byte.
    delimiter: u8,
    /// What stands for what inside.
    escapes: &'static [([u8; 2], u8)],
    /// What escapes begin with.
    leads: [u8; 2],
    /// Length of a phone number in the header of 2011 and 2013.
    phone_bytes: usize,
}

/// The standard's.
const STANDARD: Framing = Framing {
    delimiter: 0x7e,
    escapes: &[([0x7d, 0x02], 0x7e), ([0x7d, 0x01], 0x7d)],
    leads: [0x7d, 0x7d],
    phone_bytes: 6,
};
/// One maker's, with a longer identity.
const OTHER: Framing = Framing {
    delimiter: 0xe7,
    escapes: &[([0xe6, 0x02], 0xe7), ([0xe6, 0x01], 0xe6), ([0x3e, 0x02], 0x3d), ([0x3e, 0x01], 0x3e)],
    leads: [0xe6, 0x3e],
    phone_bytes: 7,
};

impl Framing {
    fn of(delimiter: u8) -> Option<Self> {
        [STANDARD, OTHER].into_iter().find(|f| f.delimiter == delimiter)
    }

    fn unescape<'a>(&self, inner: &'a [u8]) -> Cow<'a, [u8]> {
        // Most frames have nothing to unescape.
        if memchr::memchr2(self.leads[0], self.leads[1], inner).is_none() {
            return Cow::Borrowed(inner);
        }
        let mut out = Vec::with_capacity(inner.len());
        let mut rest = inner;
        while let [byte, tail @ ..] = rest {
            match self.escapes.iter().find(|(pair, _)| rest.starts_with(pair)) {
                Some((_, plain)) => {
                    out.push(*plain);
                    rest = &rest[2..];
                }
                None => {
                    out.push(*byte);
                    rest = tail;
                }
            }
        }
        Cow::Owned(out)
    }
}

/// A terminal's phone number as the header has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phone {
    bytes: [u8; 10],
    length: usize,
}

impl Phone {
    fn of(said: &[u8]) -> Self {
        let mut bytes = [0; 10];
        bytes[..said.len()].copy_from_slice(said);
        Self { bytes, length: said.len() }
    }

    /// As the header has it, for the answer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The same with zeros behind it, as long as the longest.
    pub fn padded(&self) -> [u8; 10] {
        self.bytes
    }

    /// Its digits. Six bytes that are no BCD give their 48-bit number with its Luhn digit, which is how
    /// such terminals hide an IMEI.
    pub fn digits(&self) -> CompactString {
        let mut text = [0; 20];
        let mut is_bcd = true;
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.bytes()) {
            let (tens, ones) = (byte >> 4, byte & 15);
            is_bcd &= tens < 10 && ones < 10;
            pair.copy_from_slice(&[b'0' + tens, b'0' + ones]);
        }
        if let (true, Ok(digits)) = (is_bcd, std::str::from_utf8(&text[..2 * self.length])) {
            return CompactString::new(digits);
        }
        let number = self.bytes().iter().take(6).fold(0u64, |n, b| n << 8 | u64::from(*b));
        let mut digits = number.to_compact_string();
        let check = luhn(&digits);
        digits.push_str(&check.to_compact_string());
        digits
    }
}

/// A message's header.
pub struct Header {
    /// Message id.
    pub message: u16,
    /// The terminal's phone number.
    pub phone: Phone,
    /// Sequence number.
    pub sequence: u16,
    /// Total and number of a part, if the message comes in parts.
    pub parts: Option<(u16, u16)>,
    /// Bit 15 of the attributes: reserved; Jointech asks for an answer by it.
    pub wants_answer: bool,
    /// Version byte of 2019; its header has ten bytes of phone number.
    pub version: Option<u8>,
    /// First and last byte of its frame.
    pub delimiter: u8,
}

/// A frame taken apart.
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Whether its check sum is wrong and tolerated.
    pub is_check_sum_wrong: bool,
    bytes: Cow<'a, [u8]>,
    body: Range<usize>,
}

/// Finds the first frame in a stream that may be cut anywhere; text in brackets is one too.
pub fn frame(stream: &[u8]) -> FrameStep {
    let Some(start) = stream.iter().position(|b| *b == b'(' || Framing::of(*b).is_some()) else {
        return if stream.is_empty() { FrameStep::More } else { FrameStep::Skip(stream.len()) };
    };
    if start > 0 {
        return FrameStep::Skip(start);
    }
    let close = if stream[0] == b'(' { b')' } else { stream[0] };
    match stream[1..].iter().position(|b| *b == close) {
        Some(0) => FrameStep::Skip(1), // the end of one frame and the beginning of the next
        Some(end) => FrameStep::Frame(end + 2),
        None if stream.len() > FRAME_BYTES_MAX => FrameStep::Skip(1),
        None => FrameStep::More,
    }
}

/// The same for a payload, whose frames may be unescaped already: then the header's length tells where one ends,
/// if its check sum agrees.
pub fn frame_in_payload(payload: &[u8]) -> FrameStep {
    let step = frame(payload);
    match step {
        FrameStep::Frame(end) if end == payload.len() => step,
        FrameStep::Frame(_) => unescaped_bytes(payload).map_or(step, FrameStep::Frame),
        _ => step,
    }
}

fn unescaped_bytes(payload: &[u8]) -> Option<usize> {
    let framing = Framing::of(*payload.first()?)?;
    let mut cursor = Cursor::new(&payload[1..]);
    Header::read(framing, &mut cursor).ok()?;
    let said = usize::from(u16::from_be_bytes([payload[3], payload[4]]) & 0x03ff);
    let end = payload.len() - cursor.len() + said + 2;
    let is_one = payload.get(end - 1) == Some(&framing.delimiter) && check_sum(&payload[1..end - 1]) == 0;
    is_one.then_some(end)
}

/// Escapes an unescaped frame (delimiters at both ends stay) for the wire.
pub fn escape_frame(frame: &[u8]) -> Vec<u8> {
    let framing = frame.first().and_then(|b| Framing::of(*b)).unwrap_or(STANDARD);
    let delimiter = &[framing.delimiter];
    let inner = frame.strip_prefix(delimiter).and_then(|f| f.strip_suffix(delimiter)).unwrap_or(frame);
    let mut out = Vec::with_capacity(frame.len() + 8);
    out.push(framing.delimiter);
    for byte in inner {
        match framing.escapes.iter().find(|(_, plain)| plain == byte) {
            Some((pair, _)) => out.extend(pair),
            None => out.push(*byte),
        }
    }
    out.push(framing.delimiter);
    out
}

/// XOR of every byte from the header to the body's end.
pub fn check_sum(bytes: &[u8]) -> u8 {
    let (words, rest) = bytes.as_chunks();
    let mut sum = words.iter().fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word));
    for bits in [32, 16, 8] {
        sum ^= sum >> bits;
    }
    rest.iter().fold(sum as u8, |sum, byte| sum ^ byte)
}

/// What a frame may have wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    /// Its check sum.
    pub check_sum: bool,
    /// Its length, where the check sum is right.
    pub length: bool,
}

impl<'a> Frame<'a> {
    /// Takes a frame apart. Escaped or not is told by which of both has a right check sum and length.
    ///
    /// # Errors
    /// No delimiters, too short, a wrong check sum or length.
    pub fn read(bytes: &'a [u8], tolerance: Tolerance) -> Result<Self, DecodeError> {
        let (framing, inner) = match bytes {
            [first, inner @ .., last] if first == last => (Framing::of(*first), inner),
            _ => (None, bytes),
        };
        let framing = framing.ok_or_else(|| DecodeError::Field {
            field: "delimiter",
            problem: "the packet does not begin and end with 0x7e (or 0xe7)".into(),
        })?;
        let unescaped = framing.unescape(inner);
        let changed = matches!(unescaped, Cow::Owned(_));
        match Self::take_apart(framing, unescaped, tolerance) {
            Err(first) if changed => Self::take_apart(framing, Cow::Borrowed(inner), tolerance).map_err(|_| first),
            result => result,
        }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }

    fn take_apart(framing: Framing, bytes: Cow<'a, [u8]>, tolerance: Tolerance) -> Result<Self, DecodeError> {
        let Some((found, content)) = bytes.split_last() else {
            return Err(DecodeError::Truncated { field: "message id", at: 0 });
        };
        let mut cursor = Cursor::new(content);
        let header = Header::read(framing, &mut cursor)?;
        let computed = check_sum(content);
        let is_check_sum_wrong = *found != computed;
        if is_check_sum_wrong && !tolerance.check_sum {
            return Err(DecodeError::Checksum {
                field: "check sum",
                found: (*found).into(),
                computed: computed.into(),
            });
        }
        let there = cursor.rest().len();
        let body_at = content.len() - there;
        let said = usize::from(u16::from_be_bytes([content[2], content[3]]) & 0x03ff);
        if said > there && !tolerance.length {
            return Err(DecodeError::Truncated { field: "body", at: there });
        }
        // Some terminals count less than they send; what is beyond the length is kept out.
        let length = if said == 0 { there } else { said.min(there) };
        Ok(Self { header, is_check_sum_wrong, bytes, body: body_at..body_at + length })
    }
}

impl Header {
    fn read(framing: Framing, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let message = cursor.u16("message id")?;
        let attributes = cursor.u16("body attributes")?;
        let version = if attributes & 0x4000 != 0 { Some(cursor.u8("protocol version")?) } else { None };
        let phone_bytes = if version.is_some() { 10 } else { framing.phone_bytes };
        let phone = Phone::of(cursor.take(phone_bytes, "phone number")?);
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
        Ok(Self { message, phone, sequence, parts, wants_answer, version, delimiter: framing.delimiter })
    }
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
        assert_eq!(STANDARD.unescape(&wire[1..wire.len() - 1]).as_ref(), &frame[1..frame.len() - 1]);
    }

    #[test]
    fn the_other_framing_hides_its_own_bytes() {
        let frame = [0xe7, 0x01, 0xe7, 0x02, 0xe6, 0x03, 0x3d, 0x04, 0x3e, 0xe7];
        let wire = escape_frame(&frame);
        assert!(!wire[1..wire.len() - 1].contains(&0xe7));
        assert_eq!(OTHER.unescape(&wire[1..wire.len() - 1]).as_ref(), &frame[1..frame.len() - 1]);
        assert_eq!(crate::protocol::jt808::frame::frame(&wire), FrameStep::Frame(wire.len()));
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
