//! Zones 电子围栏: areas with a rule, for one vehicle or for the city.

use crate::domain::{Schedule, VehicleId, VehicleKind, ZoneShape};
use serde::{Deserialize, Serialize};

/// The row number of a zone in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneId(pub i64);

/// Shortest stay that a dwell rule can ask for, seconds: below, a red light is a stay.
pub const DWELL_S_MIN: u32 = 60;
/// Longest stay that a dwell rule can ask for, seconds: a week.
pub const DWELL_S_MAX: u32 = 7 * 86_400;

/// What about a zone raises an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneRule {
    /// Coming in.
    Enter,
    /// Going out.
    Exit,
    /// Both.
    Both,
    /// Staying for at least a time.
    Dwell,
    /// Being inside at all: a motorcycle-ban area.
    Forbidden,
}

/// A zone as the guard knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its row.
    pub id: ZoneId,
    /// Its name, for people.
    pub name: String,
    /// Its area.
    pub shape: ZoneShape,
    /// What about it raises an alert.
    pub rule: ZoneRule,
    /// The one vehicle it is for; `None`: every vehicle (a city-wide zone).
    pub vehicle: Option<VehicleId>,
    /// How long a stay a dwell rule asks for, seconds.
    #[serde(default)]
    pub dwell_s: u32,
    /// When its rule counts; `None`: always.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// The kind of vehicle it is for; `None`: every kind.
    #[serde(default)]
    pub vehicle_kind: Option<VehicleKind>,
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dwell_s is {0}; a dwell rule asks for {DWELL_S_MIN} to {DWELL_S_MAX} s, other rules for 0")]
pub struct DwellError(pub u32);

/// Checks that a rule and its stay belong together.
///
/// # Errors
/// Names the stay and its limits.
pub fn check_dwell(rule: ZoneRule, dwell_s: u32) -> Result<(), DwellError> {
    let fits = match rule {
        ZoneRule::Dwell => (DWELL_S_MIN..=DWELL_S_MAX).contains(&dwell_s),
        _ => dwell_s == 0,
    };
    if fits { Ok(()) } else { Err(DwellError(dwell_s)) }
}
