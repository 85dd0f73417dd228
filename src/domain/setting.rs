//! People's settings as inputs of the fold: they are in force once the journal holds them.

use super::{Profile, TrackerIdent, TrackerKey, VehicleId, Zone, ZoneId};
use serde::{Deserialize, Serialize};

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
    /// A zone is new or changed.
    Zone(Zone),
    /// A zone is gone.
    ZoneRemoved {
        /// Which.
        zone: ZoneId,
    },
}
