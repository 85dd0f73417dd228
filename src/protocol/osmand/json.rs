//! JSON of the newer Traccar client: locations as Transistorsoft's background geolocation posts them.
//!
//! Source: "Location Data Schema" of that library (2023-08-11). Speeds are in m/s, the odometer in metres.

use crate::domain::{AlarmKind, Fix, FixSource, LatLon, Moment, Report};
use crate::protocol::elements::{ALTITUDE_M, Element, ODOMETER_M, Object, POSITIVE, Reader, VOLTS, keys};
use crate::protocol::osmand::{TIME, raise, time};
use crate::protocol::{DecodeError, words};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::smallvec;

/// km/h per m/s.
const KMH_PER_M_S: f64 = 3.6;
/// Most locations of one request.
const LOCATIONS_MAX: usize = 512;
/// Most additional values of one location.
const EXTRAS_MAX: usize = 32;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    location: Option<&'a RawValue>,
    #[serde(borrow, alias = "deviceId", alias = "id")]
    device_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    alarm: Element<'a>,
}

#[derive(Deserialize)]
struct Location<'a> {
    #[serde(borrow, default)]
    timestamp: Element<'a>,
    #[serde(borrow, default)]
    coords: Object<'a, Coords<'a>>,
    #[serde(borrow, default)]
    is_moving: Element<'a>,
    #[serde(borrow, default)]
    odometer: Element<'a>,
    #[serde(borrow, default)]
    battery: Object<'a, Battery<'a>>,
    #[serde(borrow, default)]
    geofence: Object<'a, Geofence<'a>>,
    #[serde(borrow, default)]
    event: Element<'a>,
    #[serde(borrow, default)]
    alarm: Element<'a>,
    #[serde(borrow, default)]
    extras: Object<'a, Map<String, Value>>,
}

#[derive(Deserialize)]
struct Coords<'a> {
    #[serde(borrow, default)]
    latitude: Element<'a>,
    #[serde(borrow, default)]
    longitude: Element<'a>,
    #[serde(borrow, default)]
    accuracy: Element<'a>,
    #[serde(borrow, default)]
    speed: Element<'a>,
    #[serde(borrow, default)]
    heading: Element<'a>,
    #[serde(borrow, default)]
    altitude: Element<'a>,
}

#[derive(Deserialize)]
struct Battery<'a> {
    #[serde(borrow, default)]
    level: Element<'a>,
    #[serde(borrow, default)]
    is_charging: Element<'a>,
}

#[derive(Deserialize)]
struct Geofence<'a> {
    #[serde(borrow, default)]
    action: Element<'a>,
}

/// Reads one body.
///
/// # Errors
/// The field without which there is no location.
pub fn decode(text: &str) -> Result<Report, DecodeError> {
    let problem = |field: &'static str, e: serde_json::Error| DecodeError::Field { field, problem: e.to_string() };
    let body: Body<'_> = serde_json::from_str(text).map_err(|e| problem("body", e))?;
    let missing = |field| DecodeError::Field { field, problem: "is missing".into() };
    let device_id = body.device_id.ok_or_else(|| missing("device_id"))?.get();
    let ident = match serde_json::from_str(device_id) {
        Ok(Value::String(ident)) if !ident.is_empty() => ident,
        Ok(Value::Number(ident)) => ident.to_string(),
        _ => return Err(DecodeError::invalid("device_id", device_id, "a number or text that is not empty")),
    };
    let said = body.location.ok_or_else(|| missing("location"))?.get();
    let mut report =
        Report { message: "location".into(), tracker_idents: smallvec![ident.into()], ..Report::default() };
    let locations: Vec<Location<'_>> = if said.starts_with('[') {
        serde_json::from_str(said).map_err(|e| problem("location", e))?
    } else {
        vec![serde_json::from_str(said).map_err(|e| problem("location", e))?]
    };
    if locations.len() > LOCATIONS_MAX {
        let problem = format!("there are {}; at most {LOCATIONS_MAX} are read", locations.len());
        return Err(DecodeError::Field { field: "location", problem });
    }
    let mut reader = Reader(&mut report.unknown);
    for location in locations {
        report.moments.push(moment(location, &mut reader)?);
    }
    if let Some(last) = report.moments.last_mut() {
        alarms("alarm", &body.alarm, last, &mut reader);
        words::infer_supply(last);
    }
    Ok(report)
}

fn moment(said: Location<'_>, reader: &mut Reader<'_>) -> Result<Moment, DecodeError> {
    let at = match &said.timestamp {
        Element::Text(text) => time::read(text).ok_or_else(|| DecodeError::invalid("timestamp", text, TIME)),
        Element::Number(n) => {
            time::of_number(*n, None).ok_or_else(|| DecodeError::invalid("timestamp", &n.to_string(), TIME))
        }
        other => Err(other.is_not("timestamp", TIME)),
    }?;
    let coords = match said.coords {
        Object::Is(coords) => coords,
        Object::IsNot(other) => return Err(other.is_not("coords", "an object")),
    };
    let position =
        LatLon::new(coords.latitude.must_be_number("latitude")?, coords.longitude.must_be_number("longitude")?);
    let mut moment = Moment { at: Some(at), ..Moment::default() };
    moment.fix = Some(Fix {
        fixed_at: Some(at),
        valid: true,
        position,
        altitude_m: reader.number_f32("altitude", &coords.altitude, ALTITUDE_M),
        speed_kmh: reader.number("speed", &coords.speed, POSITIVE).map(|s| (s * KMH_PER_M_S) as f32),
        course_deg: reader.number_f32("heading", &coords.heading, 0.0..=360.0),
        satellites: None,
        hdop: None,
        accuracy_m: reader.number_f32("accuracy", &coords.accuracy, POSITIVE),
        source: FixSource::Gnss,
    });
    moment.status.moving = reader.flag_in_words("is_moving", &said.is_moving);
    moment.status.odometer_m = reader.number("odometer", &said.odometer, ODOMETER_M);
    if let Some(battery) = reader.object("battery", said.battery) {
        let level = reader.number("battery.level", &battery.level, 0.0..=1.0);
        moment.status.battery_percent = level.map(|l| (l * 100.0).round() as u8);
        moment.status.charging = reader.flag_in_words("battery.is_charging", &battery.is_charging);
    }
    if let Some(fence) = reader.object("geofence", said.geofence) {
        match &fence.action {
            Element::Text(word) if word.eq_ignore_ascii_case("enter") => {
                moment.alarms.push(words::raised(AlarmKind::GeofenceEnter));
            }
            Element::Text(word) if word.eq_ignore_ascii_case("exit") => {
                moment.alarms.push(words::raised(AlarmKind::GeofenceExit));
            }
            other => reader.keep_element("geofence.action", other),
        }
    }
    alarms("alarm", &said.alarm, &mut moment, reader);
    // The library's own events (motionchange, geofence, heartbeat …) are no alarms.
    match &said.event {
        Element::Text(word) if !word.eq_ignore_ascii_case("geofence") => {
            alarms("event", &said.event, &mut moment, reader);
        }
        Element::Text(_) => {}
        other => reader.keep_element("event", other),
    }
    if let Some(all) = reader.object("extras", said.extras) {
        extras(all, &mut moment, reader);
    }
    words::infer_supply(&mut moment);
    Ok(moment)
}

/// Words of alarms, in one text or a list.
fn alarms(name: &str, said: &Element<'_>, moment: &mut Moment, reader: &mut Reader<'_>) {
    match said {
        Element::Text(text) => {
            if let Some(others) = raise(text, moment) {
                reader.keep(name, &others);
            }
        }
        Element::Other(json) => match serde_json::from_str::<Vec<String>>(json) {
            Ok(words) => words.iter().for_each(|w| alarms(name, &Element::Text(w.into()), moment, reader)),
            Err(_) => reader.keep(name, json),
        },
        other => reader.keep_element(name, other),
    }
}

keys! {
    /// What an application may add that we read.
    Extra {
        Alarm = "alarm", Ignition = "ignition", Charge = "charge", Motion = "motion", Armed = "armed", Power = "power",
    }
}

/// What an application adds to a location, by Traccar's names.
fn extras(all: Map<String, Value>, moment: &mut Moment, reader: &mut Reader<'_>) {
    for (name, value) in all.into_iter().take(EXTRAS_MAX) {
        let said = match value {
            Value::Null => Element::Absent,
            Value::Bool(flag) => Element::Flag(flag),
            Value::Number(number) => Element::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Element::Text(text.into()),
            other => Element::Other(other.to_string()),
        };
        let status = &mut moment.status;
        match Extra::of(&name) {
            Some(Extra::Alarm) => alarms("alarm", &said, moment, reader),
            Some(Extra::Ignition) => status.ignition = reader.flag_in_words(&name, &said).or(status.ignition),
            Some(Extra::Charge) => status.charging = reader.flag_in_words(&name, &said).or(status.charging),
            Some(Extra::Motion) => status.moving = reader.flag_in_words(&name, &said).or(status.moving),
            Some(Extra::Armed) => status.armed = reader.flag_in_words(&name, &said).or(status.armed),
            Some(Extra::Power) => status.external_v = reader.number_f32(&name, &said, VOLTS).or(status.external_v),
            None => reader.keep_element(&name, &said),
        }
    }
}

/// Where in a message elements may stand, and their names.
#[cfg(test)]
pub fn elements_read() -> Vec<(&'static str, &'static [&'static str])> {
    use crate::protocol::elements::names_of;
    vec![
        ("", names_of::<Body<'_>>()),
        ("/location", names_of::<Location<'_>>()),
        ("/location/coords", names_of::<Coords<'_>>()),
        ("/location/battery", names_of::<Battery<'_>>()),
        ("/location/geofence", names_of::<Geofence<'_>>()),
        ("/location/extras", Extra::ALL),
    ]
}
