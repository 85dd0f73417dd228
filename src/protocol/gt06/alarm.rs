//! Alarm codes and the status block.

use crate::domain::{Alarm, AlarmKind, Moment};
use crate::protocol::cursor::Cursor;
use crate::protocol::dialect::AlarmTable;

/// Bits 5 to 3 of the terminal information.
const IN_STATUS: [Option<AlarmKind>; 8] = [
    None,
    Some(AlarmKind::Vibration),
    Some(AlarmKind::PowerCut),
    Some(AlarmKind::LowBattery),
    Some(AlarmKind::Sos),
    None,
    Some(AlarmKind::Geofence),
    Some(AlarmKind::Removal),
];

/// Takes over an alarm byte; the raw code stays beside the word.
pub fn code(table: &AlarmTable, code: u8, moment: &mut Moment) {
    if let Some(kind) = table.kind(code) {
        push(kind, code.into(), moment);
    }
}

/// Takes over an event of the camera models (0x95).
pub fn of_cameras(code: u8, moment: &mut Moment) {
    let kind = match code {
        0x01 => AlarmKind::Sos,
        0x80 => AlarmKind::Vibration,
        0x87 => AlarmKind::Overspeed,
        0x90 => AlarmKind::HardAcceleration,
        0x91 => AlarmKind::HardBraking,
        0x92 => AlarmKind::HardCornering,
        0x93 => AlarmKind::Crash,
        _ => AlarmKind::Vendor,
    };
    push(kind, code.into(), moment);
}

/// Takes over the terminal information byte.
pub fn information(byte: u8, moment: &mut Moment) {
    let status = &mut moment.status;
    status.ignition = Some(byte & 0b10 != 0);
    status.charging = Some(byte & 0b100 != 0);
    status.armed = Some(byte & 1 != 0);
    if let Some(kind) = IN_STATUS[usize::from(byte >> 3 & 7)] {
        push(kind, 0x100 | u32::from(byte >> 3 & 7), moment);
    }
}

/// What a moment says of the supply: charging needs one; an alarm of its cut says that there is none, unless it
/// charges. A full battery does not charge either, so that alone says nothing.
pub fn supply(moment: &mut Moment) {
    let is_cut = moment.alarms.iter().any(|a| a.kind == AlarmKind::PowerCut);
    moment.status.external_power = match (moment.status.charging, is_cut) {
        (Some(true), false) => Some(true),
        (Some(false) | None, true) => Some(false),
        _ => moment.status.external_power,
    };
}

/// Whether bytes behind a terminal information are a level (0 to 6) and a signal (0 to 4). As a supply they would be
/// a voltage whose last digits are that by chance.
pub fn is_level_and_signal(bytes: &[u8]) -> bool {
    matches!(bytes, [_, 0..=6, 0..=4, ..])
}

/// Terminal information, voltage level, signal, and an alarm byte where there is one.
pub fn status(table: &AlarmTable, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    information(body.u8("terminal information").ok()?, moment);
    battery(body.u8("voltage level").ok()?, moment);
    signal(body.u8("signal").ok()?, moment);
    code(table, body.u8("alarm").ok()?, moment);
    Some(())
}

/// The same with the supply in hundredths of a volt instead of a level.
pub fn status_with_supply(table: &AlarmTable, body: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    information(body.u8("terminal information").ok()?, moment);
    moment.status.external_v = Some(f32::from(body.u16("supply").ok()?) / 100.0);
    signal(body.u8("signal").ok()?, moment);
    code(table, body.u8("alarm").ok()?, moment);
    Some(())
}

/// Voltage level 0 to 6; many models send a percentage instead.
pub fn battery(byte: u8, moment: &mut Moment) {
    if byte <= 6 {
        moment.status.battery_percent = Some((u16::from(byte) * 100 / 6) as u8);
    } else if byte <= 100 {
        moment.status.battery_percent = Some(byte);
    }
}

/// Signal 0 to 4; some models send more.
pub fn signal(byte: u8, moment: &mut Moment) {
    moment.status.signal_percent = Some(if byte <= 4 { byte * 25 } else { byte.min(100) });
}

/// Adds an alarm whose word is not there yet.
pub fn push(kind: AlarmKind, raw: u32, moment: &mut Moment) {
    if !moment.alarms.iter().any(|a| a.kind == kind) {
        moment.alarms.push(Alarm { kind, raw });
    }
}
