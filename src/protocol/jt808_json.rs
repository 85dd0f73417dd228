//! What EMQX's JT/T 808 gateway publishes: the frame as JSON, `header` and `body`.
//!
//! Source: EMQX documentation, "JT/T 808 gateway", message formats. Numbers stand as in the frame:
//! millionths of a degree, tenths of km/h, BCD times as text. The gateway itself answers the tracker.

use super::DecodeError;
use super::dialect;
use super::jt808::location::{self, Numbers};
use super::jt808::{name, signal_percent};
use crate::domain::{Moment, Profile, Report};
use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value;
use smallvec::smallvec;

/// Most locations in one batch, as in a frame.
const BATCH_MAX: usize = 512;

#[derive(Deserialize)]
struct Message {
    header: Header,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
struct Header {
    msg_id: u16,
    phone: CompactString,
}

#[derive(Deserialize)]
struct Location {
    alarm: u32,
    status: u32,
    latitude: u32,
    longitude: u32,
    altitude: i64,
    speed: u16,
    direction: u16,
    time: String,
    #[serde(default)]
    extra: Extra,
}

#[derive(Default, Deserialize)]
struct Extra {
    mileage: Option<u32>,
    rssi: Option<u32>,
    gnss_sat_num: Option<u8>,
    #[serde(alias = "custom")]
    custome: Option<Value>,
}

/// Reads one publication.
///
/// # Errors
/// The field that is wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let wrong = |field: &'static str, e: serde_json::Error| DecodeError::Field { field, problem: e.to_string() };
    let Message { header, mut body } = serde_json::from_slice(payload).map_err(|e| wrong("message", e))?;
    let mut report =
        Report { message: name(header.msg_id), tracker_idents: smallvec![header.phone], ..Report::default() };
    match header.msg_id {
        0x0200 | 0x0201 | 0x0500 => {
            let said = if body["params"].is_object() { body["params"].take() } else { body };
            let location = serde_json::from_value(said).map_err(|e| wrong("body", e))?;
            report.moments.push(moment(profile, location, &mut report.unknown)?);
        }
        0x0704 => {
            let is_backfill = body["type"] == 1;
            let locations: Vec<Location> =
                serde_json::from_value(body["location"].take()).map_err(|e| wrong("location", e))?;
            for location in locations.into_iter().take(BATCH_MAX) {
                let mut moment = moment(profile, location, &mut report.unknown)?;
                moment.buffered |= is_backfill;
                report.moments.push(moment);
            }
        }
        _ => {
            if !body.is_null() {
                report.unknown.insert("body".into(), body.to_string());
            }
        }
    }
    Ok(report)
}

fn moment(
    profile: &Profile,
    said: Location,
    unknown: &mut std::collections::BTreeMap<String, String>,
) -> Result<Moment, DecodeError> {
    let dialect = dialect::of(profile);
    let bcd = hex::decode(&said.time).ok().filter(|t| t.len() == 6).ok_or_else(|| DecodeError::Field {
        field: "time",
        problem: format!("{:?} has not the form YYMMDDhhmmss", said.time.chars().take(20).collect::<String>()),
    })?;
    let numbers = Numbers {
        alarm_bits: said.alarm,
        status_bits: said.status,
        lat: said.latitude,
        lon: said.longitude,
        altitude: said.altitude as u16,
        speed: said.speed,
        direction: said.direction,
        fixed_at: location::time(&bcd, dialect.offset_s(profile)),
    };
    let mut moment = numbers.moment(dialect);
    moment.status.odometer_m = said.extra.mileage.map(|m| f64::from(m) * 100.0);
    moment.status.signal_percent = said.extra.rssi.map(signal_percent);
    moment.status.satellites = said.extra.gnss_sat_num;
    if let Some(fix) = &mut moment.fix {
        fix.satellites = said.extra.gnss_sat_num;
    }
    if let Some(custom) = said.extra.custome {
        unknown.insert("custom".into(), custom.to_string());
    }
    Ok(moment)
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
