//! The web page, built into the binary.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

/// What `npm run build` made; empty where it did not run.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Page;

/// Shown when the binary was built without the web part.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>RideGuard</title>\
    <h1>RideGuard runs, without its web page</h1><p>This binary was built by <code>cargo build</code> alone. \
    Build the web page first: <code>make web</code>, then <code>cargo build</code> again.</p>\
    <p>程序在运行，但没有包含网页。请先执行 <code>make web</code>，然后重新编译。</p></html>";

/// Serves a file of the page; an unknown path is one of the page's own routes.
pub(super) async fn serve(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (path, found) = match Page::get(path) {
        Some(found) => (path, Some(found)),
        None if path.starts_with("assets/") => return StatusCode::NOT_FOUND.into_response(),
        None => ("index.html", Page::get("index.html")),
    };
    let Some(file) = found else { return Html(NOT_BUILT).into_response() };
    let kind =
        HeaderValue::from_str(file.metadata.mimetype()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static(cache))], file.data.into_owned())
        .into_response()
}
