//! The binary short form: `$`, identifier, time and date, place, motion, status.

use crate::domain::{Fix, FixSource, LatLon, Moment, Report};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::dialect::AlarmTable;
use crate::protocol::h02::{KMH_PER_KNOT, LATITUDE, LONGITUDE, degrees, status, time};
use compact_str::CompactString;
use smallvec::smallvec;

/// Length of the form with an identifier of fifteen digits.
const LONG_BYTES: usize = 42;

/// `$`, identifier, time, date, latitude, battery, longitude with flags, speed and course, status.
///
/// # Errors
/// The field that is cut or no BCD.
pub fn read(alarms: &AlarmTable, offset_s: i32, payload: &[u8]) -> Result<Report, DecodeError> {
    let mut body = Cursor::new(payload);
    body.u8("start")?;
    let ident: CompactString = if payload.len() == LONG_BYTES {
        hex::encode(body.take(8, "identifier")?)[..15].into()
    } else {
        hex::encode(body.take(5, "identifier")?).into()
    };
    let clock = hex::encode(body.take(3, "time")?);
    let date = hex::encode(body.take(3, "date")?);
    let lat = hex::encode(body.take(4, "latitude")?);
    let battery = body.u8("battery")?;
    let lon = hex::encode(body.take(5, "longitude")?);
    let motion = hex::encode(body.take(3, "speed and course")?);
    let word = body.u32("status")?;
    let flags = lon.as_bytes().last().and_then(|c| char::from(*c).to_digit(16)).unwrap_or(0);
    let bit = |n: u32| flags >> n & 1 == 1;
    let lat_deg = degrees(&lat, 2).ok_or_else(|| DecodeError::invalid("latitude", &lat, LATITUDE))?;
    let lon_deg = degrees(&lon[..9], 3).ok_or_else(|| DecodeError::invalid("longitude", &lon, LONGITUDE))?;
    let at = time(&clock, &date, offset_s);
    let mut moment = Moment { at, ..Moment::default() };
    moment.fix = Some(Fix {
        fixed_at: at,
        valid: bit(1),
        position: LatLon::new(if bit(2) { lat_deg } else { -lat_deg }, if bit(3) { lon_deg } else { -lon_deg }),
        altitude_m: None,
        speed_kmh: motion[..3].parse::<f64>().ok().map(|knots| (knots * KMH_PER_KNOT) as f32),
        course_deg: motion[3..].parse::<f32>().ok(),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    });
    moment.status.battery_percent = crate::protocol::h02::battery_percent(battery);
    status(alarms, word, &mut moment);
    let mut report = Report { message: "binary".into(), tracker_idents: smallvec![ident], ..Report::default() };
    if !body.is_empty() {
        report.unknown.insert("behind status".into(), hex::encode(body.rest()));
    }
    report.moments.push(moment);
    Ok(report)
}
