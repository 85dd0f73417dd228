//! Guard sessions that begin by themselves, and the owner's phones that end them.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role, new_token};
use crate::api::settings::is_in_force;
use crate::api::types::{self, stored};
use crate::api::vehicles::id;
use crate::domain::{GuardPolicy, Schedule, setting::AUTO_AFTER_S};
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A phone's token as hexadecimal: 256 random bits.
const TOKEN_CHARS: usize = 64;

/// When it is guarded by itself.
#[utoipa::path(get, path = "/vehicles/{id}/guard-policy", operation_id = "get_guard_policy", tag = "vehicles", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 200, description = "the guard's settings", body = types::GuardPolicy), (status = 404, description = "none of yours")))]
pub(super) async fn get(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let row =
        api.pool.get().await?.query_opt("SELECT * FROM api_guarding($1, $2)", &[&person.session, &vehicle]).await?;
    Ok(Json(stored::guard_policy(row.ok_or(Problem::NotFound)?.get(0))))
}

/// When it is to be guarded by itself.
#[derive(Deserialize, ToSchema)]
pub(super) struct GuardPolicyRequest {
    /// Windows of the week; none: by no schedule.
    #[schema(value_type = Option<types::WeekSchedule>)]
    schedule: Option<Schedule>,
    /// Seconds after parking with the ignition off, 60 to 3600; none: not by parking.
    #[schema(minimum = 60, maximum = 3600)]
    auto_after_s: Option<u32>,
}

/// Set when it is to be guarded by itself.
#[utoipa::path(put, path = "/vehicles/{id}/guard-policy", operation_id = "update_guard_policy", tag = "vehicles", params(("id" = types::Id, Path)), request_body = GuardPolicyRequest, security(("bearer" = ["owner"])), responses((status = 200, description = "in force", body = types::GuardPolicy), (status = 202, description = "not yet: as it is now", body = types::GuardPolicy), (status = 404, description = "none of yours"), (status = 409, description = "the vehicle carries no tracker"), (status = 422, description = "no such schedule can be")))]
pub(super) async fn put(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<GuardPolicyRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner])?;
    let Json(wanted) = body?;
    let policy = GuardPolicy { schedule: wanted.schedule, auto_after_s: wanted.auto_after_s };
    policy.schedule.as_ref().map_or(Ok(()), Schedule::check).map_err(|e| Problem::impossible(&e))?;
    if let Some(after_s) = policy.auto_after_s.filter(|s| !AUTO_AFTER_S.contains(s)) {
        let (low, high) = (AUTO_AFTER_S.start(), AUTO_AFTER_S.end());
        return Err(Problem::range("auto_after_s", after_s, low, high).unprocessable());
    }
    let number = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let (schedule, after_s) = (json!(policy.schedule), policy.auto_after_s.map(|s| s as i32));
    let setting: Option<i64> = client
        .query_one("SELECT api_set_guarding($1, $2, $3, $4)", &[&person.session, &number, &schedule, &after_s])
        .await?
        .get(0);
    let status = match is_in_force(&client, &person.session, setting.ok_or(Problem::NotFound)?).await? {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    drop(client);
    Ok((status, get(State(api), person, Path(vehicle)).await?))
}

/// Make a token for the owner's phone; it is shown once. Whoever has it can end this vehicle's guard
/// session, and nothing else.
#[utoipa::path(post, path = "/vehicles/{id}/phone-tokens", operation_id = "create_phone_token", tag = "vehicles", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 201, description = "the token", body = types::PhoneToken), (status = 404, description = "none of yours"), (status = 409, description = "as many phones as there may be")))]
pub(super) async fn make_phone(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<(StatusCode, Json<types::PhoneToken>), Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let token = new_token();
    let made: bool = api
        .pool
        .get()
        .await?
        .query_one("SELECT api_make_phone($1, $2, $3)", &[&person.session, &vehicle, &Proof::shown(&token)])
        .await?
        .get(0);
    if made { Ok((StatusCode::CREATED, Json(types::PhoneToken { token }))) } else { Err(Problem::NotFound) }
}

/// Forget every phone of a vehicle.
#[utoipa::path(delete, path = "/vehicles/{id}/phone-tokens", operation_id = "delete_phone_tokens", tag = "vehicles", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 204, description = "forgotten"), (status = 404, description = "none of yours")))]
pub(super) async fn remove_phones(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let done: bool = client.query_one("SELECT api_remove_phones($1, $2)", &[&person.session, &vehicle]).await?.get(0);
    if done { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}

/// A phone's word.
#[derive(Deserialize, ToSchema)]
pub(super) struct PhonePresenceRequest {
    /// The token that was made for it.
    token: String,
}

/// "My phone is with the bike": ends the guard session, as the owner's disarm does. Needs no log-in, so
/// that a phone can say it by itself.
#[utoipa::path(post, path = "/phone-presence", operation_id = "report_phone_presence", tag = "vehicles", request_body = PhonePresenceRequest, responses((status = 200, description = "in force", body = types::GuardSessionEnded), (status = 202, description = "not yet", body = types::GuardSessionEnded), (status = 404, description = "no such token"), (status = 429, description = "too often")))]
pub(super) async fn phone(
    State(api): State<Api>,
    body: Result<Json<PhonePresenceRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<types::GuardSessionEnded>), Problem> {
    let Json(said) = body?;
    let unknown = || Problem::missing(Code::UnknownPhone, "no vehicle has a phone with this token");
    if said.token.len() != TOKEN_CHARS {
        return Err(unknown());
    }
    let phone = Proof::shown(&said.token);
    api.limits.allow_phone(phone.digest()).map_err(|wait_s| Problem::too_often(Code::TooManyPhoneWords, wait_s))?;
    let client = api.pool.get().await?;
    let setting: Option<i64> = client.query_one("SELECT api_phone($1)", &[&phone]).await?.get(0);
    let status = match is_in_force(&client, &phone, setting.ok_or_else(unknown)?).await? {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, Json(types::GuardSessionEnded { armed: false })))
}
