//! A browser's session: a cookie that no script reads, that no foreign page uses, and whose end its open pages see.

use crate::harness::{Up, use_ring};
use crate::live::Stream;
use crate::support::shapes::must_fit;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A browser that keeps one cookie.
struct Browser {
    http: String,
    cookie: String,
}

impl Browser {
    /// Asks with the cookie and these headers.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://{}/api/v1{path}", self.http);
        let request = reqwest::Client::new().request(method, url).header("Cookie", &self.cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }

    /// Status and body, which is as the document says.
    async fn answer(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let name = method.to_string();
        let answer = self.ask(method, path, headers).await;
        let status = answer.status().as_u16();
        let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        must_fit(&name, path, status, &body);
        (status, body)
    }
}

/// What an answer sets.
fn set_cookie(answer: &Response) -> String {
    answer.headers()["set-cookie"].to_str().unwrap().to_owned()
}

/// Logs in as a page does.
async fn log_in(up: &Up, login: &str) -> Browser {
    let logins = std::fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    let password = logins.lines().find_map(|l| l.strip_prefix(login)).unwrap().trim().to_owned();
    let body = json!({ "login": login, "password": password, "cookie": true });
    let request = reqwest::Client::new().post(format!("http://{}/api/v1/session", up.http));
    let answer = request.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let set = set_cookie(&answer);
    let parts: Vec<&str> = set.split("; ").collect();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(parts.contains(&part), "{set}");
    }
    assert!(!parts.contains(&"Secure"), "without TLS a browser would not send it: {set}");
    let opened: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    must_fit("POST", "/session", 200, &opened);
    assert!(opened.get("token").is_none(), "no script shall have it: {opened}");
    Browser { http: up.http.clone(), cookie: parts[0].to_owned() }
}

#[tokio::test]
async fn a_browsers_session_is_a_cookie_that_no_foreign_page_uses_and_its_end_ends_its_streams_at_once() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let browser = log_in(&up, "owner").await;
    assert_eq!(browser.answer(Method::GET, "/me", &[]).await.1["role"], "owner");
    let own = format!("http://{}", up.http);
    let ours = ("x-rideguard", "1");
    let ticket = "/live/ticket";
    let foreign = [&[][..], &[("x-rideguard", "yes")], &[ours, ("Origin", "http://evil.example")], &[("Origin", &own)]];
    for headers in foreign {
        let (status, said) = browser.answer(Method::POST, ticket, headers).await;
        assert_eq!((status, &said["error"]), (403, &json!("forbidden")), "{headers:?}: {said}");
        assert_eq!(browser.answer(Method::DELETE, "/session", headers).await.0, 403, "{headers:?}");
    }
    // A program's token needs no such header, and it stands above a cookie.
    let program = up.log_in("owner").await;
    let mut other = Stream::open(&up, &program).await;

    let (status, opened) = browser.answer(Method::POST, ticket, &[ours, ("Origin", &own)]).await;
    assert_eq!(status, 200, "{opened}");
    let since = Instant::now();
    let mut stream = Stream::of(&up, opened["ticket"].as_str().unwrap()).await;
    let ended = browser.ask(Method::DELETE, "/session", &[ours]).await;
    assert_eq!(ended.status(), 204);
    let cleared = set_cookie(&ended);
    assert!(cleared.starts_with("rideguard_session=; ") && cleared.contains("Max-Age=0"), "{cleared}");
    assert_eq!(stream.until(|said| said.get("closed").is_some()).await["closed"], 4401);
    let took = since.elapsed();
    assert!(took < Duration::from_secs(5), "not by the next look at the session, but at once: {took:?}");
    assert_eq!(browser.answer(Method::GET, "/me", &[]).await.0, 401);

    // Another session of the same person goes on, until it is ended where no process of ours sees it.
    assert_eq!(program.get("/me").await["role"], "owner");
    up.sql().await.execute("DELETE FROM session", &[]).await.unwrap();
    assert_eq!(other.until(|said| said.get("closed").is_some()).await["closed"], 4401);
}
