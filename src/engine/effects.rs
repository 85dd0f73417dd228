//! What follows from an entry: rows for the database, replies for the tracker.

use crate::domain::{
    Finding, Fix, FixSource, LatLon, Outcome, SessionBy, Timestamp, TrackerIdent, TrackerKey, VehicleId,
};
use crate::engine::fix_flags::FixFlags;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A fix as the database keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixRow {
    /// Whose tracker.
    pub tracker: TrackerKey,
    /// In which vehicle, then.
    pub vehicle: Option<VehicleId>,
    /// When, by the tracker's clock (by arrival where it has none).
    pub fixed_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// As measured.
    pub fix: Fix,
    /// What was noticed about it.
    pub flags: FixFlags,
}

/// What people see of a tracker: one row, the newest word on everything. A lane keeps one for each of its
/// trackers, so it holds what the row shows and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusRow {
    /// When it was last heard of.
    pub last_heard_at: Timestamp,
    /// Its newest trustworthy fix, by event time.
    pub newest: Option<NewestFix>,
    /// Charge of its own battery.
    pub battery_percent: Option<u8>,
    /// Whether the vehicle's supply is there.
    pub external_power: Option<bool>,
    /// Ignition (ACC).
    pub ignition: Option<bool>,
    /// Signal strength of the mobile network.
    pub signal_percent: Option<u8>,
    /// Satellites in use, where they are reported apart from a fix.
    pub satellites: Option<u8>,
    /// Firmware version.
    pub firmware: Option<CompactString>,
    /// How often it reports, seconds, as learnt; `None` before two reports have come.
    #[serde(default)]
    pub report_interval_s: Option<u16>,
}

/// The newest fix of a tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewestFix {
    /// When, by the tracker's clock.
    pub fixed_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Where.
    pub position: LatLon,
    /// Speed over ground.
    pub speed_kmh: Option<f32>,
    /// Course over ground, degrees clockwise from north.
    pub course_deg: Option<f32>,
    /// The receiver's own estimate of its error.
    pub accuracy_m: Option<f32>,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// Where it comes from.
    pub source: FixSource,
}

/// Why a packet was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The tracker, if the topic names one that we know.
    pub tracker: Option<TrackerKey>,
    /// The identifier on the topic, if it has the form of one.
    pub ident: Option<String>,
    /// One word: `topic`, `unknown_tracker`, `retained`, `size`, `decode`, `identity`, `time`, `position`, `store`,
    /// `left_over`, `flood`.
    pub reason: &'static str,
    /// One sentence, without positions.
    pub detail: String,
    /// Whether it may be somebody speaking for another.
    pub security: bool,
}

/// What an installer waits for who tries a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialSign {
    /// Which tracker.
    pub tracker: TrackerKey,
    /// When its packet arrived.
    pub at: Timestamp,
    /// It is shaken; otherwise its supply has gone.
    pub is_shaken: bool,
}

/// Bytes owed to a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whom.
    pub ident: TrackerIdent,
    /// The bytes.
    pub payload: Vec<u8>,
    /// The packet that this acknowledges by its number, if the tracker understands one answer for several.
    pub sequence: Option<u64>,
}

/// How a vehicle is guarded.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardRow {
    /// Which vehicle.
    pub vehicle: VehicleId,
    /// When that was said.
    pub told_at: Timestamp,
    /// Whether it is.
    pub armed: bool,
    /// Since when it is or is not.
    pub since: Timestamp,
    /// Around where, once that is known.
    pub point: Option<LatLon>,
    /// What began or ended it.
    pub by: SessionBy,
}

/// Everything that follows from one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What became of the packet; `None` if the entry is none.
    pub outcome: Option<Outcome>,
    /// Set aside, with the reason.
    pub quarantined: Option<Quarantined>,
    /// What of a stored packet's payload is no frame: kept in quarantine while the rest counts.
    pub left_over: Option<Quarantined>,
    /// Whether the packet was read although its check sum is wrong, as the profile tolerates.
    pub is_check_sum_wrong: bool,
    /// New fixes.
    pub fixes: Vec<FixRow>,
    /// The tracker's status row, when it is time to write it.
    pub status: Option<(TrackerKey, Option<VehicleId>, StatusRow)>,
    /// What is seen of it, should it be tried just now.
    pub signs: Vec<TrialSign>,
    /// What the guard says.
    pub findings: Vec<Finding>,
    /// Vehicles whose guard changed.
    pub guards: Vec<GuardRow>,
    /// Owed to the tracker, once the journal has the packet.
    pub replies: Vec<Reply>,
}
