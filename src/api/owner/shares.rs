//! Share links: where a vehicle is, for whoever has the link, while an incident is open.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::id;
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Shortest and longest life of a link, minutes.
const MINUTES: std::ops::RangeInclusive<u32> = 5..=1440;
/// How often a link may be opened: a searching party, not a public.
const OPENINGS: std::ops::RangeInclusive<i32> = 1..=1000;
/// A token or visit as hexadecimal: 128 random bits.
const TOKEN_CHARS: usize = 32;

/// 128 random bits, as text.
fn new_token() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// How long and how often.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ShareRequest {
    /// Minutes until it shows nothing any more, 5 to 1440.
    #[schema(minimum = 5, maximum = 1440)]
    minutes: u32,
    /// How often it may be opened, 1 to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    openings_max: i32,
}

/// Make a link to the live place of my vehicle; it ends with the incident at the latest.
#[utoipa::path(post, path = "/vehicles/{id}/shares", operation_id = "create_share", tag = "belongings", params(("id" = types::Id, Path)), request_body = ShareRequest, security(("bearer" = ["owner"])), responses((status = 201, description = "the link", body = types::ShareMade), (status = 404, description = "none of yours"), (status = 409, description = "no incident is open, or as many links as there may be")))]
pub(in crate::api) async fn make(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<ShareRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let Json(asked) = body?;
    if !MINUTES.contains(&asked.minutes) {
        return Err(Problem::range("minutes", asked.minutes, MINUTES.start(), MINUTES.end()));
    }
    if !OPENINGS.contains(&asked.openings_max) {
        return Err(Problem::range("openings_max", asked.openings_max, OPENINGS.start(), OPENINGS.end()));
    }
    let token = new_token();
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_make_share($1, $2, $3, $4, $5)",
            &[
                &person.session,
                &vehicle,
                &Proof::shown(&token),
                &(f64::from(asked.minutes) * 60.0),
                &asked.openings_max,
            ],
        )
        .await?;
    // Behind the # it stands in no log of a server, proxy or page that is left for.
    let path = format!("/share#{token}");
    Ok((StatusCode::CREATED, Json(json!({ "path": path, "share": row.get::<_, Value>(0) }))))
}

/// Links of my vehicle, with when each was opened.
#[utoipa::path(get, path = "/vehicles/{id}/shares", operation_id = "list_shares", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 200, description = "the newest 20", body = types::ShareLinks), (status = 404, description = "none of yours")))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_shares($1, $2)", &[&person.session, &vehicle]).await?;
    let shares: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "shares": shares })))
}

/// End a link.
#[utoipa::path(delete, path = "/shares/{id}", operation_id = "revoke_share", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 204, description = "it shows nothing any more"), (status = 404, description = "none of yours")))]
pub(in crate::api) async fn revoke(
    State(api): State<Api>,
    person: Person,
    Path(share): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner])?;
    let share = id(&share, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_revoke_share($1, $2)", &[&person.session, &share]).await?;
    if row.get(0) { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}

/// What a link's page sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ShareViewRequest {
    /// What stands behind the # of the link.
    #[schema(max_length = 64)]
    token: String,
    /// The visit of the answer before; left out: it is opened once more, and counted.
    #[schema(max_length = 64)]
    visit: Option<String>,
}

/// Where the vehicle of a link is now. Needs no log-in. Links that never were, have ended or were opened too
/// often look the same.
#[utoipa::path(post, path = "/share", operation_id = "open_share", tag = "belongings", request_body = ShareViewRequest, responses((status = 200, description = "the place", body = types::SharedView), (status = 404, description = "no such link"), (status = 429, description = "too often")))]
pub(in crate::api) async fn view(
    State(api): State<Api>,
    body: Result<Json<ShareViewRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(said) = body?;
    let unknown = || Problem::missing(Code::UnknownShare, "there is no such link, or it has ended");
    if said.token.len() != TOKEN_CHARS || said.visit.as_ref().is_some_and(|v| v.len() != TOKEN_CHARS) {
        return Err(unknown());
    }
    let token = Proof::shown(&said.token);
    api.limits.allow_view(token.digest()).map_err(|wait_s| Problem::too_often(Code::TooManyViews, wait_s))?;
    let (is_new, visit) = (said.visit.is_none(), said.visit.unwrap_or_else(new_token));
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_open_share($1, $2, $3)", &[&token, &Proof::shown(&visit), &is_new]).await?;
    let mut shown = row.get::<_, Option<Value>>(0).ok_or_else(unknown)?;
    shown["visit"] = visit.into();
    Ok(Json(shown))
}
