//! The pages behind a share link and behind the receipt of an erasure: small files beside the program, so that a stranger's
//! phone loads no map, and nobody has to be logged in.

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

const PAGE: &str = include_str!("../../../web/share/share.html");
const SCRIPT: &str = include_str!("../../../web/share/share.js");
const STYLE: &str = include_str!("../../../web/share/share.css");

const ERASURE: &str = include_str!("../../../web/share/erasure.html");
const ERASURE_SCRIPT: &str = include_str!("../../../web/share/erasure.js");

/// No search engine keeps it.
const ROBOTS: (HeaderName, &str) = (HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive");

fn served(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store"), (ROBOTS.0, ROBOTS.1)], text)
}

/// `/share`; what follows the # stays in the browser.
pub(in crate::api) async fn page() -> impl IntoResponse {
    served("text/html; charset=utf-8", PAGE)
}

/// `/share.js`
pub(in crate::api) async fn script() -> impl IntoResponse {
    served("text/javascript; charset=utf-8", SCRIPT)
}

/// `/share.css`
pub(in crate::api) async fn style() -> impl IntoResponse {
    served("text/css; charset=utf-8", STYLE)
}

/// `/erasure`; what follows the # stays in the browser.
pub(in crate::api) async fn erasure() -> impl IntoResponse {
    served("text/html; charset=utf-8", ERASURE)
}

/// `/erasure.js`
pub(in crate::api) async fn erasure_script() -> impl IntoResponse {
    served("text/javascript; charset=utf-8", ERASURE_SCRIPT)
}
