//! Lawful queries: every one needs a grant and leaves an audit row.

use super::Api;
use super::error::Problem;
use super::session::{Person, Role};
use super::vehicles::{id, span};
use crate::domain::shape::ZONE_CORNERS_MAX;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Most vehicles in one answer.
const VEHICLES_MAX: i32 = 500;
/// Longest window before the grant's own limit, days.
const WINDOW_DAYS_MAX: f64 = 31.0;

/// My grants in force.
#[utoipa::path(get, path = "/grants", security(("bearer" = ["police"])), responses((status = 200, description = "grants", body = Value)))]
pub(super) async fn grants(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Police])?;
    let rows = api.pool.get().await?.query("SELECT * FROM api_my_grants($1)", &[&person.account]).await?;
    let grants: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "grants": grants })))
}

/// An area and a window.
#[derive(Deserialize, ToSchema)]
pub(super) struct Area {
    /// The grant that allows it.
    grant: String,
    /// Corners, `[lon, lat]`, WGS-84 degrees.
    polygon: Vec<[f64; 2]>,
    /// First instant, RFC 3339.
    from: String,
    /// First instant after, RFC 3339.
    to: String,
}

/// Which vehicles had a fix inside the polygon within the window.
#[utoipa::path(post, path = "/search/area", request_body = Area, security(("bearer" = ["police"])), responses((status = 200, description = "vehicles", body = Value), (status = 400, description = "too large"), (status = 403, description = "no grant")))]
pub(super) async fn area(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<Area>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Police])?;
    let Json(asked) = body.map_err(|e| Problem::BadRequest(e.body_text()))?;
    let grant = id(&asked.grant, "grant")?;
    let (from, to) = span(&asked.from, &asked.to, WINDOW_DAYS_MAX)?;
    let polygon = as_wkt(&asked.polygon)?;
    let limit = VEHICLES_MAX + 1;
    let rows = api
        .pool
        .get()
        .await?
        .query(
            "SELECT vehicle_id, plate, tracker, to_jsonb(first_at), to_jsonb(last_at), fixes FROM api_police_area($1, $2, $3, $4, $5, $6)",
            &[&person.account, &grant, &polygon, &from, &to, &limit],
        )
        .await?;
    let vehicles: Vec<Value> = rows
        .iter()
        .take(VEHICLES_MAX as usize)
        .map(|r| {
            json!({ "vehicle_id": r.get::<_, i64>(0).to_string(), "plate": r.get::<_, String>(1), "tracker": r.get::<_, String>(2),
                "first_at": r.get::<_, Value>(3), "last_at": r.get::<_, Value>(4), "fixes": r.get::<_, i64>(5) })
        })
        .collect();
    Ok(Json(json!({ "vehicles": vehicles, "truncated": rows.len() > VEHICLES_MAX as usize })))
}

fn as_wkt(corners: &[[f64; 2]]) -> Result<String, Problem> {
    if corners.len() < 3 || corners.len() > ZONE_CORNERS_MAX {
        return Err(Problem::BadRequest(format!(
            "polygon has {} corners; it must be 3 to {ZONE_CORNERS_MAX}",
            corners.len()
        )));
    }
    if let Some([lon, lat]) =
        corners.iter().find(|[lon, lat]| !(-180.0..=180.0).contains(lon) || !(-90.0..=90.0).contains(lat))
    {
        return Err(Problem::BadRequest(format!(
            "polygon has the corner [{lon}, {lat}]; lon must be -180 to 180, lat -90 to 90"
        )));
    }
    let ring =
        corners.iter().chain(corners.first()).map(|[lon, lat]| format!("{lon} {lat}")).collect::<Vec<_>>().join(",");
    Ok(format!("POLYGON(({ring}))"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_is_closed_and_bounded() {
        assert_eq!(as_wkt(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]).unwrap(), "POLYGON((1 2,3 4,5 6.5,1 2))");
        assert!(as_wkt(&[[1.0, 2.0], [3.0, 4.0]]).is_err());
        assert!(as_wkt(&[[1.0, 2.0], [3.0, 94.0], [5.0, 6.0]]).is_err());
        assert!(as_wkt(&[[1.0, 2.0], [f64::NAN, 4.0], [5.0, 6.0]]).is_err());
    }
}
