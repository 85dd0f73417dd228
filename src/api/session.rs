//! Log in, log out, and who asks: opaque tokens, kept as SHA-256.

use crate::api::Api;
use crate::api::audit::Asker;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::password::CREDENTIAL_BYTES_MAX;
use crate::api::types;
pub(super) use crate::api::types::Role;
use crate::api::{device, limits, password};
use crate::domain::Timestamp;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// A session's life, hours.
const SESSION_HOURS: f64 = 12.0;

/// What a person types.
#[derive(Deserialize, ToSchema)]
pub(super) struct Credentials {
    /// What is typed.
    #[schema(max_length = 256)]
    login: String,
    /// The secret.
    #[schema(max_length = 256, format = Password)]
    password: String,
    /// The page asks for a cookie that no script can read; programs get a token.
    #[serde(default)]
    cookie: bool,
}

/// Until the database is asked again who has logged in before.
const ASK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
/// The cookie that holds a browser's token.
const COOKIE: &str = "rideguard_session";
/// What the page sends with every change: a page of another origin cannot, without our leave.
const OWN_PAGE: (&str, &str) = ("x-rideguard", "1");

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) account: i64,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) organisation: Option<String>,
    pub(super) session: Vec<u8>,
}

impl Role {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "police" => Some(Self::Police),
            "operator" => Some(Self::Operator),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Police => "police",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl Person {
    /// Goes on only with one of these roles.
    pub(super) fn must_be(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) {
            return Ok(());
        }
        let names: Vec<_> = roles.iter().map(|r| r.name()).collect();
        let said = format!("this is for {}; you are {}", names.join(" or "), self.role.name());
        Err(Problem::forbidden(Code::WrongRole, said, json!({ "roles": names, "role": self.role.name() })))
    }
}

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let token = token_of(parts)?;
        let person = person_of(api, &digest(token)).await?;
        let person = person.ok_or_else(|| Problem::unauthenticated(Code::SessionEnded))?;
        if let Some(asker) = parts.extensions.get::<Asker>() {
            let _ = asker.set(person.clone());
        }
        Ok(person)
    }
}

/// The token of a request, from its header or its cookie.
fn token_of(parts: &Parts) -> Result<&str, Problem> {
    let header = parts.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if let Some(token) = header.strip_prefix("Bearer ") {
        return Ok(token);
    }
    let token = device::cookie(&parts.headers, COOKIE).ok_or_else(|| Problem::unauthenticated(Code::NotLoggedIn))?;
    let is_own = parts.headers.get(OWN_PAGE.0).is_some_and(|v| v == OWN_PAGE.1) && is_own_origin(&parts.headers);
    // A browser adds the cookie by itself, whoever's page asks.
    if !(parts.method.is_safe() || is_own) {
        let (name, value) = OWN_PAGE;
        let said = format!("a change by cookie needs the header {name}: {value} and our origin");
        return Err(Problem::forbidden(Code::ForeignPage, said, json!({})));
    }
    Ok(token)
}

/// The header that gives a browser a cookie for so many seconds, or takes it away (0).
fn set_cookie(api: &Api, name: &str, value: &str, seconds: f64) -> Result<HeaderValue, Problem> {
    let secure = if api.behind_tls_proxy { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds:.0}{secure}");
    HeaderValue::from_str(&text).map_err(|_| Problem::Unavailable)
}

impl Api {
    /// Learns who has logged in before: they are let in while strangers use up what all may try. Until the database has
    /// answered, only browsers that were in before are.
    pub async fn remember_logins(self) {
        loop {
            let asked = async {
                let most = i32::try_from(limits::KNOWN_MAX).unwrap_or(i32::MAX);
                let rows = self.pool.get().await.ok()?.query("SELECT api_known_logins($1)", &[&most]).await.ok()?;
                rows.iter().for_each(|row| self.limits.logged_in(row.get(0)));
                Some(())
            };
            if asked.await.is_some() {
                return;
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

/// Whose session this is, if it lives.
pub(super) async fn person_of(api: &Api, session: &[u8]) -> Result<Option<Person>, Problem> {
    let row = api.pool.get().await?.query_opt("SELECT * FROM api_session($1)", &[&session]).await?;
    Ok(row.and_then(|r| {
        let role = Role::parse(r.get(3))?;
        Some(Person {
            account: r.get(0),
            login: r.get(1),
            name: r.get(2),
            role,
            organisation: r.get(4),
            session: session.to_vec(),
        })
    }))
}

/// SHA-256 of a token: what the database keeps.
pub(super) fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// 256 random bits, as text.
pub(super) fn new_token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Log in.
#[utoipa::path(post, path = "/session", operation_id = "log_in", tag = "session", request_body = Credentials,
    responses((status = 200, description = "a token", body = types::SessionCreated), (status = 401, description = "wrong login or password"), (status = 429, description = "too many attempts")))]
pub(super) async fn log_in(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Json<Credentials>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Problem> {
    let Json(given) = body?;
    if given.login.len() > CREDENTIAL_BYTES_MAX || given.password.len() > CREDENTIAL_BYTES_MAX {
        let said = format!("login and password have at most {CREDENTIAL_BYTES_MAX} bytes");
        let longest = given.login.len().max(given.password.len());
        let values = json!({ "field": "password", "characters": longest, "min": 1, "max": CREDENTIAL_BYTES_MAX });
        return Err(Problem::bad(Code::TextLength, said, values));
    }
    let client = if api.behind_tls_proxy { limits::client_behind_proxy(&headers) } else { None };
    let device = device::known(&api.cursors, &given.login, &headers);
    let attempt = limits::Attempt { login: &given.login, client, device };
    api.limits.allow_login(&attempt).map_err(|wait_s| Problem::too_often(Code::TooManyLogins, wait_s))?;
    // No connection is held while the hash is computed.
    let row = api.pool.get().await?.query_opt("SELECT * FROM api_account($1)", &[&given.login]).await?;
    // An unknown login costs the same work as a known one, so that time tells nothing.
    let hash = row.as_ref().map(|r| r.get(3));
    let matches = password::matches(&api, given.password, hash).await?;
    let account: Option<i64> = row.as_ref().map(|r| r.get(0));
    let Some(row) = row.filter(|_| matches) else {
        // Of a name that nobody has there is no row: it may be a password in the wrong field. The row is not waited
        // for, so that time tells nothing.
        if account.is_some() {
            tokio::spawn(async move { api.note(account, "log_in_failed", json!({})).await });
        }
        return Err(Problem::unauthenticated(Code::WrongLogin));
    };
    api.limits.logged_in(&given.login);
    api.note(account, "log_in", json!({ "cookie": given.cookie })).await;
    let token = new_token();
    let session = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_open_session($1, $2, $3)",
            &[&digest(&token), &row.get::<_, i64>(0), &(SESSION_HOURS * 3600.0)],
        )
        .await?;
    let role = Role::parse(row.get(2)).ok_or(Problem::Unavailable)?;
    let account = types::Account { login: given.login, name: row.get(1), role };
    let expires_at = session.get::<_, Timestamp>(0).into();
    if given.cookie {
        let known = device::issue(&api.cursors, &account.login);
        let cookies = [
            set_cookie(&api, COOKIE, &token, SESSION_HOURS * 3600.0)?,
            set_cookie(&api, device::COOKIE, &known, device::KNOWN_DAYS * 86_400.0)?,
        ];
        let opened = Json(types::SessionCreated { token: None, expires_at, account });
        return Ok((AppendHeaders(cookies.map(|c| (header::SET_COOKIE, c))), opened).into_response());
    }
    Ok(Json(types::SessionCreated { token: Some(token), expires_at, account }).into_response())
}

/// Log out: the token is dead at once, and so are its live streams.
#[utoipa::path(delete, path = "/session", operation_id = "log_out", tag = "session", security(("bearer" = ["owner", "police", "operator", "admin"])), responses((status = 204, description = "done")))]
pub(super) async fn log_out(State(api): State<Api>, person: Person) -> Result<Response, Problem> {
    api.pool.get().await?.execute("SELECT api_close_session($1)", &[&person.session]).await?;
    api.live.end_session(person.session);
    api.note(Some(person.account), "log_out", json!({})).await;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie(&api, COOKIE, "", 0.0)?)]).into_response())
}

/// A browser states where the page came from; other programs state nothing.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(scheme, o)| ["http", "https"].contains(&scheme) && o == host)
        }
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_origin_is_refused() {
        let headers = |origin: &str| {
            HeaderMap::from_iter([
                ("origin".parse().unwrap(), origin.parse().unwrap()),
                ("host".parse().unwrap(), "127.0.0.1:8080".parse().unwrap()),
            ])
        };
        assert!(is_own_origin(&headers("http://127.0.0.1:8080")));
        for foreign in ["http://evil.example", "chrome-extension://127.0.0.1:8080", "null"] {
            assert!(!is_own_origin(&headers(foreign)), "{foreign}");
        }
    }
}
