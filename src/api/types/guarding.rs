//! Guard sessions, incidents, zones.

use crate::api::types::{Alert, AlertKind, Answer, ArmedBy, CloseReason, Id, IncidentState, Severity, Time};
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
pub struct GuardSessionEnded {
    /// Always false.
    pub armed: bool,
}

/// When a vehicle is guarded by itself, and whether it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicy {
    /// Whether it is guarded.
    pub armed: bool,
    /// Who began or ended that.
    pub armed_by: Option<ArmedBy>,
    /// Since when.
    pub since: Option<Time>,
    /// Windows of the week; none: by no schedule.
    pub schedule: Option<WeekSchedule>,
    /// Seconds after parking with the ignition off; none: not by parking.
    #[schema(minimum = 60, maximum = 3600)]
    pub auto_after_s: Option<i32>,
    /// Phones that may end a session.
    pub phones: i64,
}

/// Windows of the week.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekSchedule {
    /// `Asia/Shanghai` (where it is left out), `UTC` or an offset such as `+08:00`.
    #[schema(required = false)]
    pub time_zone: String,
    /// At most 14.
    #[schema(min_items = 1, max_items = 14)]
    pub windows: Vec<WeekWindow>,
}

/// The same hours on some days.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekWindow {
    /// 1 is Monday, 7 is Sunday.
    #[schema(min_items = 1, max_items = 7)]
    pub days: Vec<u8>,
    /// Minutes from midnight.
    #[schema(minimum = 0, maximum = 1439)]
    pub from_min: u16,
    /// Minutes from midnight; at or before the beginning it is the next day's.
    #[schema(minimum = 0, maximum = 1440)]
    pub to_min: u16,
}

/// A page of incidents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Incidents {
    /// Newest first.
    pub incidents: Vec<IncidentSummary>,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
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
    pub close_reason: Option<CloseReason>,
    /// How far it has come.
    pub state: IncidentState,
    /// How sure, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub score: f64,
    /// How grave, by its score.
    pub severity: Severity,
    /// What the owner said.
    pub answer: Option<Answer>,
    /// When.
    pub answered_at: Option<Time>,
    /// Its fixes are the track of its vehicle from here …
    pub fixes_from: Time,
    /// … to here, or to now.
    pub fixes_to: Option<Time>,
    /// Grows with each answer, end or new beginning; an answer carries the one that it saw.
    pub version: i32,
    /// What the owner said, in order.
    pub answers: Vec<IncidentAnswer>,
    /// It began while an installer tried the tracker.
    #[serde(default)]
    pub is_drill: bool,
}

/// An answer that the owner gave.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentAnswer {
    /// What.
    pub answer: Answer,
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
    pub timeline: Vec<TimelineEntry>,
}

/// One line of a timeline; its kind says which of the fields it has.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// When we knew.
    pub at: Time,
    /// `alert`, or the kind of a note: an answer, a state, what explained an alert.
    pub kind: String,
    /// The alert, of `alert`, `at_home` and `held_off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AlertKind, required = false)]
    pub alert: Option<AlertKind>,
    /// What the owner said, of `answered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Answer, required = false)]
    pub answer: Option<Answer>,
    /// The state it came to, of `became`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = IncidentState, required = false)]
    pub state: Option<IncidentState>,
    /// When it happened, where we heard of it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Time, required = false)]
    pub happened_at: Option<Time>,
    /// How many alarms were held off, of `ride_over`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    pub held_off: Option<u32>,
    /// What a later version may say more.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: serde_json::Map<String, serde_json::Value>,
}
