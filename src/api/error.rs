//! What a request can be told instead of an answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

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
    /// Slower, please.
    TooMany,
    /// We cannot answer now.
    Unavailable,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::BadRequest(text) => (StatusCode::BAD_REQUEST, "bad_request", text),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "log in first".into()),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, "forbidden", text),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "nothing of yours is there".into()),
            Self::Conflict(text) => (StatusCode::CONFLICT, "conflict", text),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "wait a little and try again".into()),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again in a moment".into()),
        };
        (status, Json(json!({ "error": code, "message": message }))).into_response()
    }
}

impl From<tokio_postgres::Error> for Problem {
    /// The schema's own codes carry texts for people; everything else is ours to mend.
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let text = db.message().to_owned();
            match db.code().code() {
                "P0400" => return Self::BadRequest(text),
                "P0403" => return Self::Forbidden(text),
                "P0404" => return Self::NotFound,
                "P0409" => return Self::Conflict(text),
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

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::error!(%error, "The API has no database connection");
        Self::Unavailable
    }
}
