//! The short form of small trackers: values with commas between.
//!
//! Source: OwnTracks booklet, "CSV": tid, time in hexadecimal, t, latitude and longitude in millionths of a
//! degree, course, km/h, altitude, distance, trip. The scales of the others differ between makers.

use crate::domain::{Fix, FixSource, LatLon, Moment, Report, Status, Timestamp};
use crate::protocol::elements::{Element, Reader};
use crate::protocol::{DecodeError, words};

/// Names of the values behind the place.
const BEHIND: [&str; 5] = ["cog", "vel", "alt", "dist", "trip"];

/// Reads one line.
///
/// # Errors
/// The field that is missing or wrong.
pub fn decode(line: &str) -> Result<Report, DecodeError> {
    let mut values = line.split(',').map(str::trim);
    let mut next = |field| values.next().ok_or(DecodeError::Truncated { field, at: line.len() });
    let (tid, time, t, lat, lon) = (next("tid")?, next("tst")?, next("t")?, next("lat")?, next("lon")?);
    let at = u32::from_str_radix(time, 16)
        .map_err(|_| DecodeError::invalid("tst", time, "seconds since 1970 in hexadecimal"))?;
    let at = Some(Timestamp::from_secs(i64::from(at)));
    let degrees = |field, text: &str| match text.parse::<i32>() {
        Ok(millionths) => Ok(f64::from(millionths) / 1e6),
        Err(_) => Err(DecodeError::invalid(field, text, "a whole number of millionths of a degree")),
    };
    let position = LatLon::new(degrees("lat", lat)?, degrees("lon", lon)?);
    let mut report = Report { message: "location".into(), ..Report::default() };
    report.label = Some(tid.chars().take(32).collect());
    let mut reader = Reader(&mut report.unknown);
    let mut speed_kmh = None;
    for (name, value) in BEHIND.iter().zip(values) {
        match (*name, value.parse::<f64>()) {
            ("vel", Ok(n)) => {
                speed_kmh = reader.number_f32(name, &Element::Number(n), 0.0..=f64::from(f32::MAX));
            }
            _ => reader.keep(name, value),
        }
    }
    let fix = Fix {
        fixed_at: at,
        valid: true,
        position,
        altitude_m: None,
        speed_kmh,
        course_deg: None,
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    let ignition = match t {
        "i" => Some(true),
        "I" => Some(false),
        _ => None,
    };
    let mut moment =
        Moment { at, fix: Some(fix), status: Status { ignition, ..Status::default() }, ..Moment::default() };
    let trigger = crate::protocol::owntracks::Trigger { t: Some(t.into()), rty: None, event: None };
    moment.alarms.extend(crate::protocol::owntracks::alarm(&trigger));
    words::infer_supply(&mut moment);
    report.moments.push(moment);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AlarmKind;

    #[test]
    fn a_line_with_commas_has_its_place_and_why_it_was_sent() {
        let report = decode("q8,6A2F4A00,e,28550000,-112350000,9,12,4,0,7").unwrap();
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!((fix.position, fix.speed_kmh), (LatLon::new(28.55, -112.35), Some(12.0)));
        assert_eq!(moment.alarms[0].kind, AlarmKind::PowerCut);
        assert_eq!((report.unknown["trip"].as_str(), report.tracker_idents.len()), ("7", 0));
        assert!(decode("q8,6A2F4A00,e,28550000").unwrap_err().to_string().contains("lon"));
        assert!(decode("q8,noon,e,1,2").unwrap_err().to_string().contains("tst"));
    }
}
