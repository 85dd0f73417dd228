//! The `json` language, version 1 (docs/protocol-json.md).

use super::{Said, Source};
use serde_json::json;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// One message with one fix.
pub fn message(ident: &str, sequence: u32, said: &Said) -> Vec<u8> {
    let round = |value: f64, places: i32| (value * 10f64.powi(places)).round() / 10f64.powi(places);
    let alarms: &[&str] = if said.vibration { &["vibration"] } else { &[] };
    let mut fix = json!({
        "t": said.at_ms, "lat": round(said.lat, 6), "lon": round(said.lon, 6), "kmh": round(said.speed_kmh, 1),
        "deg": round(said.course_deg, 0), "sats": said.satellites, "acc": round(said.accuracy_m, 1),
    });
    match said.source {
        Source::Gnss => {}
        Source::Cell => fix["src"] = "cell".into(),
        Source::Nothing => fix["valid"] = false.into(),
    }
    json!({
        "v": 1, "id": ident, "seq": sequence, "fixes": [fix],
        "status": { "battery": said.battery_percent, "external_power": said.external_power, "ignition": said.ignition, "moving": said.moving },
        "alarms": alarms,
    })
    .to_string()
    .into_bytes()
}

/// A message of fixes and the battery, as short as trackers write it.
pub fn batch(ident: &str, sequence: u32, said: &[Said]) -> Vec<u8> {
    let mut text = format!(r#"{{"v":1,"id":"{ident}","seq":{sequence},"fixes":["#);
    for (n, s) in said.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(
            text,
            r#"{comma}{{"t":{},"lat":{:.6},"lon":{:.6},"kmh":{:.1},"deg":{:.0},"sats":{}}}"#,
            s.at_ms, s.lat, s.lon, s.speed_kmh, s.course_deg, s.satellites
        );
    }
    if let Some(last) = said.last() {
        let _ = write!(text, r#"],"status":{{"battery":{}}}}}"#, last.battery_percent);
    }
    text.into_bytes()
}

/// The numbers that an answer is for: `from`, if it is there, to `ack`.
pub fn answered(answer: &[u8]) -> Option<RangeInclusive<u32>> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let last = u32::try_from(answer["ack"].as_u64()?).ok()?;
    let first = answer["from"].as_u64().map_or(Ok(last), u32::try_from).ok()?;
    Some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_a_run_of_messages() {
        assert_eq!(answered(br#"{"v":1,"ack":42,"from":37}"#), Some(37..=42));
        assert_eq!(answered(br#"{"v":1,"ack":42}"#), Some(42..=42));
        assert_eq!(answered(b"{}"), None);
    }

    #[test]
    fn a_batch_is_json() {
        let said = Said {
            at_ms: 5,
            lat: 28.55,
            lon: 112.35,
            speed_kmh: 1.25,
            course_deg: 90.0,
            satellites: 9,
            accuracy_m: 4.0,
            battery_percent: 88,
            external_power: true,
            ignition: false,
            moving: Some(false),
            vibration: true,
            source: Source::Gnss,
        };
        let value: serde_json::Value = serde_json::from_slice(&batch("a", 3, &[said.clone(), said])).unwrap();
        assert_eq!((value["fixes"][1]["lon"].as_f64(), value["status"]["battery"].as_i64()), (Some(112.35), Some(88)));
    }

    #[test]
    fn a_message_has_the_documented_keys() {
        let said = Said {
            at_ms: 5,
            lat: 28.55,
            lon: 112.35,
            speed_kmh: 1.25,
            course_deg: 90.0,
            satellites: 9,
            accuracy_m: 4.0,
            battery_percent: 88,
            external_power: true,
            ignition: false,
            moving: Some(false),
            vibration: true,
            source: Source::Gnss,
        };
        let value: serde_json::Value = serde_json::from_slice(&message("a", 3, &said)).unwrap();
        assert_eq!(
            (value["v"].as_i64(), value["seq"].as_i64(), value["fixes"][0]["t"].as_i64()),
            (Some(1), Some(3), Some(5))
        );
        assert_eq!(value["alarms"][0], "vibration");
    }
}
