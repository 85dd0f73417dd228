//! The query of an address, or a form.

use crate::domain::{Cell, Fix, FixSource, LatLon, Moment, Profile, Report};
use crate::protocol::dialect::{self, SpeedUnit};
use crate::protocol::elements::{ALTITUDE_M, Element, ODOMETER_M, POSITIVE, Reader, VOLTS};
use crate::protocol::osmand::{TIME, raise, time};
use crate::protocol::{DecodeError, words};

/// Most cells and access points taken.
const HEARD_MAX: usize = 32;
/// The order in which the OsmAnd app writes its values; it has no other, and its speed is in m/s.
const OSMAND_APP: [&str; 6] = ["lat", "lon", "timestamp", "hdop", "altitude", "speed"];

fn number(field: &'static str, value: &str) -> Result<f64, DecodeError> {
    value
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite())
        .ok_or_else(|| DecodeError::invalid(field, value, "a number"))
}

/// A value as an element: a number where it is one.
fn element(value: &str) -> Element<'_> {
    match value.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Element::Number(number),
        _ if value.trim().is_empty() => Element::Absent,
        _ => Element::Text(value.into()),
    }
}

/// The unit of a query's speed: what the profile's model says, or what its form shows.
fn unit(profile: &Profile, query: &str) -> SpeedUnit {
    dialect::of(profile).speed_unit.unwrap_or_else(|| {
        let mut names = query.split('&').map(|p| p.split_once('=').map_or(p, |(n, _)| n)).filter(|n| *n != "id");
        if names.by_ref().take(OSMAND_APP.len()).eq(OSMAND_APP) { SpeedUnit::MetresPerSecond } else { SpeedUnit::Knots }
    })
}

/// Reads a query.
///
/// # Errors
/// The field without which there is no report.
pub fn decode(profile: &Profile, text: &str) -> Result<Report, DecodeError> {
    let query = text.split_once('?').map_or(text, |(_, q)| q);
    let query = query.split_once('#').map_or(query, |(q, _)| q);
    let kmh_per_unit = unit(profile, query).kmh();
    let mut report = Report { message: "query".into(), ..Report::default() };
    let mut reader = Reader(&mut report.unknown);
    let mut moment = Moment::default();
    let (mut lat, mut lon) = (None, None);
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
        let said = element(&value);
        let status = &mut moment.status;
        match name {
            "id" | "deviceid" if !value.trim().is_empty() => report.tracker_idents.push(value.trim().into()),
            "timestamp" => {
                moment.at = Some(time::read(&value).ok_or_else(|| DecodeError::invalid("timestamp", &value, TIME))?)
            }
            "lat" => lat = Some(number("lat", &value)?),
            "lon" => lon = Some(number("lon", &value)?),
            "location" => {
                let (a, b) = value
                    .split_once(',')
                    .ok_or_else(|| DecodeError::invalid("location", &value, "LATITUDE,LONGITUDE"))?;
                (lat, lon) = (Some(number("location", a)?), Some(number("location", b)?));
            }
            "valid" => fix.valid = flag(&mut reader, name, &value).unwrap_or(true),
            "speed" => {
                fix.speed_kmh = reader.number(name, &said, POSITIVE).map(|n| (n * kmh_per_unit) as f32);
            }
            "bearing" | "heading" => fix.course_deg = reader.number_f32(name, &said, 0.0..=360.0),
            "altitude" => fix.altitude_m = reader.number_f32(name, &said, ALTITUDE_M),
            "accuracy" => fix.accuracy_m = reader.number_f32(name, &said, POSITIVE),
            "hdop" => fix.hdop = reader.number_f32(name, &said, POSITIVE),
            "sat" => fix.satellites = reader.number(name, &said, 0.0..=255.0).map(|n| n as u8),
            "batt" | "batteryLevel" => status.battery_percent = reader.percent(name, &said),
            "power" => status.external_v = reader.number_f32(name, &said, VOLTS),
            "battery" => status.battery_v = reader.number_f32(name, &said, VOLTS),
            "odometer" => status.odometer_m = reader.number(name, &said, ODOMETER_M),
            "charge" => status.charging = flag(&mut reader, name, &value),
            "ignition" => status.ignition = flag(&mut reader, name, &value),
            "motion" => status.moving = flag(&mut reader, name, &value),
            "armed" => status.armed = flag(&mut reader, name, &value),
            "alarm" => {
                if let Some(others) = raise(&value, &mut moment) {
                    reader.keep(name, &others);
                }
            }
            "cell" if moment.network.cells.len() < HEARD_MAX => match cell(&value) {
                Some(cell) => moment.network.cells.push(cell),
                None => reader.keep(name, &value),
            },
            "wifi" if moment.network.wifi.len() < HEARD_MAX => {
                let (mac, signal) = value.split_once(',').unwrap_or((&value, ""));
                moment.network.wifi.push((mac.replace('-', ":"), signal.parse().ok()));
            }
            _ => reader.keep(name, &value),
        }
    }
    if report.tracker_idents.is_empty() {
        return Err(DecodeError::Field { field: "id", problem: "the request names no device".into() });
    }
    if let (Some(lat), Some(lon)) = (lat, lon) {
        moment.fix = Some(Fix { fixed_at: moment.at, position: LatLon::new(lat, lon), ..fix });
    }
    words::infer_supply(&mut moment);
    report.moments.push(moment);
    Ok(report)
}

fn flag(reader: &mut Reader<'_>, name: &str, word: &str) -> Option<bool> {
    reader.flag_in_words(name, &Element::Text(word.into()))
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
