//! What a packet says once it is understood: a report, made of moments.
//!
//! Values stand as the wire says them, in SI-ish units that the names carry; `None` where the
//! language has no such field. Judging (plausible, late, in range) happens later, in the pipeline.

use crate::domain::{LatLon, Timestamp};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes owed to a tracker. Acknowledgements of every language fit without an allocation.
pub type ReplyBytes = SmallVec<[u8; 40]>;

/// Where a position comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixSource {
    /// A satellite receiver.
    #[default]
    Gnss,
    /// Cell towers; hundreds of metres to kilometres off.
    Cell,
    /// Wi-Fi access points.
    Wifi,
}

/// One measured position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// The tracker's time of the measurement; `None` if the packet has none.
    pub fixed_at: Option<Timestamp>,
    /// The tracker's own word that it has a fix.
    pub valid: bool,
    /// Position as sent, WGS-84 unless the profile says otherwise; may be out of range.
    pub position: LatLon,
    /// Metres above sea level.
    pub altitude_m: Option<f32>,
    /// Speed over ground, km/h.
    pub speed_kmh: Option<f32>,
    /// Course over ground, degrees clockwise from north, 0..360.
    pub course_deg: Option<f32>,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// The receiver's own estimate of its error, metres (about 68 %).
    pub accuracy_m: Option<f32>,
    /// Where it comes from.
    pub source: FixSource,
}

/// Generates the alarm vocabulary with its names, so that the list exists once.
macro_rules! alarm_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What a tracker itself reports as alarming: one vocabulary for all languages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AlarmKind { $($(#[$doc])* $kind,)* }

        impl AlarmKind {
            /// Every kind, in the order of the vocabulary.
            pub const ALL: &[AlarmKind] = &[$(AlarmKind::$kind,)*];

            /// The name that commands, API and documents write.
            pub fn name(self) -> &'static str {
                match self { $(AlarmKind::$kind => $name,)* }
            }

            /// The kind that is written so.
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($name => Some(AlarmKind::$kind),)* _ => None }
            }
        }
    };
}

alarm_kinds! {
    /// Emergency button.
    Sos = "sos",
    /// Faster than the tracker's limit.
    Overspeed = "overspeed",
    /// Main power lost.
    PowerCut = "power_cut",
    /// The tracker's own battery is low.
    LowBattery = "low_battery",
    /// The vehicle's battery is low.
    LowPower = "low_power",
    /// Shaken.
    Vibration = "vibration",
    /// Moved while it should stand.
    Displacement = "displacement",
    /// Towed.
    Tow = "tow",
    /// Tampered with.
    Tamper = "tamper",
    /// Taken off the vehicle.
    Removal = "removal",
    /// Entered a fence kept in the tracker.
    GeofenceEnter = "geofence_enter",
    /// Left a fence kept in the tracker.
    GeofenceExit = "geofence_exit",
    /// Crossed a fence kept in the tracker; the packet does not say which way.
    Geofence = "geofence",
    /// Radio jamming.
    Jamming = "jamming",
    /// The tracker was switched off.
    PowerOff = "power_off",
    /// The tracker was switched on.
    PowerOn = "power_on",
    /// Main power is back.
    PowerRestored = "power_restored",
    /// Door or lid opened.
    Door = "door",
    /// GNSS antenna cut or shorted.
    AntennaCut = "antenna_cut",
    /// Collision.
    Crash = "crash",
    /// Fell over.
    Fall = "fall",
    /// Too hot or too cold.
    Temperature = "temperature",
    /// Engine idles.
    Idle = "idle",
    /// Slower than a limit.
    LowSpeed = "low_speed",
    /// Driver tired.
    Fatigue = "fatigue",
    /// Accelerated hard.
    HardAcceleration = "hard_acceleration",
    /// Braked hard.
    HardBraking = "hard_braking",
    /// Cornered hard.
    HardCornering = "hard_cornering",
    /// Ignition switched on without permission.
    IllegalIgnition = "illegal_ignition",
    /// The tracker says that the vehicle is stolen.
    Stolen = "stolen",
    /// A fault of the tracker or a part of it.
    Fault = "fault",
    /// Parked longer than the tracker's limit.
    LongParking = "long_parking",
    /// Left its route.
    RouteDeviation = "route_deviation",
    /// The tracker warns of danger ahead.
    Danger = "danger",
    /// An alarm of this vendor that has no word here; the raw code says which.
    Vendor = "vendor",
}

/// An alarm as a tracker reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its kind in our vocabulary.
    pub kind: AlarmKind,
    /// The code on the wire (bit number or byte), as the protocol counts.
    pub raw: u32,
}

/// What a packet says of the tracker and the vehicle apart from the position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Charge of the tracker's battery, percent.
    pub battery_percent: Option<u8>,
    /// The tracker's battery, volts.
    pub battery_v: Option<f32>,
    /// The vehicle's supply, volts.
    pub external_v: Option<f32>,
    /// Whether the battery is being charged.
    pub charging: Option<bool>,
    /// Whether the vehicle's supply is there.
    pub external_power: Option<bool>,
    /// Whether the ignition is on.
    pub ignition: Option<bool>,
    /// Whether the tracker itself believes to be armed.
    pub armed: Option<bool>,
    /// Whether its accelerometer says moving; `None` on trackers without one.
    pub moving: Option<bool>,
    /// Distance driven, metres.
    pub odometer_m: Option<f64>,
    /// Signal strength of the mobile network, percent.
    pub signal_percent: Option<u8>,
    /// Satellites in use, where they are reported apart from a fix.
    pub satellites: Option<u8>,
    /// Firmware version.
    pub firmware: Option<CompactString>,
    /// Number of the SIM card.
    pub iccid: Option<CompactString>,
}

impl Status {
    /// Takes over every value that `later` has.
    pub fn merge(&mut self, later: &Status) {
        macro_rules! take {
            ($($field:ident)*) => { $( if later.$field.is_some() { self.$field.clone_from(&later.$field); } )* };
        }
        take!(battery_percent battery_v external_v charging external_power ignition armed moving
              odometer_m signal_percent satellites firmware iccid);
    }
}

/// The radio environment, for positions without satellites.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Cells heard: country, network, area, cell, signal in dBm where given.
    pub cells: Vec<Cell>,
    /// Access points heard: MAC address text and signal in dBm.
    pub wifi: Vec<(String, Option<i16>)>,
}

/// A mobile cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Mobile country code.
    pub mcc: u16,
    /// Mobile network code.
    pub mnc: u16,
    /// Location or tracking area.
    pub area: u32,
    /// Cell identity.
    pub cell: u64,
    /// Signal, dBm.
    pub signal_dbm: Option<i16>,
}

/// What a report says of one instant: at most one fix, with the status and the alarms of then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// The tracker's time, where it is reported apart from a fix.
    pub at: Option<Timestamp>,
    /// The position, if one was measured.
    pub fix: Option<Fix>,
    /// Status values of this instant.
    pub status: Status,
    /// Alarms raised or latched at this instant.
    pub alarms: SmallVec<[Alarm; 2]>,
    /// Radio environment.
    pub network: Network,
    /// Kept in the tracker and sent later, by its own word.
    pub buffered: bool,
}

/// A decoded packet. A location with its reply, the packet of every day, is held without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the message in its language (`0x0200 location`).
    pub message: Cow<'static, str>,
    /// Whether it is one part of a longer message, which says nothing until all parts are there.
    pub is_part: bool,
    /// Whether its check sum is wrong, which the profile tolerates.
    pub is_check_sum_wrong: bool,
    /// Identifiers the packet carries, as written; empty where the language has none.
    pub tracker_idents: SmallVec<[CompactString; 1]>,
    /// What the device is called on a map, which many devices may share: no identity.
    #[serde(default)]
    pub label: Option<CompactString>,
    /// The zone that its clock has by its own word, seconds east of UTC; many trackers say one and send UTC.
    #[serde(default)]
    pub announced_zone_s: Option<i32>,
    /// What it says, oldest first as sent.
    pub moments: SmallVec<[Moment; 1]>,
    /// The tracker's own counter of its packets, where its language acknowledges several at once.
    pub sequence: Option<u64>,
    /// Bytes owed to the tracker, in order.
    pub replies: SmallVec<[ReplyBytes; 1]>,
    /// Items we have no name for, by their id, as hexadecimal or text.
    pub unknown: BTreeMap<String, String>,
    /// What is in the payload and is no frame, in words; nothing else is lost with it.
    #[serde(default)]
    pub left_over: Option<Box<str>>,
}

impl Report {
    /// The fixes of all moments, in order.
    pub fn fixes(&self) -> impl Iterator<Item = &Fix> {
        self.moments.iter().filter_map(|m| m.fix.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_has_a_name_of_its_own() {
        let mut names: Vec<_> = AlarmKind::ALL.iter().map(|k| k.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AlarmKind::ALL.len());
        assert!(AlarmKind::ALL.iter().all(|k| AlarmKind::of_name(k.name()) == Some(*k)));
    }

    #[test]
    fn a_later_status_keeps_what_it_does_not_mention() {
        let mut status = Status { battery_percent: Some(80), ignition: Some(true), ..Status::default() };
        status.merge(&Status { ignition: Some(false), ..Status::default() });
        assert_eq!((status.battery_percent, status.ignition), (Some(80), Some(false)));
    }
}
