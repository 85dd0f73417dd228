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
