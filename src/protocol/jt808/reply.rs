//! What the platform owes the terminal: 0x8001 and 0x8100.

use crate::domain::ReplyBytes;
use crate::protocol::jt808::frame::{Header, check_sum};

/// The platform's own sequence number; replies here are stateless, so it stands still.
const PLATFORM_SEQUENCE: [u8; 2] = [0, 0];
/// The attribute of a header of 2019.
const IS_2019: u16 = 0x4000;
/// Longest reply: the header of 2019, a code of 20 digits, and what is around.
const FRAME_BYTES_MAX: usize = 1 + 2 + 2 + 1 + 10 + 2 + 2 + 1 + 20 + 1 + 1;
/// Result "success".
pub const OK: u8 = 0;

/// The reply owed to a message, unescaped; `None` if none is. Answers to the platform's own questions
/// are not answered, and a request for the time (0x0109) is the gateway's, which has a clock.
pub fn owed(header: &Header) -> Option<ReplyBytes> {
    match header.message {
        0x0001 | 0x0104 | 0x0109 | 0x0201 | 0x0500 | 0x0701 | 0x1300 => None,
        // The code is no secret here, where MQTT credentials are: terminals send it back as they got it.
        0x0100 => Some(registered(header, Ok(&header.phone.digits()))),
        0x5501 | 0x5502 => header.wants_answer.then(|| of_a_lock(header)),
        _ => Some(general(header, OK)),
    }
}

/// 0x8001: answered sequence, answered message, result.
pub fn general(header: &Header, result: u8) -> ReplyBytes {
    let ([a, b], [c, d]) = (header.sequence.to_be_bytes(), header.message.to_be_bytes());
    let mut out = Frame::begin(header, 0x8001, 5 | if header.version.is_some() { IS_2019 } else { 0 });
    out.put(PLATFORM_SEQUENCE);
    out.put([a, b, c, d, result]);
    out.close()
}

/// Jointech's 0x4401: a sequence of one byte, answered message, result.
fn of_a_lock(header: &Header) -> ReplyBytes {
    let ([a, b], mut out) = (header.message.to_be_bytes(), Frame::begin(header, 0x4401, 3));
    out.put([1]);
    out.put([a, b, OK]);
    out.close()
}

/// 0x8004: the time, UTC, in BCD (JT/T 808-2019, 8.5).
pub fn time_of_2019(header: &Header, (year, rest): (i16, [u8; 5])) -> ReplyBytes {
    let mut out = Frame::begin(header, 0x8004, 6 | if header.version.is_some() { IS_2019 } else { 0 });
    let bcd = |n: u8| ((n / 10) << 4) | (n % 10);
    out.put(PLATFORM_SEQUENCE);
    out.put([bcd((year % 100).unsigned_abs() as u8)]);
    out.put(rest.map(bcd));
    out.close()
}

/// 0x8109: the time, UTC.
pub fn time(header: &Header, (year, rest): (i16, [u8; 5])) -> ReplyBytes {
    let mut out = Frame::begin(header, 0x8109, 8 | if header.version.is_some() { IS_2019 } else { 0 });
    out.put(PLATFORM_SEQUENCE);
    out.put(year.to_be_bytes());
    out.put(rest);
    out.put([OK]);
    out.close()
}

/// 0x8100: answered sequence, result, and only with success a code of at most 20 characters.
pub fn registered(header: &Header, code: Result<&str, u8>) -> ReplyBytes {
    let (result, code) = match code {
        Ok(code) => (OK, code),
        Err(why) => (why, ""),
    };
    let attributes = (2 + 1 + code.len()) as u16 | if header.version.is_some() { IS_2019 } else { 0 };
    let mut out = Frame::begin(header, 0x8100, attributes);
    out.put(PLATFORM_SEQUENCE);
    out.put(header.sequence.to_be_bytes());
    out.put([result]);
    code.bytes().for_each(|byte| out.put([byte]));
    out.close()
}

/// A frame that is being made. What is put has a length that the compiler knows, so nothing is called for it.
struct Frame {
    bytes: [u8; FRAME_BYTES_MAX],
    length: usize,
}

impl Frame {
    /// Delimiter, header as far as the phone number.
    fn begin(header: &Header, message: u16, attributes: u16) -> Self {
        let mut out = Self { bytes: [0; FRAME_BYTES_MAX], length: 0 };
        out.put([header.delimiter]);
        out.put(message.to_be_bytes());
        out.put(attributes.to_be_bytes());
        if let Some(version) = header.version {
            out.put([version]);
        }
        // All the place that a number can take; what is beyond it is written over.
        let phone_at = out.length;
        out.put(header.phone.padded());
        out.length = phone_at + header.phone.bytes().len();
        out
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + N) {
            place.copy_from_slice(&bytes);
            self.length += N;
        }
    }

    /// Check sum and delimiter.
    fn close(mut self) -> ReplyBytes {
        self.put([check_sum(&self.bytes[1..self.length])]);
        self.put([self.bytes[0]]);
        ReplyBytes::from_slice(&self.bytes[..self.length])
    }
}
