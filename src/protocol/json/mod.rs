//! Our own language: one JSON object a message. `docs/protocol-json.md` is its description.
//!
//! The object is read key by key into the report, without a tree of values between: this is the language
//! of our own trackers, and a city of them sends it.

mod fix;

use super::DecodeError;
use crate::domain::{Alarm, AlarmKind, Moment, Profile, ReplyBytes, Report, Status, Timestamp};
use compact_str::{CompactString, ToCompactString};
use fix::Fixes;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// The version we read.
const VERSION: u64 = 1;
/// Most unknown items kept of a message, and most alarms.
const UNKNOWN_MAX: usize = 32;
/// Characters kept of a text.
const TEXT_CHARS_MAX: usize = 256;

/// What a message says beside the moments, the identifier and the unknown items of its report.
#[derive(Default)]
struct Message {
    version: Option<u64>,
    at_ms: Option<i64>,
    status: Option<JsonStatus>,
    alarms: Option<SmallVec<[CompactString; 2]>>,
    has_id: bool,
    has_fixes: bool,
    report: Report,
}

#[derive(Deserialize)]
struct JsonStatus {
    battery: Option<f32>,
    battery_v: Option<f32>,
    external_v: Option<f32>,
    external_power: Option<bool>,
    charging: Option<bool>,
    ignition: Option<bool>,
    moving: Option<bool>,
    armed: Option<bool>,
    odometer: Option<f64>,
    signal: Option<f32>,
    satellites: Option<u8>,
    firmware: Option<CompactString>,
    iccid: Option<CompactString>,
}

/// A key as it stands in the text, without a copy where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Fills a message in its place: it is large, and would be moved from hand to hand.
impl<'de> DeserializeSeed<'de> for &mut Message {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Message {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.take(&key, &mut map)?;
        }
        Ok(())
    }
}

impl Message {
    /// Takes over the value of a key. One that stands twice says two things, so nothing.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let report = &mut self.report;
        match key {
            "v" => once(self.version.replace(map.next_value()?).is_some(), "v")?,
            "id" => {
                report.tracker_idents.push(map.next_value()?);
                once(std::mem::replace(&mut self.has_id, true), "id")?;
            }
            "seq" => report.sequence = map.next_value()?,
            "t" => self.at_ms = map.next_value()?,
            "fixes" => {
                once(std::mem::replace(&mut self.has_fixes, true), "fixes")?;
                map.next_value_seed(Fixes(&mut report.moments))?;
            }
            "status" => self.status = map.next_value()?,
            "alarms" => once(self.alarms.replace(map.next_value()?).is_some(), "alarms")?,
            other => {
                let value: &RawValue = map.next_value()?;
                if report.unknown.len() < UNKNOWN_MAX {
                    report.unknown.insert(cut(other).into(), cut(value.get()).into());
                }
            }
        }
        Ok(())
    }
}

fn once<E: Error>(was_there: bool, key: &'static str) -> Result<(), E> {
    if was_there { Err(E::duplicate_field(key)) } else { Ok(()) }
}

/// Reads a message.
///
/// # Errors
/// What is missing or of the wrong kind, with its place in the text.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let wrong = |problem: String| DecodeError::Field { field: "message", problem };
    // Once for the whole: the reader would look at every string by itself.
    let text = std::str::from_utf8(payload).map_err(|e| wrong(e.to_string()))?;
    let (mut message, mut reader) = (Message::default(), serde_json::Deserializer::from_str(text));
    message.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|e| wrong(e.to_string()))?;
    let missing = |field| DecodeError::Field { field, problem: "is missing".into() };
    let version = message.version.ok_or_else(|| missing("v"))?;
    if version != VERSION {
        let problem = format!("version {version} is not read; {VERSION} is");
        return Err(DecodeError::Field { field: "v", problem });
    }
    if !message.has_id {
        return Err(missing("id"));
    }
    let mut report = message.report;
    let alarms = message.alarms.unwrap_or_default();
    if report.moments.is_empty() && (message.status.is_some() || !alarms.is_empty() || message.at_ms.is_some()) {
        report.moments.push(Moment { at: message.at_ms.map(from_ms), ..Moment::default() });
    }
    if let Some(last) = report.moments.last_mut() {
        if let Some(said) = message.status {
            last.status = status(said);
        }
        for name in alarms.iter().take(UNKNOWN_MAX) {
            match AlarmKind::of_name(name) {
                Some(kind) => last.alarms.push(Alarm { kind, raw: kind as u32 }),
                None => drop(report.unknown.insert(cut(&format!("alarm:{name}")).into(), String::new())),
            }
        }
    }
    if let Some(sequence) = report.sequence.filter(|_| profile.wants_replies) {
        report.replies.push(acknowledgement(sequence, sequence));
    }
    report.message = "json 1".into();
    Ok(report)
}

/// Says that the packets `from` to `to` are on disk.
pub fn acknowledgement(from: u64, to: u64) -> ReplyBytes {
    let mut text = ReplyBytes::from_slice(br#"{"v":1,"ack":"#);
    text.extend_from_slice(to.to_compact_string().as_bytes());
    if from != to {
        text.extend_from_slice(br#","from":"#);
        text.extend_from_slice(from.to_compact_string().as_bytes());
    }
    text.push(b'}');
    text
}

fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms.saturating_mul(1000))
}

fn cut(text: &str) -> CompactString {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn status(s: JsonStatus) -> Status {
    let percent = |p: Option<f32>| p.map(|p| p.clamp(0.0, 100.0).round() as u8);
    Status {
        battery_percent: percent(s.battery),
        battery_v: s.battery_v,
        external_v: s.external_v,
        charging: s.charging,
        external_power: s.external_power,
        ignition: s.ignition,
        armed: s.armed,
        moving: s.moving,
        odometer_m: s.odometer,
        signal_percent: percent(s.signal),
        satellites: s.satellites,
        firmware: s.firmware.map(|t| cut(&t)),
        iccid: s.iccid.map(|t| cut(&t)),
    }
}

#[cfg(test)]
mod tests {
    use super::fix::FIXES_MAX;
    use super::*;
    use crate::domain::LatLon;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Report, DecodeError> {
        decode(&Profile::of("json"), text.as_bytes())
    }

    #[test]
    fn the_documented_example_is_read() {
        let report = read(
            r#"{"v":1,"id":"yy000001","seq":42,"fixes":[{"t":1790000000000,"lat":28.551234,"lon":112.351234,"alt":41,"kmh":23.4,"deg":181,"sats":11,"hdop":0.9,"acc":4.5}],
            "status":{"battery":87,"external_power":true,"ignition":true,"moving":true},"alarms":["vibration","odd"]}"#,
        )
        .unwrap();
        assert_eq!(report.tracker_idents[..], ["yy000001"]);
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!((fix.position, fix.satellites, fix.valid), (LatLon::new(28.551234, 112.351234), Some(11), true));
        assert_eq!(fix.fixed_at, Some(Timestamp::from_secs(1_790_000_000)));
        assert_eq!((moment.status.battery_percent, moment.status.ignition), (Some(87), Some(true)));
        assert_eq!(moment.alarms[0].kind, AlarmKind::Vibration);
        assert!(report.unknown.contains_key("alarm:odd"));
        assert_eq!(report.replies[0][..], br#"{"v":1,"ack":42}"#[..]);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        assert!(read(r#"{"v":2,"id":"a"}"#).unwrap_err().to_string().contains("version 2"));
        assert!(read(r#"{"id":"a"}"#).unwrap_err().to_string().contains("v: is missing"));
    }

    #[test]
    fn a_key_that_stands_twice_or_too_many_fixes_are_refused() {
        assert!(read(r#"{"v":1,"id":"a","id":"b"}"#).unwrap_err().to_string().contains("`id`"));
        let twice = r#"{"v":1,"id":"a","fixes":[{"t":1,"lat":2,"lon":3,"lat":4}]}"#;
        assert!(read(twice).unwrap_err().to_string().contains("`lat`"));
        let without = r#"{"v":1,"id":"a","fixes":[{"t":1,"lat":2}]}"#;
        assert!(read(without).unwrap_err().to_string().contains("`lon`"));
        let fix = r#"{"t":1,"lat":2,"lon":3}"#;
        let many = |n: usize| format!(r#"{{"v":1,"id":"a","fixes":[{}]}}"#, vec![fix; n].join(","));
        assert_eq!(read(&many(FIXES_MAX)).unwrap().moments.len(), FIXES_MAX);
        assert!(read(&many(FIXES_MAX + 1)).unwrap_err().to_string().contains("more than 500"));
    }

    #[test]
    fn unknown_keys_are_kept_as_they_stand() {
        let report = read(r#"{"v":1,"id":"a","mood":{"good":[1,2]}}"#).unwrap();
        assert_eq!(report.unknown["mood"], r#"{"good":[1,2]}"#);
        let fix = r#"{"v":1,"id":"a","fixes":[{"t":1,"lat":2,"lon":3,"alt":null,"mood":1,"mood":2}]}"#;
        assert_eq!(read(fix).unwrap().fixes().next().unwrap().altitude_m, None);
    }

    #[test]
    fn a_heartbeat_has_no_moment() {
        assert!(read(r#"{"v":1,"id":"a"}"#).unwrap().moments.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Profile::of("json"), &bytes);
        }
    }
}
