//! Zones 电子围栏: an owner's for a vehicle, an operator's for the city.

use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types::{self, stored};
use crate::api::vehicles::id;
use crate::domain::{Datum, Schedule, VehicleKind, ZoneRule, ZoneShape, zone};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;
/// Most zones in one answer.
const ZONES_MAX: i32 = 1000;
/// Who may have zones.
const ROLES: &[Role] = &[Role::Owner, Role::Operator, Role::Admin];

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// How many, 1 to 1000 (1000).
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[serde(alias = "after")]
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// My zones and the city's.
#[utoipa::path(get, path = "/zones", operation_id = "list_zones", tag = "zones", params(Page), security(("bearer" = ["owner", "operator", "admin"])), responses((status = 200, description = "zones", body = types::Zones)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let limit = page.limit.unwrap_or(ZONES_MAX);
    if !(1..=ZONES_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, ZONES_MAX));
    }
    let after = page.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?.unwrap_or(0);
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_zones($1, $2, $3)", &[&person.session, &after, &limit]).await?;
    let zones: Vec<Value> = rows.iter().map(|r| stored::zone(r.get(0))).collect();
    let next = if zones.len() == limit as usize { zones.last().map(|z| z["id"].clone()) } else { None };
    Ok(Json(json!({ "zones": zones, "next_cursor": next })))
}

/// A zone to make, or what it is to become.
#[derive(Deserialize, ToSchema)]
pub(super) struct ZoneRequest {
    /// For people; 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// `enter`, `exit`, `both`, `dwell` or `forbidden`.
    #[schema(value_type = types::ZoneRule)]
    rule: ZoneRule,
    /// Circle, polygon or corridor, see docs/api.md.
    shape: types::ZoneShape,
    /// What the positions of the shape are: `wgs84` (default) or `gcj02`, the datum of Chinese maps.
    #[serde(default)]
    #[schema(value_type = types::Crs)]
    crs: Datum,
    /// The owner's vehicle; none for the city. A change leaves it as it is.
    #[schema(value_type = Option<types::Id>)]
    vehicle_id: Option<String>,
    /// The stay that a dwell rule asks for, 60 to 604800 s; 0 for other rules.
    #[schema(minimum = 0, maximum = 604_800)]
    #[serde(default)]
    dwell_s: u32,
    /// Windows of the week in which the rule counts; none: always.
    #[schema(value_type = Option<types::WeekSchedule>)]
    schedule: Option<Schedule>,
    /// `ebike` or `motorcycle`; none: every kind.
    #[schema(value_type = Option<types::VehicleKind>)]
    vehicle_kind: Option<VehicleKind>,
}

impl ZoneRequest {
    /// Checks every bound; the answer is what the database keeps, in WGS-84.
    fn checked(self) -> Result<Value, Problem> {
        let name_chars = self.name.trim().chars().count();
        if name_chars == 0 || name_chars > NAME_CHARS_MAX {
            return Err(Problem::length("name", name_chars, NAME_CHARS_MAX));
        }
        let shape = ZoneShape::from(self.shape);
        shape.check().map_err(|e| Problem::impossible(&e))?;
        zone::check_dwell(self.rule, self.dwell_s).map_err(|e| Problem::impossible(&e))?;
        self.schedule.as_ref().map_or(Ok(()), Schedule::check).map_err(|e| Problem::impossible(&e))?;
        let vehicle = self.vehicle_id.as_deref().map(|v| id(v, "vehicle_id")).transpose()?;
        Ok(json!({
            "name": self.name.trim(), "rule": self.rule, "shape": shape.to_wgs84(self.crs), "drawn_crs": self.crs,
            "vehicle_id": vehicle, "dwell_s": self.dwell_s, "schedule": self.schedule, "vehicle_kind": self.vehicle_kind,
        }))
    }
}

/// Make a zone.
#[utoipa::path(post, path = "/zones", operation_id = "create_zone", tag = "zones", request_body = ZoneRequest, security(("bearer" = ["owner", "operator", "admin"])), responses((status = 201, description = "the zone", body = types::Zone), (status = 404, description = "no such vehicle of yours"), (status = 409, description = "as many zones as there may be"), (status = 422, description = "no such zone can be")))]
pub(super) async fn add(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<ZoneRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(ROLES)?;
    let Json(zone) = body?;
    let zone = zone.checked()?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT * FROM api_add_zone($1, $2)", &[&person.session, &zone]).await?;
    Ok((StatusCode::CREATED, Json(stored::zone(row.get(0)))))
}

/// Change a zone of mine. Events before the change are still judged by what it was.
#[utoipa::path(put, path = "/zones/{id}", operation_id = "update_zone", tag = "zones", params(("id" = types::Id, Path)), request_body = ZoneRequest, security(("bearer" = ["owner", "operator", "admin"])), responses((status = 200, description = "the zone", body = types::Zone), (status = 404, description = "none of yours"), (status = 422, description = "no such zone can be")))]
pub(super) async fn change(
    State(api): State<Api>,
    person: Person,
    Path(zone): Path<String>,
    body: Result<Json<ZoneRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let zone = id(&zone, "id")?;
    let Json(wanted) = body?;
    let wanted = wanted.checked()?;
    let client = api.pool.get().await?;
    let row = client.query_opt("SELECT * FROM api_change_zone($1, $2, $3)", &[&person.session, &zone, &wanted]).await?;
    Ok(Json(stored::zone(row.ok_or(Problem::NotFound)?.get(0))))
}

/// Remove a zone of mine.
#[utoipa::path(delete, path = "/zones/{id}", operation_id = "delete_zone", tag = "zones", params(("id" = types::Id, Path)), security(("bearer" = ["owner", "operator", "admin"])), responses((status = 204, description = "gone"), (status = 404, description = "none of yours")))]
pub(super) async fn delete(
    State(api): State<Api>,
    person: Person,
    Path(zone): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(ROLES)?;
    let zone = id(&zone, "id")?;
    let gone: bool =
        api.pool.get().await?.query_one("SELECT api_delete_zone($1, $2)", &[&person.session, &zone]).await?.get(0);
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}
