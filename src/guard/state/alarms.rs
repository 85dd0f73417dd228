//! What the tracker itself reports as alarming: raised on the rising edge, since many trackers repeat
//! a latched alarm in every packet.

use crate::domain::{Alarm, AlarmKind};
use serde::{Deserialize, Serialize};

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

/// Early signs: raised quietly while guarded.
pub const SUSPICIOUS: &[AlarmKind] =
    &[AlarmKind::Displacement, AlarmKind::Jamming, AlarmKind::GeofenceExit, AlarmKind::Door, AlarmKind::Fall];

/// Alarms that a rule asks for beside those above.
const OTHERS: &[AlarmKind] = &[AlarmKind::Sos, AlarmKind::PowerCut, AlarmKind::LowBattery];

/// Every alarm that a rule listens to: those whose rising is watched, and shaking, which counts while it lasts.
/// The matrix of languages asks for a cell for each.
pub fn listened_alarms() -> impl Iterator<Item = AlarmKind> {
    watched().chain([AlarmKind::Vibration])
}

/// Every alarm that a rule asks for: their rising is remembered, a bit each in this order.
fn watched() -> impl Iterator<Item = AlarmKind> {
    [OTHERS, TAMPERING, SUSPICIOUS].into_iter().flatten().copied()
}

const _: () = assert!(OTHERS.len() + TAMPERING.len() + SUSPICIOUS.len() <= u16::BITS as usize);

/// Which of the watched alarms are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Alarms(u16);

impl Alarms {
    /// Those of a moment.
    pub fn of(alarms: &[Alarm]) -> Self {
        Self(alarms.iter().fold(0, |bits, alarm| bits | bit(alarm.kind)))
    }

    /// Those that were not on before.
    pub fn rising_from(self, before: Self) -> Self {
        Self(self.0 & !before.0)
    }

    /// Whether any of these watched kinds is on.
    pub fn any(self, kinds: &[AlarmKind]) -> bool {
        // Most fixes bring no alarm: the guard asks this four times for each.
        self.0 != 0 && kinds.iter().any(|k| self.0 & bit(*k) != 0)
    }
}

fn bit(kind: AlarmKind) -> u16 {
    watched().position(|k| k == kind).map_or(0, |place| 1 << place)
}

/// A checkpoint keeps bits in the order of the whole vocabulary.
impl From<u64> for Alarms {
    fn from(vocabulary: u64) -> Self {
        Self(watched().filter(|kind| vocabulary & 1 << *kind as u32 != 0).fold(0, |bits, kind| bits | bit(kind)))
    }
}

impl From<Alarms> for u64 {
    fn from(alarms: Alarms) -> Self {
        watched().filter(|kind| alarms.0 & bit(*kind) != 0).fold(0, |bits, kind| bits | 1 << kind as u32)
    }
}

// One bit each in a checkpoint: the vocabulary must fit.
const _: () = assert!(AlarmKind::ALL.len() <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_that_a_rule_asks_for_is_watched_and_a_checkpoint_keeps_it() {
        for kind in watched() {
            let alarms = Alarms::of(&[Alarm { kind, raw: 1 }, Alarm { kind: AlarmKind::Overspeed, raw: 1 }]);
            assert!(alarms.any(&[kind]), "{kind:?}");
            assert_eq!(serde_json::to_value(alarms).unwrap(), 1u64 << kind as u32);
            assert_eq!(serde_json::from_value::<Alarms>((1u64 << kind as u32 | 2).into()).unwrap(), alarms);
            assert_eq!(alarms.rising_from(Alarms::default()), alarms);
            assert!(!alarms.rising_from(alarms).any(&[kind]));
        }
    }
}
