//! Values that several items and messages have in one form.

use crate::domain::{Alarm, AlarmKind, Moment, Report, Status};
use crate::protocol::words::iccid;
use compact_str::CompactString;

/// Bits of hard driving, as several items have them: accelerated, braked, cornered.
const DRIVING: [AlarmKind; 3] = [AlarmKind::HardAcceleration, AlarmKind::HardBraking, AlarmKind::HardCornering];

/// Bytes as a number, the first the highest.
pub(super) fn number(value: &[u8]) -> u32 {
    value.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// Text without the zeros and blanks that fill its field.
pub(super) fn text(value: &[u8]) -> Option<CompactString> {
    let text = std::str::from_utf8(value).ok()?.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| CompactString::new(text))
}

/// A SIM card's number in BCD, filled with f.
pub(super) fn bcd_iccid(value: &[u8]) -> Option<CompactString> {
    iccid(hex::encode(value).trim_end_matches('f'))
}

/// Accelerated, braked, cornered hard: bits 0 to 2.
pub(super) fn driving(bits: u32, raw: u32, moment: &mut Moment) {
    let raised = DRIVING.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    moment.alarms.extend(raised.map(|(bit, kind)| Alarm { kind: *kind, raw: raw | bit as u32 }));
}

/// 255 says "charging" instead of a percentage.
pub(super) fn battery(percent: u8, moment: &mut Moment) {
    match percent {
        0xff => moment.status.charging = Some(true),
        percent => moment.status.battery_percent = Some(percent.min(100)),
    }
}

/// Most terminals report CSQ, 0 to 31; some percent.
pub(super) fn signal_percent(n: u32) -> u8 {
    if n <= 31 { (n * 100 / 31) as u8 } else { n.min(100) as u8 }
}

/// Adds a moment for a status that says something.
pub fn push_status(report: &mut Report, status: Status) {
    if status != Status::default() {
        report.moments.push(Moment { status, ..Moment::default() });
    }
}
