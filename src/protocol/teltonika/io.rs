//! The IO element of a record: values by id, grouped by their size.
//!
//! Source: Teltonika, "AVL ID" lists of the FMB, FMC and FMM families.

use crate::domain::{Alarm, AlarmKind, Cell, Moment};
use crate::protocol::cursor::Cursor;
use crate::protocol::teltonika::Codec;
use crate::protocol::{DecodeError, keep};
use std::collections::BTreeMap;

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
    let event = id(data, "event id")?;
    if codec == Codec::Sixteen {
        data.u8("generation type")?;
    }
    count(data, "total number of values")?; // real packets state wrong ones
    let sizes: &[usize] = if layout.has_16_byte_values { &[1, 2, 4, 8, 16] } else { &[1, 2, 4, 8] };
    let mut network = Network::default();
    for &size in sizes {
        for _ in 0..count(data, "number of values")? {
            let id = id(data, "id of a value")?;
            let bytes = data.take(size, "value")?;
            if value(id, event, bytes, moment, &mut network).is_none() {
                keep(unknown, || format!("io{id}"), bytes);
            }
        }
    }
    network.tell(moment);
    if is_wide {
        for _ in 0..data.u16("number of long values")? {
            let id = data.u16("id of a long value")?;
            let length = usize::from(data.u16("length of a long value")?);
            let bytes = data.take(length, "long value")?;
            keep(unknown, || format!("io{id}"), bytes);
        }
    }
    Ok(())
}

/// The cell, which records spread over three values.
#[derive(Default)]
struct Network {
    cell: u64,
    area: u64,
    operator: u64,
}

impl Network {
    fn tell(&self, moment: &mut Moment) {
        if self.cell == 0 || self.area == 0 {
            return;
        }
        // MCC and MNC stand side by side in decimal; the MNC has two digits or three.
        let unit = if self.operator >= 100_000 { 1000 } else { 100 };
        let (mcc, mnc) = ((self.operator / unit) as u16, (self.operator % unit) as u16);
        moment.network.cells.push(Cell { mcc, mnc, area: self.area as u32, cell: self.cell, signal_dbm: None });
    }
}

/// One value; `None` if we have no name for it.
fn value(id: u16, event: u16, bytes: &[u8], moment: &mut Moment, network: &mut Network) -> Option<()> {
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
        // A fence's value is a state; crossing it is told by the record's event.
        (155..=159 | 175, 1, _) if event == id => match n {
            0 => alarm(AlarmKind::GeofenceExit),
            1 => alarm(AlarmKind::GeofenceEnter),
            _ => return None,
        },
        (205, 2, _) => network.cell = n,
        (206, 2, _) => network.area = n,
        (241, 4, _) => network.operator = n,
        (636, 4, _) => network.cell = n, // cells of LTE are longer
        (236 | 246 | 247 | 249 | 251 | 252 | 253, 1, 0) => {}
        _ => return None,
    }
    Some(())
}
