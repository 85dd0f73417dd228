//! Log out, and who asks: opaque tokens, kept as SHA-256.

use crate::api::Api;
use crate::api::audit::Asker;
use crate::api::codes::Code;
use crate::api::error::Problem;
pub(super) use crate::api::types::Role;
use crate::api::{device, limits};
use crate::store::proof::Proof;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A session's life, hours.
pub(super) const SESSION_HOURS: f64 = 12.0;

/// Until the database is asked again who has logged in before.
const ASK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
/// The cookie that holds a browser's token.
pub(super) const COOKIE: &str = "rideguard_session";
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
    pub(super) session: Proof,
}

impl Role {
    /// Whether somebody sees what is their own or their family's, and nobody else's: such looks leave no row.
    pub(super) fn sees_own(self) -> bool {
        match self {
            Self::Owner | Self::Family => true,
            Self::Installer | Self::Operator | Self::Police | Self::Approver | Self::Auditor | Self::Admin => false,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "family" => Some(Self::Family),
            "installer" => Some(Self::Installer),
            "operator" => Some(Self::Operator),
            "police" => Some(Self::Police),
            "approver" => Some(Self::Approver),
            "auditor" => Some(Self::Auditor),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Family => "family",
            Self::Installer => "installer",
            Self::Operator => "operator",
            Self::Police => "police",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
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
        let person = person_of(api, Proof::shown(token)).await?;
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
pub(super) fn set_cookie(api: &Api, name: &str, value: &str, seconds: f64) -> Result<HeaderValue, Problem> {
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
pub(super) async fn person_of(api: &Api, session: Proof) -> Result<Option<Person>, Problem> {
    let row = api.pool.get().await?.query_opt("SELECT * FROM api_session($1)", &[&session]).await?;
    if row.as_ref().is_some_and(|r| r.get("is_stale")) {
        let api = api.clone();
        // Nobody waits for it: it says when a session was last used, to the minute.
        tokio::spawn(async move {
            let Ok(client) = api.pool.get().await else { return };
            if let Err(error) = client.execute("SELECT api_touch_session($1)", &[&session]).await {
                tracing::warn!(%error, "The use of a session could not be noted");
            }
        });
    }
    Ok(row.and_then(|r| {
        let role = Role::parse(r.get(3))?;
        Some(Person { account: r.get(0), login: r.get(1), name: r.get(2), role, organisation: r.get(4), session })
    }))
}

/// 256 random bits, as text.
pub(super) fn new_token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Log out: the token is dead at once, and so are its live streams.
#[utoipa::path(delete, path = "/session", operation_id = "log_out", tag = "session", security(("bearer" = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])), responses((status = 204, description = "done")))]
pub(super) async fn log_out(State(api): State<Api>, person: Person) -> Result<Response, Problem> {
    api.note(&person.session, "log_out", json!({})).await;
    api.pool.get().await?.execute("SELECT api_close_session($1)", &[&person.session]).await?;
    api.live.end_session(person.session);
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
