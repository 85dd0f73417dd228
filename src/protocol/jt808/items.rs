//! The items behind a location: id, length, value (JT/T 808, table 27, and what vendors add).
//!
//! Skipped by length, never by type; a cut last item is ignored. The same id means different
//! things by its length, and to some makers something of their own (the dialect's `items`).

use crate::domain::{Alarm, AlarmKind, Moment};
use crate::protocol::dialect::{Dialect, Items};
use crate::protocol::jt808::lists;
use crate::protocol::jt808::values::{battery, driving, number, signal_percent, text};
use crate::protocol::keep;
use crate::protocol::words::iccid;
use std::collections::BTreeMap;

/// Reads items until the bytes end.
pub fn read(mut rest: &[u8], dialect: &Dialect, moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    if rest.len() == 18 && !are_items(rest) {
        // One maker's fixed layout: 4 reserved, mileage in km, battery in 0.1 V, area, signal, 3 reserved.
        moment.status.odometer_m = Some(f64::from(number(&rest[4..8])) * 1000.0);
        moment.status.battery_v = Some(number(&rest[8..10]) as f32 / 10.0);
        return;
    }
    while let [id, length, tail @ ..] = rest {
        let Some((value, after)) = tail.split_at_checked(usize::from(*length)) else { return };
        one(*id, value, dialect, moment, unknown);
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

/// One item of a gateway that took the list apart.
pub fn one(id: u8, value: &[u8], dialect: &Dialect, moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    if item(id, value, dialect.items, moment).is_none() {
        keep(unknown, || format!("{id:#04x}"), value);
    }
}

/// One item; `None` if we have no name for it.
fn item(id: u8, value: &[u8], items: Items, moment: &mut Moment) -> Option<()> {
    match items {
        Items::Aovx if matches!(id, 0xf3 | 0xf6 | 0xf8) => return lists::of_aovx(id, value, moment),
        Items::Jimi if id == 0xe8 => return lists::of_jimi(value, moment),
        Items::DoorSwitch if id == 0x57 && value.get(5).is_some_and(|b| b & 1 == 1) => {
            moment.alarms.push(Alarm { kind: AlarmKind::Door, raw: 0x5710 });
        }
        _ => {}
    }
    let n = number(value.get(..4).unwrap_or(value));
    let status = &mut moment.status;
    match (id, value.len()) {
        (0x01, 4) => status.odometer_m = Some(f64::from(n) * 100.0),
        (0x30, 1) => status.signal_percent = Some(signal_percent(n)),
        (0x31, 1) => satellites(value[0], moment),
        (0x06 | 0xd4 | 0xe1 | 0xe9 | 0xfe, 1) => battery(value[0], moment),
        (0x53, 1..) => return lists::cells(&value[1..], 8, moment),
        (0x54, 1..) => return lists::wifi(&value[1..], moment),
        (0x5d, 1..) => return lists::cells(&value[1..], 10, moment),
        // Level 0 to 10, and percent on devices that fill it.
        (0x56, 2) => match (value[0], value[1]) {
            (0, percent @ 1..=100) => status.battery_percent = Some(percent),
            (level, _) => status.battery_percent = Some(level.saturating_mul(10).min(100)),
        },
        (0x57, 8) => driving(n >> 24, 0x5708, moment),
        (0x61, 2) => status.external_v = Some(n as f32 / 100.0),
        (0x82 | 0xd3 | 0xe1 | 0xfe, 2) => status.external_v = Some(n as f32 / 10.0),
        (0x68, 2) => status.battery_percent = Some((n / 100).min(100) as u8),
        (0x69 | 0xd5, 2) => status.battery_v = Some(n as f32 / 100.0),
        (0x70, 6..) => match value[5] {
            kind @ 1..=3 => driving(1 << (kind - 1), 0x7000, moment),
            0x16 => moment.alarms.push(Alarm { kind: AlarmKind::Crash, raw: 0x7016 }),
            _ => return None,
        },
        (0x80, 2..) => return extension(&value[1..], moment),
        (0xac | 0xfe, 4) => status.odometer_m = Some(n.into()),
        (0xd0, 4) if n >> 3 & 1 == 1 => moment.alarms.push(Alarm { kind: AlarmKind::Vibration, raw: 0xd003 }),
        (0xd0, 4) => {}
        (0xda, 3..) => status.moving = Some(value[2] >> 2 & 1 == 1),
        (0xe1, 12..) => return lists::cells_of_e1(value, moment),
        (0xe3, 4..) => {
            status.battery_percent = Some(value[1].min(100));
            status.battery_v = Some(number(&value[2..4]) as f32 / 100.0);
        }
        (0xe4, 2) => {
            status.charging = Some(value[0] == 0);
            status.battery_percent = Some(value[1].min(100));
        }
        (0xe5, 1) => status.moving = Some(n == 1),
        (0xe7, 8) => {
            for (bits, kind) in [(0b1, AlarmKind::Vibration), (0b1110, AlarmKind::Sos)] {
                if n >> 16 & bits != 0 {
                    moment.alarms.push(Alarm { kind, raw: 0xe700 | bits });
                }
            }
        }
        (0xeb, 3..) => return lists::of_eb(value, moment),
        (0xec, 7..) => return lists::wifi(value, moment),
        (0xee, 6) => {
            status.signal_percent = Some(signal_percent(value[0].into()));
            status.external_v = Some(number(&value[1..3]) as f32 / 1000.0);
            status.battery_v = Some(number(&value[3..5]) as f32 / 1000.0);
            satellites(value[5], moment);
        }
        (0xf0, 13..) => return lists::cells(value, 13, moment),
        (0xf1, 4) => status.external_v = Some(n as f32 / 1000.0),
        (0xcc | 0xf1, 20) => status.iccid = Some(iccid(&text(value)?)?),
        (0xf2, 1..) => status.firmware = text(value),
        (0xf3, 1) => status.armed = Some(n == 1),
        (0xf4, 2) => {
            // Accelerated, braked, braked, cornered, collided, fell over.
            driving(n & 0b11 | n >> 1 & 0b10 | n >> 1 & 0b100, 0xf400, moment);
            for (bit, kind) in [(4, AlarmKind::Crash), (5, AlarmKind::Fall)] {
                if n >> bit & 1 == 1 {
                    moment.alarms.push(Alarm { kind, raw: 0xf400 | bit });
                }
            }
        }
        (0xf4, 7..) => return lists::wifi(value, moment),
        (0xf6, 4) => status.charging = Some(value[3] & 1 == 1),
        (0xf7, 4..) => {
            status.battery_v = Some(n as f32 / 1000.0);
            status.charging = value.get(4).map(|state| matches!(state, 2 | 3));
            status.battery_percent = value.get(5).map(|p| *p.min(&100)).or(status.battery_percent);
        }
        (0xf9, 2..) => return lists::accuracy(value, moment),
        (0xfe, 5..) if value[0] == 0x7c => return lists::of_fe(&value[1..], moment),
        _ => return None,
    }
    Some(())
}

/// Items behind a content byte, of makers who read the vehicle's bus.
fn extension(mut rest: &[u8], moment: &mut Moment) -> Option<()> {
    while let [id, length, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*length))?;
        match (*id, value) {
            (0x56, [_, percent]) => moment.status.battery_percent = Some((*percent).min(100)),
            (0x01, [_, _, _, _]) | (0x61 | 0x69 | 0x82, [_, _]) | (0xcc, [..]) => {
                item(*id, value, Items::Common, moment);
            }
            _ => {}
        }
        rest = after;
    }
    Some(())
}

fn satellites(count: u8, moment: &mut Moment) {
    moment.status.satellites = Some(count);
    if let Some(fix) = &mut moment.fix {
        fix.satellites = Some(count);
    }
}
