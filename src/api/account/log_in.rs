//! Log in: the password, then the second factor, then a session.

use crate::api::account::second_factor::{FACTOR_BYTES_MAX, RecoveryCodes, now_s, recovery_digest};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::password::CREDENTIAL_BYTES_MAX;
use crate::api::session::{COOKIE, Role, SESSION_HOURS, new_token, set_cookie};
use crate::api::{Api, device, limits, password, types};
use crate::domain::{Phone, Timestamp};
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Row;
use utoipa::ToSchema;

/// Most characters of what a browser calls itself that are kept.
const USER_AGENT_CHARS_MAX: usize = 200;

/// What a person types.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct Credentials {
    /// Login, or phone number in any spelling.
    #[schema(max_length = 256)]
    login: String,
    /// The secret.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// The six digits that an authenticator shows, where a second factor is enrolled or being enrolled.
    #[schema(max_length = 256)]
    totp: Option<String>,
    /// A recovery code in place of them.
    #[schema(max_length = 256)]
    recovery_code: Option<String>,
    /// What `second_factor_enrol` brought, with the first code in `totp`.
    #[schema(max_length = 256)]
    enrolment: Option<String>,
    /// The page asks for a cookie that no script can read; programs get a token.
    #[serde(default)]
    cookie: bool,
}

impl Credentials {
    /// Refuses what is too long.
    fn check(&self) -> Result<(), Problem> {
        let too_long = |field: &str, bytes: usize, max: usize| {
            let said = format!("{field} has {bytes} bytes; it has at most {max}");
            let values = json!({ "field": field, "characters": bytes, "min": 1, "max": max });
            if bytes > max { Err(Problem::bad(Code::TextLength, said, values)) } else { Ok(()) }
        };
        too_long("login", self.login.len(), CREDENTIAL_BYTES_MAX)?;
        too_long("password", self.password.len(), CREDENTIAL_BYTES_MAX)?;
        for (field, value) in
            [("totp", &self.totp), ("recovery_code", &self.recovery_code), ("enrolment", &self.enrolment)]
        {
            too_long(field, value.as_ref().map_or(0, String::len), FACTOR_BYTES_MAX)?;
        }
        Ok(())
    }

    /// Empty, or with a character that nobody's has: the database is not asked.
    fn is_impossible(&self) -> bool {
        let is_impossible = |text: &str| text.trim().is_empty() || text.contains('\0');
        is_impossible(&self.login) || is_impossible(&self.password)
    }
}

/// The name that limits count by: a phone has many spellings, and one limit.
fn name_of(login: &str) -> String {
    Phone::parse(login).map_or_else(|| login.to_owned(), |phone| phone.as_str().to_owned())
}

/// How somebody passed the second factor.
enum Factor {
    /// None is enrolled or needed.
    None,
    /// By the code of a step.
    Totp,
    /// By a recovery code.
    RecoveryCode,
    /// By the first code of an enrolment, which brought recovery codes.
    Enrolled(Vec<String>),
}

impl Factor {
    fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::Enrolled(_) => "enrolled",
        }
    }
}

/// Log in.
#[utoipa::path(post, path = "/session", operation_id = "log_in", tag = "session", request_body = Credentials,
    responses((status = 200, description = "a token", body = types::SessionCreated), (status = 401, description = "wrong login or password; or the second factor is needed, to be enrolled, or wrong"), (status = 429, description = "too many attempts")))]
pub(in crate::api) async fn log_in(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(given) = body?;
    given.check()?;
    if given.is_impossible() {
        return Err(Problem::unauthenticated(Code::WrongLogin));
    }
    let name = name_of(&given.login);
    let client = if api.behind_tls_proxy { limits::client_behind_proxy(&headers) } else { None };
    let device = device::known(&api.cursors, &name, &headers);
    let attempt = limits::Attempt { login: &name, client, device };
    api.limits.allow_login(&attempt).map_err(|wait_s| Problem::too_often(Code::TooManyLogins, wait_s))?;
    // No connection is held while the hash is computed.
    let sql = "SELECT * FROM api_password_recipe($1, $2)";
    let known = api.pool.get().await?.query_opt(sql, &[&given.login, &name]).await?;
    // An unknown login costs the same work and the same questions as a known one, so that time tells nothing.
    let recipe = known.as_ref().and_then(|r| r.get("recipe"));
    let shown = password::shown(&api, given.password.clone(), recipe).await?;
    let sql = "SELECT * FROM api_account($1, $2, $3)";
    let Some(row) = api.pool.get().await?.query_opt(sql, &[&given.login, &name, &shown]).await? else {
        // Of a name that nobody has there is no row: it may be a password in the wrong field. The row is not waited
        // for, so that time tells nothing.
        if let Some(login) = known.map(|r| r.get::<_, String>("login")) {
            tokio::spawn(async move { api.note_failed_log_in(&login).await });
        }
        return Err(Problem::unauthenticated(Code::WrongLogin));
    };
    let factor = second_factor(&api, &row, &shown, &given).await?;
    api.limits.logged_in(&name);
    let by_cookie = given.cookie;
    open(&api, &headers, &Passed { row, shown, name, by_cookie, factor }).await
}

/// Asks for the second factor of somebody whose password was right.
async fn second_factor(api: &Api, row: &Row, shown: &str, given: &Credentials) -> Result<Factor, Problem> {
    let (account, login): (i64, &str) = (row.get("account_id"), row.get("login"));
    let sealed: Option<&[u8]> = row.get("sealed");
    let client = api.pool.get().await?;
    let passed = match (sealed, &given.totp, &given.recovery_code) {
        (Some(sealed), Some(code), _) => match api.factors.step(account, sealed, code, now_s())? {
            // A step is used once: whoever saw the code typed cannot type it again (RFC 6238, section 5.2).
            Some(step) => {
                let used = client.query_one("SELECT api_use_step($1, $2, $3)", &[&account, &shown, &step]).await?;
                used.get::<_, bool>(0).then_some(Factor::Totp)
            }
            None => None,
        },
        (Some(_), None, Some(code)) => {
            let digest = recovery_digest(code);
            let sql = "SELECT api_use_recovery_code($1, $2, $3)";
            let used = client.query_one(sql, &[&account, &shown, &digest]).await?;
            used.get::<_, bool>(0).then_some(Factor::RecoveryCode)
        }
        (Some(_), None, None) => return Err(Problem::unauthenticated(Code::SecondFactorNeeded)),
        (None, ..) if !row.get::<_, bool>("must_have_factor") => Some(Factor::None),
        (None, Some(code), _) if given.enrolment.is_some() => {
            let enrolment = given.enrolment.as_deref().unwrap_or_default();
            match api.factors.finish(account, enrolment, code, now_s())? {
                Some((sealed, step)) => {
                    let codes = RecoveryCodes::new();
                    let sql = "SELECT api_enrol($1, $2, $3, $4, $5)";
                    let enrolled = client.query_one(sql, &[&account, &shown, &sealed, &step, &codes.digests]).await?;
                    enrolled.get::<_, bool>(0).then_some(Factor::Enrolled(codes.shown))
                }
                None => None,
            }
        }
        (None, ..) => {
            let values = json!(api.factors.begin(account, login, now_s())?);
            let message = "your role needs a second factor: enrol one, and type its first code";
            return Err(Problem::coded(StatusCode::UNAUTHORIZED, Code::SecondFactorEnrol, message, values));
        }
    };
    if let Some(passed) = passed {
        return Ok(passed);
    }
    drop(client);
    api.note_failed_log_in(login).await;
    Err(Problem::unauthenticated(Code::WrongCode))
}

/// Who passed both.
struct Passed {
    row: Row,
    /// The password's PHC string, which the database compares once more.
    shown: String,
    /// The name that limits count by.
    name: String,
    by_cookie: bool,
    factor: Factor,
}

/// Opens a session for whoever passed both.
async fn open(api: &Api, headers: &HeaderMap, passed: &Passed) -> Result<Response, Problem> {
    let Passed { row, shown, name, by_cookie, factor } = passed;
    let token = new_token();
    let user_agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let user_agent: String = user_agent.chars().take(USER_AGENT_CHARS_MAX).collect();
    let account: i64 = row.get("account_id");
    let proof = Proof::shown(&token);
    let session = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_open_session($1, $2, $3, $4, $5)",
            &[&proof, &account, shown, &(SESSION_HOURS * 3600.0), &user_agent],
        )
        .await?;
    api.note(&proof, "log_in", json!({ "cookie": by_cookie, "second_factor": factor.name() })).await;
    let role = Role::parse(row.get("role")).ok_or(Problem::Unavailable)?;
    let account = types::Account { login: row.get("login"), name: row.get("name"), role };
    let expires_at = session.get::<_, Timestamp>(0).into();
    let recovery_codes = if let Factor::Enrolled(codes) = factor { Some(codes.clone()) } else { None };
    let told = (!by_cookie).then(|| token.clone());
    let opened = Json(types::SessionCreated { token: told, expires_at, account, recovery_codes });
    if !by_cookie {
        return Ok(opened.into_response());
    }
    let known = device::issue(&api.cursors, name);
    let cookies = [
        set_cookie(api, COOKIE, &token, SESSION_HOURS * 3600.0)?,
        set_cookie(api, device::COOKIE, &known, device::KNOWN_DAYS * 86_400.0)?,
    ];
    Ok((AppendHeaders(cookies.map(|c| (header::SET_COOKIE, c))), opened).into_response())
}
