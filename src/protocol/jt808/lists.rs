//! Items that are lists themselves: cells, access points, and what vendors nest.

use crate::domain::{Alarm, AlarmKind, Cell, Moment};
use crate::protocol::jt808::values::{battery, bcd_iccid, driving, number, signal_percent, text};

/// Country codes begin above this; below it, 0xeb holds a list.
const MCC_MIN: u32 = 200;

/// A signal byte: dBm if it is negative, otherwise on some maker's scale.
fn dbm(byte: u8) -> Option<i16> {
    Some(i16::from(byte as i8)).filter(|dbm| *dbm < 0)
}

/// Cells of 8 bytes (MCC 2, MNC 1, LAC 2, CID 2), 10 (CID 4) or 13 (MNC 2, CID 4, LAC 4), each with its signal.
pub fn cells(list: &[u8], size: usize, moment: &mut Moment) -> Option<()> {
    let entries = list.chunks_exact(size);
    if !entries.remainder().is_empty() {
        return None;
    }
    for c in entries {
        let (mnc, area, cell) = match size {
            13 => (number(&c[2..4]), number(&c[8..12]), number(&c[4..8])),
            _ => (c[2].into(), number(&c[3..5]), number(&c[5..size - 1])),
        };
        push_cell((number(&c[..2]), mnc), area, cell, dbm(c[size - 1]), moment);
    }
    Some(())
}

/// MCC and MNC once (2 bytes each), then LAC 3, CID 4, signal.
pub fn cells_of_e1(value: &[u8], moment: &mut Moment) -> Option<()> {
    let network = (number(&value[..2]), number(&value[2..4]));
    let entries = value[4..].chunks_exact(8);
    if !entries.remainder().is_empty() {
        return None;
    }
    for c in entries {
        push_cell(network, number(&c[..3]), number(&c[3..7]), dbm(c[7]), moment);
    }
    Some(())
}

fn push_cell((mcc, mnc): (u32, u32), area: u32, cell: u32, signal_dbm: Option<i16>, moment: &mut Moment) {
    // LTE's area codes have 16 bits and its cells 28; more fills an empty place of the list.
    if area > 0 && area <= 0xffff && cell > 0 && cell <= 0x0fff_ffff {
        let (mcc, mnc) = (mcc as u16, mnc as u16);
        moment.network.cells.push(Cell { mcc, mnc, area, cell: cell.into(), signal_dbm });
    }
}

/// Access points: MAC 6, signal.
pub fn wifi(list: &[u8], moment: &mut Moment) -> Option<()> {
    let entries = list.chunks_exact(7);
    if !entries.remainder().is_empty() {
        return None;
    }
    for entry in entries {
        let mac = entry[..6].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
        moment.network.wifi.push((mac, dbm(entry[6])));
    }
    Some(())
}

/// 0xeb: cells of one network, or a list with lengths (of id and value) and ids in two bytes each.
pub fn of_eb(value: &[u8], moment: &mut Moment) -> Option<()> {
    if number(&value[..2]) > MCC_MIN {
        if !(value.len() - 3).is_multiple_of(5) {
            return None;
        }
        let network = (number(&value[..2]), value[2].into());
        for c in value[3..].chunks_exact(5) {
            push_cell(network, number(&c[..2]), number(&c[2..4]), dbm(c[4]), moment);
        }
        return Some(());
    }
    let mut rest = value;
    while let [a, b, c, d, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*a, *b])).checked_sub(2)?;
        let (value, after) = tail.split_at_checked(length)?;
        nested(u16::from_be_bytes([*c, *d]), value, moment);
        rest = after;
    }
    rest.is_empty().then_some(())
}

fn nested(id: u16, value: &[u8], moment: &mut Moment) {
    let n = number(value.get(..4).unwrap_or(value));
    let status = &mut moment.status;
    match (id, value.len()) {
        (0x002d, 2) => status.battery_v = Some(n as f32 / 1000.0),
        (0x002d, 4) => status.external_v = Some(n as f32 / 1000.0),
        (0x00a8 | 0x00e1, 1) => battery(value[0], moment),
        (0x00b2, 10) => status.iccid = bcd_iccid(value),
        (0x00c6, 1) if matches!(n, 3 | 4) => {
            moment.alarms.push(Alarm { kind: AlarmKind::LowBattery, raw: 0xc600 | n });
        }
        (0x00ce, 2) => status.external_v = Some(n as f32 / 100.0),
        (0x00d8, 9) => {
            push_cell((number(&value[..2]), value[2].into()), number(&value[3..5]), number(&value[5..]), None, moment);
        }
        // Active low.
        (0x0089, 4) => {
            for (bit, kind) in [(0, AlarmKind::PowerOff), (12, AlarmKind::Removal)] {
                if n >> bit & 1 == 0 {
                    moment.alarms.push(Alarm { kind, raw: 0x8900 | bit });
                }
            }
        }
        (0x00c5, 4) => {
            status.moving = match n >> 23 & 0b11 {
                0 => Some(true),
                1 => Some(false),
                _ => None,
            };
            if n >> 6 & 1 == 0 {
                moment.alarms.push(Alarm { kind: AlarmKind::Vibration, raw: 0xc506 });
            }
        }
        // Count, then MAC and signal in text, commas between.
        (0x00b9, 1..) => {
            let list = text(&value[1..]).unwrap_or_default();
            let mut words = list.split(',');
            while let (Some(mac), Some(signal)) = (words.next(), words.next()) {
                moment.network.wifi.push((mac.to_owned(), signal.parse().ok()));
            }
        }
        _ => {}
    }
}

/// AOVX: the event of the sensors (0xf6), the SIM card (0xf8). Their tags (0xf3) are kept as they are.
pub fn of_aovx(id: u8, value: &[u8], moment: &mut Moment) -> Option<()> {
    match (id, value) {
        (0xf6, [2, ..]) => moment.status.moving = Some(true),
        (0xf8, [_, rest @ ..]) if rest.len() >= 18 => moment.status.iccid = bcd_iccid(&rest[8..18]),
        _ => return None,
    }
    Some(())
}

/// 0xf9: a mask of what follows; bit 2 is the dilution of precision.
pub fn accuracy(value: &[u8], moment: &mut Moment) -> Option<()> {
    let mask = number(&value[..2]);
    let at = 2 + [0, 1].iter().filter(|bit| mask >> **bit & 1 == 1).count() * 4;
    let hdop = value.get(at..at + 2).filter(|_| mask >> 2 & 1 == 1)?;
    moment.fix.as_mut()?.hdop = Some(number(hdop) as f32 / 10.0);
    Some(())
}

/// 0xfe behind its mark: ids and lengths of one byte; 1 holds alarm bits.
pub fn of_fe(mut rest: &[u8], moment: &mut Moment) -> Option<()> {
    while let [id, length, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*length))?;
        if let (1, [_, _, _, bits]) = (*id, value) {
            driving(u32::from(*bits), 0xfe00, moment);
            for (bit, kind) in [(3, AlarmKind::Crash), (4, AlarmKind::Tamper)] {
                if bits >> bit & 1 == 1 {
                    moment.alarms.push(Alarm { kind, raw: 0xfe00 | bit });
                }
            }
        }
        rest = after;
    }
    Some(())
}

/// Jimi's 0xe8: a type in two bytes, then a state or nothing but the event that the type is.
pub fn of_jimi(value: &[u8], moment: &mut Moment) -> Option<()> {
    let (kind, rest) = value.split_first_chunk().map(|(k, r)| (u16::from_be_bytes(*k), r))?;
    let status = &mut moment.status;
    let alarm = match kind {
        0x2002 => {
            moment.buffered |= rest.get(2) == Some(&1);
            return Some(());
        }
        0x2003 => {
            let [_, charging, level, battery @ .., signal, p, q] = rest.get(..8)? else { return None };
            status.charging = Some(*charging == 1);
            status.battery_percent = (1..=6).contains(level).then_some((u16::from(*level) * 100 / 6) as u8);
            status.battery_v = Some(number(battery) as f32 / 100.0);
            status.signal_percent = Some(signal_percent((*signal).into()));
            status.external_v = Some(number(&[*p, *q]) as f32 / 100.0);
            return Some(());
        }
        0x2005 => return states_of_jimi(rest.get(1..)?, moment),
        0x0c03 | 0x0c04 => {
            status.ignition = Some(kind == 0x0c03);
            return Some(());
        }
        0x0001 => AlarmKind::Fault,
        0x0400 | 0x0412 => AlarmKind::HardAcceleration,
        0x0401 | 0x0413 => AlarmKind::HardBraking,
        0x0402 | 0x0414 => AlarmKind::HardCornering,
        0x0403 => AlarmKind::Overspeed,
        0x0405 | 0x0416 | 0x0417 => AlarmKind::Crash,
        0x0406 => AlarmKind::Vibration,
        0x0407 => AlarmKind::Tow,
        0x0408 => AlarmKind::GeofenceEnter,
        0x0409 => AlarmKind::GeofenceExit,
        0x040c => AlarmKind::Door,
        0x0c01 => AlarmKind::Sos,
        0x0c02 => AlarmKind::LowPower,
        0x0c0e => AlarmKind::PowerCut,
        0x0c0f => AlarmKind::LowBattery,
        0x0c10 => AlarmKind::PowerOff,
        0x0c12 => AlarmKind::Tamper,
        _ => AlarmKind::Vendor,
    };
    moment.alarms.push(Alarm { kind: alarm, raw: kind.into() });
    Some(())
}

/// Ids in two bytes, lengths in one.
fn states_of_jimi(mut rest: &[u8], moment: &mut Moment) -> Option<()> {
    while let [a, b, length, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*length))?;
        let (n, status) = (number(value.get(..4).unwrap_or(value)), &mut moment.status);
        match (u16::from_be_bytes([*a, *b]), value.len()) {
            (0x0001, 2) => status.battery_v = Some(n as f32 / 100.0),
            (0x0003, 1) => battery(value[0], moment),
            (0x0004, 1) => status.charging = Some(n == 0),
            (0x0005, 10) => status.iccid = bcd_iccid(value),
            (0x0007, 2) => moment.fix.as_mut()?.hdop = Some(n as f32 / 10.0),
            (0x2001, 2) => status.external_v = Some(n as f32 / 10.0),
            _ => {}
        }
        rest = after;
    }
    Some(())
}
