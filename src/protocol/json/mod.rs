//! Our own language: one JSON object a message. `docs/protocol-json.md` is its description.
//!
//! The object is read key by key into the report, without a tree of values between: this is the language
//! of our own trackers, and a city of them sends it.

mod fix;

use crate::domain::{Alarm, AlarmKind, Moment, Profile, ReplyBytes, Report, Status, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::elements::{BYTE, Element, ODOMETER_M, Object, Reader, VOLTS, WHOLE, keys};
use compact_str::{CompactString, ToCompactString};
use fix::Fixes;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// The version we read.
const VERSION: f64 = 1.0;
/// What a counter of packets may be (`docs/protocol-json.md`).
const COUNTER: RangeInclusive<f64> = 0.0..=*WHOLE.end();
/// Most unknown items kept of a message, and most alarms.
const UNKNOWN_MAX: usize = 32;
/// Longest list of alarms that is read, bytes: 32 of them have 800. A tree of a longer one would take a multiple of the message.
const ALARMS_BYTES_MAX: usize = 4096;
/// Characters kept of a text.
const TEXT_CHARS_MAX: usize = 256;

keys! {
    /// What a message may have.
    Key { Version = "v", Id = "id", Sequence = "seq", At = "t", Fixes = "fixes", Status = "status", Alarms = "alarms" }
}

/// What a message says beside the moments and the unknown items of its report.
#[derive(Default)]
struct Message<'a> {
    version: Element<'a>,
    id: Element<'a>,
    sequence: Element<'a>,
    at_ms: Element<'a>,
    status: Object<'a, JsonStatus<'a>>,
    alarms: Element<'a>,
    seen: u16,
    report: Report,
}

#[derive(Deserialize)]
struct JsonStatus<'a> {
    #[serde(borrow, default)]
    battery: Element<'a>,
    #[serde(borrow, default)]
    battery_v: Element<'a>,
    #[serde(borrow, default)]
    external_v: Element<'a>,
    #[serde(borrow, default)]
    external_power: Element<'a>,
    #[serde(borrow, default)]
    charging: Element<'a>,
    #[serde(borrow, default)]
    ignition: Element<'a>,
    #[serde(borrow, default)]
    moving: Element<'a>,
    #[serde(borrow, default)]
    armed: Element<'a>,
    #[serde(borrow, default)]
    odometer: Element<'a>,
    #[serde(borrow, default)]
    signal: Element<'a>,
    #[serde(borrow, default)]
    satellites: Element<'a>,
    #[serde(borrow, default)]
    firmware: Element<'a>,
    #[serde(borrow, default)]
    iccid: Element<'a>,
}

/// A key as it stands in the text, without a copy where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Fills a message in its place: it is large, and would be moved from hand to hand.
impl<'de> DeserializeSeed<'de> for &mut Message<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Message<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            self.take(&name, &mut map)?;
        }
        Ok(())
    }
}

impl<'de> Message<'de> {
    /// Takes over the value of a key. One that stands twice says two things, so nothing.
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let report = &mut self.report;
        let Some(key) = Key::of(name) else {
            let value: &RawValue = map.next_value()?;
            if report.unknown.len() < UNKNOWN_MAX {
                report.unknown.insert(cut(name).into(), cut(value.get()).into());
            }
            return Ok(());
        };
        let bit = 1 << key as u16;
        if self.seen & bit != 0 {
            return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
        }
        self.seen |= bit;
        match key {
            Key::Version => self.version = map.next_value()?,
            Key::Id => self.id = map.next_value()?,
            Key::Sequence => self.sequence = map.next_value()?,
            Key::At => self.at_ms = map.next_value()?,
            Key::Fixes => {
                let (moments, unknown) = (&mut report.moments, &mut report.unknown);
                map.next_value_seed(Fixes { moments, unknown })?;
            }
            Key::Status => self.status = map.next_value()?,
            Key::Alarms => self.alarms = map.next_value()?,
        }
        Ok(())
    }
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
    let version = message.version.must_be_number("v")?;
    if version != VERSION {
        let problem = format!("version {version} is not valid; expected {VERSION}");
        return Err(DecodeError::Field { field: "v", problem });
    }
    let Element::Text(id) = &message.id else { return Err(message.id.is_not("id", "text")) };
    let mut report = message.report;
    report.tracker_idents.push(id.as_ref().into());
    let mut reader = Reader(&mut report.unknown);
    report.sequence = reader.whole("seq", &message.sequence, COUNTER).map(|n| n as u64);
    let at = reader.whole("t", &message.at_ms, WHOLE).map(from_ms);
    let said = reader.object("status", message.status);
    let has_status = said.is_some();
    let status = said.map(|said| status(&said, &mut reader)).unwrap_or_default();
    let alarms = alarms(&message.alarms, &mut reader);
    if report.moments.is_empty() && (has_status || !alarms.is_empty() || at.is_some()) {
        report.moments.push(Moment { at, ..Moment::default() });
    }
    if let Some(last) = report.moments.last_mut() {
        last.status = status;
        last.alarms = alarms;
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

/// Alarms by their names, in a list or alone; names that are not known are kept.
fn alarms(said: &Element<'_>, reader: &mut Reader<'_>) -> SmallVec<[Alarm; 2]> {
    let mut alarms = SmallVec::new();
    let mut take = |said: &Element<'_>, reader: &mut Reader<'_>| match said {
        Element::Text(name) => match AlarmKind::of_name(name) {
            Some(kind) => alarms.push(Alarm { kind, raw: kind as u32 }),
            None => reader.keep(&format!("alarm:{name}"), ""),
        },
        other => reader.keep_element("alarms", other),
    };
    match said {
        Element::Other(json) if json.len() <= ALARMS_BYTES_MAX => {
            match serde_json::from_str::<Vec<Element<'_>>>(json) {
                Ok(all) => all.iter().take(UNKNOWN_MAX).for_each(|one| take(one, reader)),
                Err(_) => reader.keep("alarms", json), // an object
            }
        }
        one => take(one, reader),
    }
    alarms
}

fn status(said: &JsonStatus<'_>, reader: &mut Reader<'_>) -> Status {
    Status {
        battery_percent: reader.percent("battery", &said.battery),
        battery_v: reader.number_f32("battery_v", &said.battery_v, VOLTS),
        external_v: reader.number_f32("external_v", &said.external_v, VOLTS),
        charging: reader.flag("charging", &said.charging),
        external_power: reader.flag("external_power", &said.external_power),
        ignition: reader.flag("ignition", &said.ignition),
        armed: reader.flag("armed", &said.armed),
        moving: reader.flag("moving", &said.moving),
        odometer_m: reader.number("odometer", &said.odometer, ODOMETER_M),
        signal_percent: reader.percent("signal", &said.signal),
        satellites: reader.whole("satellites", &said.satellites, BYTE).map(|n| n as u8),
        firmware: reader.text("firmware", &said.firmware),
        iccid: reader.text("iccid", &said.iccid),
    }
}

/// Where in a message elements may stand, and their names.
#[cfg(test)]
pub(super) fn elements_read() -> Vec<(&'static str, &'static [&'static str])> {
    use crate::protocol::elements::names_of;
    vec![("", Key::ALL), ("/fixes/0", fix::Key::ALL), ("/status", names_of::<JsonStatus<'_>>())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LatLon;
    use crate::protocol::json::fix::FIXES_MAX;
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
        assert!(read(without).unwrap_err().to_string().contains("lon: is missing"));
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
    fn one_alarm_may_stand_alone_and_a_list_beyond_its_bound_is_kept() {
        let said = |alarms: &str| read(&format!(r#"{{"v":1,"id":"a","t":1,"alarms":{alarms}}}"#)).unwrap();
        assert_eq!(said(r#""sos""#).moments[0].alarms[0].kind, AlarmKind::Sos);
        assert_eq!(said(r#"[7,"sos"]"#).moments[0].alarms[0].kind, AlarmKind::Sos);
        let many = said(&format!("[{}]", vec![r#""sos""#; ALARMS_BYTES_MAX].join(",")));
        assert!(many.moments[0].alarms.is_empty() && many.unknown["alarms"].starts_with("[\"sos\""));
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
