//! Which answers are compressed: large ones of questions.
//!
//! A secret in the same answer as a text of somebody else's choice could be guessed from its compressed length (BREACH). So answers
//! that open something (sessions, tickets, phones) are not compressed, nor is any other answer to a change: what may be is named here.
//! The page's own files were compressed when it was built (`web`).

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, predicate::And};

/// Smaller answers fit one packet of a network anyway.
const BYTES_MIN: u64 = 1024;
/// Brotli's and gzip's own level for answers that are made while somebody waits; higher ones cost several times the work.
const LEVEL: CompressionLevel = CompressionLevel::Precise(4);

/// Says that an answer may be compressed.
#[derive(Clone, Copy)]
struct Compressible;

type OfMarked = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses what is marked and large.
pub(super) fn layer() -> CompressionLayer<And<SizeAbove, OfMarked>> {
    let marked: OfMarked = |_, _, _, extensions| extensions.get::<Compressible>().is_some();
    CompressionLayer::new().quality(LEVEL).compress_when(SizeAbove::new(BYTES_MIN).and(marked))
}

/// Marks answers by what was asked.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let may_be = may_be_compressed(request.method(), request.uri().path());
    let mut response = next.run(request).await;
    if may_be && response.status() == StatusCode::OK {
        response.extensions_mut().insert(Compressible);
    }
    response
}

/// Reading, and questions whose polygon needs a body. A live stream is no answer of status 200.
fn may_be_compressed(method: &Method, path: &str) -> bool {
    let is_search = *method == Method::POST && path.starts_with("/api/v1/search/");
    path.starts_with("/api/") && (*method == Method::GET || is_search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_calls_only_questions_are_compressed() {
        let document = serde_json::to_value(crate::api::openapi()).unwrap();
        let mut refused = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let asked = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                if !may_be_compressed(&asked, path) {
                    refused.push(format!("{method} {}", path.trim_start_matches("/api/v1")));
                }
            }
        }
        for opens in ["post /session", "post /live/ticket", "post /vehicles/{id}/phone-tokens", "post /phone-presence"]
        {
            assert!(refused.iter().any(|r| r == opens), "{opens} is compressed: {refused:?}");
        }
        assert!(refused.iter().all(|r| !r.starts_with("get ") && !r.contains("/search/")), "{refused:?}");
        assert!(!may_be_compressed(&Method::GET, "/assets/index.js"), "it was, when the page was built");
    }
}
