//! Who may do what: every route of the OpenAPI document as everybody, and the API's own role in the database.

use crate::harness::{Person, Up, use_ring};
use rideguard::config::Config;
use rideguard::store::{self, Role};
use serde_json::{Value, json};

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];
/// Calls without a session: they bring a secret of their own.
const WITHOUT_SESSION: &[&str] = &[
    "/api/v1/erasure-proof",
    "/api/v1/invitation/accept",
    "/api/v1/invitation/open",
    "/api/v1/phone-presence",
    "/api/v1/reset/accept",
    "/api/v1/reset/open",
    "/api/v1/session",
    "/api/v1/setup",
    "/api/v1/setup/check",
    "/api/v1/share",
];

#[tokio::test]
async fn every_route_is_open_to_its_roles_only() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let document: Value = serde_json::from_str(&up.text("/api/openapi.json").await).unwrap();
    let mut people = Vec::new();
    for role in ["owner", "police", "operator"] {
        people.push((role, up.log_in(role).await));
    }
    people.push(("admin", up.administrator().await));
    let nobody = up.person("");
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|m| operations.get(m).is_some()) {
            if WITHOUT_SESSION.contains(&path.as_str()) {
                continue;
            }
            let operation = &operations[method];
            let roles = operation["security"][0]["bearer"].as_array().filter(|r| !r.is_empty());
            let roles = roles.unwrap_or_else(|| panic!("{method} {path} does not say who may call it"));
            let question = question(path, operation);
            assert_eq!(ask(&nobody, method, &question).await.0, 401, "{method} {path} without a token");
            for (role, person) in &people {
                let (status, message) = ask(person, method, &question).await;
                // Officers are also refused for want of a grant.
                let is_closed = status == 403 && message.starts_with("this is for ");
                let is_open = roles.iter().any(|r| r == role);
                assert_eq!(!is_closed, is_open, "{method} {question} as {role}: {message}; it is for {roles:?}");
                assert!(status < 500 && status != 401, "{method} {question} as {role}: {status}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 40, "only {asked} questions were asked");
}

/// A path with its parameters: ids are 1, required ones of the query are times.
fn question(path: &str, operation: &Value) -> String {
    let path = path.trim_start_matches("/api/v1").replace("{id}", "1").replace("{kind}", "people");
    let required = operation["parameters"].as_array().into_iter().flatten();
    let query: Vec<_> = required
        .filter(|p| p["in"] == "query" && p["required"] == true)
        .enumerate()
        .map(|(day, p)| format!("{}=2026-01-0{}T00:00:00Z", p["name"].as_str().unwrap(), day + 1))
        .collect();
    format!("{path}?{}", query.join("&"))
}

/// What people meet: each refusal with its word, and what its sentence holds by name.
#[tokio::test]
async fn refusals_say_why_with_a_word_and_values() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let (owner, police, operator) = (up.log_in("owner").await, up.log_in("police").await, up.log_in("operator").await);
    let (client, grant) = (up.sql().await, police.grant().await);
    client.batch_execute("INSERT INTO vehicle (plate, kind) VALUES ('湘H·Q0001', 'ebike');
        INSERT INTO ownership (vehicle_id, account_id) SELECT vehicle_id, account_id FROM vehicle, account WHERE plate = '湘H·Q0001' AND login = 'owner';
        UPDATE access_grant SET area_km2_max = 10, hours_max = 24").await.unwrap();
    let of = async |sql: &str| -> String { client.query_one(sql, &[]).await.unwrap().get(0) };
    let bare = of("SELECT vehicle_id::text FROM vehicle WHERE plate = '湘H·Q0001'").await;
    let mine =
        of("SELECT min(vehicle_id)::text FROM ownership JOIN account USING (account_id) WHERE login = 'owner'").await;
    for _ in 0..5 {
        assert_eq!(owner.ask("POST", &format!("/vehicles/{mine}/phone-tokens"), None).await.0, 201);
    }
    let ring = |across: f64| {
        json!([[112.0, 28.0], [112.0 + across, 28.0], [112.0 + across, 28.0 + across], [112.0, 28.0 + across]])
    };
    let area = |more: Value| {
        let mut asked = json!({ "grant_id": grant, "polygon": ring(0.01), "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z" });
        more.as_object().unwrap().iter().for_each(|(name, value)| asked[name] = value.clone());
        Some(asked)
    };
    let zone = |more: Value| {
        let centre = json!({ "lat": 28.5, "lon": 112.3 });
        let mut asked = json!({ "name": "a", "rule": "enter", "vehicle_id": mine, "shape": { "type": "circle", "centre": centre, "radius_m": 100 } });
        more.as_object().unwrap().iter().for_each(|(name, value)| asked[name] = value.clone());
        Some(asked)
    };
    let corner = |lat: f64, lon: f64| json!({ "lat": lat, "lon": lon });
    let bow_tie = json!({ "type": "polygon", "holes": [], "outer": [corner(28.0, 112.0), corner(28.1, 112.1), corner(28.1, 112.0), corner(28.0, 112.1)] });
    let corridor = json!({ "type": "corridor", "width_m": 5, "line": [corner(28.0, 112.0), corner(28.1, 112.1)] });
    for (who, method, path, body, status, code, values) in [
        (&up.person(""), "GET", "/me", None, 401, "not_logged_in", json!({})),
        (&up.person("dead"), "GET", "/me", None, 401, "session_ended", json!({})),
        (&owner, "GET", "/grants", None, 403, "wrong_role", json!({ "roles": ["police"], "role": "owner" })),
        (&owner, "GET", "/vehicles/999999", None, 404, "not_found", json!({})),
        (
            &owner,
            "GET",
            "/alerts?limit=0",
            None,
            400,
            "out_of_range",
            json!({ "field": "limit", "value": 0, "min": 1, "max": 200 }),
        ),
        (&owner, "POST", &*format!("/vehicles/{bare}/arm"), None, 409, "no_tracker", json!({})),
        (
            &owner,
            "PUT",
            &*format!("/vehicles/{bare}/guard-policy"),
            Some(json!({ "schedule": null, "auto_after_s": 300 })),
            409,
            "no_tracker",
            json!({}),
        ),
        (
            &owner,
            "PUT",
            &*format!("/vehicles/{mine}/guard-policy"),
            Some(json!({ "schedule": null, "auto_after_s": 7 })),
            422,
            "out_of_range",
            json!({ "field": "auto_after_s", "value": 7, "min": 60, "max": 3600 }),
        ),
        (&owner, "POST", &*format!("/vehicles/{mine}/phone-tokens"), None, 409, "phones_full", json!({ "max": 5 })),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "name": " " })),
            400,
            "text_length",
            json!({ "field": "name", "characters": 0, "min": 1, "max": 64 }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "shape": bow_tie })),
            422,
            "polygon_invalid",
            json!({ "reason": "Self-intersection[112.05 28.05]" }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "shape": corridor })),
            422,
            "out_of_range",
            json!({ "field": "width_m", "value": 5.0, "min": 40.0, "max": 10_000.0 }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "shape": { "type": "circle", "centre": corner(28.5, 112.3), "radius_m": 1e-9 } })),
            422,
            "out_of_range",
            json!({ "field": "radius_m", "value": 1e-9, "min": 20.0, "max": 200_000.0 }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(
                json!({ "shape": { "type": "corridor", "width_m": 60, "line": [corner(28.0, 112.0), corner(28.0, 112.0)] } }),
            ),
            422,
            "zone_too_short",
            json!({ "m": 0.0, "m_min": 10.0 }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "shape": { "type": "circle", "centre": corner(28.5, 180.0), "radius_m": 100 } })),
            422,
            "zone_at_edge",
            json!({ "lat": 28.5, "lon": 180.0, "lat_max": 85.0 }),
        ),
        // A strip of a kilometre, 20 m wide: large enough, and nothing could ever lie 15 m inside.
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "shape": { "type": "polygon", "holes": [], "outer":
                [corner(28.0, 112.0), corner(28.0, 112.01), corner(28.00018, 112.01), corner(28.00018, 112.0)] } })),
            422,
            "zone_too_narrow",
            json!({ "m_min": 15 }),
        ),
        (
            &owner,
            "POST",
            "/zones",
            zone(json!({ "rule": "dwell" })),
            422,
            "dwell_time",
            json!({ "dwell_s": 0, "min": 60, "max": 604_800 }),
        ),
        (&owner, "POST", "/zones", zone(json!({ "vehicle_id": "999999" })), 404, "not_found", json!({})),
        (&operator, "POST", "/zones", zone(json!({})), 403, "zone_of_owner", json!({})),
        (
            &operator,
            "GET",
            "/trackers?state=asleep",
            None,
            400,
            "unknown_word",
            json!({ "field": "state", "value": "asleep" }),
        ),
        (&police, "GET", "/vehicles?q=D0001&grant_id=77", None, 403, "no_grant", json!({ "grant": "77" })),
        (
            &police,
            "GET",
            &*format!("/vehicles?q=D0&grant_id={grant}"),
            None,
            400,
            "search_length",
            json!({ "characters": 2, "min": 3, "max": 32 }),
        ),
        (
            &police,
            "POST",
            "/search/area",
            area(json!({ "polygon": ring(1.0) })),
            400,
            "area_too_large",
            json!({ "km2": 10850.4, "km2_max": 10, "grant": grant }),
        ),
        (
            &police,
            "POST",
            "/search/area",
            area(json!({ "to": "2026-01-03T00:00:00Z" })),
            400,
            "window_too_long",
            json!({ "hours_max": 24, "grant": grant }),
        ),
        (
            &police,
            "POST",
            "/search/area",
            area(json!({ "to": "2026-01-01T00:00:00Z" })),
            400,
            "span_length",
            json!({ "days": 0.0, "max": 31.0 }),
        ),
        (&police, "POST", "/search/area", area(json!({ "cursor": "AAAA" })), 400, "bad_cursor", json!({})),
        (
            &police,
            "POST",
            "/search/area",
            area(json!({ "circle": { "lat": 28.0, "lon": 112.0, "radius_m": 5.0 } })),
            400,
            "one_of",
            json!({ "fields": "polygon, polygons and circle" }),
        ),
        (
            &police,
            "POST",
            "/holds",
            area(json!({ "plate": "湘h·z9999", "reason": "x", "ends_at": "2999-01-01T00:00:00Z" })),
            404,
            "no_such_plate",
            json!({ "plate": "湘h·z9999" }),
        ),
        (
            &police,
            "POST",
            "/holds",
            area(json!({ "plate": "湘hq0001", "reason": "x", "ends_at": "2020-01-01T00:00:00Z" })),
            400,
            "hold_end",
            json!({ "ends_at": "2020-01-01T00:00:00+00:00", "years_max": 5 }),
        ),
        (
            &police,
            "POST",
            "/holds",
            area(json!({ "plate": "", "reason": "x", "ends_at": "2020-01-01T00:00:00Z" })),
            400,
            "plate_length",
            json!({ "plate": "", "characters": 0, "min": 2, "max": 16 }),
        ),
    ] {
        let (got, answer) = who.ask(method, path, body).await;
        assert_eq!(
            (got, &answer["code"], &answer["values"]),
            (status, &json!(code), &values),
            "{method} {path}: {answer}"
        );
    }
    // In the schema no refusal is left whose sentence is all.
    let bare = "SELECT string_agg(proname, ', ') FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname NOT IN ('set_plate', 'registry_change_is_only_added_to')
        AND prosrc ~ 'RAISE EXCEPTION[^;]*P04(00|03|09|22)'";
    let left: Option<String> = client.query_one(bare, &[]).await.unwrap().get(0);
    assert_eq!(left, None);
}

/// Status and message of an answer.
async fn ask(person: &Person, method: &str, question: &str) -> (u16, String) {
    let (status, answer) = person.ask(&method.to_uppercase(), question, None).await;
    assert!(status < 400 || answer["error"].is_string() && answer["message"].is_string(), "{question}: {answer}");
    (status, answer["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_refusal_has_one_form_and_logging_in_is_limited() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let owner = up.log_in("owner").await;
    let large = json!({ "login": "owner", "password": "x".repeat(70_000) });
    for (method, path, body, status, class, code) in [
        ("GET", "/alerts?limit=many", None, 400, "bad_request", "not_understood"),
        ("PUT", "/session", None, 405, "method_not_allowed", "method_not_allowed"),
        ("POST", "/session", Some(json!({ "login": "owner" })), 400, "bad_request", "not_understood"),
        ("POST", "/session", Some(large), 413, "too_large", "too_large"),
        ("GET", "/vehicles/one", None, 400, "bad_request", "not_a_number"),
        ("GET", "/nowhere", None, 404, "not_found", "not_found"),
        ("GET", "/live", None, 400, "bad_request", "not_understood"),
    ] {
        let (got, answer) = owner.ask(method, path, body).await;
        let said = (got, answer["error"].as_str(), answer["code"].as_str());
        assert_eq!(said, (status, Some(class), Some(code)), "{method} {path}: {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{method} {path}: {answer}");
    }
    // The same where nobody says beforehand how long it will be.
    let http = up.http.clone();
    let chunked = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut socket = std::net::TcpStream::connect(&http).unwrap();
        let head = "POST /api/v1/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        write!(socket, "{head}11170\r\n{}\r\n0\r\n\r\n", " ".repeat(0x11170)).unwrap();
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer); // it may be cut off behind the answer
        answer
    });
    let answer = chunked.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(r#""code":"too_large""#), "{answer}");
    for (path, wrong, body, times, code) in [
        ("/session", "wrong_login", json!({ "login": "police", "password": "guess" }), 12, "too_many_logins"),
        ("/phone-presence", "unknown_phone", json!({ "token": "0".repeat(64) }), 40, "too_many_phone_words"),
    ] {
        let mut last = owner.ask("POST", path, Some(body.clone())).await.1;
        assert_eq!(last["code"], wrong, "{last}");
        for _ in 1..times {
            last = owner.ask("POST", path, Some(body.clone())).await.1;
        }
        let wait_s = last["values"]["wait_s"].as_u64().unwrap_or_default();
        assert!(last["code"] == code && (1..=7).contains(&wait_s), "{last}");
    }
    let refused = reqwest::Client::new()
        .post(format!("http://{}/api/v1/phone-presence", up.http))
        .header("Content-Type", "application/json")
        .body(json!({ "token": "0".repeat(64) }).to_string())
        .send();
    assert!(refused.await.unwrap().headers().contains_key("retry-after"));
    let kept = up.count("SELECT count(*) FROM session WHERE octet_length(token_sha256) = 32").await;
    assert_eq!(up.count("SELECT count(*) FROM session").await, kept, "a token is kept as its SHA-256 only");
    assert_eq!(up.count("SELECT count(*) FROM account WHERE password_hash NOT LIKE '$argon2id$%'").await, 0);
    // A ticket opens one stream, once, and a page of a foreign origin none.
    let ticket = owner.ask("POST", "/live/ticket", None).await.1["ticket"].as_str().unwrap().to_owned();
    assert_eq!(up.open_live(&ticket, "http://evil.example").await, None);
    let own = format!("http://{}", up.http);
    assert_eq!(up.open_live(&ticket, &own).await.as_deref(), Some("snapshot"));
    assert_eq!(up.open_live(&ticket, &own).await.as_deref(), Some("4001"), "the ticket was used");
}

#[tokio::test]
async fn a_stream_asked_for_while_its_session_ends_is_refused_like_any_question_after_it() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let owner = up.log_in("owner").await;
    let mut client = up.sql().await;
    let ending = client.transaction().await.unwrap();
    ending.execute("DELETE FROM session", &[]).await.unwrap();
    let asking = tokio::spawn(async move { owner.ask("POST", "/live/ticket", None).await.0 });
    // It has been let in and waits to see whether the session stays.
    up.wait_for(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%api_open_live%'",
        1,
    )
    .await;
    ending.commit().await.unwrap();
    assert_eq!(asking.await.unwrap(), 401);
}

#[tokio::test]
async fn the_role_of_the_api_reads_no_table_and_calls_only_functions_that_check() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let config = Config::read(&up.config()).unwrap();
    let api = store::connect(&store::settings(&config.database, Role::Api).unwrap(), "test").await.unwrap();
    let tables = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
        AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')";
    let functions = "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND has_function_privilege(p.oid, 'EXECUTE') AND p.proname NOT LIKE 'api\\_%'";
    let names =
        async |sql: &str| -> Vec<String> { api.query(sql, &[]).await.unwrap().iter().map(|r| r.get(0)).collect() };
    assert_eq!(names(tables).await, ["migration"]);
    assert_eq!(names(functions).await, [] as [&str; 0]);
    crate::api_password::it_opens_no_account(&up, &api).await;
    assert!(api.query("SELECT * FROM fix", &[]).await.is_err());
    assert!(api.query("SELECT * FROM track_of(1, now(), now(), 1)", &[]).await.is_err());
}
