//! Who may do what: every route of the OpenAPI document as everybody, and the API's own role in the database.

use crate::harness::{Person, Up, use_ring};
use rideguard::config::Config;
use rideguard::store::{self, Role};
use serde_json::{Value, json};

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];
/// Calls without a session: they bring a secret of their own.
const WITHOUT_SESSION: [&str; 2] = ["/api/v1/session", "/api/v1/phone"];

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
    let path = path.trim_start_matches("/api/v1").replace("{id}", "1");
    let required = operation["parameters"].as_array().into_iter().flatten();
    let query: Vec<_> = required
        .filter(|p| p["in"] == "query" && p["required"] == true)
        .enumerate()
        .map(|(day, p)| format!("{}=2026-01-0{}T00:00:00Z", p["name"].as_str().unwrap(), day + 1))
        .collect();
    format!("{path}?{}", query.join("&"))
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
    for (method, path, body, status, code) in [
        ("GET", "/alerts?limit=many", None, 400, "bad_request"),
        ("PUT", "/session", None, 405, "method_not_allowed"),
        ("POST", "/session", Some(json!({ "login": "owner" })), 400, "bad_request"),
        ("POST", "/session", Some(large), 413, "too_large"),
        ("GET", "/vehicles/one", None, 400, "bad_request"),
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/live", None, 400, "bad_request"),
    ] {
        let (got, answer) = owner.ask(method, path, body).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(code)), "{method} {path}: {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{method} {path}: {answer}");
    }
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(owner.ask("POST", "/session", Some(json!({ "login": "police", "password": "guess" }))).await.0);
    }
    assert_eq!((statuses[0], statuses[11]), (401, 429), "{statuses:?}");
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(owner.ask("POST", "/phone", Some(json!({ "token": "0".repeat(64) }))).await.0);
    }
    assert_eq!((statuses[0], statuses[39]), (404, 429), "{statuses:?}");
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
    assert!(api.query("SELECT * FROM fix", &[]).await.is_err());
    assert!(api.query("SELECT * FROM track_of(1, now(), now(), 1)", &[]).await.is_err());
}
