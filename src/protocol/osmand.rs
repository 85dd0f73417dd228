//! OsmAnd and the Traccar client: a query over HTTP, or JSON of the newer client.
//!
//! Source: OsmAnd "Online tracking", Traccar client. In a query `speed` is in knots, in JSON in m/s.
//! The payload is the request's address (or a form), or the JSON body.

use super::DecodeError;
use crate::domain::{Cell, Fix, FixSource, LatLon, Moment, Profile, Report, Timestamp};
use serde::Deserialize;
use smallvec::smallvec;

/// km/h per knot: a nautical mile is 1,852 m.
const KMH_PER_KNOT: f64 = 1.852;
/// Most cells and access points taken.
const HEARD_MAX: usize = 32;

/// Reads one request.
///
/// # Errors
/// The field that is wrong.
pub fn decode(_: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let text =
        std::str::from_utf8(payload).map_err(|e| DecodeError::Field { field: "request", problem: e.to_string() })?;
    if text.trim_start().starts_with('{') { json(text) } else { query(text) }
}

fn wrong(field: &'static str, value: &str) -> DecodeError {
    DecodeError::Field { field, problem: format!("{:?} is none", value.chars().take(40).collect::<String>()) }
}

fn number(field: &'static str, value: &str) -> Result<f64, DecodeError> {
    value.trim().parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(|| wrong(field, value))
}

fn query(text: &str) -> Result<Report, DecodeError> {
    let query = text.split_once('?').map_or(text, |(_, q)| q);
    let mut report = Report { message: "query".into(), ..Report::default() };
    let mut moment = Moment::default();
    let (mut lat, mut lon, mut valid) = (None, None, true);
    let mut fix = Fix {
        fixed_at: None,
        valid: true,
        position: LatLon::new(0.0, 0.0),
        altitude_m: None,
        speed_kmh: None,
        course_deg: None,
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value);
        let status = &mut moment.status;
        match name {
            "id" | "deviceid" => report.tracker_idents.push(value.into()),
            "timestamp" => moment.at = Some(time(&value).ok_or_else(|| wrong("timestamp", &value))?),
            "lat" => lat = Some(number("lat", &value)?),
            "lon" => lon = Some(number("lon", &value)?),
            "location" => {
                let (a, b) = value.split_once(',').ok_or_else(|| wrong("location", &value))?;
                (lat, lon) = (Some(number("location", a)?), Some(number("location", b)?));
            }
            "valid" => valid = matches!(value.as_str(), "true" | "1"),
            "speed" => fix.speed_kmh = Some((number("speed", &value)? * KMH_PER_KNOT) as f32),
            "bearing" | "heading" => fix.course_deg = Some(number("bearing", &value)? as f32),
            "altitude" => fix.altitude_m = Some(number("altitude", &value)? as f32),
            "accuracy" => fix.accuracy_m = Some(number("accuracy", &value)? as f32),
            "hdop" => fix.hdop = Some(number("hdop", &value)? as f32),
            "sat" => fix.satellites = Some(number("sat", &value)?.clamp(0.0, 255.0) as u8),
            "batt" => status.battery_percent = Some(number("batt", &value)?.clamp(0.0, 100.0).round() as u8),
            "charge" => status.charging = Some(value == "true"),
            "ignition" => status.ignition = Some(value == "true"),
            "motion" => status.moving = Some(value == "true"),
            "cell" if moment.network.cells.len() < HEARD_MAX => moment.network.cells.extend(cell(&value)),
            "wifi" if moment.network.wifi.len() < HEARD_MAX => {
                let (mac, signal) = value.split_once(',').unwrap_or((&value, ""));
                moment.network.wifi.push((mac.replace('-', ":"), signal.parse().ok()));
            }
            _ => {
                if report.unknown.len() < 64 {
                    report.unknown.insert(name.chars().take(40).collect(), value);
                }
            }
        }
    }
    if report.tracker_idents.is_empty() {
        return Err(DecodeError::Field { field: "id", problem: "the request names no device".into() });
    }
    if let (Some(lat), Some(lon)) = (lat, lon) {
        moment.fix = Some(Fix { fixed_at: moment.at, valid, position: LatLon::new(lat, lon), ..fix });
    }
    report.moments.push(moment);
    Ok(report)
}

/// MCC,MNC,LAC,CID and perhaps the signal.
fn cell(text: &str) -> Option<Cell> {
    let mut parts = text.split(',');
    Some(Cell {
        mcc: parts.next()?.parse().ok()?,
        mnc: parts.next()?.parse().ok()?,
        area: parts.next()?.parse().ok()?,
        cell: parts.next()?.parse().ok()?,
        signal_dbm: parts.next().and_then(|s| s.parse().ok()),
    })
}

/// Seconds, milliseconds, RFC 3339, or `YYYY-MM-DD hh:mm:ss` in UTC.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        // Seconds have ten digits until 2286.
        return Some(if number.abs() < 100_000_000_000 {
            Timestamp::from_secs(number)
        } else {
            Timestamp::from_micros(number.checked_mul(1000)?)
        });
    }
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{}Z", text.replacen(' ', "T", 1))))
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut rest = bytes.clone();
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => {
                        out.push((high * 16 + low) as u8);
                        bytes = rest;
                    }
                    _ => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[derive(Deserialize)]
struct Body {
    location: Locations,
    #[serde(alias = "deviceId")]
    device_id: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Locations {
    One(Box<Location>),
    Many(Vec<Location>),
}

#[derive(Deserialize)]
struct Location {
    timestamp: String,
    coords: Coords,
    is_moving: Option<bool>,
    odometer: Option<f64>,
    battery: Option<Battery>,
}

#[derive(Deserialize)]
struct Coords {
    latitude: f64,
    longitude: f64,
    accuracy: Option<f32>,
    speed: Option<f64>,
    heading: Option<f32>,
    altitude: Option<f32>,
}

#[derive(Deserialize)]
struct Battery {
    level: Option<f32>,
    is_charging: Option<bool>,
}

fn json(text: &str) -> Result<Report, DecodeError> {
    let body: Body =
        serde_json::from_str(text).map_err(|e| DecodeError::Field { field: "body", problem: e.to_string() })?;
    let ident = body.device_id.as_str().map_or_else(|| body.device_id.to_string(), str::to_owned);
    let mut report =
        Report { message: "location".into(), tracker_idents: smallvec![ident.into()], ..Report::default() };
    let locations = match body.location {
        Locations::One(one) => vec![*one],
        Locations::Many(many) => many,
    };
    for said in locations {
        let at = time(&said.timestamp).ok_or_else(|| wrong("timestamp", &said.timestamp))?;
        let known = |n: &f32| *n >= 0.0; // -1 says unknown
        let mut moment = Moment { at: Some(at), ..Moment::default() };
        moment.fix = Some(Fix {
            fixed_at: Some(at),
            valid: true,
            position: LatLon::new(said.coords.latitude, said.coords.longitude),
            altitude_m: said.coords.altitude,
            speed_kmh: said.coords.speed.filter(|s| *s >= 0.0).map(|s| (s * 3.6) as f32),
            course_deg: said.coords.heading.filter(known),
            satellites: None,
            hdop: None,
            accuracy_m: said.coords.accuracy.filter(known),
            source: FixSource::Gnss,
        });
        moment.status.moving = said.is_moving;
        moment.status.odometer_m = said.odometer;
        if let Some(battery) = said.battery {
            let level = battery.level.filter(|l| (0.0..=1.0).contains(l));
            moment.status.battery_percent = level.map(|l| (l * 100.0).round() as u8);
            moment.status.charging = battery.is_charging;
        }
        report.moments.push(moment);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn seconds_milliseconds_and_text_are_the_same_time() {
        let at = Timestamp::from_secs(1_781_492_245);
        for text in ["1781492245", "1781492245000", "2026-06-15T02:57:25Z", "2026-06-15 02:57:25"] {
            assert_eq!(time(text), Some(at), "{text}");
        }
        assert_eq!(time("tomorrow"), None);
    }

    #[test]
    fn the_json_client_says_minus_one_for_unknown() {
        let report = read(r#"{"location":{"timestamp":"2026-06-15T02:57:25Z","coords":{"latitude":28.55,"longitude":112.35,"speed":-1,"heading":-1,"accuracy":5},"battery":{"level":-1,"is_charging":false}},"device_id":"7"}"#).unwrap();
        let fix = report.fixes().next().unwrap();
        assert_eq!((fix.speed_kmh, fix.course_deg, fix.accuracy_m), (None, None, Some(5.0)));
        assert_eq!(report.moments[0].status.battery_percent, None);
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
