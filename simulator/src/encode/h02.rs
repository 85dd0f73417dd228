//! H02 text, written from the vendors' field lists.

use super::{Answer, Said, civil};

/// The first whole answer of what came: V4, which says what it answers and no number.
pub fn take_answer(heard: &mut Vec<u8>) -> Option<Answer> {
    let end = heard.iter().position(|byte| *byte == b'#')? + 1;
    let text: Vec<u8> = heard.drain(..end).collect();
    let is_kept = text.windows(7).any(|part| part == b",V4,V1,");
    Some(if is_kept { Answer::Kept(None) } else { Answer::Other })
}

/// A V1 location.
pub fn location(ident: &str, said: &Said) -> Vec<u8> {
    let t = civil(said.at_ms);
    let glued = |degrees: f64, width: usize| {
        let (whole, minutes) = (degrees.abs().trunc(), degrees.abs().fract() * 60.0);
        format!("{:0width$}{minutes:08.5}", whole as u32)
    };
    // Active low; bit 10 says ignition, bit 19 power, bit 0 vibration.
    let mut word = u32::MAX;
    for (bit, clear) in [(10, !said.ignition), (19, !said.external_power), (0, said.vibration)] {
        if clear {
            word &= !(1 << bit);
        }
    }
    format!(
        "*HQ,{ident},V1,{:02}{:02}{:02},A,{},{},{},{},{:06.2},{:03},{:02}{:02}{:02},{word:08X}#",
        t.3,
        t.4,
        t.5,
        glued(said.lat, 2),
        if said.lat < 0.0 { 'S' } else { 'N' },
        glued(said.lon, 3),
        if said.lon < 0.0 { 'W' } else { 'E' },
        said.speed_kmh / 1.852,
        said.course_deg.round() as u16 % 360,
        t.2,
        t.1,
        t.0 - 2000,
    )
    .into_bytes()
}
