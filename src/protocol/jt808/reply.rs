//! What the platform owes the terminal: 0x8001 and 0x8100.

use super::frame::{Header, check_sum};

/// The platform's own sequence number; replies here are stateless, so it stands still.
const PLATFORM_SEQUENCE: u16 = 0;
/// Result "success".
const OK: u8 = 0;
/// The authentication code given at registration. It is no secret: MQTT credentials are.
const AUTHENTICATION_CODE: &[u8] = b"rideguard";

/// The reply owed to a message, unescaped; `None` if none is.
pub fn owed(header: &Header) -> Option<Vec<u8>> {
    match header.message {
        0x0001 | 0x0201 | 0x0500 => None,
        0x0100 => Some(registered(header)),
        0x5501 | 0x5502 => header.wants_answer.then(|| of_a_lock(header)),
        _ => Some(general(header)),
    }
}

/// 0x8001: answered sequence, answered message, result.
pub fn general(header: &Header) -> Vec<u8> {
    let mut body = header.sequence.to_be_bytes().to_vec();
    body.extend(header.message.to_be_bytes());
    body.push(OK);
    frame(header, 0x8001, &body)
}

/// Jointech's 0x4401: a sequence of one byte, answered message, result.
fn of_a_lock(header: &Header) -> Vec<u8> {
    let mut out = vec![0x7e, 0x44, 0x01, 0x00, 0x03];
    out.extend(&header.phone_bytes);
    out.push(1);
    out.extend(header.message.to_be_bytes());
    out.push(OK);
    out.push(check_sum(&out[1..]));
    out.push(0x7e);
    out
}

/// 0x8100: answered sequence, result, authentication code.
fn registered(header: &Header) -> Vec<u8> {
    let mut body = header.sequence.to_be_bytes().to_vec();
    body.push(OK);
    if header.is_2019 {
        body.extend(AUTHENTICATION_CODE);
    } else {
        // Terminals of 2011 and 2013 send the code back as they got it; the phone number's digits
        // are what most platforms hand out.
        body.extend(header.phone.as_bytes());
    }
    frame(header, 0x8100, &body)
}

fn frame(header: &Header, message: u16, body: &[u8]) -> Vec<u8> {
    let attributes = body.len() as u16 & 0x03ff | if header.is_2019 { 0x4000 } else { 0 };
    let mut out = vec![0x7e];
    out.extend(message.to_be_bytes());
    out.extend(attributes.to_be_bytes());
    if header.is_2019 {
        out.push(header.version);
    }
    out.extend(&header.phone_bytes);
    out.extend(PLATFORM_SEQUENCE.to_be_bytes());
    out.extend(body);
    out.push(check_sum(&out[1..]));
    out.push(0x7e);
    out
}
