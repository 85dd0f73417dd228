//! OwnTracks: JSON of the phone application and of trackers that speak it, over MQTT or HTTP.
//!
//! Source: OwnTracks booklet, "JSON", and the Quicklink of trackers to OwnTracks for the letters of `t`.
//! `location` and `transition` hold a position; the other types (`lwt`, `status`, `steps`, `waypoint`,
//! `beacon`, `card`, `cmd`, …) are read as messages without one.

use super::DecodeError;
use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Profile, Report, Status, Timestamp};
use compact_str::CompactString;
use serde::Deserialize;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "_type")]
    kind: CompactString,
    tid: Option<CompactString>,
    #[serde(borrow)]
    topic: Option<std::borrow::Cow<'a, str>>,
    tst: Option<f64>,
    lat: Option<f64>,
    lon: Option<f64>,
    alt: Option<f32>,
    acc: Option<f32>,
    vel: Option<f32>,
    cog: Option<f32>,
    batt: Option<f32>,
    /// Battery: 0 unknown, 1 unplugged, 2 charging, 3 full.
    bs: Option<u8>,
    /// What made the report: a letter or a digit; `h` with its kind in `rty`.
    t: Option<CompactString>,
    rty: Option<i64>,
    /// Of a transition: enter or leave.
    event: Option<CompactString>,
    /// The vehicle's supply, volts.
    uext: Option<f32>,
    /// The tracker's battery, volts.
    ubatt: Option<f32>,
    ign: Option<bool>,
    motion: Option<bool>,
    /// Kilometres.
    odometer: Option<f64>,
}

/// Reads one message.
///
/// # Errors
/// The field that is wrong.
pub fn decode(_: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let message: Message<'_> =
        serde_json::from_slice(payload).map_err(|e| DecodeError::Field { field: "message", problem: e.to_string() })?;
    let mut report = Report { message: name(&message.kind), ..Report::default() };
    // The topic is owntracks/USER/DEVICE; its last part names the device, and so do all parts with
    // dashes, which is how some platforms write it. The tid has only two letters.
    if let Some(topic) = &message.topic {
        report.tracker_idents.extend(topic.split('/').nth(2).map(CompactString::new));
        report.tracker_idents.push(topic.replace('/', "-").into());
    }
    report.tracker_idents.extend(message.tid.clone());
    let at = message.tst.map(Timestamp::from_secs_f64);
    let mut moment = Moment { at, status: status(&message), ..Moment::default() };
    moment.fix = match (message.kind.as_str(), message.lat, message.lon) {
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
    moment.alarms.extend(alarm(&message));
    if moment.fix.is_some() || !moment.alarms.is_empty() || moment.status != Status::default() {
        report.moments.push(moment);
    }
    Ok(report)
}

fn name(kind: &str) -> std::borrow::Cow<'static, str> {
    match kind {
        "location" => "location".into(),
        kind => kind.chars().take(32).collect::<String>().into(),
    }
}

fn status(message: &Message<'_>) -> Status {
    Status {
        battery_percent: message.batt.filter(|b| (0.0..=100.0).contains(b)).map(|b| b.round() as u8),
        charging: message.bs.filter(|b| *b > 0).map(|b| b == 2),
        external_v: message.uext,
        battery_v: message.ubatt,
        ignition: message.ign.or(match message.t.as_deref() {
            Some("i") => Some(true),
            Some("I") => Some(false),
            _ => None,
        }),
        moving: message.motion,
        odometer_m: message.odometer.map(|km| km * 1000.0),
        ..Status::default()
    }
}

fn alarm(message: &Message<'_>) -> Option<Alarm> {
    let kind = match (message.t.as_deref(), message.event.as_deref(), message.rty) {
        (Some("1"), ..) => AlarmKind::PowerOn,
        (Some("9"), ..) => AlarmKind::LowBattery,
        (Some("E"), ..) => AlarmKind::PowerRestored,
        (Some("e"), ..) => AlarmKind::PowerCut,
        (Some("!"), ..) => AlarmKind::Tow,
        (Some("s"), ..) => AlarmKind::Overspeed,
        (Some("h"), _, Some(0 | 3)) => AlarmKind::HardBraking,
        (Some("h"), _, Some(1 | 4)) => AlarmKind::HardAcceleration,
        (Some("h"), _, Some(2 | 5)) => AlarmKind::HardCornering,
        (_, Some("enter"), _) => AlarmKind::GeofenceEnter,
        (_, Some("leave"), _) => AlarmKind::GeofenceExit,
        _ => return None,
    };
    let letter = message.t.as_deref().or(message.event.as_deref()).and_then(|t| t.bytes().next());
    Some(Alarm { kind, raw: letter.unwrap_or_default().into() })
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
        assert_eq!(report.tracker_idents[..], ["bike7", "owntracks-anna-bike7", "5t"]);
        assert_eq!(moment.fix.as_ref().unwrap().position, LatLon::new(28.55, 112.35));
        assert_eq!((moment.status.battery_percent, moment.status.charging), (Some(46), Some(true)));
    }

    #[test]
    fn the_letter_of_a_tracker_says_why_it_reports() {
        let kind = |more: &str| {
            let text = format!(r#"{{"_type":"location","tst":1781492245,"lat":28.55,"lon":112.35,{more}}}"#);
            read(&text).unwrap().moments[0].alarms.first().map(|a| a.kind)
        };
        assert_eq!(kind(r#""t":"e""#), Some(AlarmKind::PowerCut));
        assert_eq!(kind(r#""t":"h","rty":4"#), Some(AlarmKind::HardAcceleration));
        assert_eq!(kind(r#""t":"u""#), None);
        let crossed =
            read(r#"{"_type":"transition","tst":1781492245,"lat":28.55,"lon":112.35,"event":"leave"}"#).unwrap();
        assert_eq!((crossed.moments[0].alarms[0].kind, crossed.fixes().count()), (AlarmKind::GeofenceExit, 1));
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
