//! Legal holds: what a case needs is kept, however old. Police see and change those of their grant's
//! case, administrators all; every call leaves an audit row.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::{id, span, time};
use crate::domain::Plate;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Who may have holds.
const ROLES: &[Role] = &[Role::Police, Role::Admin];
/// Most holds in one answer.
const HOLDS_MAX: i32 = 200;
/// Longest window of a hold, days: more than anything is kept without one.
const WINDOW_DAYS_MAX: f64 = 3660.0;
/// Longest number of a case, and longest reason, characters.
const CASE_CHARS_MAX: usize = 64;
const REASON_CHARS_MAX: usize = 500;

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// The grant whose case it is (police).
    #[serde(alias = "grant")]
    #[param(value_type = Option<types::Id>)]
    grant_id: Option<String>,
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[serde(alias = "before")]
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// Holds of my grant's case, or all for an administrator; the newest first.
#[utoipa::path(get, path = "/holds", operation_id = "list_holds", tag = "holds", params(Page), security(("bearer" = ["police", "admin"])), responses((status = 200, description = "holds", body = types::LegalHolds), (status = 403, description = "no grant")))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let limit = page.limit.unwrap_or(50);
    if !(1..=HOLDS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, HOLDS_MAX));
    }
    let before = page.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?;
    let grant = the_grant(&person, page.grant_id.as_deref())?;
    let rows = api
        .pool
        .get()
        .await?
        .query("SELECT * FROM api_holds($1, $2, $3, $4)", &[&person.session, &grant, &before, &limit])
        .await?;
    let holds: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    let next = if holds.len() == limit as usize { holds.last().map(|h| h["id"].clone()) } else { None };
    Ok(Json(json!({ "holds": holds, "next_cursor": next })))
}

/// What to keep. Police give a grant, whose case it is then; administrators the number of a case.
#[derive(Deserialize, ToSchema)]
pub(super) struct LegalHoldRequest {
    /// The grant that allows it (police).
    #[serde(alias = "grant")]
    #[schema(value_type = Option<types::Id>)]
    grant_id: Option<String>,
    /// Number of the case, 1 to 64 characters (administrators).
    #[schema(min_length = 1, max_length = 64)]
    case_number: Option<String>,
    /// Plate of the vehicle, in any spelling; where vehicles share it, with the number of one behind `#`.
    plate: String,
    /// Begin of what is kept, RFC 3339.
    #[schema(value_type = types::Time)]
    from: String,
    /// End of what is kept, RFC 3339; it may lie ahead.
    #[schema(value_type = types::Time)]
    to: String,
    /// When the hold ends by itself, RFC 3339, within 5 years from now.
    #[schema(value_type = types::Time)]
    ends_at: String,
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Keep a vehicle's positions, packets and incidents of a time until the hold ends or is released.
#[utoipa::path(post, path = "/holds", operation_id = "place_hold", tag = "holds", request_body = LegalHoldRequest, security(("bearer" = ["police", "admin"])), responses((status = 201, description = "the hold", body = types::LegalHold), (status = 400, description = "not understood, or too long"), (status = 403, description = "no grant"), (status = 404, description = "no such vehicle"), (status = 409, description = "vehicles share the plate")))]
pub(super) async fn place(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<LegalHoldRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let grant = the_grant(&person, asked.grant_id.as_deref())?;
    let case_number = asked.case_number.as_deref().map(str::trim).unwrap_or_default();
    if person.role == Role::Police && !case_number.is_empty() {
        let said = "case_number is for administrators; a grant has its own";
        return Err(Problem::bad(Code::NotForRole, said, json!({ "field": "case_number" })));
    }
    if person.role == Role::Admin {
        has_chars(case_number, "case_number", CASE_CHARS_MAX)?;
    }
    let reason = has_chars(&asked.reason, "reason", REASON_CHARS_MAX)?;
    Plate::check_asked(&asked.plate).map_err(|e| Problem::wrong(&e))?;
    let (from, to) = span(&asked.from, &asked.to, WINDOW_DAYS_MAX)?;
    let ends_at = time(&asked.ends_at, "ends_at")?;
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_place_hold($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&person.session, &grant, &case_number, &asked.plate, &from, &to, &ends_at, &reason],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(row.get(0))))
}

/// Why a hold is released.
#[derive(Deserialize, ToSchema)]
pub(super) struct LegalHoldRelease {
    /// A grant of the same case (police).
    #[serde(alias = "grant")]
    #[schema(value_type = Option<types::Id>)]
    grant_id: Option<String>,
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Release a hold: what it kept goes when its purpose's days are over.
#[utoipa::path(post, path = "/holds/{id}/release", operation_id = "release_hold", tag = "holds", params(("id" = types::Id, Path)), request_body = LegalHoldRelease, security(("bearer" = ["police", "admin"])), responses((status = 200, description = "the hold", body = types::LegalHold), (status = 403, description = "no grant"), (status = 404, description = "none of this case"), (status = 409, description = "released already")))]
pub(super) async fn release(
    State(api): State<Api>,
    person: Person,
    Path(hold): Path<String>,
    body: Result<Json<LegalHoldRelease>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let hold = id(&hold, "id")?;
    let Json(asked) = body?;
    let grant = the_grant(&person, asked.grant_id.as_deref())?;
    let reason = has_chars(&asked.reason, "reason", REASON_CHARS_MAX)?;
    let client = api.pool.get().await?;
    let sql = "SELECT api_release_hold($1, $2, $3, $4)";
    let row = client.query_one(sql, &[&person.session, &grant, &hold, &reason]).await?;
    Ok(Json(row.get(0)))
}

/// The grant of an officer; administrators have none.
fn the_grant(person: &Person, given: Option<&str>) -> Result<Option<i64>, Problem> {
    match (person.role, given) {
        (Role::Police, given) => given.map(|g| id(g, "grant_id")).transpose(),
        (_, None) => Ok(None),
        (_, Some(_)) => {
            let said = "grant_id is for police; administrators have none";
            Err(Problem::bad(Code::NotForRole, said, json!({ "field": "grant_id" })))
        }
    }
}

/// The text without blanks around it, if something is left and it is not too long.
fn has_chars<'a>(text: &'a str, what: &str, most: usize) -> Result<&'a str, Problem> {
    let text = text.trim();
    match text.chars().count() {
        n if (1..=most).contains(&n) => Ok(text),
        n => Err(Problem::length(what, n, most)),
    }
}
