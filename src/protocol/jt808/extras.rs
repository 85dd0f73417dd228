//! The items behind a location: id, length, value (JT/T 808, table 27, and what vendors add).
//!
//! Skipped by length, never by type; a cut last item is ignored. The same id means different
//! things by its length.

use crate::domain::{Alarm, AlarmKind, Moment};
use std::collections::BTreeMap;

/// Items kept by number when we have no name for them.
const UNKNOWN_MAX: usize = 64;

/// Reads items until the bytes end.
pub fn read(mut rest: &[u8], moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    if rest.len() == 18 && !are_items(rest) {
        // One maker's fixed layout: 4 reserved, mileage in km, battery in 0.1 V, area, signal, 3 reserved.
        moment.status.odometer_m = Some(f64::from(number(&rest[4..8])) * 1000.0);
        moment.status.battery_v = Some(number(&rest[8..10]) as f32 / 10.0);
        return;
    }
    while let [id, length, tail @ ..] = rest {
        let length = usize::from(*length);
        if tail.len() < length {
            return;
        }
        let (value, after) = tail.split_at(length);
        if item(*id, value, moment).is_none() && unknown.len() < UNKNOWN_MAX {
            unknown.insert(format!("{id:#04x}"), hex::encode(value));
        }
        rest = after;
    }
}

/// Whether items end exactly where the bytes do, and none is empty.
fn are_items(mut rest: &[u8]) -> bool {
    while let [_, length, tail @ ..] = rest {
        match tail.get(usize::from(*length)..) {
            Some(after) if *length > 0 => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

/// A list inside an item: length (with the id) and id in two bytes each.
fn nested(mut rest: &[u8], moment: &mut Moment) -> Option<()> {
    while let [a, b, c, d, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*a, *b])).checked_sub(2)?;
        let (value, after) = tail.split_at_checked(length)?;
        let (n, status) = (number(value), &mut moment.status);
        match (u16::from_be_bytes([*c, *d]), length) {
            (0x002d, 2) => status.battery_v = Some(n as f32 / 1000.0),
            (0x00a8 | 0x00e1, 1) => battery(n, moment),
            (0x00b2, 10) => status.iccid = Some(hex::encode(value).trim_end_matches('f').to_owned()),
            (0x00ce, 2) => status.external_v = Some(n as f32 / 100.0),
            // Active low.
            (0x0089, 4) => {
                for (bit, kind) in [(0, AlarmKind::PowerOff), (12, AlarmKind::Removal)] {
                    if n >> bit & 1 == 0 {
                        moment.alarms.push(Alarm { kind, raw: 0x8900 | bit });
                    }
                }
            }
            (0x00c5, 4) if n >> 6 & 1 == 0 => moment.alarms.push(Alarm { kind: AlarmKind::Vibration, raw: 0xc506 }),
            _ => {}
        }
        rest = after;
    }
    rest.is_empty().then_some(())
}

fn number(value: &[u8]) -> u32 {
    value.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// One item; `None` if we have no name for it.
fn item(id: u8, value: &[u8], moment: &mut Moment) -> Option<()> {
    let status = &mut moment.status;
    let n = number(value);
    let percent = |n: u32| Some(n.min(100) as u8);
    match (id, value.len()) {
        (0x01, 4) => status.odometer_m = Some(f64::from(n) * 100.0),
        (0x30, 1) => status.signal_percent = percent(signal_percent(n)),
        (0x31, 1) => {
            status.satellites = Some(n as u8);
            if let Some(fix) = &mut moment.fix {
                fix.satellites = Some(n as u8);
            }
        }
        (0x06, 1) | (0xd4, 1) | (0xe9, 1) => battery(n, moment),
        (0x56, 2) => {
            // Level 0 to 10, and percent on devices that fill it.
            let (level, exact) = (u32::from(value[0]), u32::from(value[1]));
            status.battery_percent = percent(if (1..=100).contains(&exact) && level == 0 { exact } else { level * 10 });
        }
        (0x61, 2) => status.external_v = Some(n as f32 / 100.0),
        (0x82, 2) | (0xd3, 2) => status.external_v = Some(n as f32 / 10.0),
        (0x68, 2) => status.battery_percent = percent(n / 100),
        (0x69, 2) | (0xd5, 2) => status.battery_v = Some(n as f32 / 100.0),
        (0xe1, 1) => battery(n, moment),
        (0xe1, 2) => status.external_v = Some(n as f32 / 10.0),
        (0xe3, 4..) => {
            status.battery_percent = percent(value[1].into());
            status.battery_v = Some(number(&value[2..4]) as f32 / 100.0);
        }
        (0xe4, 2) => {
            status.charging = Some(value[0] == 0);
            status.battery_percent = percent(value[1].into());
        }
        (0xe5, 1) => status.moving = Some(n == 1),
        (0xe7, 8) => {
            let low = number(&value[4..8]) | number(&value[0..4]);
            for (bits, kind) in [(0b1, AlarmKind::Vibration), (0b1110, AlarmKind::Sos)] {
                if low & bits != 0 {
                    moment.alarms.push(Alarm { kind, raw: u32::from(id) << 8 | bits });
                }
            }
        }
        // A country code is above 200: then cells, which we keep as they are; otherwise a list.
        (0xeb, 4..) if number(&value[..2]) <= 200 => return nested(value, moment),
        (0xf7, 6) => {
            status.battery_v = Some(number(&value[..4]) as f32 / 1000.0);
            battery(value[5].into(), moment);
        }
        (0xfe, 1) => battery(n, moment),
        (0xfe, 4) => status.odometer_m = Some(n.into()),
        (0xf1, 20) => status.iccid = std::str::from_utf8(value).ok().map(str::to_owned),
        (0xf3, 1) => status.armed = Some(n == 1),
        (0xf4, 2) => {
            let kinds = [
                (0, AlarmKind::HardAcceleration),
                (1, AlarmKind::HardBraking),
                (2, AlarmKind::HardBraking),
                (3, AlarmKind::HardCornering),
                (4, AlarmKind::Crash),
                (5, AlarmKind::Fall),
            ];
            moment.alarms.extend(
                kinds
                    .iter()
                    .filter(|(bit, _)| n >> bit & 1 == 1)
                    .map(|(bit, kind)| Alarm { kind: *kind, raw: u32::from(id) << 8 | bit }),
            );
        }
        (0xf6, 4) => status.charging = Some(value[3] & 1 == 1),
        _ => return None,
    }
    Some(())
}

/// 255 says "charging" instead of a percentage.
fn battery(n: u32, moment: &mut Moment) {
    if n == 0xff {
        moment.status.charging = Some(true);
    } else {
        moment.status.battery_percent = Some(n.min(100) as u8);
    }
}

/// Most terminals report CSQ, 0 to 31; some percent.
fn signal_percent(n: u32) -> u32 {
    if n <= 31 { n * 100 / 31 } else { n }
}
