//! What the pages say is what the code has.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// `section.key` of every setting that `src/config.rs` reads.
fn settings() -> BTreeSet<String> {
    let code = read("src/config.rs");
    let mut found = BTreeSet::new();
    for part in code.split("pub struct ").skip(1) {
        let (name, fields) = part.split_once(" {").expect("a body");
        let fields = fields.split("\n}").next().expect("an end");
        for line in fields.lines().filter_map(|l| l.trim().strip_prefix("pub ")) {
            let key = line.split(':').next().expect("a name");
            if name != "Config" {
                found.insert(format!("{}.{key}", name.to_lowercase()));
            }
        }
    }
    found
}

#[test]
fn every_setting_stands_on_its_page_and_in_the_example() {
    let page = read("docs/configuration.md");
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `"))
        .filter_map(|l| l.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(told, settings());
    let example = read("rideguard.example.toml");
    let missing: Vec<_> = settings()
        .into_iter()
        .filter(|s| {
            let key = s.split('.').next_back().expect("a key");
            !example.lines().any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} =")))
        })
        .collect();
    assert!(missing.is_empty(), "the example lacks {missing:?}");
}

#[test]
fn every_metric_stands_on_the_page_of_operators() {
    let code = read("src/telemetry.rs");
    let page = read("docs/metrics.md");
    let names: BTreeSet<&str> = code
        .split('"')
        .filter(|t| t.starts_with("rideguard_") && t.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect();
    assert!(names.len() > 15, "only {names:?} were found: has the code another form?");
    let missing: Vec<_> = names.iter().filter(|n| !page.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
}

#[test]
fn every_call_has_an_id_of_its_own_a_tag_and_a_line_on_the_page() {
    let document = serde_json::to_value(rideguard::api::openapi()).expect("JSON");
    let page = read("docs/api.md");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let short = path.strip_prefix("/api/v1").expect("below /api/v1");
        for (method, call) in item.as_object().expect("calls") {
            let id = call["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is the id of two calls, one of them {method} {path}");
            let ways = call["security"].as_array().cloned().unwrap_or_default();
            let roles = |way: &str| ways.iter().find_map(|w| w.get(way)).cloned();
            assert_eq!(roles("bearer"), roles("cookie"), "{method} {path}: a cookie is as good as a token");
            let is_open = ["/session", "/phone"].contains(&short) && method == "post";
            assert_eq!(ways.len(), if is_open { 0 } else { 2 }, "{method} {path}");
            assert_eq!(call["tags"].as_array().map(Vec::len), Some(1), "{method} {path} has not one tag");
            let last = short.rsplit('/').find(|p| !p.starts_with('{')).expect("a name");
            assert!(page.contains(short) || page.contains(&format!("`/{last}`")), "docs/api.md lacks {short}");
        }
    }
    assert!(ids.len() >= 34, "{ids:?}");
}

/// Sends a request as the webhook channel does; returns the status line.
fn post(port: u16, timestamp: i64, signature: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the receiver listens");
    write!(
        socket,
        "POST / HTTP/1.0\r\nX-RideGuard-Timestamp: {timestamp}\r\nX-RideGuard-Delivery: 7\r\n\
         X-RideGuard-Signature: sha256={signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_receiver_of_the_webhook_page_takes_our_signature_and_refuses_others() {
    let page = read("docs/webhooks.md");
    let program = page.split("```python\n").nth(1).and_then(|t| t.split("```").next()).expect("an example");
    let mut receiver = Command::new("python3")
        .args(["-c", program])
        .env("SECRET", "s3cret")
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut lines = BufReader::new(receiver.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let port = lines.next().and_then(|l| l.rsplit(' ').next()?.parse().ok()).expect("its port");

    let body =
        r#"{"delivery":"7","attempt":1,"alert":{"kind":"moved","plate":"X1","raised_at":"2026-01-01T00:00:00Z"}}"#;
    let now = rideguard::clock::now().micros() / 1_000_000;
    let sign = |at| rideguard::notify::webhook::signature("s3cret", at, body);
    let answers = [
        post(port, now, &sign(now), body),
        post(port, now, &sign(now + 1), body),
        post(port, now - 3600, &sign(now - 3600), body),
        post(port, now, &sign(now), body),
    ];
    receiver.kill().expect("killed");
    receiver.wait().expect("ended");
    let statuses: Vec<&str> = answers.iter().filter_map(|a| a.split(' ').nth(1)).collect();
    assert_eq!(statuses, ["204", "401", "401", "204"]);
    assert_eq!(lines.collect::<Vec<_>>(), ["moved X1 2026-01-01T00:00:00Z"], "a repeat is shown once");
}
