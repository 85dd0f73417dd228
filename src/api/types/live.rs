//! Messages of the live stream.

use crate::api::codes::Code;
use crate::api::types::{Alert, Answer, Id, IncidentState, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message of the live stream, by its `type`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LiveMessage {
    /// Every vehicle of the view (to police none before they have sent one): the first message, and the one after a change of the view.
    Snapshot {
        /// The vehicles.
        vehicles: Vec<LiveVehicle>,
        /// Newer positions do not arrive at the server just now.
        delayed: bool,
    },
    /// Vehicles that changed since the message before.
    Delta {
        /// The vehicles.
        vehicles: Vec<LiveVehicle>,
        /// Newer positions do not arrive at the server just now.
        delayed: bool,
    },
    /// A view is not shown, and nothing else is until there is one that is; to police.
    ViewRefused {
        /// `view_too_large`, or `bad_box`.
        #[schema(value_type = Code)]
        code: Code,
        /// For people, in English.
        message: String,
        /// What the code says: `km2` and `km2_max`.
        #[schema(value_type = Object)]
        values: serde_json::Map<String, serde_json::Value>,
    },
    /// An alert was raised; to the owner of the vehicle.
    Alert {
        /// Which.
        alert: Alert,
    },
    /// An incident was opened, answered, changed, closed or opened again; to the owner of the vehicle.
    Incident {
        /// How it stands.
        incident: IncidentChange,
    },
}

/// A vehicle of the live stream.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveVehicle {
    /// Its number; to operators a name that means nothing outside of this stream.
    pub id: String,
    /// Its plate; to its owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    /// Latitude, degrees.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Longitude, degrees.
    #[schema(minimum = -180, maximum = 180)]
    pub lon: f64,
    /// The tracker's time.
    pub fixed_at: Time,
    /// Speed, km/h.
    #[schema(minimum = 0)]
    pub speed_kmh: Option<f64>,
    /// Whether it is guarded; not to operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<bool>,
    /// Whether an incident of it is open; not to operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<bool>,
}

/// How an incident stands now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentChange {
    /// Its number.
    pub id: Id,
    /// Its vehicle.
    pub vehicle_id: Id,
    /// How far it has come.
    pub state: IncidentState,
    /// What the owner said.
    pub answer: Option<Answer>,
    /// Grows with each answer, end or new beginning.
    pub version: i32,
    /// When it began.
    pub opened_at: Time,
    /// When it ended.
    pub closed_at: Option<Time>,
    /// It began while an installer tried the tracker.
    #[serde(default)]
    pub is_drill: bool,
}
