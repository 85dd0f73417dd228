//! Our own language: one JSON object a message. `docs/protocol-json.md` is its description.
//!
//! The object is read key by key into the report, without a tree of values between: this is the language
//! of our own trackers, and a city of them sends it.

use super::DecodeError;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Profile, ReplyBytes, Report, Status, Timestamp};
use compact_str::{CompactString, ToCompactString};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The version we read.
const VERSION: u64 = 1;
/// Most fixes in a message.
const FIXES_MAX: usize = 500;
/// Most unknown items kept of a message, and most alarms.
const UNKNOWN_MAX: usize = 32;
/// Characters kept of a text.
const TEXT_CHARS_MAX: usize = 256;

/// A message, its fixes already moments.
#[derive(Default)]
struct Message {
    version: Option<u64>,
    id: Option<CompactString>,
    sequence: Option<u64>,
    at_ms: Option<i64>,
    fixes: Option<Fixes>,
    status: Option<JsonStatus>,
    alarms: Option<SmallVec<[CompactString; 2]>>,
    unknown: BTreeMap<String, String>,
}

#[derive(Default)]
struct Fixes(SmallVec<[Moment; 1]>);

#[derive(Deserialize)]
struct JsonFix {
    t: i64,
    lat: f64,
    lon: f64,
    alt: Option<f32>,
    kmh: Option<f32>,
    deg: Option<f32>,
    sats: Option<u8>,
    hdop: Option<f32>,
    acc: Option<f32>,
    valid: Option<bool>,
    src: Option<FixSource>,
    #[serde(default)]
    buffered: bool,
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

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let mut message = Message::default();
                while let Some(Key(key)) = map.next_key()? {
                    match key.as_ref() {
                        "v" => once(&mut message.version, "v", map.next_value()?)?,
                        "id" => once(&mut message.id, "id", map.next_value()?)?,
                        "seq" => message.sequence = map.next_value()?,
                        "t" => message.at_ms = map.next_value()?,
                        "fixes" => once(&mut message.fixes, "fixes", map.next_value()?)?,
                        "status" => message.status = map.next_value()?,
                        "alarms" => once(&mut message.alarms, "alarms", map.next_value()?)?,
                        other => {
                            let value: &RawValue = map.next_value()?;
                            if message.unknown.len() < UNKNOWN_MAX {
                                message.unknown.insert(cut(other).into(), cut(value.get()).into());
                            }
                        }
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Takes a value over; a key that stands twice says two things, so nothing.
fn once<T, E: Error>(place: &mut Option<T>, key: &'static str, value: T) -> Result<(), E> {
    if place.replace(value).is_some() { Err(E::duplicate_field(key)) } else { Ok(()) }
}

impl<'de> Deserialize<'de> for Fixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Fixes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of fixes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Fixes, A::Error> {
                let mut fixes = Fixes::default();
                while let Some(fix) = list.next_element::<JsonFix>()? {
                    if fixes.0.len() == FIXES_MAX {
                        return Err(A::Error::custom(format_args!("fixes: there are more than {FIXES_MAX}")));
                    }
                    fixes.0.push(moment(fix));
                }
                Ok(fixes)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Reads a message.
///
/// # Errors
/// What is missing or of the wrong kind, with its place in the text.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let message: Message =
        serde_json::from_slice(payload).map_err(|e| DecodeError::Field { field: "message", problem: e.to_string() })?;
    let missing = |field| DecodeError::Field { field, problem: "is missing".into() };
    let version = message.version.ok_or_else(|| missing("v"))?;
    if version != VERSION {
        let problem = format!("version {version} is not read; {VERSION} is");
        return Err(DecodeError::Field { field: "v", problem });
    }
    let id = message.id.ok_or_else(|| missing("id"))?;
    let mut unknown = message.unknown;
    let alarms = message.alarms.unwrap_or_default();
    let mut moments = message.fixes.unwrap_or_default().0;
    if moments.is_empty() && (message.status.is_some() || !alarms.is_empty() || message.at_ms.is_some()) {
        moments.push(Moment { at: message.at_ms.map(from_ms), ..Moment::default() });
    }
    if let Some(last) = moments.last_mut() {
        last.status = message.status.map(status).unwrap_or_default();
        for name in alarms.iter().take(UNKNOWN_MAX) {
            match AlarmKind::of_name(name) {
                Some(kind) => last.alarms.push(Alarm { kind, raw: kind as u32 }),
                None => drop(unknown.insert(cut(&format!("alarm:{name}")).into(), String::new())),
            }
        }
    }
    let sequence = message.sequence;
    let replies = sequence.filter(|_| profile.wants_replies).map(|s| acknowledgement(s, s)).into_iter().collect();
    Ok(Report {
        message: "json 1".into(),
        tracker_idents: smallvec![id],
        moments,
        sequence,
        replies,
        unknown,
        ..Report::default()
    })
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

fn moment(f: JsonFix) -> Moment {
    let at = from_ms(f.t);
    let fix = Fix {
        fixed_at: Some(at),
        valid: f.valid.unwrap_or(true),
        position: LatLon::new(f.lat, f.lon),
        altitude_m: f.alt,
        speed_kmh: f.kmh,
        course_deg: f.deg,
        satellites: f.sats,
        hdop: f.hdop,
        accuracy_m: f.acc,
        source: f.src.unwrap_or_default(),
    };
    Moment { at: Some(at), fix: Some(fix), buffered: f.buffered, ..Moment::default() }
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
    use super::*;
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
        let fix = r#"{"t":1,"lat":2,"lon":3}"#;
        let many = |n: usize| format!(r#"{{"v":1,"id":"a","fixes":[{}]}}"#, vec![fix; n].join(","));
        assert_eq!(read(&many(FIXES_MAX)).unwrap().moments.len(), FIXES_MAX);
        assert!(read(&many(FIXES_MAX + 1)).unwrap_err().to_string().contains("more than 500"));
    }

    #[test]
    fn unknown_keys_are_kept_as_they_stand() {
        let report = read(r#"{"v":1,"id":"a","mood":{"good":[1,2]}}"#).unwrap();
        assert_eq!(report.unknown["mood"], r#"{"good":[1,2]}"#);
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
