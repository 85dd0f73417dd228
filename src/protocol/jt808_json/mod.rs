//! What EMQX's JT/T 808 gateway publishes: the frame as JSON, `header` and `body`.
//!
//! Source: EMQX documentation, "JT/T 808 gateway", message formats, and `emqx_jt808_frame` of EMQX 5.
//! Numbers stand as in the frame: millionths of a degree, tenths of km/h, BCD times as text. What the gateway
//! has no name for comes in base64, and goes to the readers of the raw frame. The gateway itself answers.

mod extra;

use crate::domain::{Moment, Profile, Report, Status};
use crate::protocol::dialect;
use crate::protocol::elements::Reader;
use crate::protocol::jt808::location::{self, Hints, Numbers};
use crate::protocol::jt808::message::{self, Head};
use crate::protocol::jt808::name;
use crate::protocol::jt808::values;
use crate::protocol::{DecodeError, words};
use base64::Engine as _;
use compact_str::CompactString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use smallvec::smallvec;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Most locations in one batch, as in a frame.
const BATCH_MAX: usize = 512;

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    header: Value,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    msg_id: Value,
    #[serde(default)]
    phone: Value,
    #[serde(default)]
    msg_sn: Value,
    #[serde(default)]
    proto_ver: Value,
    #[serde(default)]
    frag_total: Value,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    alarm: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    latitude: Value,
    #[serde(default)]
    longitude: Value,
    #[serde(default)]
    altitude: Value,
    #[serde(default)]
    speed: Value,
    #[serde(default)]
    direction: Value,
    #[serde(default)]
    time: Value,
    #[serde(default)]
    extra: Value,
}

/// Reads one publication.
///
/// # Errors
/// The field that is wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let wrong = |field: &'static str, e: serde_json::Error| DecodeError::Field { field, problem: e.to_string() };
    let Message { header, mut body } = serde_json::from_slice(payload).map_err(|e| wrong("message", e))?;
    let header: Header = object("header", header)?;
    let msg_id = must_be("msg_id", &header.msg_id, u16::MAX)?;
    let phone = match &header.phone {
        Value::String(phone) => phone.clone(),
        Value::Number(phone) => phone.to_string(),
        other => return Err(is_not("phone", other, "text or a number")),
    };
    let mut report = Report { message: name(msg_id), tracker_idents: smallvec![phone.into()], ..Report::default() };
    let numbers = [("msg_sn", &header.msg_sn), ("proto_ver", &header.proto_ver), ("frag_total", &header.frag_total)];
    for (name, said) in numbers.into_iter().filter(|(_, said)| !said.is_u64()) {
        keep(name, said, &mut report.unknown);
    }
    let dialect = dialect::of(profile);
    let hints = Hints { offset_s: dialect.offset_s(profile), dialect };
    // The gateway does not put parts together; one alone means nothing.
    if header.frag_total.as_u64().is_some_and(|total| total > 1) && body["unknown_id"] == true {
        report.is_part = true;
        report.message.to_mut().push_str(" (part)");
        return Ok(report);
    }
    if let Some(bytes) = raw_body(msg_id, &header.msg_sn, &body) {
        let is_2019 = header.proto_ver.as_u64().is_some_and(|version| version > 0);
        message::read(hints, Head { message: msg_id, is_2019 }, &bytes, &mut report)?;
        return Ok(report);
    }
    match msg_id {
        0x0200 | 0x0201 | 0x0500 => {
            let inner = ["params", "location"].into_iter().find(|key| body[*key].is_object());
            let said = match inner {
                Some(key) => body[key].take(),
                None => body,
            };
            report.moments.push(moment(hints, object("body", said)?, &mut report.unknown)?);
        }
        0x0704 => {
            let is_backfill = body["type"] == 1;
            if !body["type"].is_u64() {
                keep("type", &body["type"], &mut report.unknown);
            }
            let Value::Array(locations) = body["location"].take() else {
                return Err(DecodeError::Field { field: "location", problem: "the batch has no list of them".into() });
            };
            for location in locations.into_iter().take(BATCH_MAX) {
                let mut moment = moment(hints, object("location", location)?, &mut report.unknown)?;
                moment.buffered |= is_backfill;
                report.moments.push(moment);
            }
        }
        0x0102 => {
            let said = |key: &str| body[key].as_str().map(str::as_bytes);
            message::authenticated(said("imei"), said("software_version"), &mut report);
            keep_others(&body, &["imei", "software_version"], &["code"], &mut report);
        }
        0x0107 => {
            let iccid = body["iccid"].as_str().map(|t| t.trim_matches(['f', 'F', ' '])).and_then(words::iccid);
            let firmware = body["firmware_version"].as_str().map(|t| t.trim_matches(['\0', ' ']));
            let firmware = firmware.filter(|t| !t.is_empty()).map(CompactString::new);
            if body["iccid"].is_string() && iccid.is_none() {
                Reader(&mut report.unknown).keep("iccid", body["iccid"].as_str().unwrap_or_default());
            }
            values::push_status(&mut report, Status { iccid, firmware, ..Status::default() });
            keep_others(&body, &["iccid", "firmware_version"], &[], &mut report);
        }
        0x0104 => parameters(&body, &mut report),
        _ => {
            if body.as_object().is_some_and(|b| !b.is_empty()) || !(body.is_null() || body.is_object()) {
                report.unknown.insert("body".into(), body.to_string());
            }
        }
    }
    Ok(report)
}

/// The error of an element without which there is no report.
fn is_not(field: &'static str, said: &Value, expected: &str) -> DecodeError {
    match said {
        Value::Null => DecodeError::Field { field, problem: "is missing".to_owned() },
        Value::String(text) => DecodeError::invalid(field, text, expected),
        other => DecodeError::invalid(field, &other.to_string(), expected),
    }
}

/// A whole number without which there is no report.
fn must_be<N: TryFrom<u64> + std::fmt::Display>(field: &'static str, said: &Value, max: N) -> Result<N, DecodeError> {
    let number = said.as_u64().and_then(|n| N::try_from(n).ok());
    number.ok_or_else(|| is_not(field, said, &format!("a whole number from 0 to {max}")))
}

/// An object without which there is no report.
fn object<T: DeserializeOwned>(field: &'static str, said: Value) -> Result<T, DecodeError> {
    if !said.is_object() {
        return Err(is_not(field, &said, "an object"));
    }
    serde_json::from_value(said).map_err(|e| DecodeError::Field { field, problem: e.to_string() })
}

/// Keeps an element that is not read, as it stands, unless it says nothing.
fn keep(name: &str, value: &Value, unknown: &mut BTreeMap<String, String>) {
    if !value.is_null() {
        Reader(unknown).keep(name, &value.to_string());
    }
}

fn base64(value: &Value) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()
}

/// The bytes of a body that the gateway passes on as they are.
fn raw_body(message: u16, sequence: &Value, body: &Value) -> Option<Vec<u8>> {
    let data = base64(&body["data"]);
    match message {
        // A sequence number of one byte: what the gateway took for its second is the body's first.
        0x5501 | 0x5502 if body["unknown_id"] == true => Some([&[sequence.as_u64()? as u8], data?.as_slice()].concat()),
        _ if body["unknown_id"] == true => data,
        0x0900 => Some([&[u8::try_from(body["type"].as_u64()?).ok()?], data?.as_slice()].concat()),
        0x0701 => Some([&[0; 4], data?.as_slice()].concat()),
        _ => None,
    }
}

/// Keeps what stands in a body as another type than text, and all that is not read.
fn keep_others(body: &Value, read: &[&str], ignored: &[&str], report: &mut Report) {
    for (key, value) in body.as_object().into_iter().flatten() {
        let key = key.as_str();
        if !(ignored.contains(&key) || value.is_null() || read.contains(&key) && value.is_string()) {
            Reader(&mut report.unknown).keep(key, &value.to_string());
        }
    }
}

/// Ids with values: numbers of four bytes, or text.
fn parameters(body: &Value, report: &mut Report) {
    if !body["params"].is_array() {
        keep("params", &body["params"], &mut report.unknown);
    }
    for said in body["params"].as_array().into_iter().flatten() {
        let Some(id) = said["id"].as_u64().and_then(|id| u32::try_from(id).ok()) else {
            keep("params", said, &mut report.unknown);
            continue;
        };
        match said["value"].as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(number) => message::parameter(id, &number.to_be_bytes(), report),
            None => Reader(&mut report.unknown).keep(&format!("parameter {id:#06x}"), &said["value"].to_string()),
        }
    }
}

fn moment(hints: Hints, said: Location, unknown: &mut BTreeMap<String, String>) -> Result<Moment, DecodeError> {
    let time = said.time.as_str().and_then(|t| hex::decode(t).ok()).filter(|t| t.len() == 6);
    let bcd = time.ok_or_else(|| is_not("time", &said.time, "text of the form YYMMDDhhmmss"))?;
    let mut number = |name: &str, value: &Value, range: RangeInclusive<i64>| {
        let number = value.as_i64().filter(|n| range.contains(n));
        if number.is_none() {
            keep(name, value, unknown);
        }
        number
    };
    let alarm = number("alarm", &said.alarm, 0..=i64::from(u32::MAX));
    let altitude = number("altitude", &said.altitude, i64::from(i16::MIN)..=i64::from(u16::MAX));
    let speed = number("speed", &said.speed, 0..=i64::from(u16::MAX));
    let direction = number("direction", &said.direction, 0..=i64::from(u16::MAX));
    let numbers = Numbers {
        alarm_bits: alarm.unwrap_or_default() as u32,
        status_bits: must_be("status", &said.status, u32::MAX)?,
        lat: must_be("latitude", &said.latitude, u32::MAX)?,
        lon: must_be("longitude", &said.longitude, u32::MAX)?,
        altitude: altitude.unwrap_or_default() as u16,
        speed: speed.unwrap_or_default() as u16,
        direction: direction.unwrap_or_default() as u16,
        fixed_at: location::time(&bcd, hints.offset_s),
    };
    let mut moment = numbers.moment(hints.dialect);
    if let Some(fix) = &mut moment.fix {
        fix.altitude_m = fix.altitude_m.filter(|_| altitude.is_some());
        fix.speed_kmh = fix.speed_kmh.filter(|_| speed.is_some());
        fix.course_deg = fix.course_deg.filter(|_| direction.is_some());
    }
    match &said.extra {
        Value::Object(items) => extra::read(items, hints.dialect, &mut moment, unknown),
        other => keep("extra", other, unknown),
    }
    location::supply_by_alarm(&mut moment);
    Ok(moment)
}

/// Where in a location elements may stand, and their names.
#[cfg(test)]
pub(super) fn elements_read() -> Vec<(&'static str, &'static [&'static str])> {
    use crate::protocol::elements::names_of;
    vec![
        ("", names_of::<Message>()),
        ("/header", names_of::<Header>()),
        ("/body", names_of::<Location>()),
        ("/body/extra", extra::NAMES),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AlarmKind, LatLon};
    use proptest::prelude::*;

    const LOCATION: &str = r#"{"alarm":256,"status":3,"latitude":28550000,"longitude":112350000,"altitude":41,"speed":234,"direction":181,"time":"260615105725","extra":{"mileage":100,"rssi":31,"gnss_sat_num":12}}"#;

    fn read(text: &str) -> Result<Report, DecodeError> {
        decode(&Profile::of("jt808_json"), text.as_bytes())
    }

    #[test]
    fn a_location_says_what_its_frame_says() {
        let report = read(&format!(
            r#"{{"header":{{"msg_id":512,"encrypt":0,"len":60,"msg_sn":7,"phone":"013800138000"}},"body":{LOCATION}}}"#
        ))
        .unwrap();
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!((fix.position, fix.speed_kmh, fix.satellites), (LatLon::new(28.55, 112.35), Some(23.4), Some(12)));
        assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
        assert_eq!((moment.alarms[0].kind, moment.status.odometer_m), (AlarmKind::PowerCut, Some(10_000.0)));
        assert_eq!((report.tracker_idents[0].as_str(), report.replies.len()), ("013800138000", 0));
    }

    #[test]
    fn a_batch_of_backfill_is_marked_as_buffered() {
        let text = format!(
            r#"{{"header":{{"msg_id":1796,"phone":"1"}},"body":{{"type":1,"length":2,"location":[{LOCATION},{LOCATION}]}}}}"#
        );
        let report = read(&text).unwrap();
        assert!(report.moments.len() == 2 && report.moments.iter().all(|m| m.buffered));
    }

    #[test]
    fn a_heartbeat_has_no_moment_in_json() {
        assert!(read(r#"{"header":{"msg_id":2,"phone":"1"},"body":{}}"#).unwrap().moments.is_empty());
        assert!(read(r#"{"header":{"msg_id":512,"phone":"1"},"body":{}}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_jt808_json_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), time in ".{0,14}") {
            drop(decode(&Profile::of("jt808_json"), &bytes));
            drop(read(&format!(r#"{{"header":{{"msg_id":512,"phone":"1"}},"body":{{"alarm":0,"status":0,"latitude":0,"longitude":0,"altitude":-1,"speed":0,"direction":0,"time":{time:?}}}}}"#)));
        }
    }
}
