//! Teltonika codec 8, written from the vendor's table: one record a packet.

use super::{Answer, Said};

/// A log-in: the IMEI with its length.
pub fn log_in(imei: &str) -> Vec<u8> {
    [&(imei.len() as u16).to_be_bytes()[..], imei.as_bytes()].concat()
}

/// The first whole answer of what came: a byte to the log-in, then the number of records of a packet.
pub fn take_answer(heard: &mut Vec<u8>, is_in: bool) -> Option<Answer> {
    let bytes = if is_in { 4 } else { 1 };
    if heard.len() < bytes {
        return None;
    }
    let answer: Vec<u8> = heard.drain(..bytes).collect();
    Some(match (is_in, &answer[..]) {
        (false, [1]) => Answer::In,
        (false, _) => Answer::NotIn,
        (true, [0, 0, 0, 0]) => Answer::Other, // it is to be sent again
        (true, _) => Answer::Kept(None),
    })
}

/// An AVL packet. The identity is the connection's and stands in no such packet.
pub fn location(said: &Said) -> Vec<u8> {
    let mut data = vec![0x08, 1];
    data.extend((said.at_ms as u64).to_be_bytes());
    data.push(0);
    data.extend(((said.lon * 1e7).round() as i32).to_be_bytes());
    data.extend(((said.lat * 1e7).round() as i32).to_be_bytes());
    data.extend(40u16.to_be_bytes());
    data.extend((said.course_deg.round() as u16 % 360).to_be_bytes());
    data.push(said.satellites);
    data.extend((said.speed_kmh.round() as u16).to_be_bytes());
    // No event; three values of one byte, one of two.
    data.extend([
        0,
        4,
        3,
        239,
        u8::from(said.ignition),
        240,
        u8::from(said.moving == Some(true)),
        252,
        u8::from(!said.external_power),
    ]);
    data.extend([1, 66]);
    data.extend(if said.external_power { 48_000u16 } else { 0 }.to_be_bytes());
    data.extend([0, 0, 1]);
    let mut out = vec![0, 0, 0, 0];
    out.extend((data.len() as u32).to_be_bytes());
    let mut crc = 0u16;
    for byte in &data {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xa001 };
        }
    }
    out.extend(data);
    out.extend([0, 0]);
    out.extend(crc.to_be_bytes());
    out
}
