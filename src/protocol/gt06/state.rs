//! Frames that say how a tracker or its vehicle is, without a place.

use crate::domain::{Moment, Report, Timestamp};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use crate::protocol::gt06::alarm;
use crate::protocol::gt06::frame::Frame;
use crate::protocol::gt06::hints::Hints;
use crate::protocol::gt06::place;

/// Length of a heartbeat with satellites, battery, working mode and temperature.
const LONG_HEARTBEAT: usize = 0x15;

/// 0x01: IMEI in BCD; model and zone of the clock on newer devices.
///
/// # Errors
/// The IMEI is cut.
pub fn login(body: &mut Cursor<'_>, report: &mut Report) -> Result<(), DecodeError> {
    let digits = hex::encode(body.take(8, "IMEI")?);
    report.tracker_idents.push(digits.strip_prefix('0').unwrap_or(&digits).into());
    if let (Ok(_), Ok(word)) = (body.u16("model"), body.u16("zone of the clock")) {
        // Hours and minutes as a decimal number in bits 15 to 4; bit 3 says west.
        let sign = if word & 8 != 0 { '-' } else { '+' };
        let zone = format!("{sign}{:02}:{:02}", (word >> 4) / 100, (word >> 4) % 100);
        let (hours, minutes) = (i32::from(word >> 4) / 100, i32::from(word >> 4) % 100);
        let east_s = hours * 3600 + minutes * 60;
        report.announced_zone_s = (minutes < 60).then_some(if word & 8 != 0 { -east_s } else { east_s });
        report.unknown.insert("zone of the clock".into(), zone);
    }
    Ok(())
}

/// 0x13: terminal information, voltage level, signal.
///
/// # Errors
/// Nothing is there.
pub fn status_heartbeat(hints: Hints, frame: &Frame<'_>, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment::default();
    if frame.said == LONG_HEARTBEAT {
        body.take(5, "information, satellites, alarm, language")?;
        moment.status.battery_percent = Some(body.u8("battery")?.min(100));
        return Ok(moment);
    }
    alarm::information(body.u8("terminal information")?, &mut moment);
    if let Ok(level) = body.u8("voltage level") {
        alarm::battery(level, &mut moment);
    }
    if let Ok(signal) = body.u8("signal") {
        alarm::signal(signal, &mut moment);
    }
    if let (true, Ok(code)) = (hints.dialect.has_alarm_in_heartbeat, body.u8("alarm")) {
        alarm::code(&hints.dialect.alarms, code, &mut moment);
    }
    Ok(moment)
}

/// 0x23, of the GK310 and its kin: terminal information, battery in hundredths of a volt, signal.
///
/// # Errors
/// Nothing is there.
pub fn heartbeat(body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment::default();
    alarm::information(body.u8("terminal information")?, &mut moment);
    if let Ok(battery) = body.u16("battery") {
        moment.status.battery_v = Some(f32::from(battery) / 100.0);
    }
    if let Ok(signal) = body.u8("signal") {
        alarm::signal(signal, &mut moment);
    }
    Ok(moment)
}

/// 0x40, of the WD-209: what an e-bike's battery says of itself.
///
/// # Errors
/// The field that is cut.
pub fn battery_management(body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    body.take(8, "serial of the battery")?;
    let at = Timestamp::from_secs(body.u32("time")?.into());
    let mut moment = Moment { at: Some(at), ..Moment::default() };
    moment.status.battery_percent = Some(body.u8("relative capacity")?.min(100));
    body.take(2 + 1 + 2 + 1 + 2, "capacities, health and temperature")?;
    body.u16("current")?;
    // The battery that drives the vehicle is the tracker's supply.
    moment.status.external_v = Some(f32::from(body.u16("voltage")?) / 1000.0);
    Ok(moment)
}

/// 0x8c: time, ignition, then pairs of the vehicle's bus in words.
///
/// # Errors
/// The field that is cut.
pub fn vehicle_bus(hints: Hints, body: &mut Cursor<'_>) -> Result<Moment, DecodeError> {
    let mut moment = Moment { at: place::time(body, hints.offset_s)?, ..Moment::default() };
    moment.status.ignition = Some(body.u8("ignition")? > 0);
    Ok(moment)
}
