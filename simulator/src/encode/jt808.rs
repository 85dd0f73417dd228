//! JT/T 808-2013 frames, written from the standard's tables: header, 28 fixed bytes, items, XOR, escapes.

use super::{Answer, Said, Source};
use std::ops::RangeInclusive;

/// A 0x0200 location, escaped as on the wire. `phone` has up to twelve digits.
pub fn location(phone: &str, sequence: u16, said: &Said) -> Vec<u8> {
    frame(0x0200, phone, sequence, &body(said))
}

/// A 0x0704 batch of locations: count, kind 1 (kept while there was no network), each with its length.
pub fn batch(phone: &str, sequence: u16, said: &[Said]) -> Vec<u8> {
    let mut all = (said.len() as u16).to_be_bytes().to_vec();
    all.push(1);
    for one in said.iter().map(body) {
        all.extend_from_slice(&(one.len() as u16).to_be_bytes());
        all.extend_from_slice(&one);
    }
    frame(0x0704, phone, sequence, &all)
}

/// A 0x0100 registration: province, city, maker, model of 20 bytes, terminal id of 7, colour and number of the plate.
pub fn registration(phone: &str) -> Vec<u8> {
    let tail: String = phone.chars().rev().take(7).collect();
    let body = [&[0, 43, 0, 100][..], b"SIMUL", format!("{:\0<20}{tail:0<7}", "SIM-1").as_bytes(), &[0]].concat();
    frame(0x0100, phone, 0, &body)
}

/// A 0x0102 authentication with the code that a registration brought.
pub fn authentication(phone: &str, code: &[u8]) -> Vec<u8> {
    frame(0x0102, phone, 0, code)
}

/// The first whole answer of what came: 0x8100 to a registration, 0x8001 to anything else.
pub fn take_answer(heard: &mut Vec<u8>) -> Option<Answer> {
    let end = heard.iter().skip(1).position(|byte| *byte == 0x7e)? + 2;
    let wire: Vec<u8> = heard.drain(..end).collect();
    let plain = unescaped(&wire).unwrap_or_default();
    let body = plain.get(12..plain.len().saturating_sub(1)).unwrap_or_default();
    Some(match (plain.get(..2), body) {
        (Some([0x81, 0x00]), [_, _, 0, code @ ..]) => Answer::Code(code.to_vec()),
        (Some([0x80, 0x01]), [_, _, 0x01, 0x02, 0, ..]) => Answer::In,
        (Some([0x81, 0x00]), _) | (Some([0x80, 0x01]), [_, _, 0x01, 0x02, ..]) => Answer::NotIn,
        (Some([0x80, 0x01]), [high, low, _, _, 0, ..]) => {
            Answer::Kept(Some(u32::from(u16::from_be_bytes([*high, *low]))))
        }
        _ => Answer::Other,
    })
}

/// The body of a location: 28 fixed bytes and three items.
fn body(said: &Said) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    let alarms = u32::from(!said.external_power) << 8 | u32::from(said.vibration) << 15;
    let is_fix = said.source == Source::Gnss;
    let status = u32::from(said.ignition)
        | u32::from(is_fix) << 1
        | u32::from(said.lat < 0.0) << 2
        | u32::from(said.lon < 0.0) << 3;
    body.extend_from_slice(&alarms.to_be_bytes());
    body.extend_from_slice(&status.to_be_bytes());
    body.extend_from_slice(&((said.lat.abs() * 1e6).round() as u32).to_be_bytes());
    body.extend_from_slice(&((said.lon.abs() * 1e6).round() as u32).to_be_bytes());
    body.extend_from_slice(&40u16.to_be_bytes());
    body.extend_from_slice(&((said.speed_kmh * 10.0).round() as u16).to_be_bytes());
    body.extend_from_slice(&((said.course_deg.round() as u16) % 360).to_be_bytes());
    body.extend_from_slice(&beijing_bcd(said.at_ms));
    body.extend_from_slice(&[0x31, 1, said.satellites]);
    body.extend_from_slice(&[0xd4, 1, said.battery_percent]);
    if let Some(moving) = said.moving {
        body.extend_from_slice(&[0xe5, 1, u8::from(moving)]);
    }
    body
}

pub(super) fn frame(message: u16, phone: &str, sequence: u16, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len() + 16);
    plain.extend_from_slice(&message.to_be_bytes());
    plain.extend_from_slice(&(body.len() as u16).to_be_bytes());
    let digits = format!("{phone:0>12}");
    for pair in digits.as_bytes().chunks(2) {
        plain.push((pair[0] - b'0') << 4 | (pair[1] - b'0'));
    }
    plain.extend_from_slice(&sequence.to_be_bytes());
    plain.extend_from_slice(body);
    plain.push(plain.iter().fold(0, |x, b| x ^ b));
    let mut wire = vec![0x7e];
    for byte in plain {
        match byte {
            0x7e => wire.extend_from_slice(&[0x7d, 0x02]),
            0x7d => wire.extend_from_slice(&[0x7d, 0x01]),
            byte => wire.push(byte),
        }
    }
    wire.push(0x7e);
    wire
}

/// What stands between the marks of a frame.
fn unescaped(wire: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(wire.len());
    let mut bytes = wire.strip_prefix(&[0x7e])?.strip_suffix(&[0x7e])?.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            0x7d if *bytes.next()? == 0x02 => 0x7e,
            0x7d => 0x7d,
            byte => *byte,
        });
    }
    Some(plain)
}

/// The number that a general answer (0x8001, result "success") is for.
pub fn answered(wire: &[u8]) -> Option<RangeInclusive<u32>> {
    let plain = unescaped(wire)?;
    // Header of 12 bytes, then the answered number, the answered message, the result.
    let is_success = plain.starts_with(&[0x80, 0x01]) && *plain.get(16)? == 0;
    let number = u32::from(u16::from_be_bytes([*plain.get(12)?, *plain.get(13)?]));
    is_success.then_some(number..=number)
}

/// YY MM DD hh mm ss in BCD, GMT+8. Days to a date by Hinnant's `civil_from_days`.
fn beijing_bcd(at_ms: i64) -> [u8; 6] {
    let seconds = at_ms.div_euclid(1000) + 8 * 3600;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let bcd = |n: i64| (((n / 10 % 10) << 4) | (n % 10)) as u8;
    [bcd(year % 100), bcd(month), bcd(day), bcd(second / 3600), bcd(second / 60 % 60), bcd(second % 60)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_beijing_time_in_bcd() {
        // 2026-06-15T02:57:25Z
        assert_eq!(beijing_bcd(1_781_492_245_000), [0x26, 0x06, 0x15, 0x10, 0x57, 0x25]);
        assert_eq!(beijing_bcd(951_782_400_000), [0x00, 0x02, 0x29, 0x08, 0x00, 0x00]); // leap day of 2000
    }

    #[test]
    fn a_frame_is_checked_and_escaped() {
        let wire = frame(0x0002, "013800138000", 0x7e7d, &[]);
        assert_eq!(wire[..5], [0x7e, 0, 2, 0, 0]);
        assert_eq!(wire[11..15], [0x7d, 0x02, 0x7d, 0x01]);
        let sum =
            [0x00, 0x02, 0x00, 0x00, 0x01, 0x38, 0x00, 0x13, 0x80, 0x00, 0x7e, 0x7d].iter().fold(0u8, |x, b| x ^ b);
        assert_eq!(wire[15..], [sum, 0x7e]);
    }

    #[test]
    fn the_answer_names_the_number_and_must_be_a_success() {
        let answer = |result| frame(0x8001, "013800138000", 0, &[0x7e, 0x7d, 0x02, 0x00, result]);
        assert_eq!(answered(&answer(0)), Some(0x7e7d..=0x7e7d));
        assert_eq!(answered(&answer(1)), None);
        assert_eq!(answered(&frame(0x8100, "013800138000", 0, &[0, 1, 0, 65])), None);
    }
}
