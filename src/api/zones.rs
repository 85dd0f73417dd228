//! Zones 电子围栏: an owner's for a vehicle, an operator's for the city.

use super::Api;
use super::error::Problem;
use super::session::{Person, Role};
use super::vehicles::id;
use crate::domain::{ZoneRule, ZoneShape};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;

/// My zones and the city's.
#[utoipa::path(get, path = "/zones", security(("bearer" = ["owner", "operator", "admin"])), responses((status = 200, description = "zones", body = Value)))]
pub(super) async fn list(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Operator, Role::Admin])?;
    let rows = api.pool.get().await?.query("SELECT * FROM api_zones($1)", &[&person.account]).await?;
    let zones: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "zones": zones })))
}

/// A zone to make.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewZone {
    /// For people; 1 to 64 characters.
    name: String,
    /// `enter`, `exit` or `both`.
    #[schema(value_type = String)]
    rule: ZoneRule,
    /// Circle or polygon, see docs/api.md.
    #[schema(value_type = Object)]
    shape: ZoneShape,
    /// The owner's vehicle; none for the city.
    vehicle_id: Option<String>,
}

/// Make a zone.
#[utoipa::path(post, path = "/zones", request_body = NewZone, security(("bearer" = ["owner", "operator", "admin"])), responses((status = 201, description = "the zone", body = Value), (status = 400, description = "bad shape")))]
pub(super) async fn add(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<NewZone>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner, Role::Operator, Role::Admin])?;
    let Json(zone) = body.map_err(|e| Problem::BadRequest(e.body_text()))?;
    zone.shape.check().map_err(|e| Problem::BadRequest(e.to_string()))?;
    let name_chars = zone.name.trim().chars().count();
    if name_chars == 0 || name_chars > NAME_CHARS_MAX {
        return Err(Problem::BadRequest(format!("name has {name_chars} characters; it must be 1 to {NAME_CHARS_MAX}")));
    }
    let vehicle = zone.vehicle_id.as_deref().map(|v| id(v, "vehicle_id")).transpose()?;
    let shape = serde_json::to_value(&zone.shape).map_err(|e| Problem::BadRequest(e.to_string()))?;
    let rule = match zone.rule {
        ZoneRule::Enter => "enter",
        ZoneRule::Exit => "exit",
        ZoneRule::Both => "both",
    };
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT * FROM api_add_zone($1, $2, $3, $4, $5, $6)",
            &[&person.account, &person.role.name(), &zone.name.trim(), &rule, &shape, &vehicle],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(row.get(0))))
}

/// Remove a zone of mine.
#[utoipa::path(delete, path = "/zones/{id}", params(("id" = String, Path)), security(("bearer" = ["owner", "operator", "admin"])), responses((status = 204, description = "gone"), (status = 404, description = "none of yours")))]
pub(super) async fn delete(
    State(api): State<Api>,
    person: Person,
    Path(zone): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner, Role::Operator, Role::Admin])?;
    let zone = id(&zone, "id")?;
    let gone: bool =
        api.pool.get().await?.query_one("SELECT api_delete_zone($1, $2)", &[&person.account, &zone]).await?.get(0);
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}
