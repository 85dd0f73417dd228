//! Commands to the terminal (JT/T 808, section 8: 0x8103, 0x8105, 0x8201, 0x8202, 0x8203, 0x8300).

use crate::protocol::DecodeError;
use crate::protocol::jt808::frame::{check_sum, escape_frame};

/// Longest text, bytes; a body has 1,023.
const TEXT_BYTES_MAX: usize = 500;

/// What a terminal may be asked for. Nothing stops a motor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Where it is, now (0x8201, answered by 0x0201).
    Locate,
    /// Seconds between reports (parameter 0x0029 of 0x8103).
    IntervalS(u32),
    /// Follow it: seconds between reports, and for how long (0x8202); 0 ends it.
    FollowS(u16, u32),
    /// Arms or disarms the terminal itself (0x8105, 0x66 and 0x67: a vendor's numbers).
    Arm(bool),
    /// An alarm was seen by a person: the sequence of its message, and the alarm bits (0x8203).
    ConfirmAlarm(u16, u32),
    /// A text, in ASCII (0x8300, shown on the display).
    Text(String),
}

/// A command, escaped for the wire. `phone` has the bytes of the terminal's own header: six, or ten
/// with the version of 2019.
///
/// # Errors
/// A text that is too long or not ASCII, or a phone number of another length.
pub fn encode(request: &Request, phone: &[u8], version: u8, sequence: u16) -> Result<Vec<u8>, DecodeError> {
    let is_2019 = match phone.len() {
        6 => false,
        10 => true,
        n => {
            return Err(DecodeError::Field {
                field: "phone number",
                problem: format!("has {n} bytes; expected 6 or 10"),
            });
        }
    };
    let (message, body): (u16, Vec<u8>) = match request {
        Request::Locate => (0x8201, Vec::new()),
        Request::IntervalS(seconds) => (0x8103, [&[1, 0, 0, 0, 0x29, 4], seconds.to_be_bytes().as_slice()].concat()),
        Request::FollowS(interval_s, duration_s) => {
            let duration = if *interval_s == 0 { Vec::new() } else { duration_s.to_be_bytes().to_vec() };
            (0x8202, [interval_s.to_be_bytes().to_vec(), duration].concat())
        }
        Request::Arm(armed) => (0x8105, vec![if *armed { 0x66 } else { 0x67 }]),
        Request::ConfirmAlarm(answered, bits) => {
            (0x8203, [answered.to_be_bytes().as_slice(), bits.to_be_bytes().as_slice()].concat())
        }
        Request::Text(text) => {
            if !text.is_ascii() || text.len() > TEXT_BYTES_MAX {
                let problem = format!("has {} bytes; at most {TEXT_BYTES_MAX} of ASCII can be sent", text.len());
                return Err(DecodeError::Field { field: "text", problem });
            }
            let kind: &[u8] = if is_2019 { &[0x04, 1] } else { &[0x04] }; // display; a notice
            (0x8300, [kind, text.as_bytes()].concat())
        }
    };
    let attributes = body.len() as u16 | if is_2019 { 0x4000 } else { 0 };
    let mut frame = vec![0x7e];
    frame.extend(message.to_be_bytes());
    frame.extend(attributes.to_be_bytes());
    if is_2019 {
        frame.push(version);
    }
    frame.extend(phone);
    frame.extend(sequence.to_be_bytes());
    frame.extend(body);
    frame.push(check_sum(&frame[1..]));
    frame.push(0x7e);
    Ok(escape_frame(&frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::jt808::frame::{Frame, Tolerance};

    const PHONE: [u8; 6] = [0x01, 0x38, 0x00, 0x13, 0x80, 0x00];

    fn body(request: &Request) -> (u16, Vec<u8>) {
        let wire = encode(request, &PHONE, 0, 7).unwrap();
        let frame = Frame::read(&wire, Tolerance::default()).unwrap();
        (frame.header.message, frame.body().to_vec())
    }

    #[test]
    fn commands_have_the_bodies_of_the_standard() {
        assert_eq!(body(&Request::Locate), (0x8201, vec![]));
        assert_eq!(body(&Request::IntervalS(30)), (0x8103, vec![1, 0, 0, 0, 0x29, 4, 0, 0, 0, 30]));
        assert_eq!(body(&Request::FollowS(5, 600)), (0x8202, vec![0, 5, 0, 0, 2, 0x58]));
        assert_eq!(body(&Request::FollowS(0, 600)), (0x8202, vec![0, 0]));
        assert_eq!(body(&Request::ConfirmAlarm(9, 1)), (0x8203, vec![0, 9, 0, 0, 0, 1]));
        assert_eq!(body(&Request::Text("hi".into())), (0x8300, vec![4, b'h', b'i']));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_name() {
        assert!(encode(&Request::Locate, &[1, 2], 0, 1).unwrap_err().to_string().contains("phone number"));
        assert!(encode(&Request::Text("你好".into()), &PHONE, 0, 1).unwrap_err().to_string().contains("text"));
    }
}
