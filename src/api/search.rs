//! The police's searches over everybody's tracks: who was in an area, who travelled along, where
//! vehicles are now. Every one needs a grant and leaves an audit row.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::{id, span};
use crate::clock::now;
use crate::domain::{LatLon, Timestamp, VehicleId};
use crate::store::tracks::queries;
use crate::store::tracks::queries::Officer;
use crate::tracks::area::{Area, Window};
use crate::tracks::co_travel;
use crate::tracks::presence::{SILENT_S, presences};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use deadpool_postgres::Object;
use geo::{LineString, MultiPolygon, Polygon};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Most vehicles in one page.
const VEHICLES_MAX: usize = 500;
/// Longest window before the grant's own limit, days.
const WINDOW_DAYS_MAX: f64 = 31.0;
/// Most corners of all rings together: a district's border, and below the limit of a request body.
const CORNERS_MAX: usize = 2000;
/// Widest area of a search, degrees; no grant allows as much.
const EXTENT_DEG_MAX: f64 = 90.0;
/// Largest radius, metres; the grant's area is smaller as a rule.
const RADIUS_M_MAX: f64 = 50_000.0;
/// Corners of a circle where its area is checked.
const CIRCLE_CORNERS: usize = 64;
/// Most vehicles of a watch list.
const WATCHED_MAX: usize = 500;

/// A circle.
#[derive(Deserialize, ToSchema)]
pub(super) struct Circle {
    /// Degrees north.
    #[schema(minimum = -85, maximum = 85)]
    lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// Metres, above 0, at most 50,000.
    #[schema(exclusive_minimum = 0, maximum = 50_000)]
    radius_m: f64,
}

/// What counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AreaCondition {
    /// Had a fix inside.
    #[default]
    Inside,
    /// Came in within the window.
    Entered,
    /// Went out within the window.
    Left,
}

/// An area and a window. Exactly one of `polygon`, `polygons`, `circle`.
#[derive(Deserialize, ToSchema)]
pub(super) struct AreaSearchRequest {
    /// The grant that allows it.
    #[serde(alias = "grant")]
    #[schema(value_type = types::Id)]
    grant_id: String,
    /// Corners of one ring, `[lon, lat]`, WGS-84 degrees.
    polygon: Option<Vec<[f64; 2]>>,
    /// Polygons of rings, as the coordinates of a GeoJSON MultiPolygon: the first ring of each is its outside,
    /// the others are holes.
    polygons: Option<Vec<Vec<Vec<[f64; 2]>>>>,
    /// A circle.
    circle: Option<Circle>,
    /// First instant, RFC 3339.
    #[schema(value_type = types::Time)]
    from: String,
    /// First instant after, RFC 3339.
    #[schema(value_type = types::Time)]
    to: String,
    /// `inside` (default), `entered` or `left`.
    #[serde(default, alias = "did")]
    condition: AreaCondition,
    /// Only who stayed at least so many seconds without leaving.
    #[serde(default, alias = "stayed_s")]
    #[schema(minimum = 0)]
    min_stay_s: f64,
    /// Vehicles of a page, 1 to 500.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the page before; it is good for the same question only.
    cursor: Option<String>,
}

/// Which vehicles were inside an area within a window, by first fix inside.
#[utoipa::path(post, path = "/search/area", operation_id = "search_area", tag = "search", request_body = AreaSearchRequest, security(("bearer" = ["police"])), responses((status = 200, description = "vehicles", body = types::AreaSearchResult), (status = 400, description = "too large, with what to narrow"), (status = 403, description = "no grant")))]
pub(super) async fn area(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<AreaSearchRequest>, JsonRejection>,
) -> Result<Json<types::AreaSearchResult>, Problem> {
    person.must_be(&[Role::Police])?;
    let Json(asked) = body?;
    let officer = Officer { session: person.session, grant: id(&asked.grant_id, "grant_id")? };
    let (from, to) = span(&asked.from, &asked.to, WINDOW_DAYS_MAX)?;
    let (area, wkt) = as_area(&asked)?;
    let limit = asked.limit.unwrap_or(VEHICLES_MAX);
    if !(1..=VEHICLES_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, VEHICLES_MAX));
    }
    let question = format!("{officer:?} {wkt} {from} {to} {} {}", asked.condition as u8, asked.min_stay_s);
    let after = asked.cursor.as_deref().map(|c| api.cursors.read(&question, c)).transpose()?;
    let window = Window { from, to, known_to: to.plus_secs_f64(SILENT_S).min(now()) };
    let (condition, min_stay_s) = (asked.condition, asked.min_stay_s);
    let (present, names, is_more) = api
        .tracks
        .run(move |client| async move {
            let found = queries::near(&client, officer, &wkt, (from, to), SILENT_S).await?;
            let mut present = presences(&area, window, &found)?;
            present.retain(|p| {
                let is_met = match condition {
                    AreaCondition::Inside => true,
                    AreaCondition::Entered => p.entered,
                    AreaCondition::Left => p.left,
                };
                is_met && p.stayed_s >= min_stay_s && after.is_none_or(|a| (p.first.micros(), p.vehicle.0) > a)
            });
            let is_more = present.len() > limit;
            present.truncate(limit);
            let ids: Vec<_> = present.iter().map(|p| p.vehicle).collect();
            let names = queries::names(&client, officer, &ids).await?;
            Ok((present, names, is_more))
        })
        .await?;
    let vehicles = present
        .iter()
        .map(|p| {
            let (plate, tracker) = names.get(&p.vehicle).cloned().unwrap_or_default();
            let (first_at, last_at) = (p.first.into(), p.last.into());
            let (fixes, entered, left, stayed_s) = (p.fixes, p.entered, p.left, p.stayed_s);
            let vehicle_id = p.vehicle.0.into();
            types::AreaPresence { vehicle_id, plate, tracker, first_at, last_at, fixes, entered, left, stayed_s }
        })
        .collect();
    let last = present.last().filter(|_| is_more);
    let next_cursor = last.map(|p| api.cursors.write(&question, p.first.micros(), p.vehicle.0));
    Ok(Json(types::AreaSearchResult { vehicles, truncated: is_more, next_cursor }))
}

/// The area asked for, and its outline as WKT for the grant's check.
fn as_area(asked: &AreaSearchRequest) -> Result<(Area, String), Problem> {
    match (&asked.polygon, &asked.polygons, &asked.circle) {
        (Some(ring), None, None) => as_polygons(&[vec![ring.clone()]]),
        (None, Some(polygons), None) => as_polygons(polygons),
        (None, None, Some(circle)) => as_circle(circle),
        _ => Err(one_of("polygon, polygons and circle")),
    }
}

fn one_of(fields: &str) -> Problem {
    Problem::bad(Code::OneOf, format!("give exactly one of {fields}"), json!({ "fields": fields }))
}

fn as_circle(circle: &Circle) -> Result<(Area, String), Problem> {
    let centre = LatLon::new(circle.lat, circle.lon);
    if !centre.is_in_range() || circle.lat.abs() > 85.0 {
        let (lat, lon) = (circle.lat, circle.lon);
        let said = format!("circle has the centre {lat}, {lon}; lat must be -85 to 85, lon -180 to 180");
        return Err(Problem::bad(Code::CornerOutside, said, json!({ "lat": lat, "lon": lon })));
    }
    if !(circle.radius_m > 0.0 && circle.radius_m <= RADIUS_M_MAX) {
        let said = format!("radius_m is {}; it must be above 0 and at most {RADIUS_M_MAX}", circle.radius_m);
        let values = json!({ "field": "radius_m", "value": circle.radius_m, "min": 0, "max": RADIUS_M_MAX });
        return Err(Problem::bad(Code::OutOfRange, said, values));
    }
    let area = Area::Circle { centre, radius_m: circle.radius_m };
    let (low, high) = area.bounds().ok_or(Problem::NotFound)?;
    let (east, north) = ((high.lon_deg - low.lon_deg) / 2.0, (high.lat_deg - low.lat_deg) / 2.0);
    let corner = |n: usize| {
        let (sin, cos) = (n as f64 / CIRCLE_CORNERS as f64 * std::f64::consts::TAU).sin_cos();
        [circle.lon + east * sin, circle.lat + north * cos]
    };
    let ring: Vec<_> = (0..CIRCLE_CORNERS).map(corner).collect();
    Ok((area, as_wkt(&[vec![ring]])))
}

/// Refuses what spans so much of the globe that its edges have no one shortest way.
fn must_fit_the_map(extent_deg: f64) -> Result<(), Problem> {
    if extent_deg <= EXTENT_DEG_MAX {
        return Ok(());
    }
    let said = format!("the area is {extent_deg}° wide; it may be {EXTENT_DEG_MAX}°");
    Err(Problem::bad(Code::ZoneTooWide, said, json!({ "degrees": extent_deg, "max": EXTENT_DEG_MAX })))
}

fn as_polygons(polygons: &[Vec<Vec<[f64; 2]>>]) -> Result<(Area, String), Problem> {
    let rings = || polygons.iter().flatten();
    let corners = rings().map(Vec::len).sum::<usize>();
    if polygons.iter().any(Vec::is_empty) || rings().any(|r| r.len() < 3) || !(3..=CORNERS_MAX).contains(&corners) {
        let said = format!(
            "the polygon has {corners} corners; every ring must have 3 or more, all together at most {CORNERS_MAX}"
        );
        return Err(Problem::bad(Code::Corners, said, json!({ "corners": corners, "min": 3, "max": CORNERS_MAX })));
    }
    let is_in_range = |[lon, lat]: &[f64; 2]| LatLon::new(*lat, *lon).is_in_range();
    if let Some([lon, lat]) = rings().flatten().find(|c| !is_in_range(c)) {
        let said = format!("the polygon has the corner [{lon}, {lat}]; lon must be -180 to 180, lat -90 to 90");
        return Err(Problem::bad(Code::CornerOutside, said, json!({ "lat": lat, "lon": lon })));
    }
    let widest = |axis: usize| {
        let (low, high) = rings().flatten().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), corner| {
            (low.min(corner[axis]), high.max(corner[axis]))
        });
        high - low
    };
    must_fit_the_map(widest(0).max(widest(1)))?;
    let line = |ring: &Vec<[f64; 2]>| ring.iter().map(|[x, y]| (*x, *y)).collect::<LineString<f64>>();
    let polygon = |rings: &Vec<Vec<[f64; 2]>>| Polygon::new(line(&rings[0]), rings[1..].iter().map(line).collect());
    let area = Area::Polygons(MultiPolygon::new(polygons.iter().map(polygon).collect()));
    Ok((area, as_wkt(polygons)))
}

/// Rings closed, as the database reads them.
fn as_wkt(polygons: &[Vec<Vec<[f64; 2]>>]) -> String {
    let ring = |ring: &Vec<[f64; 2]>| {
        let corners = ring.iter().chain(ring.first()).map(|[lon, lat]| format!("{lon} {lat}"));
        format!("({})", corners.collect::<Vec<_>>().join(","))
    };
    let polygon = |rings: &Vec<Vec<[f64; 2]>>| format!("({})", rings.iter().map(ring).collect::<Vec<_>>().join(","));
    format!("MULTIPOLYGON({})", polygons.iter().map(polygon).collect::<Vec<_>>().join(","))
}

/// A vehicle and what "together" means.
#[derive(Deserialize, ToSchema)]
pub(super) struct CoTravelRequest {
    /// The grant that allows it.
    #[serde(alias = "grant")]
    #[schema(value_type = types::Id)]
    grant_id: String,
    /// The vehicle in question.
    #[schema(value_type = types::Id)]
    vehicle_id: String,
    /// First instant, RFC 3339.
    #[schema(value_type = types::Time)]
    from: String,
    /// First instant after, RFC 3339.
    #[schema(value_type = types::Time)]
    to: String,
    /// So near, metres, 5 to 500 (50).
    #[serde(default = "within_50_m", alias = "within_m")]
    #[schema(minimum = 5, maximum = 500, default = 50)]
    max_distance_m: f64,
    /// So soon before or after, seconds, 1 to 300 (30).
    #[serde(default = "within_30_s", alias = "within_s")]
    #[schema(minimum = 1, maximum = 300, default = 30)]
    max_time_offset_s: f64,
    /// For so many minutes at least, 1 to 600 (5).
    #[serde(default = "five_minutes", alias = "minutes")]
    #[schema(minimum = 1, maximum = 600, default = 5)]
    min_minutes: usize,
}

fn within_50_m() -> f64 {
    50.0
}
fn within_30_s() -> f64 {
    30.0
}
fn five_minutes() -> usize {
    5
}

/// Which vehicles travelled with this one; the longest company first.
#[utoipa::path(post, path = "/search/co-travel", operation_id = "search_co_travel", tag = "search", request_body = CoTravelRequest, security(("bearer" = ["police"])), responses((status = 200, description = "companions", body = types::CoTravelResult), (status = 400, description = "too much, with what to narrow"), (status = 403, description = "no grant")))]
pub(super) async fn company(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<CoTravelRequest>, JsonRejection>,
) -> Result<Json<types::CoTravelResult>, Problem> {
    person.must_be(&[Role::Police])?;
    let Json(asked) = body?;
    let officer = Officer { session: person.session, grant: id(&asked.grant_id, "grant_id")? };
    let vehicle = id(&asked.vehicle_id, "vehicle_id")?;
    let span = span(&asked.from, &asked.to, WINDOW_DAYS_MAX)?;
    let within = |name: &str, value: f64, low: f64, high: f64| {
        if (low..=high).contains(&value) { Ok(()) } else { Err(Problem::range(name, value, low, high)) }
    };
    within("max_distance_m", asked.max_distance_m, 5.0, 500.0)?;
    within("max_time_offset_s", asked.max_time_offset_s, 1.0, 300.0)?;
    within("min_minutes", asked.min_minutes as f64, 1.0, 600.0)?;
    let within = (asked.max_distance_m, asked.max_time_offset_s);
    let minutes = asked.min_minutes;
    let (together, names, ride_minutes) = api
        .tracks
        .run(move |client| async move {
            let found = queries::beside(&client, officer, vehicle, span, within).await?;
            let samples = co_travel::ride_minutes(VehicleId(vehicle), &found);
            let together = co_travel::companions(VehicleId(vehicle), &samples, &found, within, minutes)?;
            let ids: Vec<_> = together.iter().take(VEHICLES_MAX).map(|c| c.vehicle).collect();
            let names = queries::names(&client, officer, &ids).await?;
            Ok((together, names, samples.len()))
        })
        .await?;
    let companions = together
        .iter()
        .take(VEHICLES_MAX)
        .map(|c| {
            let (plate, tracker) = names.get(&c.vehicle).cloned().unwrap_or_default();
            let (first_at, last_at) = (c.first.into(), c.last.into());
            types::Companion { vehicle_id: c.vehicle.0.into(), plate, tracker, minutes: c.minutes, first_at, last_at }
        })
        .collect();
    Ok(Json(types::CoTravelResult { companions, ride_minutes, truncated: together.len() > VEHICLES_MAX }))
}

/// A watch list, or a box.
#[derive(Deserialize, ToSchema)]
pub(super) struct LatestPositionsRequest {
    /// The grant that allows it.
    #[serde(alias = "grant")]
    #[schema(value_type = types::Id)]
    grant_id: String,
    /// Vehicles, at most 500.
    #[schema(value_type = Option<Vec<types::Id>>, min_items = 1, max_items = 500)]
    vehicles: Option<Vec<String>>,
    /// West, south, east, north, degrees.
    #[serde(alias = "box")]
    #[schema(min_items = 4, max_items = 4)]
    bbox: Option<[f64; 4]>,
}

/// Where the vehicles of a watch list, or all in a box, were last.
#[utoipa::path(post, path = "/search/latest", operation_id = "search_latest", tag = "search", request_body = LatestPositionsRequest, security(("bearer" = ["police"])), responses((status = 200, description = "vehicles", body = types::LatestPositions), (status = 400, description = "too many"), (status = 403, description = "no grant")))]
pub(super) async fn newest(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<LatestPositionsRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Police])?;
    let Json(asked) = body?;
    let grant = id(&asked.grant_id, "grant_id")?;
    match (asked.vehicles, asked.bbox) {
        (Some(watched), None) => {
            if watched.is_empty() || watched.len() > WATCHED_MAX {
                return Err(Problem::range("vehicles", watched.len(), 1, WATCHED_MAX));
            }
            let ids = watched.iter().map(|v| id(v, "vehicles")).collect::<Result<Vec<_>, _>>()?;
            let officer = Officer { session: person.session, grant };
            let ask = move |client: Object| async move { Ok(queries::newest(&client, officer, &ids).await?) };
            let vehicles = api.tracks.run(ask).await?;
            Ok(Json(json!({ "vehicles": vehicles, "truncated": false })))
        }
        (None, Some([west, south, east, north])) => {
            let corners = [LatLon::new(south, west), LatLon::new(north, east)];
            if corners.iter().any(|c| !c.is_in_range()) || west >= east || south >= north {
                let said = format!(
                    "bbox is [{west}, {south}, {east}, {north}]; it must be west, south, east, north in degrees"
                );
                return Err(Problem::bad(Code::BadBox, said, json!({})));
            }
            must_fit_the_map((east - west).max(north - south))?;
            let limit = VEHICLES_MAX as i32 + 1;
            let ask = move |client: Object| async move {
                let sql = "SELECT * FROM api_police_newest_in($1, $2, $3, $4, $5, $6, $7)";
                Ok(client.query(sql, &[&person.session, &grant, &west, &south, &east, &north, &limit]).await?)
            };
            let rows = api.tracks.run(ask).await?;
            let seen = |r: &tokio_postgres::Row| types::LatestPosition {
                vehicle_id: r.get::<_, i64>(0).into(),
                plate: r.get(1),
                fixed_at: r.get::<_, Option<Timestamp>>(2).map(Into::into),
                lon: r.get(3),
                lat: r.get(4),
                speed_kmh: r.get(5),
            };
            let vehicles: Vec<_> = rows.iter().take(VEHICLES_MAX).map(seen).collect();
            Ok(Json(json!({ "vehicles": vehicles, "truncated": rows.len() > VEHICLES_MAX })))
        }
        _ => Err(one_of("vehicles and bbox")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_is_closed_and_bounded() {
        let wkt = |ring: &[[f64; 2]]| as_polygons(&[vec![ring.to_vec()]]).map(|(_, wkt)| wkt);
        assert_eq!(wkt(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]).unwrap(), "MULTIPOLYGON(((1 2,3 4,5 6.5,1 2)))");
        assert!(wkt(&[[1.0, 2.0], [3.0, 4.0]]).is_err());
        assert!(wkt(&[[1.0, 2.0], [3.0, 94.0], [5.0, 6.0]]).is_err());
        assert!(wkt(&[[1.0, 2.0], [f64::NAN, 4.0], [5.0, 6.0]]).is_err());
    }

    #[test]
    fn a_circle_has_a_middle_and_a_radius() {
        assert!(as_circle(&Circle { lat: 28.5, lon: 112.3, radius_m: 500.0 }).is_ok());
        assert!(as_circle(&Circle { lat: 28.5, lon: 112.3, radius_m: f64::NAN }).is_err());
        assert!(as_circle(&Circle { lat: 91.0, lon: 112.3, radius_m: 500.0 }).is_err());
    }
}
