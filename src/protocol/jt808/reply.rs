//! What the platform owes the terminal: 0x8001 and 0x8100.

use super::frame::{Header, check_sum};
use crate::domain::ReplyBytes;

/// The platform's own sequence number; replies here are stateless, so it stands still.
const PLATFORM_SEQUENCE: u16 = 0;
/// Result "success".
const OK: u8 = 0;

/// The reply owed to a message, unescaped; `None` if none is. Answers to the platform's own questions
/// are not answered, and a request for the time (0x0109) is the gateway's, which has a clock.
pub fn owed(header: &Header) -> Option<ReplyBytes> {
    match header.message {
        0x0001 | 0x0104 | 0x0109 | 0x0201 | 0x0500 | 0x0701 | 0x1300 => None,
        0x0100 => Some(registered(header)),
        0x5501 | 0x5502 => header.wants_answer.then(|| of_a_lock(header)),
        _ => Some(general(header)),
    }
}

/// 0x8001: answered sequence, answered message, result.
pub fn general(header: &Header) -> ReplyBytes {
    let ([a, b], [c, d]) = (header.sequence.to_be_bytes(), header.message.to_be_bytes());
    frame(header, 0x8001, &[a, b, c, d, OK])
}

/// Jointech's 0x4401: a sequence of one byte, answered message, result.
fn of_a_lock(header: &Header) -> ReplyBytes {
    let mut out = ReplyBytes::from_slice(&[header.delimiter, 0x44, 0x01, 0x00, 0x03]);
    out.extend_from_slice(header.phone.bytes());
    out.push(1);
    out.extend_from_slice(&header.message.to_be_bytes());
    out.push(OK);
    close(header, out)
}

/// 0x8100: answered sequence, result, authentication code. The code is no secret (MQTT credentials are):
/// terminals send it back as they got it, and most platforms hand out the digits of the phone number.
fn registered(header: &Header) -> ReplyBytes {
    let mut body = ReplyBytes::from_slice(&header.sequence.to_be_bytes());
    body.push(OK);
    body.extend_from_slice(header.phone.digits().as_bytes());
    frame(header, 0x8100, &body)
}

fn frame(header: &Header, message: u16, body: &[u8]) -> ReplyBytes {
    let attributes = body.len() as u16 & 0x03ff | if header.version.is_some() { 0x4000 } else { 0 };
    let mut out = ReplyBytes::new();
    out.push(header.delimiter);
    out.extend_from_slice(&message.to_be_bytes());
    out.extend_from_slice(&attributes.to_be_bytes());
    out.extend(header.version);
    out.extend_from_slice(header.phone.bytes());
    out.extend_from_slice(&PLATFORM_SEQUENCE.to_be_bytes());
    out.extend_from_slice(body);
    close(header, out)
}

fn close(header: &Header, mut out: ReplyBytes) -> ReplyBytes {
    out.push(check_sum(&out[1..]));
    out.push(header.delimiter);
    out
}
