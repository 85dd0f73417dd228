//! My account: how I log in, and where I am logged in. What changes how I log in asks for the password again.

use crate::api::account::doors::hashed;
use crate::api::account::people::end_streams;
use crate::api::account::phone;
use crate::api::account::second_factor::{FACTOR_BYTES_MAX, RecoveryCodes, now_s, recovery_digest};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::password::CREDENTIAL_BYTES_MAX;
use crate::api::session::Person;
use crate::api::vehicles::id;
use crate::api::{Api, password, types};
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What I showed besides my session.
struct Reauthenticated {
    account: i64,
    login: String,
    /// The password's PHC string, which the call that changes something compares once more.
    shown: String,
    sealed: Option<Vec<u8>>,
}

/// The PHC string of the password that I typed again. Its limit is the account's: strangers have no session of it.
pub(in crate::api) async fn typed_again(api: &Api, person: &Person, typed: &str) -> Result<String, Problem> {
    if typed.is_empty() || typed.len() > CREDENTIAL_BYTES_MAX || typed.contains('\0') {
        return Err(Problem::forbidden(Code::WrongPassword, "the password is wrong", json!({})));
    }
    let allowed = api.limits.allow_own_password(person.account);
    allowed.map_err(|wait_s| Problem::too_often(Code::TooManyLogins, wait_s))?;
    let row = api.pool.get().await?.query_one("SELECT api_own_recipe($1)", &[&person.session]).await?;
    password::shown(api, typed.to_owned(), row.get(0)).await
}

/// The password again; nothing else of these calls is looked at before it is right.
async fn with_password(api: &Api, person: &Person, typed: &str) -> Result<Reauthenticated, Problem> {
    let shown = typed_again(api, person, typed).await?;
    let sql = "SELECT * FROM api_own_factor($1, $2)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &shown]).await?;
    let (account, login) = (row.get("account_id"), row.get("login"));
    Ok(Reauthenticated { account, login, shown, sealed: row.get("sealed") })
}

/// The second factor that there is, if there is one; `totp` or a recovery code.
async fn with_factor(
    api: &Api,
    own: &Reauthenticated,
    totp: Option<&str>,
    recovery: Option<&str>,
) -> Result<(), Problem> {
    let Some(sealed) = &own.sealed else { return Ok(()) };
    let client = api.pool.get().await?;
    let fits = |text: &&str| text.len() <= FACTOR_BYTES_MAX;
    let is_right = match (totp.filter(fits), recovery.filter(fits)) {
        (Some(code), _) => match api.factors.step(own.account, sealed, code, now_s())? {
            Some(step) => {
                client.query_one("SELECT api_use_step($1, $2, $3)", &[&own.account, &own.shown, &step]).await?.get(0)
            }
            None => false,
        },
        (None, Some(code)) => {
            let digest = recovery_digest(code);
            let sql = "SELECT api_use_recovery_code($1, $2, $3)";
            client.query_one(sql, &[&own.account, &own.shown, &digest]).await?.get(0)
        }
        (None, None) => false,
    };
    if is_right {
        return Ok(());
    }
    let message = "the code is wrong, or was used already; wait for the next one";
    Err(Problem::forbidden(Code::WrongCode, message, json!({})))
}

/// How I log in.
#[utoipa::path(get, path = "/account", operation_id = "get_own_account", tag = "account", security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "my account", body = types::OwnAccount)))]
pub(in crate::api) async fn account(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<types::OwnAccount>, Problem> {
    let row = api.pool.get().await?.query_one("SELECT * FROM api_own_account($1)", &[&person.session]).await?;
    Ok(Json(types::OwnAccount {
        login: row.get("login"),
        name: person.name,
        role: person.role,
        organisation: person.organisation,
        phone: row.get("phone"),
        has_second_factor: row.get("has_factor"),
        must_have_second_factor: row.get("must_have_factor"),
        recovery_codes_left: row.get("codes_left"),
    }))
}

/// A new password of mine.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct PasswordChangeRequest {
    /// The password as it is.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// 8 to 100 characters that take 10⁹ guesses at least.
    #[schema(min_length = 8, max_length = 100, format = Password)]
    new_password: String,
}

/// Change my password: all my other sessions end.
#[utoipa::path(post, path = "/account/password", operation_id = "change_password", tag = "account", request_body = PasswordChangeRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "done", body = types::SessionsEnded), (status = 403, description = "the password is wrong"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn change_password(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<PasswordChangeRequest>, JsonRejection>,
) -> Result<Json<types::SessionsEnded>, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    let hash = hashed(&api, asked.new_password, &[&person.login, &person.name]).await?;
    let sql = "SELECT api_change_password($1, $2, $3)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &own.shown, &hash]).await?;
    ended(&api, row.get(0))
}

fn ended(api: &Api, sessions: Vec<Proof>) -> Result<Json<types::SessionsEnded>, Problem> {
    let ended = sessions.len();
    end_streams(api, sessions);
    Ok(Json(types::SessionsEnded { ended }))
}

/// A new phone number of mine.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct PhoneChangeRequest {
    /// The password.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// The number, in any spelling.
    #[schema(max_length = 32)]
    phone: String,
}

/// Change my phone number, by which I log in.
#[utoipa::path(post, path = "/account/phone", operation_id = "change_phone", tag = "account", request_body = PhoneChangeRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 204, description = "done"), (status = 403, description = "the password is wrong"), (status = 409, description = "somebody has this number"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn change_phone(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<PhoneChangeRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    let phone = phone(&asked.phone)?;
    let sql = "SELECT api_change_phone($1, $2, $3)";
    api.pool.get().await?.execute(sql, &[&person.session, &own.shown, &phone]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The password, and the second factor that there is.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct ReauthenticationRequest {
    /// The password.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// A code of the second factor that there is.
    #[schema(max_length = 256)]
    totp: Option<String>,
    /// A recovery code in place of it.
    #[schema(max_length = 256)]
    recovery_code: Option<String>,
}

/// Begin to enrol a second factor, in place of the one that there is. Nothing changes before its first code.
#[utoipa::path(post, path = "/account/second-factor", operation_id = "begin_enrolment", tag = "account", request_body = ReauthenticationRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "the enrolment", body = types::Enrolment), (status = 403, description = "the password or the code is wrong"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn begin_enrolment(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<ReauthenticationRequest>, JsonRejection>,
) -> Result<Json<types::Enrolment>, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    with_factor(&api, &own, asked.totp.as_deref(), asked.recovery_code.as_deref()).await?;
    Ok(Json(api.factors.begin(own.account, &own.login, now_s())?))
}

/// The first code of an enrolment.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct EnrolmentRequest {
    /// The password.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// What the beginning brought. It was given to whoever showed the second factor that there was.
    #[schema(max_length = 256)]
    enrolment: String,
    /// Its first code.
    #[schema(max_length = 256)]
    totp: String,
}

/// End an enrolment by its first code: the second factor before is dead, and so are my other sessions and the old codes.
#[utoipa::path(put, path = "/account/second-factor", operation_id = "change_second_factor", tag = "account", request_body = EnrolmentRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "recovery codes, shown once", body = types::NewRecoveryCodes), (status = 403, description = "the password or the code is wrong"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn change_second_factor(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<EnrolmentRequest>, JsonRejection>,
) -> Result<Json<types::NewRecoveryCodes>, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    let fits = asked.enrolment.len() <= FACTOR_BYTES_MAX && asked.totp.len() <= FACTOR_BYTES_MAX;
    let finished = if fits { api.factors.finish(own.account, &asked.enrolment, &asked.totp, now_s())? } else { None };
    let Some((sealed, step)) = finished else {
        let message = "the code is wrong, or the enrolment is older than 15 minutes; begin again";
        return Err(Problem::forbidden(Code::WrongCode, message, json!({})));
    };
    let codes = RecoveryCodes::new();
    let sql = "SELECT api_change_second_factor($1, $2, $3, $4, $5)";
    let row =
        api.pool.get().await?.query_one(sql, &[&person.session, &own.shown, &sealed, &step, &codes.digests]).await?;
    end_streams(&api, row.get(0));
    Ok(Json(types::NewRecoveryCodes { recovery_codes: codes.shown }))
}

/// Log in by the password alone from now on: owners and family only. A POST, for a DELETE brings no proof (RFC 9110, 9.3.5).
#[utoipa::path(post, path = "/account/second-factor/remove", operation_id = "remove_second_factor", tag = "account", request_body = ReauthenticationRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 204, description = "done"), (status = 403, description = "the password or the code is wrong"), (status = 409, description = "my role needs one"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn remove_second_factor(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<ReauthenticationRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    with_factor(&api, &own, asked.totp.as_deref(), asked.recovery_code.as_deref()).await?;
    let sql = "SELECT api_remove_second_factor($1, $2)";
    api.pool.get().await?.execute(sql, &[&person.session, &own.shown]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// New recovery codes; the ones before are dead.
#[utoipa::path(post, path = "/account/recovery-codes", operation_id = "change_recovery_codes", tag = "account", request_body = ReauthenticationRequest, security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "shown once", body = types::NewRecoveryCodes), (status = 403, description = "the password or the code is wrong"), (status = 409, description = "no second factor is enrolled"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn change_recovery_codes(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<ReauthenticationRequest>, JsonRejection>,
) -> Result<Json<types::NewRecoveryCodes>, Problem> {
    let Json(asked) = body?;
    let own = with_password(&api, &person, &asked.password).await?;
    if own.sealed.is_none() {
        let message = "no second factor is enrolled, so that there is nothing to recover";
        return Err(Problem::coded(StatusCode::CONFLICT, Code::NoSecondFactor, message, json!({})));
    }
    with_factor(&api, &own, asked.totp.as_deref(), asked.recovery_code.as_deref()).await?;
    let codes = RecoveryCodes::new();
    let sql = "SELECT api_change_recovery_codes($1, $2, $3)";
    api.pool.get().await?.execute(sql, &[&person.session, &own.shown, &codes.digests]).await?;
    Ok(Json(types::NewRecoveryCodes { recovery_codes: codes.shown }))
}

/// Where I am logged in.
#[utoipa::path(get, path = "/sessions", operation_id = "list_sessions", tag = "account", security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "my sessions, 200 at most", body = types::OwnSessions)))]
pub(in crate::api) async fn sessions(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    let rows = api.pool.get().await?.query("SELECT * FROM api_my_sessions($1)", &[&person.session]).await?;
    let sessions: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

/// End all my sessions but the one that asks.
#[utoipa::path(delete, path = "/sessions", operation_id = "end_other_sessions", tag = "account", security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "done", body = types::SessionsEnded)))]
pub(in crate::api) async fn end_other_sessions(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<types::SessionsEnded>, Problem> {
    let none: Option<i64> = None;
    let sql = "SELECT api_end_sessions($1, $2)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &none]).await?;
    ended(&api, row.get(0))
}

/// End one of my sessions; its live streams end with it.
#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "end_session", tag = "account", params(("id" = types::Id, Path, description = "session")), security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 200, description = "done", body = types::SessionsEnded)))]
pub(in crate::api) async fn end_session(
    State(api): State<Api>,
    person: Person,
    Path(session): Path<String>,
) -> Result<Json<types::SessionsEnded>, Problem> {
    let session = Some(id(&session, "id")?);
    let sql = "SELECT api_end_sessions($1, $2)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &session]).await?;
    ended(&api, row.get(0))
}
