//! What the tracker itself reports as alarming: told on the rising edge, since many trackers repeat
//! a latched alarm in every packet.

use crate::domain::{Alarm, AlarmKind};

/// The tracker is being taken off or made deaf; wakes the owner while guarded.
pub const TAMPERING: &[AlarmKind] = &[
    AlarmKind::Tamper,
    AlarmKind::Removal,
    AlarmKind::Tow,
    AlarmKind::Stolen,
    AlarmKind::IllegalIgnition,
    AlarmKind::AntennaCut,
    AlarmKind::PowerOff,
];

/// Early signs: told quietly while guarded.
pub const SUSPICIOUS: &[AlarmKind] =
    &[AlarmKind::Displacement, AlarmKind::Jamming, AlarmKind::GeofenceExit, AlarmKind::Door, AlarmKind::Fall];

/// Alarms as bits in the order of the vocabulary.
pub fn bits(alarms: &[Alarm]) -> u64 {
    alarms.iter().fold(0, |bits, alarm| bits | bit(alarm.kind))
}

fn bit(kind: AlarmKind) -> u64 {
    1 << (kind as u32)
}

/// Whether any of `kinds` is among the bits.
pub fn any(bits: u64, kinds: &[AlarmKind]) -> bool {
    kinds.iter().any(|k| bits & bit(*k) != 0)
}

// One bit each: the vocabulary must fit.
const _: () = assert!(AlarmKind::ALL.len() <= 64);
