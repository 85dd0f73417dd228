//! What a request can be told instead of an answer.

use crate::api::codes::{Code, Known};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Display;

/// Why a request has no answer. What is not yours looks like what does not exist.
#[derive(Debug)]
pub enum Problem {
    /// A refusal with its word, values for the reader's language, and more fields beside.
    Coded(Box<Coded>),
    /// Nothing of yours is there.
    NotFound,
    /// We cannot answer now.
    Unavailable,
}

/// A refusal that a page can say in the reader's language.
#[derive(Debug)]
pub struct Coded {
    /// HTTP status.
    pub status: StatusCode,
    /// Its word.
    pub code: Code,
    /// In English, for those who have no words for the code.
    pub message: String,
    /// The numbers and names that the message holds.
    pub values: Value,
    /// The thing as it is now.
    pub present: Option<(&'static str, Value)>,
    /// When to ask again, seconds.
    pub wait_s: Option<u64>,
}

impl Coded {
    fn new(status: StatusCode, code: Code, message: impl Into<String>, values: Value) -> Self {
        Self { status, code, message: message.into(), values, present: None, wait_s: None }
    }

    /// Reads what a refusal of the schema holds beside its text (`refuse` in SQL).
    fn read(status: StatusCode, db: &tokio_postgres::error::DbError) -> Self {
        let detail: Value = db.detail().and_then(|d| serde_json::from_str(d).ok()).unwrap_or_default();
        let code = serde_json::from_value(detail["code"].clone()).unwrap_or(Code::Refused);
        let values = if detail["values"].is_object() { detail["values"].clone() } else { json!({}) };
        Self::new(status, code, db.message(), values)
    }
}

/// The word of all refusals of a status, for programs that need no more.
fn class(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ if status.is_client_error() => "bad_request",
        _ => "internal",
    }
}

impl Problem {
    pub(super) fn coded(status: StatusCode, code: Code, message: impl Into<String>, values: Value) -> Self {
        Self::Coded(Box::new(Coded::new(status, code, message, values)))
    }

    /// A value is wrong; the text names it and its limit.
    pub fn bad(code: Code, message: impl Into<String>, values: Value) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, code, message, values)
    }

    /// Not with this role, grant or page.
    pub fn forbidden(code: Code, message: impl Into<String>, values: Value) -> Self {
        Self::coded(StatusCode::FORBIDDEN, code, message, values)
    }

    /// What cannot be found by what was asked for.
    pub fn missing(code: Code, message: impl Into<String>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, code, message, json!({}))
    }

    /// Nobody is logged in (any more): which of the two, or a wrong password.
    pub fn unauthenticated(code: Code) -> Self {
        let message = match code {
            Code::WrongLogin => "login or password is wrong",
            Code::SecondFactorNeeded => "type the code of your authenticator, or a recovery code",
            Code::SecondFactorEnrol => "your role needs a second factor: enrol one, and type its first code",
            Code::WrongCode => "the code is wrong, or was used already; wait for the next one",
            Code::SessionEnded => "the session has ended; log in again",
            _ => "log in first",
        };
        Self::coded(StatusCode::UNAUTHORIZED, code, message, json!({}))
    }

    /// Slower, please: again in so many seconds.
    pub fn too_often(code: Code, wait_s: u64) -> Self {
        let message = format!("too often; try again in {wait_s} s");
        let coded = Coded::new(StatusCode::TOO_MANY_REQUESTS, code, message, json!({ "wait_s": wait_s }));
        Self::Coded(Box::new(Coded { wait_s: Some(wait_s), ..coded }))
    }

    /// More at once than there may be.
    pub fn too_many(code: Code, max: i64) -> Self {
        let message = format!("{max} are open, which is the most there may be; wait a little and try again");
        Self::coded(StatusCode::TOO_MANY_REQUESTS, code, message, json!({ "max": max }))
    }

    /// Not yet, because of this.
    pub fn waiting(message: &str) -> Self {
        Self::coded(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message, json!({}))
    }

    /// A number outside its limits.
    pub fn range(
        field: &str,
        value: impl Display + Serialize,
        min: impl Display + Serialize,
        max: impl Display + Serialize,
    ) -> Self {
        let message = format!("{field} is {value}; it must be {min} to {max}");
        Self::bad(Code::OutOfRange, message, json!({ "field": field, "value": value, "min": min, "max": max }))
    }

    /// A text that is empty or too long.
    pub fn length(field: &str, characters: usize, max: usize) -> Self {
        let message = format!("{field} has {characters} characters; it must have 1 to {max}");
        let values = json!({ "field": field, "characters": characters, "min": 1, "max": max });
        Self::bad(Code::TextLength, message, values)
    }

    /// What the domain refuses, as a value that is wrong.
    pub fn wrong(error: &impl Known) -> Self {
        let (code, values) = error.known();
        Self::bad(code, error.to_string(), values)
    }

    /// What the domain refuses, as a thing that cannot be: a polygon that crosses itself.
    pub fn impossible(error: &impl Known) -> Self {
        Self::wrong(error).unprocessable()
    }

    /// The same, as well formed but impossible.
    pub fn unprocessable(mut self) -> Self {
        if let Self::Coded(coded) = &mut self {
            coded.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        self
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let said = rejection.body_text();
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::coded(
                rejection.status(),
                Code::TooLarge,
                said,
                json!({ "bytes_max": crate::api::BODY_BYTES_MAX }),
            );
        }
        Self::bad(Code::NotUnderstood, said.clone(), json!({ "detail": said }))
    }
}

impl IntoResponse for Coded {
    fn into_response(self) -> Response {
        let class = class(self.status);
        // Before there were codes for all, those of conflicts stood in `error`.
        let error = if self.status == StatusCode::CONFLICT { self.code.word() } else { json!(class) };
        let mut body = json!({ "error": error, "code": self.code, "message": self.message, "values": self.values });
        if let Some((name, value)) = self.present {
            body[name] = value;
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait_s) = self.wait_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Coded(coded) => return coded.into_response(),
            Self::NotFound => (StatusCode::NOT_FOUND, Code::NotFound, "nothing of yours is there"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "try again in a moment"),
        };
        Coded::new(status, code, message, json!({})).into_response()
    }
}

/// The one reference to a session that a question writes.
const TICKET_OF_A_SESSION: &str = "live_ticket_session_sha256_fkey";

impl From<tokio_postgres::Error> for Problem {
    /// The schema's own codes carry texts for people; everything else is ours to mend.
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let refused = |status| Self::Coded(Box::new(Coded::read(status, db)));
            match db.code().code() {
                "P0400" => return refused(StatusCode::BAD_REQUEST),
                "P0401" => return Self::unauthenticated(Code::SessionEnded),
                "P0403" => return refused(StatusCode::FORBIDDEN),
                "P0404" if db.detail().is_some() => return refused(StatusCode::NOT_FOUND),
                "P0404" => return Self::NotFound,
                "P0409" => return refused(StatusCode::CONFLICT),
                "P0422" => return refused(StatusCode::UNPROCESSABLE_ENTITY),
                // The session ended between being let in and asking for a stream of it.
                "23503" if db.constraint() == Some(TICKET_OF_A_SESSION) => {
                    return Self::unauthenticated(Code::SessionEnded);
                }
                // A NUL in a text or in JSON; a number out of a column's range; a rule of a column.
                "22021" | "22P05" => {
                    let text = "a text holds a character that cannot be kept (NUL)";
                    return Self::bad(Code::CharacterNotKept, text, json!({}));
                }
                "22003" | "22008" | "23514" => {
                    return Self::bad(Code::ValueNotKept, "a value is out of its range", json!({}));
                }
                // Trying again would not help: a replica, or tables that are sharded elsewhere.
                "0A000" | "25006" => {
                    tracing::error!(error = %error, "This database cannot do what an API request needs");
                    let text = "the database of this deployment cannot do this";
                    return Self::coded(StatusCode::NOT_IMPLEMENTED, Code::NotSupported, text, json!({}));
                }
                "57014" => {
                    let text = "the question takes too long; narrow its time or its area";
                    return Self::bad(Code::TooSlow, text, json!({}));
                }
                _ => {}
            }
        }
        tracing::error!(error = %error, code = error.code().map_or("none", |c| c.code()), "Database refused an API request");
        Self::Unavailable
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<tokio_postgres::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(%error, "API request failed");
                Self::Unavailable
            }
        }
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::error!(%error, "No database connection for the API");
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
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ if status.is_client_error() => Code::NotUnderstood,
        _ => Code::Internal,
    };
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, TEXT_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let reason = status.canonical_reason().unwrap_or_default().to_lowercase();
    let message = if said.is_empty() { reason } else { said };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let values = match code {
        Code::TooLarge => json!({ "bytes_max": crate::api::BODY_BYTES_MAX }),
        Code::NotUnderstood => json!({ "detail": message }),
        _ => json!({}),
    };
    let body = json!({ "error": class(status), "code": code, "message": message, "values": values });
    Response::from_parts(parts, Body::from(body.to_string()))
}
