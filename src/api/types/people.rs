//! Sessions, grants, and what operators see.

use crate::api::Code;
use crate::api::types::{ContactState, CoverageGapCause, Id, OutageKind, Role, Time, TrackerConnection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why something was refused.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// The word of its status: `bad_request`, `unauthenticated`, `forbidden`, `not_found`, `method_not_allowed`,
    /// `too_large`, `unprocessable`, `too_many_requests`, `unavailable`, `internal`; of a conflict its code.
    pub error: String,
    /// For programs: why (docs/errors.md).
    pub code: Code,
    /// For people: names the thing, the value and the limit.
    pub message: String,
    /// What the message holds, by name, so that a page can say it in the reader's language.
    #[schema(value_type = Object)]
    pub values: serde_json::Map<String, serde_json::Value>,
    /// The incident as it is now, where an answer to it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = super::Incident, required = false)]
    pub incident: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A session that was opened.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionCreated {
    /// The bearer token; it is shown once. Left out where a cookie holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub token: Option<String>,
    /// Then it is dead.
    pub expires_at: Time,
    /// Whose it is.
    pub account: Account,
    /// Where the log-in enrolled a second factor: ten codes, shown once, each used once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false)]
    pub recovery_codes: Option<Vec<String>>,
}

/// An account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// What is typed.
    pub login: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Who asks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CurrentAccount {
    /// What is typed.
    pub login: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where the person works.
    pub organisation: Option<String>,
}

/// A secret that is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhoneToken {
    /// 64 hexadecimal digits.
    pub token: String,
}

/// What opens one live stream.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveTicket {
    /// 64 hexadecimal digits.
    pub ticket: String,
    /// Then it opens nothing.
    pub expires_at: Time,
}

/// Grants in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// The officer's own.
    pub grants: Vec<Grant>,
}

/// What an officer may ask for, and why.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its number.
    pub id: Id,
    /// The case.
    pub case_number: String,
    /// What it is for.
    pub purpose: String,
    /// Its end.
    pub valid_to: Time,
    /// Largest area of a question, km².
    pub area_km2_max: f64,
    /// Longest window of a question, hours.
    pub hours_max: f64,
}

/// Trackers and how many there are in each state.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trackers {
    /// In the order of their numbers.
    pub trackers: Vec<TrackerHealth>,
    /// The cursor of the next page.
    pub next_cursor: Option<Id>,
    /// Of all trackers, whatever was asked for.
    pub counts: TrackerCounts,
}

/// How a tracker is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerHealth {
    /// Its number.
    pub id: Id,
    /// What it calls itself.
    pub ident: String,
    /// Its language.
    pub protocol: String,
    /// The vehicle that carries it.
    pub plate: Option<String>,
    /// Who looks after it.
    pub organisation: Option<String>,
    /// How it is heard.
    pub state: ContactState,
    /// When anything came from it.
    pub last_heard_at: Option<Time>,
    /// How often it reports, seconds, as learnt; none before two reports.
    pub report_interval_s: Option<i32>,
    /// Its battery, %.
    #[schema(minimum = 0, maximum = 100)]
    pub battery_percent: Option<i16>,
    /// Its signal, %.
    #[schema(minimum = 0, maximum = 100)]
    pub signal_percent: Option<i16>,
    /// Satellites of its newest fix.
    pub satellites: Option<i16>,
    /// Its firmware, as it says.
    pub firmware: Option<String>,
    /// Messages of it that could not be used.
    pub quarantined_packets: i64,
    /// Why the last of them could not be used, as a word: `decode`, `flood`, `identity`, `left_over`, `position`, `retained`, `size`,
    /// `store`, `time`, `topic`, `unknown_tracker`.
    pub last_error_code: Option<String>,
    /// The same as a sentence, without positions.
    pub last_error: Option<String>,
    /// How it is connected to the door, or was last; none: it has not come there.
    pub connection: Option<TrackerConnection>,
}

/// Trackers by state.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerCounts {
    /// Heard in time.
    pub online: i64,
    /// One report is missing.
    pub late: i64,
    /// Three reports are missing.
    pub silent: i64,
    /// Not heard yet.
    pub never: i64,
    /// Positioning of the vehicle is off by its owner's choice.
    pub off: i64,
}

/// Outages of the last 7 days.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Outages {
    /// Newest first.
    pub outages: Vec<Outage>,
}

/// Trackers with something in common that fell silent together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// What they have in common.
    pub kind: OutageKind,
    /// Which one.
    pub name: String,
    /// When the first fell silent.
    pub began_at: Time,
    /// When it was noticed.
    pub noticed_at: Time,
    /// When most were heard again.
    pub ended_at: Option<Time>,
    /// Vehicles that fell silent: those that I may know of.
    pub silent_count: i64,
    /// Guarded vehicles there are; left out where others may be of another organisation.
    pub member_count: Option<i64>,
    /// Lanes that noticed it.
    pub lanes: i64,
}

/// Gaps of the last 7 days.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CoverageGaps {
    /// Newest first.
    pub gaps: Vec<CoverageGap>,
}

/// A time in which we heard nothing because of ourselves or the broker.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CoverageGap {
    /// Why.
    pub cause: CoverageGapCause,
    /// From.
    pub from: Time,
    /// To.
    pub to: Time,
    /// Lanes, of 16, that it concerns.
    pub lanes: i64,
}
