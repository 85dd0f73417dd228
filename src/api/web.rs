//! The web page, built into the binary, compressed when it was built.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What `npm run build` made; empty where it did not run. Beside a text lie its `.br` and `.gz`.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Page;

/// Shown when the binary was built without the web part.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>RideGuard</title>\
    <h1>RideGuard runs, without its web page</h1><p>This binary was built by <code>cargo build</code> alone. \
    Build the web page first: <code>make web</code>, then <code>cargo build</code> again.</p>\
    <p>程序在运行，但没有包含网页。请先执行 <code>make web</code>，然后重新编译。</p></html>";

/// Content codings that the build makes, the smaller first, with the ending of their files (RFC 9110, section 8.4.1).
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
/// Files whose name has a digest of their content never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Whether a path is that of the installer's entry (`web/src/entries/entries.ts`).
pub(super) fn is_door(path: &str) -> bool {
    path == "/door" || path.starts_with("/door/")
}

/// Serves a file of the page; an unknown path is one of the page's own routes.
pub(super) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (path, found) = match Page::get(path) {
        Some(found) => (path, Some(found)),
        None if path.starts_with("assets/") => return StatusCode::NOT_FOUND.into_response(),
        None => ("index.html", Page::get("index.html")),
    };
    let Some(file) = found else { return Html(NOT_BUILT).into_response() };
    let cache = if path.starts_with("assets/") { FOR_EVER } else { "no-cache" };
    let tag = format!("\"{}\"", &hex::encode(file.metadata.sha256_hash())[..32]);
    let kind = file.metadata.mimetype().to_owned();
    let asked = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    // A weak comparison (RFC 9110, section 13.1.2): the coding does not change what the page is.
    let is_known = asked(header::IF_NONE_MATCH).split(',').any(|t| t.trim().trim_start_matches("W/") == tag);
    let (coding, body) = coded(path, file, asked(header::ACCEPT_ENCODING));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { body.data.into_owned().into_response() };
    let mut set = |name, value: &str| {
        HeaderValue::from_str(value).map(|value| response.headers_mut().insert(name, value)).is_ok()
    };
    set(header::CACHE_CONTROL, cache);
    set(header::ETAG, &format!("W/{tag}"));
    set(header::VARY, "Accept-Encoding");
    if !is_known {
        set(header::CONTENT_TYPE, &kind);
        if let Some(coding) = coding {
            set(header::CONTENT_ENCODING, coding);
        }
    }
    response
}

/// The file in the best coding that both sides know.
fn coded(path: &str, plain: EmbeddedFile, accepted: &str) -> (Option<&'static str>, EmbeddedFile) {
    let coded = CODINGS
        .into_iter()
        .filter(|(coding, _)| accepts(accepted, coding))
        .find_map(|(coding, ending)| Some((coding, Page::get(&format!("{path}{ending}"))?)));
    match coded {
        Some((coding, file)) => (Some(coding), file),
        None => (None, plain),
    }
}

/// Whether `Accept-Encoding` allows a coding: it is named, or `*` stands for it, and not with weight 0
/// (RFC 9110, section 12.5.3).
fn accepts(accepted: &str, coding: &str) -> bool {
    let weight_of = |name: &str| {
        accepted.split(',').find_map(|part| {
            let (said, parameters) = part.split_once(';').unwrap_or((part, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
            said.trim().eq_ignore_ascii_case(name).then_some(weight.unwrap_or(0.0))
        })
    };
    weight_of(coding).or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installers_entry_is_one_path_and_what_lies_below_it() {
        assert!(is_door("/door") && is_door("/door/"));
        assert!(!is_door("/") && !is_door("/doors") && !is_door("/assets/door.js"));
    }

    #[test]
    fn a_coding_is_taken_where_it_is_named_or_a_star_stands_for_it_and_not_with_weight_0() {
        for (accepted, coding, is_taken) in [
            ("gzip, deflate, br, zstd", "br", true),
            ("GZIP", "gzip", true),
            ("br;q=0, gzip;q=0.5", "br", false),
            ("br;q=0, gzip;q=0.5", "gzip", true),
            ("*", "br", true),
            ("*;q=0", "br", false),
            ("identity", "br", false),
            ("br;q=none", "br", false),
            ("", "gzip", false),
        ] {
            assert_eq!(accepts(accepted, coding), is_taken, "{accepted:?} {coding}");
        }
    }
}
