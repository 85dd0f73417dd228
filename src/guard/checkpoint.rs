//! A guard as a checkpoint keeps it.

use crate::domain::{Timestamp, VehicleId};
use crate::guard::deadlines::Deadlines;
use crate::guard::outage::OutageDetector;
use crate::guard::vehicle_table::VehicleTable;
use crate::guard::window_budget::WindowBudget;
use crate::guard::zones::Zones;
use crate::guard::{Guard, Params};
use serde::Deserialize;
use std::collections::BTreeSet;

/// See the module; the fields are those of [`Guard`].
#[derive(Deserialize)]
pub(super) struct GuardCheckpoint {
    params: Params,
    vehicles: VehicleTable,
    resumed_at: Option<Timestamp>,
    #[serde(default)]
    door_resumed_at: Option<Timestamp>,
    zones: Zones,
    #[serde(rename = "appointments")]
    schedule_timers: BTreeSet<(Timestamp, VehicleId)>,
    #[serde(rename = "hood")]
    outages: OutageDetector,
    #[serde(default, rename = "pool")]
    window_budget: WindowBudget,
}

impl From<GuardCheckpoint> for Guard {
    fn from(kept: GuardCheckpoint) -> Self {
        let deadlines = Deadlines::of(&kept.vehicles);
        Self {
            params: kept.params,
            vehicles: kept.vehicles,
            deadlines,
            resumed_at: kept.resumed_at,
            door_resumed_at: kept.door_resumed_at,
            zones: kept.zones,
            schedule_timers: kept.schedule_timers,
            outages: kept.outages,
            window_budget: kept.window_budget,
        }
    }
}
