//! The installer at the door.

use crate::api::types::{AlertKind, CodeLink, Id, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A day's jobs, and my visits that are not over.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorDay {
    /// Those to do first.
    pub jobs: Vec<DoorJob>,
    /// Mine, the oldest first.
    pub visits: Vec<DoorVisit>,
}

/// Something to do at a door.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorJob {
    /// Its number.
    pub id: Id,
    /// The day in China, `2026-11-29`.
    pub day: String,
    /// `install`, `refit`, `replace` or `remove`.
    pub work: String,
    /// Where to go; empty 30 days after it was done.
    pub place: String,
    /// Of which vehicle, if it is known.
    pub plate: Option<String>,
    /// When it was handed over.
    pub done_at: Option<Time>,
    /// Why it could not be done.
    pub reason: Option<String>,
}

/// A tracker that is being fitted, tried and handed over.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorVisit {
    /// Its number.
    pub id: Id,
    /// `install`, `refit` (the same tracker again) or `replace`.
    pub work: String,
    /// The vehicle's plate.
    pub plate: String,
    /// The tracker.
    pub ident: String,
    /// When it was fitted.
    pub began_at: Time,
    /// When its drill began.
    pub drill_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// `handed_over` or `given_up`.
    pub outcome: Option<String>,
    /// What could not be seen when it was handed over: `place`, `battery`, `signal`, `shake`, `supply`.
    pub without: Vec<String>,
    /// Why.
    pub without_why: Option<String>,
    /// The job that it was for.
    pub job_id: Option<Id>,
    /// Whether there is a photo of it.
    pub has_photo: bool,
}

/// The visits at a vehicle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorVisits {
    /// The newest first, 50 at most.
    pub visits: Vec<DoorVisit>,
}

/// A visit and what has been seen since it began.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorVisitChecked {
    /// The visit.
    pub visit: DoorVisit,
    /// What has been seen.
    pub check: DoorCheck,
}

/// What has been seen of a tracker since its visit began.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorCheck {
    /// When it was last heard.
    pub heard_at: Option<Time>,
    /// Whether that was during the visit.
    pub is_heard: bool,
    /// When its last fix was.
    pub fixed_at: Option<Time>,
    /// How wrong that may be, m.
    pub accuracy_m: Option<f64>,
    /// Satellites of the fix.
    pub satellites: Option<i32>,
    /// From the phone to a fix of this visit, m; none: no fix, or the phone's place was not given.
    pub distance_m: Option<f64>,
    /// Its battery, percent.
    pub battery_percent: Option<i32>,
    /// Its signal, percent.
    pub signal_percent: Option<i32>,
    /// Whether the vehicle powers it; none: it does not say.
    pub external_power: Option<bool>,
    /// Whether the guard has taken the drill.
    pub armed: bool,
    /// When it said that it is shaken.
    pub shaken_at: Option<Time>,
    /// When it said that its supply was gone.
    pub unplugged_at: Option<Time>,
    /// When the drill raised an alert that wakes an owner.
    pub drill_alert_at: Option<Time>,
    /// Which one.
    pub drill_kind: Option<AlertKind>,
    /// What the hand-over needs, in the order in which it is done.
    pub checks: Vec<DoorStep>,
}

/// One thing that a hand-over needs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorStep {
    /// Which.
    pub name: DoorCheckName,
    /// How it stands.
    pub state: DoorCheckState,
    /// Whether it may be left out with a reason.
    pub is_skippable: bool,
}

/// What is checked at a door.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoorCheckName {
    /// A packet came since the visit began.
    Heard,
    /// A fix of the visit is within 100 m of the phone.
    Place,
    /// Its battery has 20 percent or more.
    Battery,
    /// Its signal has 20 percent or more.
    Signal,
    /// It said that it is shaken.
    Shake,
    /// Its supply went and came back.
    Supply,
    /// An alert of the drill arrived.
    Drill,
}

/// How a check stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoorCheckState {
    /// It is as it has to be.
    Seen,
    /// Nothing is known of it yet.
    NotSeen,
    /// It is otherwise than it has to be.
    Wrong,
    /// The tracker has no such thing.
    NotNeeded,
}

/// A visit that is over.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorHandedOver {
    /// The visit.
    pub visit: DoorVisit,
    /// By which the owner comes in, shown this once; none: the owner is in already.
    pub invitation: Option<CodeLink>,
}
