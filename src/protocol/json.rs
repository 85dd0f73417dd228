//! Our own language: one JSON object a message. `docs/protocol-json.md` is its description.

use super::DecodeError;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Profile, Report, Status, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The version we read.
const VERSION: u64 = 1;
/// Most fixes in a message.
const FIXES_MAX: usize = 500;
/// Unknown items kept of a message, and how much of each.
const UNKNOWN_MAX: (usize, usize) = (32, 256);

#[derive(Deserialize)]
struct Message {
    v: u64,
    id: String,
    seq: Option<u64>,
    t: Option<i64>,
    #[serde(default)]
    fixes: Vec<JsonFix>,
    status: Option<JsonStatus>,
    #[serde(default)]
    alarms: Vec<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

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
    firmware: Option<String>,
    iccid: Option<String>,
}

/// Reads a message.
///
/// # Errors
/// What is missing or of the wrong kind, with its place in the text.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let message: Message =
        serde_json::from_slice(payload).map_err(|e| DecodeError::Field { field: "message", problem: e.to_string() })?;
    if message.v != VERSION {
        return Err(DecodeError::Field {
            field: "v",
            problem: format!("version {} is not read; {VERSION} is", message.v),
        });
    }
    if message.fixes.len() > FIXES_MAX {
        return Err(DecodeError::Field {
            field: "fixes",
            problem: format!("{} fixes; at most {FIXES_MAX}", message.fixes.len()),
        });
    }
    let mut unknown: BTreeMap<String, String> =
        message.unknown.into_iter().take(UNKNOWN_MAX.0).map(|(k, v)| (cut(&k), cut(&v.to_string()))).collect();
    let mut moments: Vec<Moment> = message.fixes.into_iter().map(moment).collect();
    if moments.is_empty() && (message.status.is_some() || !message.alarms.is_empty() || message.t.is_some()) {
        moments.push(Moment { at: message.t.map(from_ms), ..Moment::default() });
    }
    if let Some(last) = moments.last_mut() {
        last.status = message.status.map(status).unwrap_or_default();
        for name in message.alarms.iter().take(UNKNOWN_MAX.0) {
            match AlarmKind::ALL.iter().find(|k| k.name() == name) {
                Some(kind) => last.alarms.push(Alarm { kind: *kind, raw: *kind as u32 }),
                None => drop(unknown.insert(cut(&format!("alarm:{name}")), String::new())),
            }
        }
    }
    let replies = match message.seq.filter(|_| profile.wants_replies) {
        Some(seq) => vec![format!(r#"{{"v":1,"ack":{seq}}}"#).into_bytes()],
        None => Vec::new(),
    };
    Ok(Report { message: "json 1".into(), tracker_idents: vec![message.id], moments, replies, unknown })
}

fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms.saturating_mul(1000))
}

fn cut(text: &str) -> String {
    text.chars().take(UNKNOWN_MAX.1).collect()
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
        assert_eq!(report.tracker_idents, ["yy000001"]);
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!((fix.position, fix.satellites, fix.valid), (LatLon::new(28.551234, 112.351234), Some(11), true));
        assert_eq!(fix.fixed_at, Some(Timestamp::from_secs(1_790_000_000)));
        assert_eq!((moment.status.battery_percent, moment.status.ignition), (Some(87), Some(true)));
        assert_eq!(moment.alarms[0].kind, AlarmKind::Vibration);
        assert!(report.unknown.contains_key("alarm:odd"));
        assert_eq!(report.replies, [br#"{"v":1,"ack":42}"#.to_vec()]);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        assert!(read(r#"{"v":2,"id":"a"}"#).unwrap_err().to_string().contains("version 2"));
        assert!(read(r#"{"id":"a"}"#).unwrap_err().to_string().contains("`v`"));
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
