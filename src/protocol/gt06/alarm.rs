//! Alarm codes and the status block.

use crate::domain::{Alarm, AlarmKind, Moment};

/// Alarm byte to word. Models differ; the raw code is kept beside the word.
const CODES: &[(u8, AlarmKind)] = &[
    (0x01, AlarmKind::Sos),
    (0x02, AlarmKind::PowerCut),
    (0x03, AlarmKind::Vibration),
    (0x04, AlarmKind::GeofenceEnter),
    (0x05, AlarmKind::GeofenceExit),
    (0x06, AlarmKind::Overspeed),
    (0x09, AlarmKind::Vibration),
    (0x0c, AlarmKind::Tamper),
    (0x0e, AlarmKind::LowBattery),
    (0x0f, AlarmKind::LowBattery),
    (0x11, AlarmKind::PowerOff),
    (0x13, AlarmKind::Tamper),
    (0x14, AlarmKind::Door),
    (0x15, AlarmKind::PowerOff),
    (0x18, AlarmKind::Removal),
    (0x19, AlarmKind::LowBattery),
    (0x23, AlarmKind::Fall),
    (0x25, AlarmKind::Tamper),
    (0x29, AlarmKind::HardAcceleration),
    (0x2a, AlarmKind::HardCornering),
    (0x2b, AlarmKind::HardCornering),
    (0x2c, AlarmKind::Crash),
    (0x30, AlarmKind::HardBraking),
    (0x32, AlarmKind::Removal),
];
/// What some families mean by a code instead: beginning of the model's name, code, word.
const CODES_OF_MODELS: &[(&str, u8, AlarmKind)] = &[
    ("VL", 0x09, AlarmKind::Tow),
    ("LW4G", 0x19, AlarmKind::HardAcceleration),
    ("LW4G", 0x1a, AlarmKind::HardBraking),
    ("LW4G", 0x1b, AlarmKind::HardCornering),
    ("LW4G", 0x1c, AlarmKind::HardCornering),
];
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

/// Takes over an alarm byte.
pub fn code(model: Option<&str>, code: u8, moment: &mut Moment) {
    let of_model = model.and_then(|m| {
        CODES_OF_MODELS.iter().find(|(name, c, _)| *c == code && m.starts_with(name)).map(|(_, _, kind)| *kind)
    });
    let kind = of_model.or_else(|| CODES.iter().find(|(c, _)| *c == code).map(|(_, kind)| *kind));
    if let Some(kind) = kind {
        push(kind, code.into(), moment);
    }
}

/// Takes over an event of the camera models (0x95).
pub fn of_cameras(code: u8, moment: &mut Moment) {
    let kind = match code {
        0x01 => AlarmKind::Sos,
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

fn push(kind: AlarmKind, raw: u32, moment: &mut Moment) {
    if !moment.alarms.iter().any(|a| a.kind == kind) {
        moment.alarms.push(Alarm { kind, raw });
    }
}
