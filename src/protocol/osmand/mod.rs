//! OsmAnd, GPSLogger and the Traccar client: a query over HTTP, or JSON of the newer client.
//!
//! Source: OsmAnd "Online tracking", GPSLogger "Custom URL", Traccar client. The payload is the request's
//! address (or a form), or the JSON body. In JSON speeds are in m/s; in a query the sender's model says the
//! unit, and knots are Traccar's.

mod json;
mod query;
mod time;

use crate::domain::{Moment, Profile, Report};
use crate::protocol::DecodeError;
use crate::protocol::words::{alarm, raised};

/// Reads one request.
///
/// # Errors
/// The field that is wrong.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let text =
        std::str::from_utf8(payload).map_err(|e| DecodeError::Field { field: "request", problem: e.to_string() })?;
    if text.trim_start().starts_with('{') { json::decode(text) } else { query::decode(profile, text.trim()) }
}

/// What a time may be.
const TIME: &str = "a time: seconds since 1970, or RFC 3339";

/// Raises the alarms of a text, with commas or semicolons between; gives the words that are not known.
fn raise(text: &str, moment: &mut Moment) -> Option<String> {
    let mut others = Vec::new();
    for word in text.split([',', ';']).map(str::trim).filter(|w| !w.is_empty()).take(16) {
        match alarm(word) {
            Some(kind) if moment.alarms.iter().all(|a| a.kind != kind) => moment.alarms.push(raised(kind)),
            Some(_) => {}
            None => others.push(word),
        }
    }
    (!others.is_empty()).then(|| others.join(","))
}

#[cfg(test)]
pub(super) use json::elements_read;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AlarmKind, LatLon};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Report, DecodeError> {
        decode(&Profile::of("osmand"), text.as_bytes())
    }

    #[test]
    fn a_query_has_its_place_in_knots_and_percent_signs() {
        let report =
            read("/?id=42&lat=28.55&lon=112.35&timestamp=2026-06-15T02%3A57%3A25Z&speed=10&batt=87&valid=true")
                .unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.position, fix.speed_kmh), (LatLon::new(28.55, 112.35), Some(18.52)));
        assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
        assert_eq!(report.moments[0].status.battery_percent, Some(87));
    }

    #[test]
    fn the_json_client_says_minus_one_for_unknown() {
        let report = read(r#"{"location":{"timestamp":"2026-06-15T02:57:25Z","coords":{"latitude":28.55,"longitude":112.35,"speed":-1,"heading":-1,"accuracy":5},"battery":{"level":-1,"is_charging":false}},"device_id":"7"}"#).unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.speed_kmh, fix.course_deg, fix.accuracy_m), (None, None, Some(5.0)));
        assert_eq!(report.moments[0].status.battery_percent, None);
    }

    #[test]
    fn alarms_are_raised_in_every_form_and_other_words_are_kept() {
        let kinds = |text: &str| read(text).unwrap().moments[0].alarms.iter().map(|a| a.kind).collect::<Vec<_>>();
        assert_eq!(kinds("/?id=7&lat=28.55&lon=112.35&alarm=sos"), [AlarmKind::Sos]);
        assert_eq!(kinds("/?id=7&lat=1&lon=2&alarm=tampering,powerCut"), [AlarmKind::Tamper, AlarmKind::PowerCut]);
        let json = |more: &str| {
            format!(
                r#"{{"location":{{"timestamp":"2026-06-15T02:57:25Z","coords":{{"latitude":1,"longitude":2}},{more}}},"device_id":"7"}}"#
            )
        };
        assert_eq!(kinds(&json(r#""extras":{"alarm":"sos"}"#)), [AlarmKind::Sos]);
        assert_eq!(kinds(&json(r#""alarm":"removing""#)), [AlarmKind::Removal]);
        assert_eq!(kinds(&json(r#""event":"geofence","geofence":{"action":"EXIT"}"#)), [AlarmKind::GeofenceExit]);
        assert_eq!(kinds(&json(r#""event":"motionchange""#)), []);
        let other = read("/?id=7&lat=1&lon=2&alarm=laneChange").unwrap();
        assert_eq!((other.moments[0].alarms.len(), other.unknown["alarm"].as_str()), (0, "laneChange"));
    }

    #[test]
    fn a_word_that_is_no_flag_is_left_out_and_kept() {
        let status = |more: &str| read(&format!("/?id=7&lat=1&lon=2&{more}")).unwrap().moments[0].status.clone();
        assert_eq!(status("ignition=ON").ignition, Some(true));
        assert_eq!(status("ignition=off&charge=0").charging, Some(false));
        assert_eq!(status("motion=1").moving, Some(true));
        assert_eq!(status("motion=walking").moving, None);
        assert_eq!(read("/?id=7&motion=walking").unwrap().unknown["motion"], "walking");
        assert!(read("/?id=7&lat=1&lon=2&valid=perhaps").unwrap().fixes().next().unwrap().valid);
    }

    #[test]
    fn a_speed_has_the_unit_of_its_sender() {
        let kmh = |model: Option<&str>, query: &str| {
            let profile = Profile { model: model.map(Into::into), ..Profile::of("osmand") };
            decode(&profile, query.as_bytes()).unwrap().fixes().next().unwrap().speed_kmh.unwrap()
        };
        let query = "/?id=7&timestamp=1781492245&lat=28.55&lon=112.35&speed=10";
        assert!((kmh(None, query) - 18.52).abs() < 0.01);
        assert!((kmh(Some("Traccar Client 9"), query) - 18.52).abs() < 0.01);
        assert!((kmh(Some("GPSLogger"), query) - 36.0).abs() < 0.01);
        let app = "/?lat=28.55&lon=112.35&timestamp=1781492245&hdop=2&altitude=40&speed=10&id=7";
        assert!((kmh(None, app) - 36.0).abs() < 0.01);
        assert!((kmh(Some("OsmAnd"), query) - 36.0).abs() < 0.01);
        assert!((kmh(Some("traccar client"), app) - 18.52).abs() < 0.01);
    }

    #[test]
    fn an_optional_value_that_is_no_number_does_not_lose_the_place() {
        for name in ["speed", "bearing", "altitude", "accuracy", "hdop", "sat", "batt", "cell", "power", "odometer"] {
            let report = read(&format!("/?id=7&timestamp=1781492245&lat=28.55&lon=112.35&{name}=odd")).unwrap();
            assert_eq!((report.fixes().count(), report.unknown[name].as_str()), (1, "odd"), "{name}");
        }
        let report = read("/?id=7&lat=1&lon=2&batt=-1&speed=-1&sat=9999").unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.speed_kmh, fix.satellites, report.moments[0].status.battery_percent), (None, None, None));
    }

    #[test]
    fn a_wrong_value_is_named() {
        assert!(read("/?id=1&lat=north&lon=2").unwrap_err().to_string().contains("lat"));
        assert!(read("/?lat=1&lon=2").unwrap_err().to_string().contains("id"));
    }

    proptest! {
        #[test]
        fn no_text_makes_osmand_panic(text in ".{0,200}") {
            drop(read(&text));
            drop(read(&format!("/?id=1&timestamp={text}&lat={text}&cell={text}")));
        }
    }
}
