//! Large answers are compressed as the client can read them, those with secrets are not; behind TLS cookies are Secure.

use crate::harness::{Up, use_ring};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::io::Read;

/// Asks as a program with a token, saying which codings it takes.
async fn ask(up: &Up, token: &str, method: Method, path: &str, codings: &str, body: Option<Value>) -> Response {
    let mut request = reqwest::Client::new()
        .request(method, format!("http://{}{path}", up.http))
        .header("Authorization", format!("Bearer {token}"))
        .header("Accept-Encoding", codings);
    if let Some(body) = body {
        request = request.header("Content-Type", "application/json").body(body.to_string());
    }
    request.send().await.unwrap()
}

fn coding(answer: &Response) -> Option<String> {
    answer.headers().get("content-encoding").map(|v| v.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn large_answers_are_compressed_and_cookies_are_secure_behind_tls() {
    use_ring();
    let up = Up::start(120, &["--behind-tls-proxy"]).await;
    let operator = up.log_in("operator").await;
    let get = |path, codings| ask(&up, &operator.token, Method::GET, path, codings, None);
    let list = "/api/v1/trackers?limit=100";

    let plain = get(list, "identity").await;
    assert_eq!((plain.status().as_u16(), coding(&plain)), (200, None));
    let plain = plain.bytes().await.unwrap();
    assert!(plain.len() > 10_000, "{}", plain.len());
    for (accepted, wanted) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "br"), ("br;q=0, gzip", "gzip")] {
        let answer = get(list, accepted).await;
        assert_eq!(coding(&answer).as_deref(), Some(wanted), "{accepted}");
        assert!(answer.headers()["vary"].to_str().unwrap().eq_ignore_ascii_case("accept-encoding"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body = answer.bytes().await.unwrap();
        assert!(body.len() * 3 < plain.len(), "{accepted}: {} of {}", body.len(), plain.len());
        if wanted == "gzip" {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            let [got, same]: [Value; 2] =
                [text.as_bytes(), &plain[..]].map(|text| serde_json::from_slice(text).unwrap());
            assert_eq!(got["trackers"].as_array().unwrap().len(), same["trackers"].as_array().unwrap().len());
        }
    }
    assert_eq!(coding(&get("/api/openapi.json", "br").await).as_deref(), Some("br"));

    // Small ones, refusals, secrets and the page's own files are not, or not again.
    assert_eq!(coding(&get("/api/v1/me", "br, gzip").await), None);
    let too_large = format!("/api/v1/trackers?limit={}", "9".repeat(2000));
    let refused = get(&too_large, "br, gzip").await;
    assert_eq!((refused.status().as_u16(), coding(&refused)), (400, None));
    let page = get("/", "br, gzip").await;
    assert!(page.headers().get_all("content-encoding").iter().count() <= 1);
    let ticket = ask(&up, &operator.token, Method::POST, "/api/v1/live/ticket", "br, gzip", Some(json!({}))).await;
    assert_eq!((ticket.status().as_u16(), coding(&ticket)), (200, None));

    let logins = std::fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    let password = logins.lines().find_map(|l| l.strip_prefix("owner")).unwrap().trim().to_owned();
    let body = json!({ "login": "owner", "password": password, "cookie": true });
    let opened = ask(&up, "", Method::POST, "/api/v1/session", "br, gzip", Some(body)).await;
    assert_eq!((opened.status().as_u16(), coding(&opened)), (200, None));
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.split("; ").any(|part| part == "Secure"), "{cookie}");
    assert!(cookie.split("; ").any(|part| part == "HttpOnly"), "{cookie}");
    // What takes it away must be as secure, or a browser would not let it touch the cookie.
    let request = reqwest::Client::new().delete(format!("http://{}/api/v1/session", up.http));
    let token = cookie.split("; ").next().unwrap();
    let ended = request.header("Cookie", token).header("x-rideguard", "1").send().await.unwrap();
    let cleared = ended.headers()["set-cookie"].to_str().unwrap();
    assert!(cleared.contains("Max-Age=0") && cleared.ends_with("; Secure"), "{cleared}");
}
