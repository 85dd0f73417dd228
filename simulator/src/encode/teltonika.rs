//! Teltonika codec 8, written from the vendor's table: one record a packet.

use super::Said;

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
