//! Incidents of my vehicles: their timeline, and the owner's answer.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::{Coded, Problem};
use crate::api::session::{Person, Role};
use crate::api::settings::is_in_force;
use crate::api::types::{self, stored};
use crate::api::vehicles::id;
use crate::domain::{Answer, Timestamp};
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use tokio_postgres::{Client, Row};
use utoipa::{IntoParams, ToSchema};

/// Most incidents in one answer.
const INCIDENTS_MAX: i32 = 100;
/// Most incidents of one instant that are put in order; an owner has fewer vehicles.
const SAME_TIME_MAX: i32 = 10_000;
/// Instants that a cursor may name: 1970 to 9999, as the schema can keep them.
const MICROS: std::ops::Range<i64> = 0..253_402_300_800_000_000;

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// How many, 1 to 100 (20).
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[serde(alias = "before")]
    cursor: Option<String>,
}

/// A place in the list of incidents: what follows is older, or as old with a smaller number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    opened_at: Timestamp,
    number: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.opened_at.micros(), self.number)
    }
}

impl Place {
    /// A cursor, or a time as earlier clients give it: then what opened before it follows.
    fn parse(cursor: &str) -> Result<Self, Problem> {
        let own = cursor.split_once('_').and_then(|(at, number)| Some((at.parse().ok()?, number.parse().ok()?)));
        let place = match own.filter(|(micros, _)| MICROS.contains(micros)) {
            Some((micros, number)) => Some(Self { opened_at: Timestamp::from_micros(micros), number }),
            None => Timestamp::parse_rfc3339(cursor).map(|opened_at| Self { opened_at, number: i64::MIN }),
        };
        place.ok_or_else(|| {
            let said: String = cursor.chars().take(40).collect();
            let message = format!("cursor is {said:?}; it must be the next_cursor of an answer");
            Problem::bad(Code::BadCursor, message, json!({}))
        })
    }
}

/// The first rows behind a place, in order. Of rows as old as the last of them, others may be missing: the schema
/// orders by time only, so those are complete only where a time is over.
fn behind(mut rows: Vec<(Place, Value)>, after: Option<Place>, is_all: bool) -> Vec<(Place, Value)> {
    let oldest = rows.iter().map(|(place, _)| place.opened_at).min();
    rows.retain(|(place, _)| after.is_none_or(|after| *place < after) && (is_all || Some(place.opened_at) > oldest));
    rows.sort_by_key(|(place, _)| Reverse(*place));
    rows
}

/// A page, and where the next one begins.
async fn page_of(
    client: &Client,
    session: Proof,
    after: Option<Place>,
    limit: i32,
) -> Result<(Vec<Value>, Option<Place>), Problem> {
    // The row of the place itself is read again, and one more shows that there is a next page.
    let mut fetched = limit + 3;
    let before = after.map(|a| Timestamp::from_micros(a.opened_at.micros() + 1));
    let mut rows = loop {
        let sql =
            "SELECT i, (i ->> 'opened_at')::timestamptz, (i ->> 'id')::bigint FROM api_my_incidents($1, $2, $3) i";
        let found = client.query(sql, &[&session, &before, &fetched]).await?;
        let is_all = found.len() < fetched as usize || fetched > SAME_TIME_MAX;
        let place = |r: &Row| Place { opened_at: r.get(1), number: r.get(2) };
        let rows = behind(found.iter().map(|r| (place(r), r.get(0))).collect(), after, is_all);
        if is_all || rows.len() > limit as usize {
            break rows;
        }
        fetched *= 4;
    };
    let next = rows.get(limit as usize - 1).map(|(place, _)| *place).filter(|_| rows.len() > limit as usize);
    rows.truncate(limit as usize);
    Ok((rows.into_iter().map(|(_, incident)| stored::incident(incident)).collect(), next))
}

/// Incidents of my vehicles, newest first.
#[utoipa::path(get, path = "/incidents", operation_id = "list_incidents", tag = "incidents", params(Page), security(("bearer" = ["owner", "family"])), responses((status = 200, description = "incidents", body = types::Incidents)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let limit = page.limit.unwrap_or(20);
    if !(1..=INCIDENTS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, INCIDENTS_MAX));
    }
    let after = page.cursor.as_deref().map(Place::parse).transpose()?;
    let client = api.pool.get().await?;
    let (incidents, next) = page_of(&client, person.session, after, limit).await?;
    Ok(Json(json!({ "incidents": incidents, "next_cursor": next.map(|n| n.to_string()) })))
}

/// An incident of a vehicle of mine: state, timeline, alerts with their evidence. Its fixes are the
/// track of its vehicle from `fixes_from` to `fixes_to` (or now).
#[utoipa::path(get, path = "/incidents/{id}", operation_id = "get_incident", tag = "incidents", params(("id" = types::Id, Path)), security(("bearer" = ["owner", "family"])), responses((status = 200, description = "the incident", body = types::Incident), (status = 404, description = "none of yours")))]
pub(super) async fn one(
    State(api): State<Api>,
    person: Person,
    Path(incident): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let incident = id(&incident, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_opt("SELECT * FROM api_my_incident($1, $2)", &[&person.session, &incident]).await?;
    Ok(Json(stored::incident(row.ok_or(Problem::NotFound)?.get(0))))
}

/// What the owner says.
#[derive(Deserialize, ToSchema)]
pub(super) struct IncidentAnswerRequest {
    /// `me` (no theft; further alarms of this ride are held off), `stolen`, or `recovered`.
    #[schema(value_type = types::Answer)]
    answer: Answer,
    /// The version of the incident that was seen. May be left out where no other answer stands.
    version: Option<i32>,
    /// Needed to take "stolen" back.
    #[serde(default)]
    withdraw: bool,
}

/// Say what an incident is.
#[utoipa::path(post, path = "/incidents/{id}/answer", operation_id = "answer_incident", tag = "incidents", params(("id" = types::Id, Path)), request_body = IncidentAnswerRequest, security(("bearer" = ["owner", "family"])), responses((status = 200, description = "the incident as it is now", body = types::Incident), (status = 202, description = "not yet taken", body = types::ChangePending), (status = 404, description = "none of yours"), (status = 409, description = "`incident_changed`, `confirm_withdrawal`, `incident_closed` or `already_answered`, with `incident` as it is")))]
pub(super) async fn answer(
    State(api): State<Api>,
    person: Person,
    Path(incident): Path<String>,
    body: Result<Json<IncidentAnswerRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let Json(said) = body?;
    let number = id(&incident, "id")?;
    let client = api.pool.get().await?;
    let sql = "SELECT api_answer($1, $2, $3, $4, $5)";
    let asked =
        client.query_one(sql, &[&person.session, &number, &said.answer.name(), &said.version, &said.withdraw]).await;
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
    if !is_in_force(&client, &person.session, setting.ok_or(Problem::NotFound)?).await? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(places: &[(i64, i64)]) -> Vec<(Place, Value)> {
        let place = |(at, number): &(i64, i64)| Place { opened_at: Timestamp::from_micros(*at), number: *number };
        places.iter().map(|at| (place(at), json!(at.1))).collect()
    }

    fn numbers(rows: &[(Place, Value)]) -> Vec<i64> {
        rows.iter().map(|(place, _)| place.number).collect()
    }

    #[test]
    fn incidents_of_one_instant_are_never_split_wrongly() {
        let places = [(9, 1), (8, 2), (8, 7), (8, 5), (7, 3)];
        assert_eq!(numbers(&behind(rows(&places), None, true)), [1, 7, 5, 2, 3]);
        // The rows may have been cut off within the oldest instant.
        assert_eq!(numbers(&behind(rows(&places[..4]), None, false)), [1]);
        let after = Place { opened_at: Timestamp::from_micros(8), number: 5 };
        assert_eq!(numbers(&behind(rows(&places), Some(after), true)), [2, 3]);
    }

    #[test]
    fn a_cursor_of_incidents_is_read_as_it_was_written_and_a_time_is_one_too() {
        let place = Place { opened_at: Timestamp::from_micros(1_795_947_524_866_000), number: 42 };
        assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
        let old = Place::parse("2026-11-29T10:18:44.866Z").unwrap();
        assert_eq!((old.opened_at, old.number), (place.opened_at, i64::MIN));
        assert!(old < place, "what opened at that instant does not follow");
        for wrong in ["", "soon", "1_", "_2", "1_2_3", "9223372036854775807_1", "-1_1"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
