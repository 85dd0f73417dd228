//! Alerts: facts that a rule established, with the evidence that made it say so.

use crate::domain::{LatLon, Timestamp, VehicleId, ZoneId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identity of a packet by its content: the first 8 bytes of SHA-256 over topic, a zero byte and
/// payload. A redelivery has the same digest, whatever its packet id or time of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PacketDigest(pub u64);

/// What made the guard speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// This packet.
    Packet(PacketDigest),
    /// A deadline that passed, such as silence; its due time is the alert's `raised_at`.
    Deadline,
}

/// Identity of an incident, derived from its vehicle and what opened it, so that folding the
/// journal again names it the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

impl IncidentId {
    /// The identity of the incident that `cause` opens for `vehicle` at `opened_at` (used for
    /// deadlines only: a packet identifies itself).
    pub fn derive(vehicle: VehicleId, cause: Cause, opened_at: Timestamp) -> Self {
        let mut hash = crc32fast::Hasher::new();
        let seed = match cause {
            Cause::Packet(digest) => digest.0,
            Cause::Deadline => opened_at.micros() as u64,
        };
        hash.update(&vehicle.0.to_be_bytes());
        hash.update(&seed.to_be_bytes());
        // The lower 31 bits of the vehicle's number are in the upper half, and the check sum is of all
        // of it and of what opened the incident: that two of a million are one is a chance of 10⁻⁷.
        // The top bit stays clear because PostgreSQL has signed integers only.
        Self(((vehicle.0 as u64) << 32 | u64::from(hash.finalize())) & (u64::MAX >> 1))
    }

    /// As the database keeps it.
    pub fn as_i64(self) -> i64 {
        self.0 as i64
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How much an alert says about its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A person asks for help.
    Sos,
    /// Somebody is at the tracker.
    Tampered,
    /// The vehicle or its supply says so itself.
    Moved,
    /// It follows from something else.
    Indirect,
    /// It belongs to no incident by itself.
    None,
}

macro_rules! alert_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $weight:ident;)*) => {
        /// What kind of fact an alert states. This table is the only one: names in tables and API, words of the page
        /// (`kind_NAME`) and `docs/alerts.md` are held against it by `tests/docs.rs`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AlertKind {
            $($(#[$doc])* $kind,)*
        }

        impl AlertKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in tables, API and commands. Names that start with `pre_` inform; all others wake
            /// the owner.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// How much it says about its incident.
            pub fn weight(self) -> Weight {
                match self { $(Self::$kind => Weight::$weight,)* }
            }
        }
    };
}

alert_kinds! {
    /// The guarded vehicle left its guard point.
    Moved = "moved", Moved;
    /// Its cell positions say that it left, while satellites are lost.
    MovedByCell = "moved_by_cell", Indirect;
    /// Its main power was cut while guarded.
    PowerCut = "power_cut", Moved;
    /// It has not been heard of for longer than its report interval allows, while guarded.
    Silent = "silent", Indirect;
    /// The tracker reports that it was taken off or tampered with, while guarded.
    Tampered = "tampered", Tampered;
    /// The rider pressed the emergency button.
    Sos = "sos", Sos;
    /// Early signs; the owner sleeps on.
    Suspicion = "pre_suspicion", None;
    /// Contact was lost; may be a cellar.
    LostContact = "pre_lost_contact", None;
    /// Guarded, but its tracker was out of contact when the guard began, and has not spoken since; the owner sleeps on.
    ArmedWithoutContact = "pre_armed_without_contact", None;
    /// The battery is low.
    LowBattery = "pre_low_battery", None;
    /// Came into a zone.
    ZoneEnter = "pre_zone_enter", None;
    /// Went out of a zone.
    ZoneExit = "pre_zone_exit", None;
    /// Has stayed in a zone for the time its rule asks for.
    ZoneDwell = "pre_zone_dwell", None;
    /// Is in a zone where it must not be.
    ZoneForbidden = "pre_zone_forbidden", None;
    /// Silent like its whole neighbourhood: the network's doing; the owner sleeps on.
    SilentInOutage = "pre_silent_in_outage", None;
    /// It moves while its receiver repeats one place: no departure can be seen; the owner sleeps on.
    StalePosition = "pre_stale_position", None;
}

impl AlertKind {
    /// Whether it wakes the owner, that is, belongs to an incident.
    pub fn wakes_owner(self) -> bool {
        !self.name().starts_with("pre_")
    }
}

/// The word for whether an alert wakes its owner: `alarm` or `notice`.
pub fn alert_level(wakes_owner: bool) -> &'static str {
    if wakes_owner { "alarm" } else { "notice" }
}

/// A named number that a rule compared with, for `explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// What it is, unit last: `exit_evidence_min`, `guard_radius_m`.
    pub name: String,
    /// Its value when the alert was raised.
    pub value: f64,
}

/// A fix as evidence keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceFix {
    /// The tracker's time (or the arrival, where its clock was not credible).
    pub at: Timestamp,
    /// Where.
    pub position: LatLon,
    /// Distance from the guard point, metres.
    pub distance_m: Option<f64>,
    /// Speed, km/h.
    pub speed_kmh: Option<f32>,
    /// Error the guard reckoned with, metres.
    pub accuracy_m: Option<f32>,
}

/// Why an alert was raised: the rule, its version, what it compared, and the fixes it saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Name of the rule.
    pub rule: String,
    /// Version of the rule; raised whenever its meaning changes.
    pub rule_version: u32,
    /// Where the vehicle was guarded.
    pub guard_point: Option<LatLon>,
    /// When the guard began.
    pub armed_at: Option<Timestamp>,
    /// The zone, for zone alerts.
    #[serde(default)]
    pub zone: Option<ZoneId>,
    /// Its name then.
    pub zone_name: Option<String>,
    /// Numbers compared.
    pub thresholds: Vec<Threshold>,
    /// The last fixes that counted, oldest first; at most 16.
    pub fixes: Vec<EvidenceFix>,
}

/// A fact that a rule established.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Whose.
    pub vehicle: VehicleId,
    /// What.
    pub kind: AlertKind,
    /// Server time: the arrival of the packet being handled, or a deadline's due time.
    pub raised_at: Timestamp,
    /// What made the guard speak.
    pub cause: Cause,
    /// The incident it belongs to; `None` for kinds that only inform.
    pub incident: Option<IncidentId>,
    /// Whether it rests on a packet that came late.
    pub late: bool,
    /// Where the vehicle was, if known.
    pub position: Option<LatLon>,
    /// Whether it is one too many of a storm: kept and listed, pushed to nobody.
    #[serde(default)]
    pub held_back: bool,
    /// Why.
    pub evidence: Evidence,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_opening_gives_the_same_incident() {
        let id = |v, d| IncidentId::derive(VehicleId(v), Cause::Packet(PacketDigest(d)), Timestamp::from_secs(1));
        assert_eq!(id(7, 9), id(7, 9));
        assert_ne!(id(7, 9), id(8, 9));
        assert_ne!(id(7, 9), id(7, 10));
        assert!(id(7, 9).as_i64() > 0);
    }
}
