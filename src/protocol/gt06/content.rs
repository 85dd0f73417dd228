//! What stands in a frame, by its number. The same number with another length is another vendor's
//! layout: the common beginning is read, the rest is kept.

use super::frame::Frame;
use super::place::{self, GPS_BYTES};
use super::{alarm, modules};
use crate::domain::{Fix, FixSource, LatLon, Moment, Profile, Report, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;

/// Messages with a GPS block.
const WITH_GPS: &[u8] = &[
    0x10, 0x11, 0x12, 0x16, 0x17, 0x1a, 0x1e, 0x22, 0x26, 0x27, 0x2a, 0x2d, 0x31, 0x32, 0x33, 0x34, 0x37, 0x38, 0x61,
    0x69, 0x95, 0xa0, 0xa2, 0xa4,
];

/// Whether a frame of 0x17 or 0x69 lists access points: then its time is BCD and no GPS block follows.
pub fn is_wifi(frame: &Frame<'_>) -> bool {
    frame.content.len() < GPS_BYTES || frame.content.get(6).is_none_or(|info| info >> 4 != 0x0c)
}

/// Reads a frame's content.
///
/// # Errors
/// The field that is cut.
pub fn read(profile: &Profile, offset_s: i32, frame: &Frame<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let model = profile.model.as_deref();
    let mut body = Cursor::new(frame.content);
    match frame.number {
        0x01 => {
            let digits = hex::encode(body.take(8, "IMEI")?);
            report.tracker_idents.push(digits.strip_prefix('0').unwrap_or(&digits).to_owned());
        }
        0x13 | 0x23 => report.moments.push(heartbeat(model, &mut body)?),
        0x15 | 0x21 => text(frame, &mut body, report)?,
        0x70 => modules::read(&mut body, report)?,
        0x8a => {} // answered with the time by the gateway, which has a clock
        0x94 => information(frame, &mut body, report)?,
        0x17 | 0x69 if is_wifi(frame) => keep(&body, report),
        0x18 | 0x24 | 0x28 | 0x2e | 0x2c | 0xa1 | 0xf3 if body.len() >= 6 => {
            let at = place::time(&mut body, offset_s)?;
            report.moments.push(Moment { at, ..Moment::default() });
            keep(&body, report);
        }
        0x19 | 0xa5 => {
            let mut moment = Moment::default();
            moment.network.cells.extend(place::cell(&mut body, frame.number == 0xa5)?);
            status(model, &mut body, &mut moment);
            report.moments.push(moment);
        }
        number if WITH_GPS.contains(&number) => match begin_of_gps(frame) {
            Some(at) => {
                body.take(at, "vendor's head")?;
                report.moments.push(located(model, offset_s, frame, &mut body)?);
            }
            None if number == 0x95 && body.len() >= 7 => report.moments.push(driving(offset_s, &mut body)?),
            None => keep(&body, report),
        },
        _ => keep(&body, report),
    }
    Ok(())
}

fn keep(body: &Cursor<'_>, report: &mut Report) {
    if !body.is_empty() {
        report.unknown.insert("rest".into(), hex::encode(body.rest()));
    }
}

/// Where the GPS block begins: behind nothing, an identity, a type, or a second time. Told by a time
/// that can be, followed by the information byte.
fn begin_of_gps(frame: &Frame<'_>) -> Option<usize> {
    let starts_at = |at: usize| {
        let block = frame.content.get(at..at + GPS_BYTES)?;
        place::begins_with_time(block).then_some(at)
    };
    // These list cells and access points too; with a GPS block its length, 12, stands behind the time.
    let says_gps = frame.content.get(6).is_some_and(|info| info >> 4 == 0x0c);
    match frame.number {
        0xa2 | 0x32 | 0x33 if !says_gps => None,
        0x61 => starts_at(8),
        0x34 => starts_at(4),
        0x95 => starts_at(3).or_else(|| starts_at(0)),
        // Type and IMEI, the device's time, then the fix's.
        0x22 if frame.content.len() > 50 && starts_at(9).is_some() => starts_at(15),
        _ => starts_at(0),
    }
}

fn located(
    model: Option<&str>,
    offset_s: i32,
    frame: &Frame<'_>,
    body: &mut Cursor<'_>,
) -> Result<Moment, DecodeError> {
    let gps = if frame.number == 0x95 { place::gps_of_cameras(body, offset_s)? } else { place::gps(body, offset_s)? };
    let mut moment = Moment { at: gps.fix.fixed_at, ..Moment::default() };
    moment.status.ignition = gps.ignition;
    moment.status.satellites = gps.fix.satellites;
    moment.fix = Some(gps.fix);
    behind(model, frame, body, &mut moment);
    Ok(moment)
}

/// What follows the GPS block, as far as it is there.
fn behind(model: Option<&str>, frame: &Frame<'_>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let is_4g = matches!(frame.number, 0xa0 | 0xa2 | 0xa4);
    match frame.number {
        0x16 | 0x26 | 0x27 | 0xa4 => {
            // The LBS block's length counts itself; 0 says that there is none.
            let with_length = *body.rest().first()? as usize;
            let has_length = with_length == 0 || with_length == 8 || with_length == 9 || is_4g;
            if has_length {
                body.u8("length of LBS").ok()?;
            }
            if with_length > 0 || !has_length {
                moment.network.cells.extend(place::cell(body, is_4g).ok()?);
            } else if body.len() >= 8 + 5 {
                body.take(8, "empty LBS").ok()?;
            }
            if frame.number == 0x16 && body.len() == 6 {
                body.u8("vendor's byte").ok()?; // an edition with one byte more
            }
            status(model, body, moment);
        }
        // The edition with two times: LBS with its length, status, supply, battery, signal.
        0x22 if frame.content.len() > 50 => {
            body.take(9, "LBS").ok()?;
            alarm::information(body.u8("terminal information").ok()?, moment);
            moment.status.external_v = Some(f32::from(body.u16("supply").ok()?) / 100.0);
            moment.status.battery_v = Some(f32::from(body.u8("battery").ok()?) / 10.0);
            alarm::signal(body.u8("signal").ok()?, moment);
        }
        0xa2 => {
            moment.network.cells.extend(place::cell(body, true).ok()?);
            body.u8("reason").ok()?;
            alarm::information(body.u8("terminal information").ok()?, moment);
            moment.status.external_v = Some(f32::from(body.u16("supply").ok()?) / 100.0);
            alarm::battery(body.u8("voltage level").ok()?, moment);
            alarm::signal(body.u8("signal").ok()?, moment);
            body.take(2, "alarm and language").ok()?;
            moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
        }
        0x34 => {
            body.take(2, "vendor's bytes").ok()?;
            moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
        }
        0x12 | 0x22 | 0x2d | 0x31 | 0x37 | 0x38 | 0xa0 => {
            moment.network.cells.extend(place::cell(body, is_4g).ok()?);
            if matches!(frame.number, 0x22 | 0xa0 | 0x31 | 0x37) {
                moment.status.ignition = Some(body.u8("ACC").ok()? == 1);
                body.u8("upload reason").ok()?;
                moment.buffered = body.u8("re-upload").ok()? == 1;
                if frame.number == 0x37 {
                    modules::short(body, moment);
                } else if body.len() >= 4 {
                    moment.status.odometer_m = Some(body.u32("mileage").ok()?.into());
                }
            }
        }
        0x32 => {
            moment.network.cells.extend(place::cell(body, false).ok()?);
        }
        _ => {}
    }
    Some(())
}

/// Terminal information, voltage level, signal, and an alarm byte where there is one.
fn status(model: Option<&str>, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    alarm::information(body.u8("terminal information").ok()?, moment);
    alarm::battery(body.u8("voltage level").ok()?, moment);
    alarm::signal(body.u8("signal").ok()?, moment);
    alarm::code(model, body.u8("alarm").ok()?, moment);
    Some(())
}

/// The cameras' short 0x95: a time, a code, a value.
fn driving(offset_s: i32, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let at = place::time(body, offset_s)?;
    let mut moment = Moment { at, ..Moment::default() };
    alarm::of_cameras(body.u8("event")?, &mut moment);
    Ok(moment)
}

fn heartbeat(model: Option<&str>, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment::default();
    alarm::information(body.u8("terminal information")?, &mut moment);
    if let Ok(level) = body.u8("voltage level") {
        alarm::battery(level, &mut moment);
    }
    if let Ok(signal) = body.u8("signal") {
        alarm::signal(signal, &mut moment);
    }
    if let (Some(_), Ok(code)) = (model, body.u8("alarm")) {
        alarm::code(model, code, &mut moment);
    }
    Ok(moment)
}

/// The answer to a command.
fn text(frame: &Frame<'_>, body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    if frame.number == 0x15 {
        body.u8("length of the text")?;
        body.take(4, "server flag")?;
    } else {
        body.take(5, "server flag and encoding")?;
    }
    let text = String::from_utf8_lossy(body.rest());
    let text = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let text = text.collect::<Vec<_>>().join(" ");
    report.moments.extend(said_place(&text));
    report.unknown.insert("text".into(), text);
    Ok(())
}

/// 0x94: a sub-type, then its value.
fn information(frame: &Frame<'_>, body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let mut moment = Moment::default();
    if !frame.is_long {
        moment.status.external_v = Some(f32::from(body.u16("voltage")?) / 100.0);
        report.moments.push(moment);
        return Ok(());
    }
    match body.u8("sub-type")? {
        0x00 if body.len() == 2 => moment.status.external_v = Some(f32::from(body.u16("voltage")?) / 100.0),
        0x0a if body.len() >= 26 => {
            let imei = hex::encode(body.take(8, "IMEI")?);
            report.tracker_idents.push(imei.strip_prefix('0').unwrap_or(&imei).to_owned());
            body.take(8, "IMSI")?;
            let iccid = hex::encode(body.take(10, "ICCID")?);
            moment.status.iccid = Some(iccid.trim_end_matches('f').to_owned());
        }
        other => {
            report.unknown.insert(format!("information {other:#04x}"), hex::encode(body.rest()));
        }
    }
    report.moments.push(moment);
    Ok(())
}

/// "Current position!Lat:N54.739332,Lon:E25.273270,Course:126.53,Speed:0.0000,DateTime:2017-05-26 10:27:47"
fn said_place(text: &str) -> Option<Moment> {
    let field = |name: &str| {
        let rest = &text[text.find(name)? + name.len()..];
        Some(rest.split([',', '#']).next().unwrap_or(rest).trim())
    };
    let degrees = |said: &str, negative: char| {
        let number: f64 = said.get(1..)?.trim_start_matches(':').parse().ok()?;
        Some(if said.starts_with(negative) { -number } else { number })
    };
    let lat = degrees(field("Lat:")?, 'S')?;
    let lon = degrees(field("Lon:")?, 'W')?;
    let said = field("DateTime:")?;
    let at = Timestamp::parse_rfc3339(&format!("{}Z", said.get(..19)?.replacen(' ', "T", 1)));
    let fix = Fix {
        fixed_at: at,
        valid: true,
        position: LatLon::new(lat, lon),
        altitude_m: None,
        speed_kmh: field("Speed:").and_then(|s| s.parse().ok()),
        course_deg: field("Course:").and_then(|s| s.parse().ok()),
        satellites: None,
        hdop: None,
        accuracy_m: None,
        source: FixSource::Gnss,
    };
    Some(Moment { at, fix: Some(fix), ..Moment::default() })
}
