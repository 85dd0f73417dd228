//! What answers look like: the schemas of the OpenAPI document.
//!
//! Most answers are made by the database and passed on as they are; a test reads them into these types
//! and finds nothing missing and nothing unsaid (`tests/system/support/shapes.rs`).

mod guarding;
mod holds;
mod people;
mod searches;
mod vehicles;

pub use guarding::{
    Corner, Ended, GuardState, Guarding, Incident, IncidentSummary, Incidents, Schedule, Shape, TimelineLine, Window,
    Zone, Zones,
};
pub use holds::{Hold, Holds};
pub use people::{
    Account, CoverageGap, CoverageGaps, Grant, Grants, Me, Opened, Outage, Outages, Refusal, Ticket, Token,
    TrackerCounts, TrackerHealth, Trackers,
};
pub use searches::{Area, Companion, Company, Gap, Newest, Point, Presence, Seen, Stop, Track, Trip, Trips};
pub use vehicles::{Alert, Alerts, Fix, Place, Vehicle, Vehicles};

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, Ref, RefOr};

/// A number of ours as decimal text: JavaScript's numbers end at 2⁵³.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = "42", pattern = "^[0-9]{1,19}$")]
pub struct Id(pub String);

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

/// A time, RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-23T10:00:00Z")]
pub struct Time(pub String);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at.to_string())
    }
}

/// It was handed on, and will be in force when the guard has taken it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Always true.
    pub pending: bool,
}

/// Every call that takes a token takes a browser's cookie, for the same roles.
pub(super) fn describe_cookies(document: &mut OpenApi) {
    for operation in operations(document) {
        let Some(ways) = &mut operation.security else { continue };
        let roles = ways.iter().find_map(|way| {
            let way = serde_json::to_value(way).ok()?;
            serde_json::from_value::<Vec<String>>(way["bearer"].clone()).ok()
        });
        ways.extend(roles.map(|roles| SecurityRequirement::new("cookie", roles)));
    }
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    let items = document.paths.paths.values_mut();
    items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten())
}

/// Gives every refusal of the document its one form.
pub(super) fn describe_refusals(document: &mut OpenApi) {
    let form = || {
        let schema = RefOr::Ref(Ref::from_schema_name(Refusal::name()));
        RefOr::T(ContentBuilder::new().schema(Some(schema)).build())
    };
    for operation in operations(document) {
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with('4')
            {
                response.content.insert("application/json".into(), form());
            }
        }
    }
}
