//! People's settings as inputs of the fold: they are in force once the journal holds them.

use crate::domain::{
    Answer, IncidentId, Profile, Schedule, Timestamp, TrackerIdent, TrackerKey, VehicleId, VehicleKind, Zone, ZoneId,
};
use serde::{Deserialize, Serialize};

/// Shortest and longest time from parking to a guard session that begins by itself, seconds.
pub const AUTO_AFTER_S: std::ops::RangeInclusive<u32> = 60..=3600;

/// When a vehicle's guard session begins without a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardPolicy {
    /// In these windows it is guarded; `None`: by no schedule.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// So long after parking with the ignition off, seconds; `None`: not by parking.
    #[serde(default)]
    pub auto_after_s: Option<u32>,
}

/// What began or ended a guard session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionBy {
    /// The owner's command.
    #[default]
    Owner,
    /// A schedule.
    Schedule,
    /// Parking with the ignition off.
    Parked,
    /// The owner's phone is with the vehicle.
    Phone,
}

impl SessionBy {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Schedule => "schedule",
            Self::Parked => "parked",
            Self::Phone => "phone",
        }
    }
}

/// The answer that stood when the owner gave another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAnswer {
    /// It, if there was one.
    pub answer: Option<Answer>,
}

/// One change that people (or the registry) made, as lanes read and journal it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Setting {
    /// A tracker is known, with its profile and the vehicle it is installed in now.
    Tracker {
        /// Its row.
        tracker: TrackerKey,
        /// Its identifier on the wire.
        ident: TrackerIdent,
        /// How to read it.
        profile: Profile,
        /// The vehicle that carries it, if any.
        vehicle: Option<VehicleId>,
        /// What that vehicle is.
        #[serde(default)]
        vehicle_kind: Option<VehicleKind>,
    },
    /// A tracker is no longer known.
    TrackerRemoved {
        /// Its identifier on the wire.
        ident: TrackerIdent,
    },
    /// A vehicle is guarded from now on (设防).
    Arm {
        /// Which.
        vehicle: VehicleId,
    },
    /// A vehicle is no longer guarded (撤防).
    Disarm {
        /// Which.
        vehicle: VehicleId,
    },
    /// When a vehicle's guard is to begin by itself, from now on.
    Guarding {
        /// Which vehicle.
        vehicle: VehicleId,
        /// When.
        policy: GuardPolicy,
    },
    /// The owner's phone is with the vehicle: no guard is needed.
    Phone {
        /// Which vehicle.
        vehicle: VehicleId,
    },
    /// The owner says what an incident is.
    Answer {
        /// Whose.
        vehicle: VehicleId,
        /// Which.
        incident: IncidentId,
        /// What.
        answer: Answer,
        /// What the database held when it was said. Answers of before this field are taken as they are.
        #[serde(default)]
        seen: Option<SeenAnswer>,
    },
    /// A zone is new or changed.
    Zone(Zone),
    /// A zone is gone.
    ZoneRemoved {
        /// Which.
        zone: ZoneId,
    },
    /// A tracker of another lane carries the vehicle from now on: that lane guards it, this one no longer.
    HandedOver {
        /// Which vehicle.
        vehicle: VehicleId,
    },
    /// Its owner does not want a vehicle's positions collected from now on, or wants it again.
    Positioning {
        /// Which vehicle.
        vehicle: VehicleId,
        /// Whether nothing is to be collected.
        off: bool,
    },
    /// What a tracker measured in this time is an erased person's: it is not kept when it comes late.
    Erased {
        /// Which tracker.
        tracker: TrackerKey,
        /// From.
        from: Timestamp,
        /// Before.
        to: Timestamp,
    },
    /// A person is erased: what is believed of their vehicle is believed no longer.
    Forget {
        /// Which vehicle.
        vehicle: VehicleId,
        /// The trackers that it carried in their time.
        trackers: Vec<TrackerKey>,
    },
}
