//! What owners do while a city is played to a running system: they look at their vehicles through its API, let
//! them be guarded after parking, and end the guard before they ride.
//!
//! Plain HTTP, as the API of one machine listens on loopback; a request a connection.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Requests under way at a time.
const REQUESTS_MAX: usize = 16;
/// A vehicle is guarded so long after it was parked, seconds of its own time.
pub const GUARDED_AFTER_S: f64 = 60.0;
/// Longest an owner waits for what must come, and how often they look.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// All owners and their vehicles.
#[derive(Clone)]
pub struct Owners {
    host: Arc<str>,
    /// By the tracker's ident: the vehicle's number and its owner's token.
    vehicles: Arc<HashMap<String, (String, String)>>,
    turns: Arc<Semaphore>,
}

impl Owners {
    /// Logs everybody in. `url`: `http://HOST:PORT`; `logins`: LOGIN PASSWORD a line.
    ///
    /// # Errors
    /// Names what is wrong.
    pub async fn log_in(url: &str, logins: &Path) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").map(|h| h.trim_end_matches('/'));
        let host: Arc<str> = host.with_context(|| format!("--api is {url:?}; it must be http://HOST:PORT"))?.into();
        let text = std::fs::read_to_string(logins).with_context(|| format!("cannot read {}", logins.display()))?;
        let mut vehicles = HashMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let (login, password) = line
                .split_once(' ')
                .with_context(|| format!("line {} of {} must be LOGIN PASSWORD", number + 1, logins.display()))?;
            let body = json!({ "login": login, "password": password.trim() });
            let session = must(ask(&host, "POST", "/session", "", Some(&body)).await?, "logging in")?;
            let token = session["token"].as_str().context("no token came")?.to_owned();
            let mine = must(ask(&host, "GET", "/vehicles", &token, None).await?, "the list of vehicles")?;
            for vehicle in mine["vehicles"].as_array().into_iter().flatten() {
                if let (Some(ident), Some(id)) = (vehicle["tracker"].as_str(), vehicle["id"].as_str()) {
                    vehicles.insert(ident.to_owned(), (id.to_owned(), token.clone()));
                }
            }
        }
        ensure!(!vehicles.is_empty(), "nobody of {} has a vehicle with a tracker", logins.display());
        Ok(Self { host, vehicles: Arc::new(vehicles), turns: Arc::new(Semaphore::new(REQUESTS_MAX)) })
    }

    /// Whether somebody owns the vehicle with this tracker.
    pub fn own(&self, ident: &str) -> bool {
        self.vehicles.contains_key(ident)
    }

    /// From now on it is guarded whenever it is parked.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn guard_when_parked(&self, ident: &str) -> anyhow::Result<()> {
        let body = json!({ "schedule": null, "auto_after_s": GUARDED_AFTER_S as u32 });
        self.ask(ident, "PUT", "/guard-policy", Some(&body)).await.map(drop)
    }

    /// Waits until it is guarded, then ends that; comes back when the end is in force.
    ///
    /// # Errors
    /// The API refuses, or nothing changes in time.
    pub async fn end_guard(&self, ident: &str) -> anyhow::Result<()> {
        self.wait_until(ident, true).await?;
        self.ask(ident, "POST", "/disarm", None).await?;
        self.wait_until(ident, false).await
    }

    async fn wait_until(&self, ident: &str, is_guarded: bool) -> anyhow::Result<()> {
        let since = tokio::time::Instant::now();
        while self.ask(ident, "GET", "/guard-policy", None).await?["armed"] != is_guarded {
            ensure!(since.elapsed() < PATIENCE, "{ident}: armed is not {is_guarded} after {PATIENCE:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn ask(&self, ident: &str, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let _turn = self.turns.acquire().await?;
        let (id, token) = self.vehicles.get(ident).with_context(|| format!("nobody owns {ident}"))?;
        must(ask(&self.host, method, &format!("/vehicles/{id}{path}"), token, body).await?, ident)
    }
}

/// The answer, if it is one.
fn must((status, body): (u16, Value), what: &str) -> anyhow::Result<Value> {
    if !(200..300).contains(&status) {
        bail!("{what}: the API answers {status}: {}", body["message"]);
    }
    Ok(body)
}

async fn ask(host: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(host).await.with_context(|| format!("--api {host}"))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let (kind, length) = ("application/json", body.len());
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    read(&answer).with_context(|| format!("{method} {path}: the answer is not HTTP"))
}

/// Status and body of a whole answer; a body that is no JSON is null.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(..end)?).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_slice(&answer[end + 4..]).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_perhaps_a_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"armed\":true}";
        assert_eq!(read(answer), Some((200, json!({ "armed": true }))));
        assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n"), Some((204, Value::Null)));
        assert_eq!(read(b"HTTP/1.1 20"), None);
    }

    #[test]
    fn a_refusal_is_an_error_that_says_why() {
        let refusal = (422, json!({ "message": "auto_after_s is 1" }));
        assert!(must(refusal, "guarding").unwrap_err().to_string().contains("auto_after_s is 1"));
    }
}
