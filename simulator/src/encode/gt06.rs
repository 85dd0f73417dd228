//! GT06 frames, written from the vendor's tables: number 0x22 (location), X.25 check sum.

use super::{Answer, Said, civil};

/// A location. The identity is the connection's and stands in no such frame.
pub fn location(sequence: u16, said: &Said) -> Vec<u8> {
    let t = civil(said.at_ms);
    let mut body = vec![0x22];
    body.extend([(t.0 - 2000) as u8, t.1, t.2, t.3, t.4, t.5]);
    body.push(0xc0 | said.satellites.min(15));
    body.extend(((said.lat.abs() * 1_800_000.0).round() as u32).to_be_bytes());
    body.extend(((said.lon.abs() * 1_800_000.0).round() as u32).to_be_bytes());
    body.push(said.speed_kmh.round().clamp(0.0, 255.0) as u8);
    let north = u16::from(said.lat >= 0.0) << 10;
    let west = u16::from(said.lon < 0.0) << 11;
    body.extend(((said.course_deg.round() as u16 % 360) | 1 << 12 | north | west).to_be_bytes());
    body.extend([0x01, 0xcc, 0, 0x28, 0x7d, 0, 0x1f, 0x71]); // a cell of network 460-00
    body.extend([u8::from(said.ignition), 0, 0]);
    frame(&body, sequence)
}

/// A log-in: the IMEI in BCD, behind a zero where it has fifteen digits.
pub fn log_in(imei: &str, sequence: u16) -> Vec<u8> {
    let digits = format!("{imei:0>16}");
    let mut body = vec![0x01];
    body.extend(digits.as_bytes().chunks(2).map(|pair| (pair[0] & 15) << 4 | pair[1] & 15));
    frame(&body, sequence)
}

/// The first whole answer of what came: the number of the message, and its serial number.
pub fn take_answer(heard: &mut Vec<u8>) -> Option<Answer> {
    let bytes = usize::from(*heard.get(2)?) + 5;
    if heard.len() < bytes {
        return None;
    }
    let frame: Vec<u8> = heard.drain(..bytes).collect();
    Some(match frame[..] {
        [0x78, 0x78, _, 0x01, ..] => Answer::In,
        [0x78, 0x78, 5, _, high, low, ..] => Answer::Kept(Some(u32::from(u16::from_be_bytes([high, low])))),
        _ => Answer::Other,
    })
}

fn frame(body: &[u8], sequence: u16) -> Vec<u8> {
    let mut inner = vec![body.len() as u8 + 4];
    inner.extend(body);
    inner.extend(sequence.to_be_bytes());
    let crc = x25(&inner);
    let mut out = vec![0x78, 0x78];
    out.extend(inner);
    out.extend(crc.to_be_bytes());
    out.extend([0x0d, 0x0a]);
    out
}

fn x25(bytes: &[u8]) -> u16 {
    let mut crc = 0xffffu16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x8408 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_that_of_the_vendors_example() {
        assert_eq!(x25(&[0x05, 0x01, 0x00, 0x01]), 0xd9dc);
    }
}
