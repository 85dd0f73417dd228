//! Times as clients write them.

use crate::domain::Timestamp;

/// From here on a number counts milliseconds: seconds have ten digits until 2286.
const MILLISECONDS_FROM: f64 = 1e11;
/// From here on microseconds.
const MICROSECONDS_FROM: f64 = 1e14;

/// Seconds, milliseconds or microseconds, whole or not; RFC 3339; `YYYY-MM-DD hh:mm:ss` with or without a zone.
/// A plus sign that nobody escaped has become a space.
pub fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return of_number(whole as f64, Some(whole));
    }
    if let Ok(number) = text.parse::<f64>() {
        return of_number(number, None);
    }
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim();
    let at = rest.find(['Z', 'z', '+', ' ', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(at)?;
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    Timestamp::parse_rfc3339(&format!("{date}T{clock}{}", offset(zone)?))
}

/// A number's unit is told by its size.
pub fn of_number(number: f64, whole: Option<i64>) -> Option<Timestamp> {
    if !number.is_finite() || number.abs() >= 1e17 {
        return None;
    }
    let scale = match number.abs() {
        n if n < MILLISECONDS_FROM => 1_000_000,
        n if n < MICROSECONDS_FROM => 1000,
        _ => 1,
    };
    match whole {
        Some(whole) => whole.checked_mul(scale).map(Timestamp::from_micros),
        None => Some(Timestamp::from_micros((number * scale as f64).round() as i64)),
    }
}

/// `Z`, nothing, or hours and perhaps minutes behind a sign or what is left of it.
fn offset(zone: &str) -> Option<String> {
    let zone = zone.trim_end();
    if zone.trim().is_empty() || zone.trim().eq_ignore_ascii_case("z") {
        return Some("Z".into());
    }
    let sign = if zone.trim_start().starts_with('-') { '-' } else { '+' };
    let digits: String = zone.trim_start_matches([' ', '+', '-']).chars().filter(|c| *c != ':').collect();
    let is_offset = matches!(digits.len(), 2 | 4) && digits.bytes().all(|b| b.is_ascii_digit());
    let (hours, minutes) = is_offset.then(|| digits.split_at(2))?;
    Some(format!("{sign}{hours}:{}", if minutes.is_empty() { "00" } else { minutes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_instant_is_the_same_time() {
        let at = Timestamp::from_secs(1_781_492_245);
        for text in [
            "1781492245",
            "1781492245.0",
            "1781492245000",
            "1781492245000000",
            "2026-06-15T02:57:25Z",
            "2026-06-15T02:57:25.000Z",
            "2026-06-15 02:57:25",
            "2026-06-15T02:57:25",
            "2026-06-15T10:57:25+08:00",
            "2026-06-15T10:57:25 08:00",
            "2026-06-15T10:57:25 0800",
            "2026-06-15 10:57:25 +08:00",
            "2026-06-15T10:57:25+08",
            "2026-06-14T23:57:25-03:00",
        ] {
            assert_eq!(read(text), Some(at), "{text}");
        }
        assert_eq!(read("1781492245.5").unwrap().micros(), 1_781_492_245_500_000);
        for text in ["tomorrow", "", "NaN", "inf", "2026-06-15", "2026-06-15T02:57:25 8", "1e300"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
