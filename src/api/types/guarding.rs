//! Guard sessions, incidents, zones.

use crate::api::types::{Alert, Id, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The guard's state after arming or disarming.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardState {
    /// Whether it is guarded.
    pub armed: bool,
    /// Since when.
    pub since: Option<Time>,
}

/// A guard session that was ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Always false.
    pub armed: bool,
}

/// When a vehicle is guarded by itself, and whether it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Guarding {
    /// Whether it is guarded.
    pub armed: bool,
    /// Who began or ended that: `owner`, `schedule`, `parked` or `phone`.
    pub by: Option<String>,
    /// Since when.
    pub since: Option<Time>,
    /// Windows of the week; none: by no schedule.
    pub schedule: Option<Schedule>,
    /// Seconds after parking with the ignition off; none: not by parking.
    pub auto_after_s: Option<i32>,
    /// Phones that may end a session.
    pub phones: i64,
}

/// Windows of the week.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WeekSchedule)]
pub struct Schedule {
    /// `Asia/Shanghai`, `UTC` or an offset such as `+08:00`.
    pub time_zone: String,
    /// At most 14.
    pub windows: Vec<Window>,
}

/// The same hours on some days.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WeekWindow)]
pub struct Window {
    /// 1 is Monday, 7 is Sunday.
    pub days: Vec<u8>,
    /// Minutes from midnight.
    pub from_min: u16,
    /// Minutes from midnight; at or before the beginning it is the next day's.
    pub to_min: u16,
}

/// A page of incidents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Incidents {
    /// Newest first.
    pub incidents: Vec<IncidentSummary>,
}

/// What happened to a vehicle, in short.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentSummary {
    /// Its number.
    pub id: Id,
    /// Its vehicle.
    pub vehicle_id: Id,
    /// The vehicle's plate.
    pub plate: String,
    /// When it began.
    pub opened_at: Time,
    /// When it ended.
    pub closed_at: Option<Time>,
    /// What ended it.
    pub end: Option<String>,
    /// `suspected`, `confirmed`, `followed`, `recovered`, `closed` or `false_alarm`.
    pub state: String,
    /// How sure, 0 to 1.
    pub score: f64,
    /// `low`, `high` or `critical`.
    pub severity: String,
    /// What the owner said: `me`, `stolen` or `recovered`.
    pub answer: Option<String>,
    /// When.
    pub answered_at: Option<Time>,
    /// Its fixes are the track of its vehicle from here …
    pub fixes_from: Time,
    /// … to here, or to now.
    pub fixes_to: Option<Time>,
    /// Grows with each answer, end or new beginning; an answer carries the one that it saw.
    pub version: i32,
    /// What the owner said, in order.
    pub answers: Vec<GivenAnswer>,
}

/// An answer that the owner gave.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenAnswer {
    /// `me`, `stolen` or `recovered`.
    pub answer: String,
    /// When.
    pub at: Time,
}

/// What happened to a vehicle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// In short.
    #[serde(flatten)]
    pub summary: IncidentSummary,
    /// Its alerts, with their evidence.
    pub alerts: Vec<Alert>,
    /// What happened, in order.
    pub timeline: Vec<TimelineLine>,
}

/// One line of a timeline; more fields follow from its kind.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TimelineLine {
    /// When we knew.
    pub at: Time,
    /// `alert`, or the kind of a note: an answer, a state, what explained an alert.
    pub kind: String,
    /// The rest.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// A page of zones.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// In the order of their numbers.
    pub zones: Vec<Zone>,
    /// The cursor of the next page.
    pub next: Option<Id>,
}

/// A zone and its rule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its number.
    pub id: Id,
    /// For people.
    pub name: String,
    /// `enter`, `exit`, `both`, `dwell` or `forbidden`.
    pub rule: String,
    /// Its area.
    pub shape: Shape,
    /// What the positions of its shape are: always `wgs84`.
    pub crs: String,
    /// What they were when it was drawn: `wgs84` or `gcj02`.
    pub drawn_crs: String,
    /// The vehicle it is for; none: the city.
    pub vehicle_id: Option<Id>,
    /// The stay that a dwell rule asks for, s.
    pub dwell_s: i32,
    /// When the rule counts; none: always.
    pub schedule: Option<Schedule>,
    /// `ebike` or `motorcycle`; none: every kind.
    pub vehicle_kind: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Whether the asker made it.
    pub mine: bool,
}

/// An area.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// Everything within a distance of a point.
    Circle {
        /// Its centre.
        centre: Corner,
        /// Its radius, metres.
        radius_m: f64,
    },
    /// A ring of corners with holes.
    Polygon {
        /// The outer ring.
        outer: Vec<Corner>,
        /// Rings cut out of it.
        #[serde(default)]
        holes: Vec<Vec<Corner>>,
    },
    /// Everything within half the width of a line.
    Corridor {
        /// The line's points in order.
        line: Vec<Corner>,
        /// Its width, metres, both sides together.
        width_m: f64,
    },
}

/// A position of a shape.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Corner {
    /// Latitude, degrees.
    pub lat_deg: f64,
    /// Longitude, degrees.
    pub lon_deg: f64,
}
