//! The IO element of a record: values by id, grouped by their size.
//!
//! Source: Teltonika, "AVL ID" lists of the FMB, FMC and FMM families.

use super::Codec;
use crate::domain::{Alarm, AlarmKind, Moment};
use crate::protocol::DecodeError;
use crate::protocol::cursor::Cursor;
use std::collections::BTreeMap;

/// Values kept by number when we have no name for them.
const UNKNOWN_MAX: usize = 64;

/// How the groups are laid out.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The codec.
    pub codec: Codec,
    /// Whether a group of 16-byte values follows (some firmware; the profile says so).
    pub has_16_byte_values: bool,
}

/// Reads all groups of a record.
///
/// # Errors
/// The field that is cut.
pub fn read(
    layout: Layout,
    data: &mut Cursor<'_>,
    moment: &mut Moment,
    unknown: &mut BTreeMap<String, String>,
) -> Result<(), DecodeError> {
    let codec = layout.codec;
    let is_wide = codec == Codec::EightExtended;
    let count = |data: &mut Cursor<'_>, field| {
        if is_wide { data.u16(field) } else { data.u8(field).map(u16::from) }
    };
    let id = |data: &mut Cursor<'_>, field| {
        if codec == Codec::Eight { data.u8(field).map(u16::from) } else { data.u16(field) }
    };
    id(data, "event id")?;
    if codec == Codec::Sixteen {
        data.u8("generation type")?;
    }
    count(data, "total number of values")?; // real packets state wrong ones
    let sizes: &[usize] = if layout.has_16_byte_values { &[1, 2, 4, 8, 16] } else { &[1, 2, 4, 8] };
    for &size in sizes {
        for _ in 0..count(data, "number of values")? {
            let id = id(data, "id of a value")?;
            value(id, data.take(size, "value")?, moment, unknown);
        }
    }
    if is_wide {
        for _ in 0..data.u16("number of long values")? {
            let id = data.u16("id of a long value")?;
            let length = usize::from(data.u16("length of a long value")?);
            keep(id, data.take(length, "long value")?, unknown);
        }
    }
    Ok(())
}

fn keep(id: u16, bytes: &[u8], unknown: &mut BTreeMap<String, String>) {
    if unknown.len() < UNKNOWN_MAX {
        unknown.insert(format!("io{id}"), hex::encode(bytes));
    }
}

fn value(id: u16, bytes: &[u8], moment: &mut Moment, unknown: &mut BTreeMap<String, String>) {
    let n = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let status = &mut moment.status;
    let mut alarm = |kind| moment.alarms.push(Alarm { kind, raw: u32::from(id) << 8 | (n as u32 & 0xff) });
    match (id, bytes.len(), n) {
        (16, 4, _) => status.odometer_m = Some(n as f64),
        (21, 1, _) => status.signal_percent = Some((n.min(5) * 20) as u8),
        (66, 2, _) => {
            status.external_v = Some(n as f32 / 1000.0);
            // Below 5 V nothing feeds the tracker: its own battery does.
            status.external_power = Some(n >= 5000);
        }
        (67, 2, _) => status.battery_v = Some(n as f32 / 1000.0),
        (113, 1, _) => status.battery_percent = Some(n.min(100) as u8),
        (182, 2, _) => {
            if let Some(fix) = &mut moment.fix {
                fix.hdop = Some(n as f32 / 10.0);
            }
        }
        (239, 1, _) => status.ignition = Some(n == 1),
        (240, 1, _) => status.moving = Some(n == 1),
        (246, 1, 1) => alarm(AlarmKind::Tow),
        (247, 1, 1..) => alarm(AlarmKind::Crash),
        (249, 1, 1..) => alarm(AlarmKind::Jamming),
        (251, 1, 1) => alarm(AlarmKind::Idle),
        (252, 1, 1) => alarm(AlarmKind::PowerCut),
        (253, 1, 1) => alarm(AlarmKind::HardAcceleration),
        (253, 1, 2) => alarm(AlarmKind::HardBraking),
        (253, 1, 3) => alarm(AlarmKind::HardCornering),
        (236, 1, 1) => alarm(AlarmKind::Sos),
        (246 | 247 | 249 | 251 | 252 | 253 | 236, 1, 0) => {}
        _ => keep(id, bytes, unknown),
    }
}
