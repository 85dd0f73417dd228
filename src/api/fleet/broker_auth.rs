//! The questions of brokers of one's own: EMQX 5, RabbitMQ and mosquitto-go-auth ask over HTTP who may come in.
//!
//! Sources: EMQX, "HTTP authentication" and "HTTP authorization"; RabbitMQ, rabbitmq-auth-backend-http; mosquitto-go-auth,
//! backend "HTTP", response mode "status". Whom nobody knows is told from a database that is away: then the answer is 503,
//! and nobody is refused for it.

use super::broker_rights::{is_own_client, is_tracker, may_hear, may_publish, may_use, of_routing_key};
use crate::domain::credential::is_of;
use crate::store::broker_users;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use deadpool_postgres::Pool;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower_http::limit::RequestBodyLimitLayer;

/// How long an answer of the database is used again: as long as a revoked tracker may still come in.
const FRESH: Duration = Duration::from_secs(2);
/// How long it is used while the database is away.
const STALE_MAX: Duration = Duration::from_secs(3600);
/// Most answers that are kept: 200 bytes each, for a city's trackers.
const KEPT_MAX: usize = 200_000;
/// Questions of the database a second, beyond which brokers are told to ask again: a city connects again in 200 s.
const ASKED_PER_S: NonZeroU32 = match NonZeroU32::new(500) {
    Some(n) => n,
    None => NonZeroU32::MIN,
};
/// Longest the database is waited for; brokers give up after 5 s.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Largest question, bytes.
const QUESTION_BYTES_MAX: usize = 8 * 1024;

/// What the database said of a tracker: none, revoked, or its hash.
type Said = Option<Option<String>>;

/// Answers brokers.
struct BrokerAuth {
    pool: Pool,
    /// SHA-256 of the secret that a broker shows.
    secret: Option<[u8; 32]>,
    kept: Mutex<HashMap<String, (Instant, Said)>>,
    asked: DefaultDirectRateLimiter,
}

/// How a question ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
    /// Nobody of ours: another of the broker's sources may know.
    Unknown,
    /// We cannot say now.
    Away,
}

/// The listener's routes. With a secret, a question shows it as `Authorization: Bearer SECRET`, or below `/key/SECRET/`
/// where a broker can send no header.
pub fn router(pool: Pool, secret: Option<&str>) -> Router {
    let state = Arc::new(BrokerAuth {
        pool,
        secret: secret.map(|s| Sha256::digest(s.as_bytes()).into()),
        kept: Mutex::default(),
        asked: RateLimiter::direct(Quota::per_second(ASKED_PER_S)),
    });
    let questions = Router::new().route("/{broker}/{question}", any(answer));
    Router::new()
        .merge(questions.clone())
        .nest("/key/{secret}", questions)
        .layer(middleware::from_fn_with_state(state.clone(), shows_secret))
        .layer(RequestBodyLimitLayer::new(QUESTION_BYTES_MAX))
        .with_state(state)
}

/// Goes on only for whom the secret is known.
async fn shows_secret(State(auth): State<Arc<BrokerAuth>>, request: Request, next: Next) -> Response {
    let Some(secret) = &auth.secret else { return next.run(request).await };
    let header = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let path = request.uri().path().strip_prefix("/key/").and_then(|rest| rest.split('/').next());
    let shown = header.strip_prefix("Bearer ").or(path).unwrap_or_default();
    // Digests are compared: how far they agree tells nothing of the secret.
    if <[u8; 32]>::from(Sha256::digest(shown.as_bytes())) == *secret {
        return next.run(request).await;
    }
    StatusCode::UNAUTHORIZED.into_response()
}

/// What a question says, from its address and its body: JSON or a form.
fn said(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Option<HashMap<String, String>> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let pairs = |text: &str| {
        let url = reqwest::Url::parse(&format!("http://x/?{text}")).ok()?;
        Some(url.query_pairs().into_owned().collect::<HashMap<String, String>>())
    };
    let mut said = pairs(uri.query().unwrap_or_default())?;
    if kind.starts_with("application/json") {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        said.extend(object.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        }));
    } else {
        said.extend(pairs(std::str::from_utf8(body).ok()?)?);
    }
    Some(said)
}

/// Answers one question of one of the brokers.
async fn answer(
    State(auth): State<Arc<BrokerAuth>>,
    Path(path): Path<HashMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(said) = said(&uri, &headers, &body) else { return StatusCode::BAD_REQUEST.into_response() };
    let of = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
    let part = |name: &str| path.get(name).map(String::as_str).unwrap_or_default();
    let (user, topic) = (of("username"), of("topic"));
    let client = [of("client_id"), of("clientid")].concat();
    let when = |may: bool| match (is_tracker(user), may) {
        (false, _) => Verdict::Unknown,
        (true, true) => Verdict::Allow,
        (true, false) => Verdict::Deny,
    };
    let verdict = match (part("broker"), part("question")) {
        ("emqx", "authn") | ("rabbitmq" | "mosquitto", "user") if !is_own_client(user, &client) => when(false),
        ("emqx", "authn") | ("rabbitmq" | "mosquitto", "user") => auth.judge(user, of("password")).await,
        ("emqx", "authz") => when(match of("action") {
            "publish" => may_publish(user, topic),
            "subscribe" => may_hear(user, topic),
            _ => false,
        }),
        // A vhost is not ours to tell apart.
        ("rabbitmq", "vhost") => when(true),
        ("rabbitmq", "resource") => when(may_use(user, of("resource"), of("name"), of("permission"))),
        ("rabbitmq", "topic") => {
            let topic = of_routing_key(of("routing_key"));
            when(match of("permission") {
                "write" => may_publish(user, &topic),
                "read" => may_hear(user, &topic),
                _ => false,
            })
        }
        ("mosquitto", "superuser") => Verdict::Deny,
        // MOSQ_ACL_READ, _WRITE and _SUBSCRIBE of mosquitto_plugin.h; _UNSUBSCRIBE (8) harms nobody.
        ("mosquitto", "acl") => when(match of("acc") {
            "1" | "4" => may_hear(user, topic),
            "2" => may_publish(user, topic),
            "8" => true,
            _ => false,
        }),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    worded(part("broker"), verdict)
}

/// The answer as the broker expects it.
fn worded(broker: &str, verdict: Verdict) -> Response {
    let json = |text: &'static str| ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    match (broker, verdict) {
        (_, Verdict::Away) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ("emqx", Verdict::Allow) => json(r#"{"result":"allow","is_superuser":false}"#),
        ("emqx", Verdict::Deny) => json(r#"{"result":"deny"}"#),
        ("emqx", Verdict::Unknown) => json(r#"{"result":"ignore"}"#),
        ("rabbitmq", Verdict::Allow) => "allow".into_response(),
        ("rabbitmq", _) => "deny".into_response(),
        (_, Verdict::Allow) => StatusCode::OK.into_response(),
        (_, _) => StatusCode::FORBIDDEN.into_response(),
    }
}

impl BrokerAuth {
    /// Whether a tracker comes in with this password.
    async fn judge(&self, ident: &str, password: &str) -> Verdict {
        if !is_tracker(ident) {
            return Verdict::Unknown;
        }
        match self.ask(ident).await {
            Some(Some(Some(hash))) if is_of(&hash, password) => Verdict::Allow,
            Some(Some(_)) => Verdict::Deny,
            Some(None) => Verdict::Unknown,
            None => Verdict::Away,
        }
    }

    /// What the database says of a tracker, or said lately; `None`: nobody can say.
    async fn ask(&self, ident: &str) -> Option<Said> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(ident).cloned();
        if let Some((at, said)) = &kept
            && at.elapsed() < FRESH
        {
            return Some(said.clone());
        }
        let asked = async {
            let client = self.pool.get().await.ok()?;
            broker_users::one(&client, ident).await.ok()
        };
        let said = match self.asked.check() {
            Ok(()) => tokio::time::timeout(ANSWER_MAX, asked).await.ok().flatten(),
            Err(_) => None,
        };
        let Some(said) = said else {
            return kept.filter(|(at, _)| at.elapsed() < STALE_MAX).map(|(_, said)| said);
        };
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX {
            all.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if all.len() < KEPT_MAX {
            all.insert(ident.to_owned(), (Instant::now(), said.clone()));
        }
        Some(said)
    }
}
