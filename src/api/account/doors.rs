//! What needs no session: the first start, an invitation, a reset. Each has codes of its own, which open no other door.

use crate::api::account::{NAME_CHARS_MAX, check_password, code, phone, text};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::password::{CREDENTIAL_BYTES_MAX, hash};
use crate::api::{Api, types};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest login, characters (schema 0001).
pub(super) const LOGIN_CHARS_MAX: usize = 64;

/// A code that somebody was handed.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct CodeRequest {
    /// What stands last in the link.
    #[schema(max_length = 64)]
    code: String,
}

/// The first administrator.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct SetUpRequest {
    /// Of the address that the first start printed.
    #[schema(max_length = 64)]
    code: String,
    /// How the person is called.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What is typed to log in: a letter, and 1 to 64 of A-Z a-z 0-9 . _ @ -
    #[schema(min_length = 1, max_length = 64)]
    login: String,
    /// 8 to 100 characters that take 10⁹ guesses at least.
    #[schema(min_length = 8, max_length = 100, format = Password)]
    password: String,
    /// Phone number, which logs in, too.
    #[schema(max_length = 32)]
    phone: Option<String>,
    /// An organisation to stand in. Whoever stands in none sees all organisations.
    #[schema(max_length = 100)]
    organisation: Option<String>,
}

/// What an invited person chooses.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct AcceptanceRequest {
    /// Of the link.
    #[schema(max_length = 64)]
    code: String,
    /// A login of one's own in place of the one that there is.
    #[schema(max_length = 64)]
    login: Option<String>,
    /// 8 to 100 characters that take 10⁹ guesses at least.
    #[schema(min_length = 8, max_length = 100, format = Password)]
    password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct PasswordResetRequest {
    /// Of the link.
    #[schema(max_length = 64)]
    code: String,
    /// 8 to 100 characters that take 10⁹ guesses at least.
    #[schema(min_length = 8, max_length = 100, format = Password)]
    password: String,
}

/// Checks a new password and hashes it: what is empty, impossible or easy costs no hash.
pub(super) async fn hashed(api: &Api, password: String, about: &[&str]) -> Result<String, Problem> {
    check_password(&password, about).map_err(|e| Problem::wrong(&e))?;
    if password.len() > CREDENTIAL_BYTES_MAX {
        return Err(Problem::length("password", password.len(), CREDENTIAL_BYTES_MAX));
    }
    if password.contains('\0') {
        let message = "password holds a character that cannot be typed (NUL)";
        return Err(Problem::bad(Code::CharacterNotKept, message, json!({ "field": "password" })));
    }
    hash(api, password).await
}

/// What of an optional field was given, without blanks.
pub(super) fn given<'a>(said: &'a Option<String>, field: &str, max: usize) -> Result<Option<&'a str>, Problem> {
    said.as_deref().filter(|s| !s.trim().is_empty()).map(|s| text(s, field, max)).transpose()
}

/// Whether the address of the first start is alive.
#[utoipa::path(post, path = "/setup/check", operation_id = "check_set_up", tag = "doors", request_body = CodeRequest, responses((status = 204, description = "it is"), (status = 404, description = "it was used or replaced, or there is an administrator")))]
pub(in crate::api) async fn check_set_up(
    State(api): State<Api>,
    body: Result<Json<CodeRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(asked) = body?;
    api.pool.get().await?.execute("SELECT api_check_setup($1)", &[&code::shown(&asked.code)?]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make the first administrator; the code is used up. The first log-in enrols the second factor.
#[utoipa::path(post, path = "/setup", operation_id = "set_up", tag = "doors", request_body = SetUpRequest, responses((status = 201, description = "what to log in with", body = types::LoginSet), (status = 404, description = "the code was used or replaced, or there is an administrator"), (status = 409, description = "the login or the phone is taken"), (status = 429, description = "too many at once")))]
pub(in crate::api) async fn set_up(
    State(api): State<Api>,
    body: Result<Json<SetUpRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<types::LoginSet>), Problem> {
    let Json(asked) = body?;
    let code = code::shown(&asked.code)?;
    api.pool.get().await?.execute("SELECT api_check_setup($1)", &[&code]).await?;
    let name = text(&asked.name, "name", NAME_CHARS_MAX)?;
    let login = text(&asked.login, "login", LOGIN_CHARS_MAX)?;
    let phone = given(&asked.phone, "phone", NAME_CHARS_MAX)?.map(phone).transpose()?;
    let organisation = given(&asked.organisation, "organisation", NAME_CHARS_MAX)?;
    let hash = hashed(&api, asked.password.clone(), &[login, name]).await?;
    let sql = "SELECT api_set_up($1, $2, $3, $4, $5, $6, $6)";
    api.pool.get().await?.execute(sql, &[&code, &login, &name, &phone, &hash, &organisation]).await?;
    Ok((StatusCode::CREATED, Json(types::LoginSet { login: login.to_owned() })))
}

/// What an invitation is for.
#[utoipa::path(post, path = "/invitation/open", operation_id = "open_invitation", tag = "doors", request_body = CodeRequest, responses((status = 200, description = "whom it is for", body = types::Welcome), (status = 404, description = "it was used, replaced or withdrawn, or is over")))]
pub(in crate::api) async fn open_invitation(
    State(api): State<Api>,
    body: Result<Json<CodeRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(asked) = body?;
    let row = api.pool.get().await?.query_one("SELECT api_invitation($1)", &[&code::shown(&asked.code)?]).await?;
    Ok(Json(row.get(0)))
}

/// Accept an invitation: its code is used up, and the password logs in.
#[utoipa::path(post, path = "/invitation/accept", operation_id = "accept_invitation", tag = "doors", request_body = AcceptanceRequest, responses((status = 200, description = "what to log in with", body = types::LoginSet), (status = 404, description = "it was used, replaced or withdrawn, or is over"), (status = 409, description = "the login is taken"), (status = 429, description = "too many at once")))]
pub(in crate::api) async fn accept_invitation(
    State(api): State<Api>,
    body: Result<Json<AcceptanceRequest>, JsonRejection>,
) -> Result<Json<types::LoginSet>, Problem> {
    let Json(asked) = body?;
    let code = code::shown(&asked.code)?;
    let row = api.pool.get().await?.query_one("SELECT api_invitation($1)", &[&code]).await?;
    let welcome: Value = row.get(0);
    let login = given(&asked.login, "login", LOGIN_CHARS_MAX)?;
    let about = [login.unwrap_or_default(), welcome["name"].as_str().unwrap_or_default()];
    let hash = hashed(&api, asked.password.clone(), &about).await?;
    let sql = "SELECT api_accept_invitation($1, $2, $3)";
    let row = api.pool.get().await?.query_one(sql, &[&code, &login, &hash]).await?;
    Ok(Json(types::LoginSet { login: row.get(0) }))
}

/// Whom a reset is for.
#[utoipa::path(post, path = "/reset/open", operation_id = "open_reset", tag = "doors", request_body = CodeRequest, responses((status = 200, description = "whom it is for", body = types::Welcome), (status = 404, description = "it was used or replaced, or is over")))]
pub(in crate::api) async fn open_reset(
    State(api): State<Api>,
    body: Result<Json<CodeRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(asked) = body?;
    let row = api.pool.get().await?.query_one("SELECT api_reset($1)", &[&code::shown(&asked.code)?]).await?;
    Ok(Json(row.get(0)))
}

/// Set a new password by a reset; its code is used up. A second factor that is enrolled stays.
#[utoipa::path(post, path = "/reset/accept", operation_id = "accept_reset", tag = "doors", request_body = PasswordResetRequest, responses((status = 200, description = "what to log in with", body = types::LoginSet), (status = 404, description = "it was used or replaced, or is over"), (status = 429, description = "too many at once")))]
pub(in crate::api) async fn accept_reset(
    State(api): State<Api>,
    body: Result<Json<PasswordResetRequest>, JsonRejection>,
) -> Result<Json<types::LoginSet>, Problem> {
    let Json(asked) = body?;
    let code = code::shown(&asked.code)?;
    let row = api.pool.get().await?.query_one("SELECT api_reset($1)", &[&code]).await?;
    let welcome: Value = row.get(0);
    let about = [welcome["login"].as_str().unwrap_or_default(), welcome["name"].as_str().unwrap_or_default()];
    let hash = hashed(&api, asked.password.clone(), &about).await?;
    let row = api.pool.get().await?.query_one("SELECT api_accept_reset($1, $2)", &[&code, &hash]).await?;
    Ok(Json(types::LoginSet { login: row.get(0) }))
}
