//! What an attacker tried and must not get (docs/security.md): each test is a fault that was found.

use crate::harness::{PATIENCE, Up, program, settled, tell, topic, use_ring};
use crate::live::Stream;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Within 6 s a stream ends with its right; on a machine that is busy a look at it may be missed.
const SOON: Duration = Duration::from_secs(60);

/// Runs `admin` with a password on its standard input.
fn admin(up: &Up, args: &[&str], password: &str) -> String {
    let mut child = Command::new(program())
        .arg("admin")
        .arg("--config")
        .arg(up.config())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn try_login(up: &Up, login: &str, password: &str) -> u16 {
    up.person("").ask("POST", "/session", Some(json!({ "login": login, "password": password }))).await.0
}

/// Until the live map shows a vehicle.
async fn seen(up: &Up) {
    let operator = up.log_in("operator").await;
    let mut stream = Stream::open_with(up, &operator, None).await;
    stream.until(|said| said["vehicles"].as_array().is_some_and(|v| !v.is_empty())).await;
}

/// So many attempts side by side; how many were told to wait.
async fn flood(up: &Up, attempts: usize, login: impl Fn(usize) -> String) -> usize {
    let client = reqwest::Client::new();
    let mut trying = tokio::task::JoinSet::new();
    for n in 0..attempts {
        let request = client
            .post(format!("http://{}/api/v1/session", up.http))
            .header("Content-Type", "application/json")
            .body(json!({ "login": login(n), "password": "y" }).to_string());
        trying.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    trying.join_all().await.into_iter().filter(|status| *status == 429).count()
}

#[tokio::test]
async fn strangers_who_try_to_log_in_shut_nobody_out() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    admin(&up, &["account", "known", "--role", "owner", "--name", "Known"], "seven herons over Zijiang");
    admin(&up, &["account", "fresh", "--role", "owner", "--name", "Fresh"], "seven herons over Zijiang");
    assert_eq!(try_login(&up, "known", "seven herons over Zijiang").await, 200);
    // One name, more often than all names together may.
    let refused = flood(&up, 330, |_| "x".into()).await;
    assert!(refused >= 250, "{refused}");
    assert_eq!(try_login(&up, "fresh", "seven herons over Zijiang").await, 200);
    // Who was in before is known after a start, too.
    assert!(up.interrupt());
    up.start_again().await;
    // Many names: the common budget is used up, and names that have logged in before have their own.
    let since = Instant::now();
    while flood(&up, 400, |_| hex::encode(rand::random::<[u8; 8]>())).await < 100 {
        assert!(since.elapsed() < PATIENCE, "five a second are given back, no more");
    }
    let mut let_in = 0;
    for login in ["known", "fresh"].iter().cycle().take(10) {
        let_in += u32::from(try_login(&up, login, "seven herons over Zijiang").await == 200);
    }
    println!("security.login_of_others_under_flood: {} %", let_in * 10);
    assert_eq!(let_in, 10);
    // A log-in and a wrong password of a known name leave rows; a name that nobody has leaves none.
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE action = 'log_in'").await, 12);
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE action = 'log_in_failed'").await, 0);
    try_login(&up, "known", "wrong").await;
    up.wait_for("SELECT count(*) FROM audit WHERE action = 'log_in_failed' AND account_id IS NOT NULL", 1).await;
}

#[tokio::test]
async fn a_new_password_and_a_disabled_account_end_sessions_and_keep_the_rest() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let make = |login: &str, password: &str, more: &[&str]| {
        admin(&up, &[&["account", login, "--role", "owner", "--name", "O"], more].concat(), password)
    };
    make("o2", "seven herons over Zijiang", &["--webhook-url", "https://example.org/x", "--webhook-secret", "s"]);
    let (_, opened) = up
        .person("")
        .ask("POST", "/session", Some(json!({ "login": "o2", "password": "seven herons over Zijiang" })))
        .await;
    let before = up.person(opened["token"].as_str().unwrap());
    assert_eq!(before.get("/me").await["role"], "owner");
    make("o2", "eleven kites above Taohua", &[]);
    assert_eq!(before.ask("GET", "/me", None).await.0, 401, "sessions of the old password are over");
    assert_eq!(up.count("SELECT count(*) FROM account WHERE login = 'o2' AND webhook_url IS NOT NULL").await, 1);
    assert_eq!(try_login(&up, "o2", "seven herons over Zijiang").await, 401);
    let (_, opened) = up
        .person("")
        .ask("POST", "/session", Some(json!({ "login": "o2", "password": "eleven kites above Taohua" })))
        .await;
    let again = up.person(opened["token"].as_str().unwrap());
    let mut stream = Stream::open(&up, &again).await;
    admin(&up, &["disable", "o2"], "");
    assert_eq!(again.ask("GET", "/me", None).await.0, 401);
    let since = Instant::now();
    assert_eq!(stream.until(|said| said.get("closed").is_some()).await["closed"], 4401);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(try_login(&up, "o2", "eleven kites above Taohua").await, 401);
    admin(&up, &["enable", "o2"], "");
    assert_eq!(again.ask("GET", "/me", None).await.0, 401, "its sessions stay over");
    assert_eq!(try_login(&up, "o2", "eleven kites above Taohua").await, 200);
    // Each command left a row, without a secret.
    let commands = "SELECT count(*) FROM audit WHERE account_id IS NULL AND action LIKE 'admin %' AND question::text !~ 'herons|kites'";
    assert_eq!(up.count(commands).await, 4);
    let sql = up.sql().await;
    for change in ["UPDATE audit SET action = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
        let error = sql.execute(change, &[]).await.expect_err(change);
        assert_eq!(error.as_db_error().unwrap().message(), "rows of audit are only added", "{change}");
    }
}

#[tokio::test]
async fn a_live_look_is_audited_before_it_is_shown_counts_what_it_tells_and_ends_with_its_right() {
    use_ring();
    let up = Up::start(3, &[]).await;
    tell(&up, 0).await;
    seen(&up).await;
    let (police, operator) = (up.log_in("police").await, up.log_in("operator").await);
    let grant = police.grant().await;
    let ask = json!({ "grant": grant });
    let looks =
        "SELECT coalesce(sum(rows_returned), 0)::bigint FROM audit WHERE action = 'live' AND grant_id IS NOT NULL";
    let mut stream = Stream::open_with(&up, &police, Some(ask.clone())).await;
    let snapshot = stream.until(|said| said["type"] == "snapshot").await;
    assert_eq!((&snapshot["vehicles"], up.count(looks).await), (&json!([]), 0), "nothing before there is a view");
    // A view is a look of its own; several at once are one.
    for east in ["112.5", "112.51", "112.52"] {
        stream.send(&format!(r#"{{"type":"view","bbox":[112.1,28.4,{east},28.7]}}"#));
    }
    let view = stream.until(|said| said["type"] == "snapshot").await;
    assert_eq!(view["vehicles"].as_array().unwrap().len(), 1);
    assert!((1..=2).contains(&up.count(looks).await), "a row of the view, perhaps of two");
    // The newest view is always taken; those between may be left out.
    up.wait_for("SELECT count(*) FROM audit WHERE question -> 'bbox' ->> 2 = '112.52'", 1).await;
    assert!(up.count("SELECT count(*) FROM audit WHERE question ->> 'why' = 'view'").await <= 2, "one a second");

    // An error of a packet does not tell an operator where it was.
    let (ident, password) = up.tracker(0);
    let odd = format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":"28.51234,112.31234","lat":28.5,"lon":112.3}}]}}"#);
    up.publish(&ident, &password, vec![(topic(&ident), odd.into_bytes())]).await;
    up.wait_for("SELECT count(*) FROM quarantine WHERE detail LIKE '%28.51234%'", 1).await;
    let shown = operator.get(&format!("/trackers?q={ident}")).await["trackers"][0]["last_error"].to_string();
    assert!(!shown.contains("51234") && shown.contains('…'), "{shown}");

    // Plates stand beside trackers with a reason only, and that is a look.
    let plain = operator.get(&format!("/trackers?q={ident}")).await["trackers"][0].clone();
    assert_eq!((&plain["plate"], plain["ident"].as_str()), (&Value::Null, Some(&*ident)));
    assert!(plain["last_heard_at"].as_str().unwrap().contains(":00"), "to the minute: {plain}");
    let plate =
        operator.get(&format!("/trackers?q={ident}&reason=a%20broken%20bracket")).await["trackers"][0]["plate"].clone();
    let looked = "SELECT count(*) FROM audit WHERE action = 'trackers' AND question ->> 'reason' = 'a broken bracket' AND rows_returned = 1";
    assert_eq!((plate.is_string(), up.count(looked).await), (true, 1));
    let by_plate = format!("/trackers?q={}", plate.as_str().unwrap());
    assert_eq!(operator.get(&by_plate).await["trackers"], json!([]), "a plate finds nothing without a reason");
    assert_eq!(operator.ask("GET", "/trackers?reason=x", None).await.0, 400);

    // Dots of an operator say nothing that the list of trackers says, too.
    let mut watched = Stream::open_with(&up, &operator, None).await;
    let dots = watched.until(|said| said["type"] == "snapshot").await;
    let dot = dots["vehicles"][0].as_object().unwrap();
    assert!(
        dot["id"].as_str().unwrap().len() == 24 && !dot.contains_key("plate") && !dot.contains_key("armed"),
        "{dot:?}"
    );

    // An area without a shortest way around it is refused, not "try again".
    let world = json!({ "grant_id": grant, "bbox": [-180.0, -90.0, 180.0, 90.0] });
    assert_eq!(police.ask("POST", "/search/latest", Some(world)).await.1["code"], "zone_too_wide");

    admin(&up, &["revoke", &grant], "");
    let since = Instant::now();
    assert_eq!(stream.until(|said| said.get("closed").is_some()).await["closed"], 4403);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(police.ask("POST", "/live/ticket", Some(ask)).await.0, 403);
    up.wait_for(
        "SELECT count(*) FROM audit WHERE action = 'refused' AND question ->> 'path' = '/api/v1/live/ticket'",
        1,
    )
    .await;

    // Without its row, no look.
    let sql = up.sql().await;
    sql.batch_execute(
        "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
         CREATE TRIGGER no_more BEFORE INSERT ON audit FOR EACH ROW WHEN (NEW.action = 'live') EXECUTE FUNCTION no_more();",
    )
    .await
    .unwrap();
    let mut blind = Stream::open_with(&up, &operator, None).await;
    let first = blind.until(|_| true).await;
    assert_eq!(first["closed"], 4503, "{first}");
    // Those that were open end at the next row.
    watched.send(r#"{"type":"view","bbox":[112.0,28.0,113.0,29.0]}"#);
    let closed = watched.until(|said| said.get("closed").is_some() || said["type"] == "snapshot").await;
    assert_eq!(closed["closed"], 4503, "{closed}");
}

#[tokio::test]
async fn a_sold_vehicle_tells_its_buyer_nothing_of_before_and_its_seller_nothing_any_more() {
    use_ring();
    let up = Up::start(3, &[]).await;
    tell(&up, 0).await;
    seen(&up).await;
    let seller = up.log_in("owner").await;
    let vehicle = seller.get("/vehicles").await["vehicles"][0].clone();
    let id = vehicle["id"].as_str().unwrap().to_owned();
    assert!(vehicle["last_fix"].is_object(), "{vehicle}");
    assert_eq!(seller.ask("POST", &format!("/vehicles/{id}/arm"), None).await.0, 200);
    let policy = json!({ "schedule": null, "auto_after_s": 600 });
    assert!(seller.ask("PUT", &format!("/vehicles/{id}/guard-policy"), Some(policy)).await.0 < 300);
    let home = json!({ "name": "home", "rule": "enter", "vehicle_id": id,
        "shape": { "type": "circle", "centre": { "lat_deg": 28.5, "lon_deg": 112.3 }, "radius_m": 200 } });
    let (status, zone) = seller.ask("POST", "/zones", Some(home.clone())).await;
    assert_eq!(status, 201, "{zone}");
    let mut stream = Stream::open_with(&up, &seller, None).await;
    stream.until(|said| said["type"] == "snapshot" && !said["vehicles"].as_array().unwrap().is_empty()).await;

    admin(&up, &["account", "buyer", "--role", "owner", "--name", "Buyer"], "seven herons over Zijiang");
    admin(&up, &["transfer", &id, "--to", "buyer"], "");
    let again = stream.until(|said| said["type"] == "snapshot").await;
    assert!(!again.to_string().contains(&format!("\"id\":\"{id}\"")), "{again}");
    let (_, opened) = up
        .person("")
        .ask("POST", "/session", Some(json!({ "login": "buyer", "password": "seven herons over Zijiang" })))
        .await;
    let buyer = up.person(opened["token"].as_str().unwrap());
    settled(&up).await;
    let in_force = "SELECT count(*) FROM lane WHERE applied = journaled AND setting_cursor >= (SELECT max(setting_id) FROM setting)";
    up.wait_for(in_force, 1).await;
    let bought = buyer.get("/vehicles").await["vehicles"][0].clone();
    assert_eq!((bought["id"].as_str(), &bought["last_fix"]), (Some(&*id), &Value::Null), "{bought}");
    let guarding = buyer.get(&format!("/vehicles/{id}/guard-policy")).await;
    assert_eq!(
        (&guarding["armed"], &guarding["schedule"], &guarding["auto_after_s"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    assert!(!buyer.get("/zones").await.to_string().contains("home"));
    let zone = format!("/zones/{}", zone["id"].as_str().unwrap());
    assert_eq!(seller.ask("PUT", &zone, Some(home)).await.0, 404);
    assert_eq!(seller.ask("DELETE", &zone, None).await.0, 404);
    assert_eq!(seller.ask("GET", &format!("/vehicles/{id}"), None).await.0, 404);
    let mut seen = Stream::open_with(&up, &buyer, None).await;
    assert_eq!(seen.until(|said| said["type"] == "snapshot").await["vehicles"], json!([]));
    tell(&up, 0).await;
    seen.until(|said| said.to_string().contains(&format!("\"id\":\"{id}\""))).await;
}

#[tokio::test]
async fn hours_of_fewer_than_three_vehicles_cannot_be_had_by_subtraction() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let sql = up.sql().await;
    sql.batch_execute(
        "INSERT INTO traffic (hour, x, y, fixes, vehicles) VALUES
            ('2026-05-01T01:00Z', 106026, 54756, 22, 3), ('2026-05-01T02:00Z', 106026, 54756, 10, 2),
            ('2026-05-01T01:00Z', 106027, 54756, 13, 2);",
    )
    .await
    .unwrap();
    let tile = async |zoom: i32, from: &str, to: &str| -> Vec<u8> {
        let shift = 17 - zoom;
        let question = format!(
            "SELECT history_tile({zoom}, {}, {}, '2026-05-01T{from}:00Z', '2026-05-01T{to}:00Z')",
            106_026 >> shift,
            54_756 >> shift
        );
        sql.query_one(&question, &[]).await.unwrap().get(0)
    };
    for zoom in [17, 12, 9] {
        let crowded = tile(zoom, "01", "02").await;
        assert!(!crowded.is_empty(), "zoom {zoom}");
        assert_eq!(tile(zoom, "01", "03").await, crowded, "zoom {zoom}: the lonely hour adds nothing");
        assert!(tile(zoom, "02", "03").await.is_empty(), "zoom {zoom}");
    }
}

#[tokio::test]
async fn pages_are_read_only_and_say_what_a_browser_may_do() {
    use_ring();
    let up = Up::start(3, &["--behind-tls-proxy"]).await;
    let ask = async |method: &str, path: &str| {
        let url = format!("http://{}{path}", up.http);
        reqwest::Client::new().request(method.parse().unwrap(), url).send().await.unwrap()
    };
    for path in ["/", "/vehicles", "/assets/none.js"] {
        for method in ["PUT", "POST", "DELETE", "TRACE", "OPTIONS", "PATCH"] {
            assert_eq!(ask(method, path).await.status(), 405, "{method} {path}");
        }
    }
    for (method, path) in [("GET", "/"), ("HEAD", "/"), ("GET", "/api/v1/me")] {
        let answer = ask(method, path).await;
        for name in ["strict-transport-security", "permissions-policy", "content-security-policy"] {
            assert!(answer.headers().contains_key(name), "{method} {path}: {name}");
        }
    }
    // Only the installer's page has the camera, and the reader that needs WebAssembly.
    for (path, is_door) in [("/", false), ("/doors", false), ("/door", true)] {
        let answer = ask("GET", path).await;
        for (name, said) in [("content-security-policy", "'wasm-unsafe-eval'"), ("permissions-policy", "camera=(self)")]
        {
            assert_eq!(answer.headers()[name].to_str().unwrap().contains(said), is_door, "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn the_api_alone_connects_as_its_own_role_without_the_passwords_of_owner_and_ingest() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let text = std::fs::read_to_string(up.config()).unwrap();
    let mut settings: toml::Table = text.parse().unwrap();
    let listen = format!("127.0.0.1:{}", crate::harness::free_port());
    settings["database"]["password_file"] = "/nonexistent/password".into();
    settings["broker"]["password_file"] = "/nonexistent/broker".into();
    settings["http"]["listen"] = listen.clone().into();
    settings["http"]["metrics_listen"] = "127.0.0.1:0".into();
    let config = up.folder.join("api-alone.toml");
    std::fs::write(&config, settings.to_string()).unwrap();
    up.wait_for("SELECT count(*) FROM pg_stat_activity WHERE usename = 'rideguard_ingest' AND query LIKE 'LISTEN%'", 1)
        .await;
    let as_owner = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'rideguard' AND pid <> pg_backend_pid()";
    let before = up.count(as_owner).await;
    let mut api = Command::new(program()).args(["api", "--config"]).arg(&config).spawn().unwrap();
    let since = Instant::now();
    while !reqwest::get(format!("http://{listen}/ready")).await.is_ok_and(|a| a.status().is_success()) {
        assert!(api.try_wait().unwrap().is_none() && since.elapsed() < PATIENCE, "it does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((before, up.count(as_owner).await), (0, 0));
    api.kill().unwrap();
    api.wait().unwrap();
}
