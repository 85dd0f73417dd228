//! Positioning off by choice, and the consent: what an owner wants collected, withdrawn and given again.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::settings::is_in_force;
use crate::api::types;
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest version of a consent, characters.
const VERSION_CHARS_MAX: usize = 32;

/// Whether positions of a vehicle are to be collected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PositioningRequest {
    /// False: nothing is collected from now on, and nobody guards it.
    on: bool,
}

/// Switch positioning of my vehicle off or on. Off: what its tracker sends is acknowledged and not kept.
#[utoipa::path(post, path = "/vehicles/{id}/positioning", operation_id = "switch_positioning", tag = "belongings", params(("id" = types::Id, Path)), request_body = PositioningRequest, security(("bearer" = ["owner"])), responses((status = 200, description = "in force", body = types::PositioningState), (status = 202, description = "not yet", body = types::ChangePending), (status = 404, description = "none of yours"), (status = 409, description = "the consent is withdrawn")))]
pub(in crate::api) async fn switch(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<PositioningRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let off = !body?.0.on;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_switch_positioning($1, $2, $3)", &[&person.session, &vehicle, &off]).await?;
    if let Some(setting) = row.get(0)
        && !is_in_force(&client, &person.session, setting).await?
    {
        return Ok((StatusCode::ACCEPTED, Json(json!({ "pending": true }))).into_response());
    }
    let row = client.query_opt("SELECT * FROM api_my_vehicle($1, $2)", &[&person.session, &vehicle]).await?;
    let shown: Value = row.ok_or(Problem::NotFound)?.get(0);
    Ok(Json(json!({ "positioning_off_since": shown["positioning_off_since"] })).into_response())
}

/// What I agreed to, and whether it is withdrawn.
#[utoipa::path(get, path = "/me/consent", operation_id = "get_my_consent", tag = "belongings", security(("bearer" = ["owner"])), responses((status = 200, description = "oldest first", body = types::MyConsent)))]
pub(in crate::api) async fn consents(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let row = api.pool.get().await?.query_one("SELECT api_my_consents($1)", &[&person.session]).await?;
    Ok(Json(row.get(0)))
}

/// Withdraw my consent: positioning of all my vehicles is off until I give it again.
#[utoipa::path(delete, path = "/me/consent", operation_id = "withdraw_consent", tag = "belongings", security(("bearer" = ["owner"])), responses((status = 200, description = "in force", body = types::MyConsent), (status = 202, description = "not yet", body = types::ChangePending)))]
pub(in crate::api) async fn withdraw(State(api): State<Api>, person: Person) -> Result<Response, Problem> {
    person.must_be(&[Role::Owner])?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_withdraw_consent($1)", &[&person.session]).await?;
    consent_now(&client, &person, row.get(0)).await
}

/// What is agreed to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ConsentRequest {
    /// Version of the text.
    #[schema(min_length = 1, max_length = 32)]
    version: String,
}

/// Give my consent (again): positioning goes on where the withdrawal had switched it off.
#[utoipa::path(post, path = "/me/consent", operation_id = "give_consent", tag = "belongings", request_body = ConsentRequest, security(("bearer" = ["owner"])), responses((status = 200, description = "in force", body = types::MyConsent), (status = 202, description = "not yet", body = types::ChangePending)))]
pub(in crate::api) async fn give(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<ConsentRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(&[Role::Owner])?;
    let Json(given) = body?;
    let (version, characters) = (given.version, VERSION_CHARS_MAX);
    if version.is_empty() || version.chars().count() > characters {
        return Err(Problem::length("version", version.chars().count(), characters));
    }
    if !version.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        let said = format!("version is {version:?}; it must have only letters, digits, . _ and -");
        return Err(Problem::bad(Code::UnknownWord, said, json!({ "field": "version", "value": version })));
    }
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_give_consent($1, $2)", &[&person.session, &version]).await?;
    consent_now(&client, &person, row.get(0)).await
}

/// The consent as it is, once the last setting that follows from it is in force.
async fn consent_now(
    client: &deadpool_postgres::Object,
    person: &Person,
    setting: Option<i64>,
) -> Result<Response, Problem> {
    if let Some(setting) = setting
        && !is_in_force(client, &person.session, setting).await?
    {
        return Ok((StatusCode::ACCEPTED, Json(json!({ "pending": true }))).into_response());
    }
    let row = client.query_one("SELECT api_my_consents($1)", &[&person.session]).await?;
    Ok(Json(row.get::<_, Value>(0)).into_response())
}
