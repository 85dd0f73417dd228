//! Doors that stay shut: tokens of the wrong kind, texts that would be commands, and what a listener tells of the inside.

use crate::harness::{Database, Person, Up, topic, use_ring};
use rideguard::config::Config;
use rideguard::ingest::client_options;
use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, QoS, Transport};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Longest a broker may take to say whether it lets somebody in.
const ANSWER_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_secret_of_one_kind_opens_no_other_door() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let owner = up.log_in("owner").await;
    let vehicle = owner.get("/vehicles").await["vehicles"][0]["id"].as_str().unwrap().to_owned();
    let ticket = owner.ask("POST", "/live/ticket", None).await.1["ticket"].as_str().unwrap().to_owned();
    let made = owner.ask("POST", &format!("/vehicles/{vehicle}/phone-tokens"), None).await.1;
    let phone = made["token"].as_str().unwrap().to_owned();
    let token = owner.token.clone();
    let kept = hex::encode(Sha256::digest(token.as_bytes()));
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIiwicm9sZSI6ImFkbWluIn0."; // RFC 7515, A.5
    let cut = &token[..token.len() - 1];
    let (long, upper) = (format!("{token}0"), token.to_uppercase());
    let many = "0".repeat(4000);
    for wrong in [cut, &long, &upper, &kept, none, &ticket, &phone, "", "' OR '1'='1", "null", &many] {
        assert!(wrong != token, "the token has letters");
        assert_eq!(up.person(wrong).ask("GET", "/me", None).await.0, 401, "{wrong} as a session");
        let told = owner.ask("POST", "/phone-presence", Some(json!({ "token": wrong }))).await.0;
        if wrong != phone {
            assert!([400, 404, 429].contains(&told), "{wrong} as a phone: {told}");
        }
        let own = format!("http://{}", up.http);
        if wrong != ticket && !wrong.contains(' ') {
            assert_ne!(up.open_live(wrong, &own).await.as_deref(), Some("snapshot"), "{wrong} as a ticket");
        }
    }
    let bare = async |value: &str| {
        let asked = reqwest::Client::new().get(format!("http://{}/api/v1/me", up.http)).header("Authorization", value);
        asked.send().await.unwrap().status().as_u16()
    };
    for value in [token.clone(), format!("Basic {token}"), format!("Token {token}"), format!("Bearer {token} {token}")]
    {
        assert_eq!(bare(&value).await, 401, "{value}");
    }
    assert_eq!(bare(&format!("Bearer {token}")).await, 200);
    // An empty or impossible password is asked of nobody.
    for (password, expected) in
        [(String::new(), 401), (" ".repeat(8), 401), ("\0".into(), 401), ("x".repeat(1 << 20), 413)]
    {
        let (status, said) =
            up.person("").ask("POST", "/session", Some(json!({ "login": "owner", "password": password }))).await;
        assert_eq!(status, expected, "{} bytes: {said}", password.len());
    }
}

#[tokio::test]
async fn what_is_foreign_and_what_is_missing_look_the_same() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let sql = up.sql().await;
    let hash = rideguard::api::hash_password("quite long enough").unwrap();
    sql.execute(
        "INSERT INTO account (login, name, role, password_hash) VALUES ('stranger', 'Stranger', 'owner', $1)",
        &[&hash],
    )
    .await
    .unwrap();
    let login = json!({ "login": "stranger", "password": "quite long enough" });
    let opened = up.person("").ask("POST", "/session", Some(login)).await.1;
    let stranger = up.person(opened["token"].as_str().unwrap());
    let owner = up.log_in("owner").await;
    let foreign = owner.get("/vehicles").await["vehicles"][0]["id"].as_str().unwrap().to_owned();
    let missing = "9007199254740991";
    let window = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
    let schedule = json!({ "schedule": null });
    let mut asked = 0;
    for (method, path, body) in [
        ("GET", "/vehicles/{id}".to_owned(), None),
        ("GET", format!("/vehicles/{{id}}/track?{window}"), None),
        ("GET", format!("/vehicles/{{id}}/trips?{window}"), None),
        ("GET", "/vehicles/{id}/guard-policy".into(), None),
        ("PUT", "/vehicles/{id}/guard-policy".into(), Some(schedule)),
        ("POST", "/vehicles/{id}/arm".into(), None),
        ("POST", "/vehicles/{id}/disarm".into(), None),
        ("POST", "/vehicles/{id}/phone-tokens".into(), None),
        ("DELETE", "/vehicles/{id}/phone-tokens".into(), None),
    ] {
        let of_foreign = stranger.ask(method, &path.replace("{id}", &foreign), body.clone()).await;
        let of_missing = stranger.ask(method, &path.replace("{id}", missing), body).await;
        let as_text = |(status, answer): (u16, Value), id: &str| (status, answer.to_string().replace(id, "ID"));
        assert_eq!(as_text(of_foreign, &foreign), as_text(of_missing, missing), "{method} {path}");
        asked += 1;
    }
    assert_eq!(asked, 9);
}

#[tokio::test]
async fn texts_are_data_wherever_they_are_taken() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let (owner, police, operator) = (up.log_in("owner").await, up.log_in("police").await, up.log_in("operator").await);
    let before = up.count("SELECT count(*) FROM account").await;
    let grant = police.get("/grants").await["grants"][0]["id"].as_str().unwrap().to_owned();
    let texts = [
        "'; DROP TABLE account; --",
        "\" OR 1=1",
        "%",
        "_",
        "\\",
        "$1",
        "../../etc/passwd",
        "%2e%2e%2f",
        "a\r\nSet-Cookie: x=1",
        "\u{1b}[31mred",
        "<script>alert(1)</script>",
        "{{7*7}}",
    ];
    let reveals = |answer: &Value| {
        let text = answer.to_string();
        ["syntax error", "pg_", "SELECT ", "src/", ".rs:", "panicked"].into_iter().find(|w| text.contains(w))
    };
    for text in texts {
        let quoted: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
        let zone = json!({ "name": text, "kind": "alert", "rule": "enter",
            "shape": { "type": "circle", "lat": 28.5, "lon": 112.3, "radius_m": 300.0 } });
        let questions: [(&Person, &str, String, Option<Value>); 8] = [
            (&police, "GET", format!("/vehicles?q={quoted}&grant_id={grant}"), None),
            (&police, "GET", format!("/vehicles?q=A&grant_id={quoted}"), None),
            (&operator, "GET", format!("/trackers?q={quoted}"), None),
            (&operator, "GET", format!("/trackers?cursor={quoted}"), None),
            (&owner, "GET", format!("/vehicles/{quoted}"), None),
            (&owner, "GET", format!("/incidents?cursor={quoted}"), None),
            (&owner, "POST", "/zones".into(), Some(zone)),
            (&up.person(""), "POST", "/session".into(), Some(json!({ "login": text, "password": text }))),
        ];
        for (person, method, path, body) in questions {
            let (status, answer) = person.ask(method, &path, body).await;
            assert!(status < 500, "{method} {path}: {status} {answer}");
            assert_eq!(reveals(&answer), None, "{method} {path}: {answer}");
        }
    }
    assert_eq!(up.count("SELECT count(*) FROM account").await, before);
    // A wildcard of LIKE finds what has it in its name, and no more.
    for wildcard in ["%25", "_"] {
        let found = operator.get(&format!("/trackers?q={wildcard}")).await;
        assert_eq!(found["trackers"], json!([]), "{wildcard}");
    }
    // Whatever was typed, a line of the log is a line, and no control character reaches a terminal.
    let log = up.log();
    assert!(!log.contains('\u{1b}') && !log.lines().any(|l| l.starts_with("Set-Cookie")), "{log}");
    assert!(!log.contains("DROP TABLE"), "what people type is not logged");
}

#[tokio::test]
async fn no_listener_tells_of_the_inside_and_no_secret_is_seen_from_outside() {
    use_ring();
    let up = Up::start(3, &[]).await;
    // Nothing of metrics or of debugging on the page's listener; whatever it does not know is the page.
    let page = up.text("/").await;
    for path in ["/metrics", "/debug/pprof", "/debug", "/heap", "/actuator", "/server-status", "/.env", "/.git/config"]
    {
        let text = up.text(path).await;
        assert!(text == page || text.contains("not_found"), "{path}: {text}");
        assert!(!text.contains("rideguard_"), "{path}");
    }
    for path in
        ["/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%5c..%5cx", "/assets/%00", "//etc/passwd"]
    {
        let text = up.text(path).await;
        assert!(!text.contains("root:"), "{path}: {text}");
    }
    let answer = reqwest::Client::new()
        .get(format!("http://{}/api/v1/me", up.http))
        .header("Origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    assert!(
        answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")),
        "no page of others reads"
    );
    // Labels of metrics are few words, never a vehicle, a tracker or a person.
    let metrics = up.metrics().await;
    let (ident, _) = up.tracker(0);
    assert!(metrics.len() > 1000 && !metrics.contains(&ident) && !metrics.contains("湘"), "{metrics}");
    let labels: BTreeSet<&str> = metrics
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| Some(&l[l.find('{')? + 1..l.find('}')?]))
        .flat_map(|l| l.split(',').filter_map(|pair| pair.split('=').next()))
        .collect();
    for label in &labels {
        assert!(!["tracker", "vehicle", "account", "ident", "plate", "user"].contains(label), "{labels:?}");
    }
    // Secrets: files that only we read, each different, and none in a command line or an environment.
    let mut secrets = BTreeSet::new();
    for entry in fs::read_dir(up.folder.join("secrets")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).trim().to_owned();
        assert!(text.is_empty() || secrets.insert(text), "{:?} is the secret of another, too", entry.file_name());
    }
    secrets.remove("");
    let logins = fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    secrets.extend(logins.lines().filter_map(|l| l.split_whitespace().nth(1)).map(str::to_owned));
    assert!(secrets.len() >= 6, "{} secrets", secrets.len());
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        for file in ["cmdline", "environ"] {
            let seen = fs::read(path.join(file)).unwrap_or_default();
            let seen = String::from_utf8_lossy(&seen);
            assert!(!secrets.iter().any(|s| seen.contains(s.as_str())), "a secret stands in {}/{file}", path.display());
        }
    }
    for log in ["test.log", "mosquitto.log", "postgres.log"] {
        let text = fs::read_to_string(up.folder.join(log)).unwrap();
        // The demonstration's own logins are said to whoever started it.
        let said = secrets.iter().filter(|s| text.contains(s.as_str()) && !logins.contains(s.as_str())).count();
        assert_eq!(said, 0, "{log} holds a secret");
    }
}

/// Whether the broker lets somebody in.
async fn is_let_in(options: MqttOptions) -> bool {
    let (_client, mut events) = AsyncClient::new(options, 10);
    matches!(tokio::time::timeout(ANSWER_MAX, events.poll()).await, Ok(Ok(Event::Incoming(Packet::ConnAck(_)))))
}

#[tokio::test]
async fn a_broker_lets_in_only_who_has_a_name_and_its_password_and_keeps_wills_in_bounds() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let ((ident, password), (other, its_password)) = (up.tracker(0), up.tracker(2));
    up.publish(&ident, &password, vec![(topic(&ident), b"{}".to_vec())]).await; // trackers are admitted
    let broker = Config::read(&up.config()).unwrap().broker;
    let with = |user: Option<(&str, &str)>| {
        let mut options = client_options::options(&broker, "test-door").unwrap();
        options.set_credentials("", "");
        if let Some((user, password)) = user {
            options.set_credentials(user, password);
        }
        options
    };
    assert!(is_let_in(with(Some((&ident, &password)))).await, "who has both");
    let longer = format!("{password}0");
    let (upper, wild) = (ident.to_uppercase(), format!("{ident}/#"));
    for (user, secret) in [
        ("", ""),
        (ident.as_str(), ""),
        (&ident, &longer),
        (&ident, &its_password),
        ("rideguard-ingest", &password),
        (&upper, &password),
        (&wild, &password),
        ("+", &password),
        ("#", ""),
        ("$SYS", ""),
    ] {
        assert!(!is_let_in(with(Some((user, secret)))).await, "{user:?}");
    }
    let mut plain = with(Some((&ident, &password)));
    plain.set_transport(Transport::Tcp);
    assert!(!is_let_in(plain).await, "without TLS");
    // A will is a message like any other: to the topic of another it is not told.
    let now_ms = rideguard::clock::now().micros() / 1000;
    let before = up.count("SELECT coalesce(sum(received), 0)::bigint FROM lane").await;
    for (of, is_own) in [(&other, false), (&ident, true)] {
        let text = format!(r#"{{"v":1,"id":"{of}","fixes":[{{"t":{now_ms},"lat":28.5,"lon":112.3}}]}}"#);
        let mut options = with(Some((&ident, &password)));
        options.set_last_will(LastWill::new(topic(of), text, QoS::AtLeastOnce, false));
        let is_in = is_let_in(options).await; // and the connection breaks
        assert!(is_in || !is_own, "one's own topic is allowed");
    }
    up.wait_for("SELECT coalesce(sum(received), 0)::bigint FROM lane", before + 1).await;
    assert_eq!(up.count("SELECT count(DISTINCT tracker_id) FROM fix").await, 1, "nobody spoke for another");
}

#[tokio::test]
async fn a_first_start_knows_nobody() {
    let database = Database::start().await;
    let sql = database.connect().await;
    for table in ["account", "session", "access_grant", "tracker", "vehicle", "phone_token"] {
        let rows: i64 = sql.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(rows, 0, "{table}: no login, no secret and no right is there before somebody makes it");
    }
}
