//! Vehicles and alerts.

use crate::api::types::{
    AlertKind, AlertLevel, Answer, ContactState, FixSource, Id, Protection, Time, VehicleKind, VehicleRight,
};
use crate::tracks::GridPoint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Vehicles.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Vehicles {
    /// By plate.
    pub vehicles: Vec<Vehicle>,
}

/// A vehicle as it is now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Vehicle {
    /// Its number.
    pub id: Id,
    /// Its plate.
    pub plate: String,
    /// What the one who asks may do with it; police are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = VehicleRight, required = false)]
    pub may: Option<VehicleRight>,
    /// What it is.
    pub kind: VehicleKind,
    /// Maker and model.
    pub model: Option<String>,
    /// What its tracker calls itself; none: it carries none.
    pub tracker: Option<String>,
    /// Whether it is guarded.
    pub armed: bool,
    /// Since when.
    pub armed_at: Option<Time>,
    /// Whether somebody watches over it.
    pub protection: Protection,
    /// Where it is guarded.
    pub guard_point: Option<Position>,
    /// Its newest fix by event time.
    pub last_fix: Option<Fix>,
    /// When anything came from its tracker.
    pub last_heard_at: Option<Time>,
    /// How its tracker is heard.
    pub contact: ContactState,
    /// How often its tracker reports, seconds, as learnt.
    pub report_interval_s: Option<i32>,
    /// The tracker's battery, %.
    #[schema(minimum = 0, maximum = 100)]
    pub battery_percent: Option<i16>,
    /// Whether the vehicle feeds the tracker.
    pub external_power: Option<bool>,
    /// Whether the ignition is on.
    pub ignition: Option<bool>,
    /// The incident that is not closed.
    pub open_incident: Option<Id>,
    /// What the owner said of it.
    pub open_incident_answer: Option<Answer>,
    /// Since when its owner wants no positions collected; none: they are.
    pub positioning_off_since: Option<Time>,
}

/// A position, degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Position {
    /// Latitude, degrees.
    #[serde(alias = "lat_deg")]
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Longitude, degrees.
    #[serde(alias = "lon_deg")]
    #[schema(minimum = -180, maximum = 180)]
    pub lon: f64,
}

impl From<GridPoint> for Position {
    fn from(spot: GridPoint) -> Self {
        let at = spot.position();
        Self { lat: at.lat_deg, lon: at.lon_deg }
    }
}

/// Where and how a vehicle was.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// The tracker's time.
    pub fixed_at: Time,
    /// Our time.
    pub received_at: Time,
    /// Latitude, degrees.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Longitude, degrees.
    #[schema(minimum = -180, maximum = 180)]
    pub lon: f64,
    /// Speed, km/h.
    #[schema(minimum = 0)]
    pub speed_kmh: Option<f64>,
    /// Course, degrees from north, clockwise.
    #[schema(minimum = 0, maximum = 360)]
    pub course_deg: Option<f64>,
    /// Satellites used.
    #[schema(minimum = 0)]
    pub satellites: Option<i16>,
    /// Accuracy as the tracker tells it, metres.
    pub accuracy_m: Option<f64>,
    /// Where it comes from.
    pub source: Option<FixSource>,
}

/// A page of alerts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Newest first.
    pub alerts: Vec<Alert>,
    /// The cursor of the next page.
    pub next_cursor: Option<Id>,
}

/// Something the owner should know.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its number.
    pub id: Id,
    /// Its vehicle.
    pub vehicle_id: Id,
    /// The vehicle's plate.
    pub plate: Option<String>,
    /// What it states.
    pub kind: AlertKind,
    /// Whether it wakes the owner, as a word.
    pub level: AlertLevel,
    /// When the guard raised it, by our clock.
    pub raised_at: Time,
    /// Raised from data that came late.
    pub late: bool,
    /// Whether it rings.
    pub wakes_owner: bool,
    /// One too many of a storm, or of a drill: stored and listed, not sent.
    pub suppressed: bool,
    /// Raised while an installer tried the tracker; nobody is sent it.
    #[serde(default)]
    pub is_drill: bool,
    /// Its incident.
    pub incident_id: Option<Id>,
    /// Latitude, degrees, where known.
    pub lat: Option<f64>,
    /// Longitude, degrees, where known.
    pub lon: Option<f64>,
    /// What it was raised from; in an incident's alerts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    pub evidence: Option<serde_json::Value>,
}
