//! What a request can be told instead of an answer.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request has no answer. What is not yours looks like what does not exist.
#[derive(Debug)]
pub enum Problem {
    /// A value is wrong; the text names it and its limit.
    BadRequest(String),
    /// No token, or a dead one.
    Unauthenticated,
    /// Not with this role or grant.
    Forbidden(String),
    /// Nothing of yours is there.
    NotFound,
    /// Not in this state.
    Conflict(String),
    /// Well formed, but no such thing can be: a polygon that crosses itself.
    Unprocessable(String),
    /// A refusal with a machine word of its own, values for the reader's language, and more fields beside.
    Coded(Box<Coded>),
    /// Slower, please.
    TooMany,
    /// We cannot answer now.
    Unavailable,
}

/// A refusal that a page can say in the reader's language.
#[derive(Debug)]
pub struct Coded {
    /// HTTP status.
    pub status: StatusCode,
    /// One word of the list in docs/api.md.
    pub code: String,
    /// In English, for those who have no words for the code.
    pub message: String,
    /// The numbers and names that the message holds.
    pub values: Value,
    /// The thing as it is now.
    pub present: Option<(&'static str, Value)>,
}

impl Coded {
    /// Reads what a refusal of the schema holds beside its text (`refuse` in SQL).
    fn read(status: StatusCode, db: &tokio_postgres::error::DbError) -> Option<Self> {
        let detail: Value = serde_json::from_str(db.detail()?).ok()?;
        let code = detail["code"].as_str()?.to_owned();
        Some(Self { status, code, message: db.message().to_owned(), values: detail["values"].clone(), present: None })
    }
}

impl IntoResponse for Coded {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.code, "message": self.message, "values": self.values });
        if let Some((name, value)) = self.present {
            body[name] = value;
        }
        (self.status, Json(body)).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::BadRequest(text) => (StatusCode::BAD_REQUEST, "bad_request", text),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "log in first".into()),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, "forbidden", text),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "nothing of yours is there".into()),
            Self::Conflict(text) => (StatusCode::CONFLICT, "conflict", text),
            Self::Unprocessable(text) => (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", text),
            Self::Coded(coded) => return coded.into_response(),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "wait a little and try again".into()),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again in a moment".into()),
        };
        (status, Json(json!({ "error": code, "message": message }))).into_response()
    }
}

/// The one reference to a session that a question writes.
const TICKET_OF_A_SESSION: &str = "live_ticket_session_sha256_fkey";

impl From<tokio_postgres::Error> for Problem {
    /// The schema's own codes carry texts for people; everything else is ours to mend.
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let text = db.message().to_owned();
            let status = match db.code().code() {
                "P0400" => Some(StatusCode::BAD_REQUEST),
                "P0403" => Some(StatusCode::FORBIDDEN),
                "P0409" => Some(StatusCode::CONFLICT),
                "P0422" => Some(StatusCode::UNPROCESSABLE_ENTITY),
                _ => None,
            };
            if let Some(coded) = status.and_then(|status| Coded::read(status, db)) {
                return Self::Coded(Box::new(coded));
            }
            match db.code().code() {
                "P0400" => return Self::BadRequest(text),
                "P0403" => return Self::Forbidden(text),
                "P0404" => return Self::NotFound,
                "P0409" => return Self::Conflict(text),
                "P0422" => return Self::Unprocessable(text),
                // The session ended between being let in and asking for a stream of it.
                "23503" if db.constraint() == Some(TICKET_OF_A_SESSION) => return Self::Unauthenticated,
                // A NUL in a text or in JSON; a number out of a column's range; a rule of a column.
                "22021" | "22P05" => {
                    return Self::BadRequest("a text holds a character that cannot be kept (NUL)".into());
                }
                "22003" | "22008" | "23514" => return Self::BadRequest("a value is out of its range".into()),
                "57014" => return Self::BadRequest("the question takes too long; narrow its time or its area".into()),
                _ => {}
            }
        }
        tracing::error!(error = %error, code = error.code().map_or("none", |c| c.code()), "The database refused a request of the API");
        Self::Unavailable
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<tokio_postgres::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(%error, "A question of the API has no answer");
                Self::Unavailable
            }
        }
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::error!(%error, "The API has no database connection");
        Self::Unavailable
    }
}

/// Longest text of a refusal that is passed on, bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Gives a refusal that the framework wrote as plain text (a body too large, a parameter that is no
/// number, a method that a path does not know) the form of all others.
pub(super) async fn in_our_form(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !(status.is_client_error() || status.is_server_error()) || kind.starts_with("application/json") {
        return response;
    }
    let code = match status {
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ if status.is_client_error() => "bad_request",
        _ => "internal",
    };
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, TEXT_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let reason = status.canonical_reason().unwrap_or_default().to_lowercase();
    let message = if said.is_empty() { reason } else { said };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(json!({ "error": code, "message": message }).to_string()))
}
