//! What is to be done at doors on a day.

use super::{AT_THE_DOOR, TEXT_CHARS_MAX, text, word};
use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::time;
use crate::domain::Plate;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Most jobs of a day in one answer: no crew does more.
const JOBS_MAX: i32 = 500;
/// What can be done at a door.
const WORKS: [&str; 4] = ["install", "refit", "replace", "remove"];

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Day {
    /// The day in China, `2026-11-29`.
    #[param(format = Date)]
    day: String,
}

/// A day as a date of the calendar.
fn day(given: &str) -> Result<&str, Problem> {
    time(&format!("{given}T00:00:00Z"), "day").map(|_| given)
}

/// The jobs of a day in my organisation, and my visits that are not over.
#[utoipa::path(get, path = "/door/jobs", operation_id = "door_jobs", tag = "door", params(Day), security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "jobs and visits", body = types::DoorDay)))]
pub(in crate::api) async fn jobs(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<Day>,
) -> Result<Json<Value>, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let day = day(&asked.day)?;
    let client = api.pool.get().await?;
    let jobs = client
        .query("SELECT * FROM api_door_jobs($1, $2::text::date, $3)", &[&person.session, &day, &JOBS_MAX])
        .await?;
    let visits = client.query("SELECT * FROM api_door_visits($1)", &[&person.session]).await?;
    let (jobs, visits): (Vec<Value>, Vec<Value>) =
        (jobs.iter().map(|r| r.get(0)).collect(), visits.iter().map(|r| r.get(0)).collect());
    Ok(Json(json!({ "jobs": jobs, "visits": visits })))
}

/// A job to be done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DoorJobRequest {
    /// The day in China, `2026-11-29`.
    #[schema(format = Date)]
    day: String,
    /// `install`, `refit`, `replace` or `remove`.
    work: String,
    /// Where to go, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    place: String,
    /// Plate of the vehicle in any spelling, if it is known.
    plate: Option<String>,
}

/// Give installers something to do.
#[utoipa::path(post, path = "/door/jobs", operation_id = "add_door_job", tag = "door", request_body = DoorJobRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "the job", body = types::DoorJob)))]
pub(in crate::api) async fn add_job(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<DoorJobRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let Json(asked) = body?;
    let day = day(&asked.day)?;
    let work = word(&asked.work, "work", &WORKS)?;
    let place = text(&asked.place, "place", TEXT_CHARS_MAX)?;
    let plate = asked.plate.as_deref().filter(|p| !p.trim().is_empty());
    if let Some(plate) = plate {
        Plate::parse(plate).map_err(|e| Problem::wrong(&e))?;
    }
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_door_add_job($1, $2::text::date, $3, $4, $5)",
            &[&person.session, &day, &work, &place, &plate],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(row.get(0))))
}
