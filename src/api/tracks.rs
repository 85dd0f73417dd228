//! One vehicle's track: as points, as trips and stops; and the map of where traffic was.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types::{Id, Time, Track, TrackGap, TrackPoint, Trips};
use crate::api::vehicles::{id, span};
use crate::domain::Timestamp;
use crate::store::tracks::queries;
use crate::store::tracks::queries::Officer;
use crate::tracks::summary;
use crate::tracks::summary::Simplify;
use crate::tracks::{SegmentBody, bodies};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Object;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

/// Longest track asked for at once, days.
const TRACK_DAYS_MAX: f64 = 31.0;
/// Most points of a track.
const TRACK_POINTS_MAX: usize = 50_000;
/// Widest tolerance, metres.
const TOLERANCE_M_MAX: f64 = 1000.0;
/// Zooms of the history map's tiles.
const HISTORY_ZOOMS: std::ops::RangeInclusive<i32> = 6..=16;

#[derive(Deserialize, IntoParams)]
pub(super) struct TrackAsked {
    /// First instant, RFC 3339.
    #[param(value_type = Time)]
    from: String,
    /// First instant after, RFC 3339.
    #[param(value_type = Time)]
    to: String,
    /// The grant that allows it (police).
    #[serde(alias = "grant")]
    #[param(value_type = Option<Id>)]
    grant_id: Option<String>,
    /// Leaves out points that are no farther off the line than so many metres, 0 to 1000.
    #[param(minimum = 0, maximum = 1000)]
    tolerance_m: Option<f64>,
    /// Leaves out points until there are so many at most, 2 to 50,000.
    #[param(minimum = 2, maximum = 50_000)]
    points_max: Option<usize>,
}

/// The rows of a track, opened.
async fn opened(api: &Api, person: &Person, vehicle: i64, asked: &TrackAsked) -> Result<Vec<SegmentBody>, Problem> {
    person.must_be(&[Role::Owner, Role::Family, Role::Police])?;
    let span = span(&asked.from, &asked.to, TRACK_DAYS_MAX)?;
    let (session, is_owner) = (person.session, person.role.sees_own());
    let grant = if is_owner { 0 } else { id(asked.grant_id.as_deref().unwrap_or_default(), "grant_id")? };
    let opened = api.tracks.run(move |client| async move {
        let found = if is_owner {
            queries::mine(&client, session, vehicle, span).await?
        } else {
            queries::of_vehicle(&client, Officer { session, grant }, vehicle, span).await?
        };
        Ok(bodies(&found)?)
    });
    Ok(opened.await?)
}

/// When positioning was off by choice.
async fn off(api: &Api, person: &Person, vehicle: i64, asked: &TrackAsked) -> Result<Vec<TrackGap>, Problem> {
    let (from, to) = span(&asked.from, &asked.to, TRACK_DAYS_MAX)?;
    let grant = asked.grant_id.as_deref().map(|g| id(g, "grant_id")).transpose()?;
    let sql = "SELECT * FROM api_positioning_off($1, $2, $3, $4, $5)";
    let rows = api.pool.get().await?.query(sql, &[&person.session, &grant, &vehicle, &from, &to]).await?;
    let time = |row: &tokio_postgres::Row, n| row.get::<_, Timestamp>(n).into();
    Ok(rows.iter().map(|row| TrackGap { from: time(row, 0), to: time(row, 1) }).collect())
}

/// How the line is to be thinned out.
fn thinning(asked: &TrackAsked) -> Result<Simplify, Problem> {
    match (asked.tolerance_m, asked.points_max) {
        (None, None) => Ok(Simplify::Not),
        (Some(m), None) if (0.0..=TOLERANCE_M_MAX).contains(&m) => Ok(Simplify::Within(m)),
        (None, Some(n)) if (2..=TRACK_POINTS_MAX).contains(&n) => Ok(Simplify::Points(n)),
        (Some(_), Some(_)) => {
            let (said, fields) = ("give tolerance_m or points_max, not both", "tolerance_m, points_max");
            Err(Problem::bad(Code::OneOf, said, json!({ "fields": fields })))
        }
        (Some(m), None) => Err(Problem::range("tolerance_m", m, 0, TOLERANCE_M_MAX)),
        (None, Some(n)) => Err(Problem::range("points_max", n, 2, TRACK_POINTS_MAX)),
    }
}

/// The track of a vehicle, oldest first, with its stops and gaps.
#[utoipa::path(get, path = "/vehicles/{id}/track", operation_id = "get_track", tag = "tracks", params(("id" = Id, Path), TrackAsked), security(("bearer" = ["owner", "family", "police"])), responses((status = 200, description = "points", body = Track), (status = 403, description = "no grant"), (status = 404, description = "none of yours")))]
pub(super) async fn track(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    Query(asked): Query<TrackAsked>,
) -> Result<Json<Track>, Problem> {
    let vehicle = id(&vehicle, "id")?;
    let how = thinning(&asked)?;
    let bodies = opened(&api, &person, vehicle, &asked).await?;
    let all = summary::points(&bodies);
    let gaps =
        summary::gaps(&all).iter().map(|(from, to)| TrackGap { from: (*from).into(), to: (*to).into() }).collect();
    let (stops, _) = summary::stops_and_trips(&bodies);
    let mut points = summary::simplify(all, how);
    let truncated = points.len() > TRACK_POINTS_MAX;
    points.truncate(TRACK_POINTS_MAX);
    let points = points
        .iter()
        .map(|p| {
            let at = p.spot.position();
            TrackPoint(p.at.micros() / 1000, at.lon_deg, at.lat_deg, p.speed_tenths.map(|v| f64::from(v) / 10.0))
        })
        .collect();
    let stops = stops.iter().map(Into::into).collect();
    let off = off(&api, &person, vehicle, &asked).await?;
    Ok(Json(Track { vehicle_id: vehicle.into(), points, truncated, stops, gaps, off }))
}

/// The trips of a vehicle and the stops between them.
#[utoipa::path(get, path = "/vehicles/{id}/trips", operation_id = "list_trips", tag = "tracks", params(("id" = Id, Path), TrackAsked), security(("bearer" = ["owner", "family", "police"])), responses((status = 200, description = "trips and stops", body = Trips), (status = 403, description = "no grant"), (status = 404, description = "none of yours")))]
pub(super) async fn trips(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    Query(asked): Query<TrackAsked>,
) -> Result<Json<Trips>, Problem> {
    let vehicle = id(&vehicle, "id")?;
    let bodies = opened(&api, &person, vehicle, &asked).await?;
    let (stops, trips) = summary::stops_and_trips(&bodies);
    let (stops, trips) = (stops.iter().map(Into::into).collect(), trips.iter().map(Into::into).collect());
    Ok(Json(Trips { vehicle_id: vehicle.into(), stops, trips }))
}

#[derive(Deserialize, IntoParams)]
pub(super) struct HistoryAsked {
    /// First hour, RFC 3339.
    #[param(value_type = Time)]
    from: String,
    /// First instant after, RFC 3339.
    #[param(value_type = Time)]
    to: String,
    /// The grant that allows it (police).
    #[serde(alias = "grant")]
    #[param(value_type = Option<Id>)]
    grant_id: Option<String>,
}

/// A tile of where traffic was (Mapbox vector tile, layer `traffic`): cells with three vehicles or more.
#[utoipa::path(get, path = "/tiles/traffic/{z}/{x}/{y}", operation_id = "get_traffic_tile", tag = "tracks", params(("z" = u32, Path, minimum = 6, maximum = 16), ("x" = u32, Path), ("y" = u32, Path), HistoryAsked), security(("bearer" = ["police", "operator"])), responses((status = 200, description = "a vector tile", content_type = "application/vnd.mapbox-vector-tile", body = Vec<u8>), (status = 403, description = "no grant")))]
pub(super) async fn history(
    State(api): State<Api>,
    person: Person,
    Path((z, x, y)): Path<(String, String, String)>,
    Query(asked): Query<HistoryAsked>,
) -> Result<Response, Problem> {
    person.must_be(&[Role::Police, Role::Operator])?;
    let (from, to) = span(&asked.from, &asked.to, TRACK_DAYS_MAX)?;
    let number = |text: &str, what: &str| id(text, what).map(|n| i32::try_from(n).unwrap_or(-1));
    let (z, x, y) = (number(&z, "z")?, number(&x, "x")?, number(&y, "y")?);
    let across = if HISTORY_ZOOMS.contains(&z) { 1 << z } else { 0 };
    if !(0..across).contains(&x) || !(0..across).contains(&y) {
        let (min, max) = (HISTORY_ZOOMS.start(), HISTORY_ZOOMS.end());
        let said = format!("tile {z}/{x}/{y} is not there; zooms are {min} to {max}");
        return Err(Problem::bad(Code::NoSuchTile, said, json!({ "min": min, "max": max })));
    }
    let grant = asked.grant_id.as_deref().map(|g| id(g, "grant_id")).transpose()?;
    let session = person.session;
    let ask = move |client: Object| async move {
        let sql = "SELECT api_history_tile($1, $2, $3, $4, $5, $6, $7)";
        let row = client.query_one(sql, &[&session, &grant, &z, &x, &y, &from, &to]).await?;
        Ok(row.get::<_, Option<Vec<u8>>>(0))
    };
    let tile = api.tracks.run(ask).await?;
    Ok(([(header::CONTENT_TYPE, "application/vnd.mapbox-vector-tile")], tile.unwrap_or_default()).into_response())
}
