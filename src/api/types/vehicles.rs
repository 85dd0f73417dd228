//! Vehicles and alerts.

use crate::api::types::{Id, Time};
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
    /// `ebike` or `motorcycle`.
    pub kind: String,
    /// Maker and model.
    pub model: Option<String>,
    /// What its tracker calls itself; none: it carries none.
    pub tracker: Option<String>,
    /// Whether it is guarded.
    pub armed: bool,
    /// Since when.
    pub armed_at: Option<Time>,
    /// `off`, `protected`, or `no_contact`: guarded, but its tracker is silent or never spoke, so nobody watches.
    pub protection: String,
    /// Where it is guarded.
    pub guard_point: Option<Place>,
    /// Its newest fix by event time.
    pub last_fix: Option<Fix>,
    /// When anything came from its tracker.
    pub last_heard_at: Option<Time>,
    /// `online`, `late`, `silent` or `never`, by the tracker's own interval.
    pub contact: String,
    /// How often its tracker reports, seconds, as learnt.
    pub report_interval_s: Option<i32>,
    /// The tracker's battery, %.
    pub battery_percent: Option<i16>,
    /// Whether the vehicle feeds the tracker.
    pub external_power: Option<bool>,
    /// Whether the ignition is on.
    pub ignition: Option<bool>,
    /// The incident that is not closed.
    pub open_incident: Option<Id>,
    /// What the owner said of it: `me`, `stolen` or `recovered`.
    pub open_incident_answer: Option<String>,
}

/// A position, WGS-84 degrees.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

impl From<GridPoint> for Place {
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
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
    /// Speed, km/h.
    pub speed_kmh: Option<f64>,
    /// Course, degrees from north, clockwise.
    pub course_deg: Option<f64>,
    /// Satellites used.
    pub satellites: Option<i16>,
    /// Accuracy as the tracker tells it, metres.
    pub accuracy_m: Option<f64>,
    /// `gnss`, `cell` or `wifi`.
    pub source: Option<String>,
}

/// A page of alerts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Newest first.
    pub alerts: Vec<Alert>,
    /// The cursor of the next page.
    pub next: Option<Id>,
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
    /// `moved`, `power_cut`, `silent`, …; those that begin with `pre_` wake nobody.
    pub kind: String,
    /// When the guard raised it, by our clock.
    pub raised_at: Time,
    /// Raised from data that came late.
    pub late: bool,
    /// Whether it rings.
    pub wakes_owner: bool,
    /// One too many of a storm: kept and listed, not sent.
    pub held_back: bool,
    /// Its incident.
    pub incident_id: Option<Id>,
    /// Latitude, degrees, where known.
    pub lat: Option<f64>,
    /// Longitude, degrees, where known.
    pub lon: Option<f64>,
    /// What it was raised from; in an incident's alerts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<serde_json::Value>,
}
