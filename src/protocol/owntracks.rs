//! OwnTracks: JSON of the phone application, over MQTT or HTTP.
//!
//! Source: OwnTracks booklet, "JSON". Only `location` and `transition` hold a position; the other types
//! are read as messages without one.

use super::DecodeError;
use crate::domain::{Fix, FixSource, LatLon, Moment, Profile, Report, Status, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "_type")]
    kind: String,
    tid: Option<String>,
    topic: Option<String>,
    tst: Option<i64>,
    lat: Option<f64>,
    lon: Option<f64>,
    alt: Option<f32>,
    acc: Option<f32>,
    vel: Option<f32>,
    cog: Option<f32>,
    batt: Option<f32>,
    /// Battery: 0 unknown, 1 unplugged, 2 charging, 3 full.
    bs: Option<u8>,
}

/// Reads one message.
///
/// # Errors
/// The field that is wrong.
pub fn decode(_: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let message: Message =
        serde_json::from_slice(payload).map_err(|e| DecodeError::Field { field: "message", problem: e.to_string() })?;
    let mut report = Report { message: message.kind.clone().into(), ..Report::default() };
    // The topic is owntracks/USER/DEVICE; its last part names the device, the tid only two letters.
    let device = message.topic.as_deref().and_then(|t| t.split('/').nth(2));
    report.tracker_idents.extend(device.map(str::to_owned).into_iter().chain(message.tid.clone()));
    let at = message.tst.map(Timestamp::from_secs);
    let status = Status {
        battery_percent: message.batt.filter(|b| (0.0..=100.0).contains(b)).map(|b| b.round() as u8),
        charging: message.bs.filter(|b| *b > 0).map(|b| b == 2),
        ..Status::default()
    };
    let fix = match (message.kind.as_str(), message.lat, message.lon) {
        ("location" | "transition", Some(lat), Some(lon)) => Some(Fix {
            fixed_at: at,
            valid: true,
            position: LatLon::new(lat, lon),
            altitude_m: message.alt,
            speed_kmh: message.vel.map(|v| v.max(0.0)),
            course_deg: message.cog,
            satellites: None,
            hdop: None,
            accuracy_m: message.acc,
            source: FixSource::Gnss,
        }),
        ("location", _, _) => {
            return Err(DecodeError::Field { field: "lat, lon", problem: "a location has none".into() });
        }
        _ => None,
    };
    if fix.is_some() || status != Status::default() {
        report.moments.push(Moment { at, fix, status, ..Moment::default() });
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Report, DecodeError> {
        decode(&Profile::of("owntracks"), text.as_bytes())
    }

    #[test]
    fn a_location_has_its_place_and_battery() {
        let report = read(r#"{"_type":"location","tid":"5t","topic":"owntracks/anna/bike7","tst":1781492245,"lat":28.55,"lon":112.35,"vel":12,"cog":90,"acc":8,"batt":46,"bs":2}"#).unwrap();
        let moment = &report.moments[0];
        assert_eq!(report.tracker_idents, ["bike7", "5t"]);
        assert_eq!(moment.fix.as_ref().unwrap().position, LatLon::new(28.55, 112.35));
        assert_eq!((moment.status.battery_percent, moment.status.charging), (Some(46), Some(true)));
    }

    #[test]
    fn other_types_are_messages_without_a_place() {
        assert!(read(r#"{"_type":"lwt","tst":1781492245}"#).unwrap().moments.is_empty());
        assert!(read(r#"{"_type":"location","tst":1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_owntracks_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&Profile::of("owntracks"), &bytes));
        }
    }
}
