//! Words that several languages of text share. A word that is not known says nothing, and never "no".

use crate::domain::{Alarm, AlarmKind, Moment};
use compact_str::CompactString;

/// Below this, volts, a vehicle's supply is not there: the wire is cut.
const SUPPLY_GONE_BELOW_V: f32 = 1.0;
/// From this on, volts, it is: the lowest that feeds a tracker from a vehicle.
const SUPPLY_THERE_FROM_V: f32 = 5.0;
/// Digits of an ICCID with and without its check digit (ITU-T E.118, 4.2).
const ICCID_DIGITS: std::ops::RangeInclusive<usize> = 19..=20;
/// What an ICCID begins with: telecommunications (ITU-T E.118, 4.1).
const ICCID_BEGINS: &str = "89";

/// Yes or no.
pub fn flag(word: &str) -> Option<bool> {
    let word = word.trim();
    let is_one_of = |list: &[&str]| list.iter().any(|w| word.eq_ignore_ascii_case(w));
    if is_one_of(&["true", "1", "on", "yes", "y", "t"]) {
        Some(true)
    } else if is_one_of(&["false", "0", "off", "no", "n", "f"]) {
        Some(false)
    } else {
        None
    }
}

/// An alarm by its name here or in Traccar (`Position.ALARM_*` of 6.5), whatever its case and joints.
pub fn alarm(word: &str) -> Option<AlarmKind> {
    let joined: CompactString =
        word.chars().take(40).filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    Some(match joined.as_str() {
        "movement" => AlarmKind::Displacement,
        "falldown" => AlarmKind::Fall,
        "shock" => AlarmKind::Vibration,
        "accident" => AlarmKind::Crash,
        "gpsantennacut" => AlarmKind::AntennaCut,
        "fatiguedriving" => AlarmKind::Fatigue,
        "parking" => AlarmKind::LongParking,
        "bonnet" => AlarmKind::Door,
        "tampering" => AlarmKind::Tamper,
        "removing" => AlarmKind::Removal,
        "panic" => AlarmKind::Sos,
        _ => return AlarmKind::ALL.iter().find(|k| is_joined(k.name(), &joined)).copied(),
    })
}

/// Whether a name of ours is the word without its joints.
fn is_joined(name: &str, joined: &str) -> bool {
    name.bytes().filter(|b| *b != b'_').eq(joined.bytes())
}

/// An alarm that is told by a word: its number is that of our vocabulary.
pub fn raised(kind: AlarmKind) -> Alarm {
    Alarm { kind, raw: kind as u32 }
}

/// A SIM card's number, if it is one.
pub fn iccid(text: &str) -> Option<CompactString> {
    let is_one = text.starts_with(ICCID_BEGINS)
        && ICCID_DIGITS.contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| text.into())
}

/// Lets alarms and voltage say whether the supply is there, where nothing else does.
pub fn infer_supply(moment: &mut Moment) {
    let by_alarm = moment.alarms.iter().rev().find_map(|a| match a.kind {
        AlarmKind::PowerCut => Some(false),
        AlarmKind::PowerRestored => Some(true),
        _ => None,
    });
    let by_voltage = moment.status.external_v.and_then(|v| match v {
        v if v < SUPPLY_GONE_BELOW_V => Some(false),
        v if v >= SUPPLY_THERE_FROM_V => Some(true),
        _ => None,
    });
    let status = &mut moment.status;
    status.external_power = status.external_power.or(by_alarm).or(by_voltage);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_neither_yes_nor_no_says_nothing() {
        for yes in ["true", "TRUE", "1", "on", "ON", "yes"] {
            assert_eq!(flag(yes), Some(true), "{yes}");
        }
        for no in ["false", "0", "OFF", "no"] {
            assert_eq!(flag(no), Some(false), "{no}");
        }
        for other in ["", "2", "maybe", "null", "-1"] {
            assert_eq!(flag(other), None, "{other}");
        }
    }

    #[test]
    fn every_alarm_has_its_own_name_and_that_of_traccar() {
        for kind in AlarmKind::ALL {
            assert_eq!(alarm(kind.name()), Some(*kind));
        }
        for (word, kind) in [
            ("powerCut", AlarmKind::PowerCut),
            ("SOS", AlarmKind::Sos),
            ("lowspeed", AlarmKind::LowSpeed),
            ("hardAcceleration", AlarmKind::HardAcceleration),
            ("geofenceEnter", AlarmKind::GeofenceEnter),
            ("removing", AlarmKind::Removal),
            ("movement", AlarmKind::Displacement),
        ] {
            assert_eq!(alarm(word), Some(kind), "{word}");
        }
        for other in ["highRpm", "laneChange", "fuelLeak", "", "general"] {
            assert_eq!(alarm(other), None, "{other}");
        }
    }

    #[test]
    fn a_number_that_is_no_iccid_is_none() {
        assert_eq!(iccid("89860000000000000017").as_deref(), Some("89860000000000000017"));
        assert!(iccid("8986000000000000001").is_some());
        for other in ["", "00000000000000000000", "898600", "8986000000000000001a", "86986000000000000017"] {
            assert_eq!(iccid(other), None, "{other}");
        }
    }
}
