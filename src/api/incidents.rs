//! Incidents of my vehicles: their timeline, and the owner's answer.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::{Coded, Problem};
use crate::api::session::{Person, Role};
use crate::api::settings::is_in_force;
use crate::api::types;
use crate::api::vehicles::{id, time};
use crate::domain::Answer;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use utoipa::{IntoParams, ToSchema};

/// Most incidents in one answer.
const INCIDENTS_MAX: i32 = 100;

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// How many, 1 to 100 (20).
    limit: Option<i32>,
    /// Only those opened before this time, RFC 3339.
    before: Option<String>,
}

/// Incidents of my vehicles, newest first.
#[utoipa::path(get, path = "/incidents", operation_id = "list_incidents", tag = "incidents", params(Page), security(("bearer" = ["owner"])), responses((status = 200, description = "incidents", body = types::Incidents)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let limit = page.limit.unwrap_or(20);
    if !(1..=INCIDENTS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, INCIDENTS_MAX));
    }
    let before = page.before.as_deref().map(|text| time(text, "before")).transpose()?;
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_my_incidents($1, $2, $3)", &[&person.account, &before, &limit]).await?;
    let incidents: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "incidents": incidents })))
}

/// An incident of a vehicle of mine: state, timeline, alerts with their evidence. Its fixes are the
/// track of its vehicle from `fixes_from` to `fixes_to` (or now).
#[utoipa::path(get, path = "/incidents/{id}", operation_id = "get_incident", tag = "incidents", params(("id" = String, Path)), security(("bearer" = ["owner"])), responses((status = 200, description = "the incident", body = types::Incident), (status = 404, description = "none of yours")))]
pub(super) async fn one(
    State(api): State<Api>,
    person: Person,
    Path(incident): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let incident = id(&incident, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_opt("SELECT * FROM api_my_incident($1, $2)", &[&person.account, &incident]).await?;
    Ok(Json(row.ok_or(Problem::NotFound)?.get(0)))
}

/// What the owner says.
#[derive(Deserialize, ToSchema)]
pub(super) struct AnswerBody {
    /// `me` (no theft; further alarms of this ride are held off), `stolen`, or `recovered`.
    #[schema(value_type = String)]
    answer: Answer,
    /// The version of the incident that was seen. May be left out where no other answer stands.
    version: Option<i32>,
    /// Needed to take "stolen" back.
    #[serde(default)]
    withdraw: bool,
}

/// Say what an incident is.
#[utoipa::path(post, path = "/incidents/{id}/answer", operation_id = "answer_incident", tag = "incidents", params(("id" = String, Path)), request_body = AnswerBody, security(("bearer" = ["owner"])), responses((status = 200, description = "the incident as it is now", body = types::Incident), (status = 202, description = "not yet taken", body = types::Pending), (status = 404, description = "none of yours"), (status = 409, description = "`incident_changed`, `confirm_withdrawal`, `incident_closed` or `already_answered`, with `incident` as it is")))]
pub(super) async fn answer(
    State(api): State<Api>,
    person: Person,
    Path(incident): Path<String>,
    body: Result<Json<AnswerBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner])?;
    let Json(said) = body?;
    let number = id(&incident, "id")?;
    let client = api.pool.get().await?;
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&person.account, &number, &said.answer.name(), &said.version, &said.withdraw];
    let asked = client.query_one("SELECT api_answer($1, $2, $3, $4, $5)", &parameters).await;
    let setting: Option<i64> = match asked.map_err(Problem::from) {
        Ok(row) => row.get(0),
        Err(Problem::Coded(mut coded)) if coded.status == StatusCode::CONFLICT => {
            drop(client);
            let Json(present) = one(State(api), person, Path(incident)).await?;
            coded.present = Some(("incident", present));
            return Err(Problem::Coded(coded));
        }
        Err(problem) => return Err(problem),
    };
    if !is_in_force(&client, setting.ok_or(Problem::NotFound)?).await? {
        return Ok((StatusCode::ACCEPTED, Json(json!({ "pending": true }))));
    }
    drop(client);
    let Json(present) = one(State(api), person, Path(incident)).await?;
    let is_without_effect =
        present["answer"] != said.answer.name() || (said.answer == Answer::Stolen && !present["closed_at"].is_null());
    if is_without_effect {
        return Err(without_effect(said.version, present));
    }
    Ok((StatusCode::OK, Json(present)))
}

/// Why the guard let an answer have no effect: somebody else answered between the question and the guard, which took
/// the first; or the claimed ride is over, and with it the time in which "stolen" opens the incident again.
fn without_effect(given: Option<i32>, present: Value) -> Problem {
    let is_as_seen = given.is_none_or(|version| present["version"] == version);
    let (code, message, values) = if is_as_seen && !present["closed_at"].is_null() {
        let text = "the incident is over; its answer stands".to_owned();
        (Code::IncidentClosed, text, json!({ "state": present["state"] }))
    } else {
        let text = format!("the incident is at version {} by now; look at it and answer again", present["version"]);
        (Code::IncidentChanged, text, json!({ "version": present["version"], "given": given }))
    };
    Problem::Coded(Box::new(Coded {
        status: StatusCode::CONFLICT,
        code,
        message,
        values,
        present: Some(("incident", present)),
        wait_s: None,
    }))
}
