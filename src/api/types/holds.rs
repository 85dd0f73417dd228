//! Legal holds.

use crate::api::types::{Id, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Legal holds.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LegalHolds {
    /// The newest first.
    pub holds: Vec<LegalHold>,
    /// The cursor of the next page.
    pub next_cursor: Option<Id>,
}

/// What is kept for a case.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LegalHold {
    /// Its number.
    pub id: Id,
    /// The case.
    pub case_number: String,
    /// The vehicle.
    pub vehicle_id: Id,
    /// Its plate, as it is now.
    pub plate: String,
    /// Begin of what is kept.
    pub from: Time,
    /// End of what is kept.
    pub to: Time,
    /// Why it was placed.
    pub reason: String,
    /// Login of who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: Time,
    /// When it ends by itself.
    pub ends_at: Time,
    /// Whether it keeps anything now.
    pub in_force: bool,
    /// Login of who released it.
    pub released_by: Option<String>,
    /// When.
    pub released_at: Option<Time>,
    /// Why it was released.
    pub release_reason: Option<String>,
}
