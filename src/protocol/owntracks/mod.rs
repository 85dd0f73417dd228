//! OwnTracks: JSON of the phone application and of trackers that speak it, over MQTT or HTTP.
//!
//! Source: OwnTracks booklet, "JSON", and the Quicklink of trackers to OwnTracks for the letters of `t`.
//! `location` holds a position; `transition` an alarm and an earlier place, which is no fix. The other types
//! (`lwt`, `status`, `steps`, `waypoint`, `beacon`, `card`, `cmd`, …) are read as messages without one.

mod csv;

use crate::domain::{Alarm, AlarmKind, Fix, FixSource, LatLon, Moment, Profile, Report, Status, Timestamp};
use crate::protocol::elements::{ALTITUDE_M, BYTE, Element, POSITIVE, Reader, VOLTS, WHOLE};
use crate::protocol::{DecodeError, words};
use compact_str::CompactString;
use serde::Deserialize;
use std::borrow::Cow;

/// Parts of a topic that name a device: `owntracks/USER/DEVICE`; `event` and others may follow.
const TOPIC_PARTS: usize = 3;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "_type", borrow, default)]
    kind: Element<'a>,
    #[serde(borrow, default)]
    tid: Element<'a>,
    #[serde(borrow, default)]
    topic: Element<'a>,
    #[serde(borrow, default)]
    tst: Element<'a>,
    #[serde(borrow, default)]
    lat: Element<'a>,
    #[serde(borrow, default)]
    lon: Element<'a>,
    #[serde(borrow, default)]
    alt: Element<'a>,
    /// Accuracy of the altitude; negative: there is no altitude.
    #[serde(borrow, default)]
    vac: Element<'a>,
    #[serde(borrow, default)]
    acc: Element<'a>,
    #[serde(borrow, default)]
    vel: Element<'a>,
    #[serde(borrow, default)]
    cog: Element<'a>,
    #[serde(borrow, default)]
    batt: Element<'a>,
    /// Battery: 0 unknown, 1 unplugged, 2 charging, 3 full.
    #[serde(borrow, default)]
    bs: Element<'a>,
    /// What made the report: a letter or a digit; `h` with its kind in `rty`.
    #[serde(borrow, default)]
    t: Element<'a>,
    #[serde(borrow, default)]
    rty: Element<'a>,
    /// Of a transition: enter or leave.
    #[serde(borrow, default)]
    event: Element<'a>,
    /// The vehicle's supply, volts.
    #[serde(borrow, default)]
    uext: Element<'a>,
    /// The tracker's battery, volts.
    #[serde(borrow, default)]
    ubatt: Element<'a>,
    #[serde(borrow, default)]
    ign: Element<'a>,
    #[serde(borrow, default)]
    motion: Element<'a>,
    /// Kilometres.
    #[serde(borrow, default)]
    odometer: Element<'a>,
}

/// Why a report was made.
struct Trigger {
    t: Option<CompactString>,
    rty: Option<i64>,
    event: Option<CompactString>,
}

/// Reads one message.
///
/// # Errors
/// The field that is wrong.
pub fn decode(_: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let problem = |e: String| DecodeError::Field { field: "message", problem: e };
    if !payload.trim_ascii_start().starts_with(b"{") {
        let text = std::str::from_utf8(payload).map_err(|e| problem(e.to_string()))?;
        return self::csv::decode(text.trim());
    }
    let message: Message<'_> = serde_json::from_slice(payload).map_err(|e| problem(e.to_string()))?;
    let Element::Text(kind) = &message.kind else { return Err(message.kind.is_not("_type", "text")) };
    let mut report = Report { message: name(kind), ..Report::default() };
    let mut reader = Reader(&mut report.unknown);
    // The topic names the device: by its last part, and by all parts with dashes, which is how some
    // platforms write it. The tid is two letters for the map, and many devices share them.
    if let Some(topic) = reader.text("topic", &message.topic) {
        let parts: Vec<&str> = topic.split('/').take(TOPIC_PARTS).collect();
        report.tracker_idents.extend(parts.get(2).map(CompactString::new));
        report.tracker_idents.push(parts.join("-").into());
    }
    report.label = reader.text("tid", &message.tid);
    let trigger = Trigger {
        t: reader.text("t", &message.t),
        rty: reader.whole("rty", &message.rty, BYTE),
        event: reader.text("event", &message.event),
    };
    // A place whose time is said, but cannot be read, must not become one of now.
    let at = match (&message.tst, kind.as_ref()) {
        (Element::Absent, _) => None,
        (said, "location") => Some(said.must_be_number("tst")?),
        (said, _) => reader.number("tst", said, WHOLE),
    }
    .map(Timestamp::from_secs_f64);
    let status = status(&message, &trigger, &mut reader);
    let mut moment = Moment { at, status, ..Moment::default() };
    match kind.as_ref() {
        "location" => {
            let (lat, lon) = (message.lat.must_be_number("lat")?, message.lon.must_be_number("lon")?);
            moment.fix = Some(fix(&message, at, LatLon::new(lat, lon), &mut reader));
        }
        // The time is that of the crossing, the place that of an earlier location, or 0,0 of a beacon.
        "transition" => {
            reader.keep_element("lat", &message.lat);
            reader.keep_element("lon", &message.lon);
        }
        _ => {}
    }
    moment.alarms.extend(alarm(&trigger));
    words::infer_supply(&mut moment);
    if moment.fix.is_some() || !moment.alarms.is_empty() || moment.status != Status::default() {
        report.moments.push(moment);
    }
    Ok(report)
}

fn fix(message: &Message<'_>, at: Option<Timestamp>, position: LatLon, reader: &mut Reader<'_>) -> Fix {
    let has_altitude = reader.number("vac", &message.vac, WHOLE).is_none_or(|vac| vac >= 0.0);
    Fix {
        fixed_at: at,
        valid: true,
        position,
        altitude_m: reader.number_f32("alt", &message.alt, ALTITUDE_M).filter(|_| has_altitude),
        speed_kmh: reader.number_f32("vel", &message.vel, POSITIVE),
        course_deg: reader.number_f32("cog", &message.cog, 0.0..=360.0),
        satellites: None,
        hdop: None,
        accuracy_m: reader.number_f32("acc", &message.acc, POSITIVE),
        source: FixSource::Gnss,
    }
}

fn name(kind: &str) -> Cow<'static, str> {
    match kind {
        "location" => "location".into(),
        kind => kind.chars().take(32).collect::<String>().into(),
    }
}

fn status(message: &Message<'_>, trigger: &Trigger, reader: &mut Reader<'_>) -> Status {
    Status {
        battery_percent: reader.percent("batt", &message.batt),
        charging: reader.number("bs", &message.bs, 0.0..=3.0).filter(|bs| *bs > 0.0).map(|bs| bs == 2.0),
        external_v: reader.number_f32("uext", &message.uext, VOLTS),
        battery_v: reader.number_f32("ubatt", &message.ubatt, VOLTS),
        ignition: reader.flag("ign", &message.ign).or(match trigger.t.as_deref() {
            Some("i") => Some(true),
            Some("I") => Some(false),
            _ => None,
        }),
        moving: reader.flag("motion", &message.motion),
        odometer_m: reader.number("odometer", &message.odometer, 0.0..=f64::MAX / 1000.0).map(|km| km * 1000.0),
        ..Status::default()
    }
}

fn alarm(trigger: &Trigger) -> Option<Alarm> {
    let kind = match (trigger.t.as_deref(), trigger.event.as_deref(), trigger.rty) {
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
    let letter = trigger.t.as_deref().or(trigger.event.as_deref()).and_then(|t| t.bytes().next());
    Some(Alarm { kind, raw: letter.unwrap_or_default().into() })
}

/// Where in a message elements may stand, and their names.
#[cfg(test)]
pub(super) fn elements_read() -> Vec<(&'static str, &'static [&'static str])> {
    vec![("", crate::protocol::elements::names_of::<Message<'_>>())]
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
        assert_eq!(report.tracker_idents[..], ["bike7", "owntracks-anna-bike7"]);
        assert_eq!(report.label.as_deref(), Some("5t"));
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
        assert_eq!((crossed.moments[0].alarms[0].kind, crossed.fixes().count()), (AlarmKind::GeofenceExit, 0));
    }

    #[test]
    fn other_types_are_messages_without_a_place() {
        assert!(read(r#"{"_type":"lwt","tst":1781492245}"#).unwrap().moments.is_empty());
        assert!(read(r#"{"_type":"location","tst":1}"#).is_err());
    }

    #[test]
    fn two_letters_for_the_map_are_no_identity() {
        let report = read(r#"{"_type":"location","tid":"q8","tst":1781492245,"lat":28.55,"lon":112.35}"#).unwrap();
        assert!(report.tracker_idents.is_empty());
        let event = r#"{"_type":"transition","topic":"owntracks/li/moped/event","tst":1781492245,"event":"enter"}"#;
        assert_eq!(read(event).unwrap().tracker_idents[..], ["moped", "owntracks-li-moped"]);
    }

    #[test]
    fn minus_one_is_not_known_and_never_zero() {
        let report = read(r#"{"_type":"location","tst":1781492245,"lat":28.55,"lon":112.35,"vel":-1,"cog":-1,"acc":-1,"alt":0,"vac":-1,"batt":-1}"#).unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.speed_kmh, fix.course_deg, fix.accuracy_m, fix.altitude_m), (None, None, None, None));
        assert_eq!(report.moments[0].status.battery_percent, None);
    }

    #[test]
    fn the_supply_is_said_in_both_states() {
        let said = |more: &str| {
            let text = format!(r#"{{"_type":"location","tst":1781492245,"lat":28.55,"lon":112.35,{more}}}"#);
            read(&text).unwrap().moments[0].status.external_power
        };
        assert_eq!(said(r#""uext":12.1"#), Some(true));
        assert_eq!(said(r#""uext":0.1"#), Some(false));
        assert_eq!(said(r#""uext":2.5"#), None);
        assert_eq!((said(r#""t":"e""#), said(r#""t":"E""#)), (Some(false), Some(true)));
    }

    proptest! {
        #[test]
        fn no_text_makes_owntracks_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&Profile::of("owntracks"), &bytes));
        }
    }
}
