//! Vehicles: the owner's own, and the police's searches by plate or tracker.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::settings::is_in_force;
use crate::api::types;
use crate::domain::{Timestamp, plate};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Fewest letters and digits searched for: fewer name half a city.
const SEARCH_CHARS_MIN: usize = 3;
/// Longest text searched for, with all that stands between its letters.
const SEARCH_CHARS_MAX: usize = 32;

/// Reads an id that the path or the query gives.
pub(super) fn id(text: &str, what: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| {
        let said: String = text.chars().take(32).collect();
        let message = format!("{what} is {said:?}; it must be a number");
        Problem::bad(Code::NotANumber, message, json!({ "field": what, "value": said }))
    })
}

#[derive(Deserialize, IntoParams)]
pub(super) struct Search {
    /// Part of a plate in any spelling, or of a tracker id: 3 letters and digits at least (police).
    #[param(min_length = 3, max_length = 32)]
    q: Option<String>,
    /// The grant that allows it (police).
    #[serde(alias = "grant")]
    #[param(value_type = Option<types::Id>)]
    grant_id: Option<String>,
}

/// My vehicles; for the police, those that match.
#[utoipa::path(get, path = "/vehicles", operation_id = "list_vehicles", tag = "vehicles", params(Search), security(("bearer" = ["owner", "family", "police"])), responses((status = 200, description = "vehicles", body = types::Vehicles)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family, Role::Police])?;
    let client = api.pool.get().await?;
    let rows = if person.role.sees_own() {
        client.query("SELECT * FROM api_my_vehicles($1)", &[&person.session]).await?
    } else {
        let text = search.q.unwrap_or_default();
        let characters = plate::key(&text).chars().count();
        if characters < SEARCH_CHARS_MIN || text.chars().count() > SEARCH_CHARS_MAX {
            let (min, max) = (SEARCH_CHARS_MIN, SEARCH_CHARS_MAX);
            let said = format!("q has {characters} letters and digits; {min} to {max} are searched for");
            let values = json!({ "characters": characters, "min": min, "max": max });
            return Err(Problem::bad(Code::SearchLength, said, values));
        }
        let grant = id(search.grant_id.as_deref().unwrap_or_default(), "grant_id")?;
        client.query("SELECT * FROM api_police_vehicles($1, $2, $3)", &[&person.session, &grant, &text]).await?
    };
    let vehicles: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "vehicles": vehicles })))
}

/// One of my vehicles.
#[utoipa::path(get, path = "/vehicles/{id}", operation_id = "get_vehicle", tag = "vehicles", params(("id" = types::Id, Path)), security(("bearer" = ["owner", "family"])), responses((status = 200, description = "the vehicle", body = types::Vehicle), (status = 404, description = "none of yours")))]
pub(super) async fn one(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let vehicle = id(&vehicle, "id")?;
    let row =
        api.pool.get().await?.query_opt("SELECT * FROM api_my_vehicle($1, $2)", &[&person.session, &vehicle]).await?;
    Ok(Json(row.ok_or(Problem::NotFound)?.get(0)))
}

/// A time as people give it.
pub(super) fn time(text: &str, what: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        let said: String = text.chars().take(40).collect();
        let message = format!("{what} is {said:?}; it must be a time like 2026-11-23T10:00:00Z");
        Problem::bad(Code::NotATime, message, json!({ "field": what, "value": said }))
    })
}

/// Reads a span of time and checks its length.
pub(super) fn span(from: &str, to: &str, days_max: f64) -> Result<(Timestamp, Timestamp), Problem> {
    let (from, to) = (time(from, "from")?, time(to, "to")?);
    let days = to.seconds_since(from) / 86_400.0;
    if days <= 0.0 || days > days_max {
        let said = format!("from and to are {days:.2} days apart; it must be above 0 and at most {days_max} days");
        let values = json!({ "days": (days * 100.0).round() / 100.0, "max": days_max });
        return Err(Problem::bad(Code::SpanLength, said, values));
    }
    Ok((from, to))
}

/// What is said with arming and disarming.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArmRequest {
    /// Ends an incident that is answered "stolen", too.
    #[serde(default)]
    withdraw: bool,
}

/// Guard it (设防).
#[utoipa::path(post, path = "/vehicles/{id}/arm", operation_id = "arm_vehicle", tag = "vehicles", params(("id" = types::Id, Path)), request_body = Option<ArmRequest>, security(("bearer" = ["owner", "family"])), responses((status = 200, description = "in force", body = types::GuardState), (status = 202, description = "not yet", body = types::ChangePending), (status = 404, description = "none of yours"), (status = 409, description = "a confirmed theft is open, or no tracker")))]
pub(super) async fn arm(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    switch(&api, &person, &vehicle, true, &body).await
}

/// Guard it no longer (撤防).
#[utoipa::path(post, path = "/vehicles/{id}/disarm", operation_id = "disarm_vehicle", tag = "vehicles", params(("id" = types::Id, Path)), request_body = Option<ArmRequest>, security(("bearer" = ["owner", "family"])), responses((status = 200, description = "in force", body = types::GuardState), (status = 202, description = "not yet", body = types::ChangePending), (status = 404, description = "none of yours"), (status = 409, description = "a confirmed theft is open, or no tracker")))]
pub(super) async fn disarm(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    switch(&api, &person, &vehicle, false, &body).await
}

async fn switch(api: &Api, person: &Person, vehicle: &str, armed: bool, body: &Bytes) -> Result<Response, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let vehicle = id(vehicle, "id")?;
    let client = api.pool.get().await?;
    // Clients that have nothing to say send nothing, whatever type they declare.
    let withdraw = !body.is_empty() && Json::<ArmRequest>::from_bytes(body)?.withdraw;
    let setting: Option<i64> = client
        .query_one("SELECT api_switch($1, $2, $3, $4)", &[&person.session, &vehicle, &armed, &withdraw])
        .await?
        .get(0);
    let setting = setting.ok_or(Problem::NotFound)?;
    if is_in_force(&client, &person.session, setting).await? {
        let row = client.query_opt("SELECT * FROM api_my_vehicle($1, $2)", &[&person.session, &vehicle]).await?;
        let shown: Value = row.ok_or(Problem::NotFound)?.get(0);
        return Ok(Json(json!({ "armed": shown["armed"], "since": shown["armed_at"] })).into_response());
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "pending": true }))).into_response())
}
