//! Trackers as operators see them: health, never places.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types::{self, stored};
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Most trackers in one answer.
const TRACKERS_MAX: i32 = 500;
/// Length of a reason for seeing plates, characters.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 4..=200;

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// `all` (default), or how they are heard.
    #[param(value_type = Option<types::TrackerFilter>)]
    state: Option<String>,
    /// Part of a tracker id; of a plate, too, with a reason.
    q: Option<String>,
    /// Why plates are to be shown, 4 to 200 characters; it is audited. Without it no plate is shown.
    #[param(min_length = 4, max_length = 200)]
    reason: Option<String>,
    /// How many, 1 to 500 (100).
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[serde(alias = "after")]
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// The trackers and how they are.
#[utoipa::path(get, path = "/trackers", operation_id = "list_trackers", tag = "trackers", params(Page), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "trackers", body = types::Trackers)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=TRACKERS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, TRACKERS_MAX));
    }
    let state = page.state.unwrap_or_else(|| "all".into());
    if !["all", "online", "late", "silent", "never", "off"].contains(&state.as_str()) {
        let said = "state must be all, online, late, silent, never or off";
        return Err(Problem::bad(
            Code::UnknownWord,
            said,
            json!({ "field": "state", "value": state.chars().take(32).collect::<String>() }),
        ));
    }
    let text: String = page.q.unwrap_or_default().chars().take(32).collect();
    let after = page.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?.unwrap_or(0);
    let reason = page.reason.map(|r| r.trim().to_owned()).filter(|r| !r.is_empty());
    if let Some(length) = reason.as_ref().map(|r| r.chars().count()).filter(|n| !REASON_CHARS.contains(n)) {
        let (min, max) = (REASON_CHARS.start(), REASON_CHARS.end());
        let said = format!("reason has {length} characters; it must have {min} to {max}");
        let values = json!({ "field": "reason", "characters": length, "min": min, "max": max });
        return Err(Problem::bad(Code::TextLength, said, values));
    }
    let client = api.pool.get().await?;
    let sql = "SELECT * FROM api_trackers($1, $2, $3, $4, $5, $6)";
    let rows = client.query(sql, &[&person.session, &state, &text, &after, &limit, &reason]).await?;
    let trackers: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    let counts: Value = client.query_one("SELECT api_tracker_counts($1)", &[&person.session]).await?.get(0);
    let next = if trackers.len() == limit as usize { trackers.last().map(|t| t["id"].clone()) } else { None };
    Ok(Json(json!({ "trackers": trackers, "next_cursor": next, "counts": counts })))
}

/// Most gaps in one answer.
const GAPS_MAX: i32 = 50;

/// Times of the last week in which we heard nothing because of ourselves or the broker, newest first.
#[utoipa::path(get, path = "/coverage-gaps", operation_id = "list_coverage_gaps", tag = "trackers", security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "gaps", body = types::CoverageGaps)))]
pub(super) async fn coverage_gaps(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let rows =
        api.pool.get().await?.query("SELECT * FROM api_coverage_gaps($1, $2)", &[&person.session, &GAPS_MAX]).await?;
    let gaps: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "gaps": gaps })))
}

/// The door of each process that runs one, with its listeners. Numbers of everybody are for who sees every tracker.
#[utoipa::path(get, path = "/listeners", operation_id = "list_listeners", tag = "trackers", security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "doors, those that are there first", body = types::TrackerDoors)))]
pub(super) async fn listeners(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let doors: Value = api.pool.get().await?.query_one("SELECT api_listeners($1)", &[&person.session]).await?.get(0);
    Ok(Json(json!({ "doors": doors })))
}

/// Most outages in one answer.
const OUTAGES_MAX: i32 = 50;

/// Neighbourhoods that fell silent together in the last week, newest first: cells, squares, firmware versions,
/// the whole network.
#[utoipa::path(get, path = "/outages", operation_id = "list_outages", tag = "trackers", security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "outages", body = types::Outages)))]
pub(super) async fn outages(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let rows =
        api.pool.get().await?.query("SELECT * FROM api_outages($1, $2)", &[&person.session, &OUTAGES_MAX]).await?;
    let outages: Vec<Value> = rows.iter().map(|r| stored::outage(r.get(0))).collect();
    Ok(Json(json!({ "outages": outages })))
}
