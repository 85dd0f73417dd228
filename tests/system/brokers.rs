//! Brokers of one's own ask over HTTP, in the forms that their documents state.

use crate::harness::{Database, PATIENCE, topic, use_ring};
use rideguard::domain::credential;
use rideguard::store::Role;
use serde_json::json;
use std::time::Instant;

/// Status and body of an answer.
type Answer = (u16, String);

/// Serves the questions' listener; its address.
async fn serve(database: &Database, secret: Option<&str>) -> String {
    let settings = rideguard::store::settings(&database.config, Role::Api).unwrap();
    let router = rideguard::api::broker_auth_router(&settings, secret).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// As EMQX 5 asks: JSON.
async fn emqx(at: &str, question: &str, body: serde_json::Value) -> Answer {
    let request = reqwest::Client::new().post(format!("{at}/emqx/{question}"));
    answer(request.header("content-type", "application/json").body(body.to_string())).await
}

/// As RabbitMQ (`get`: in the address, otherwise as a form) and mosquitto-go-auth (a form) ask.
async fn form(at: &str, question: &str, fields: &[(&str, &str)], get: bool) -> Answer {
    let url = reqwest::Url::parse_with_params(&format!("{at}/{question}"), fields).unwrap();
    let client = reqwest::Client::new();
    if get {
        return answer(client.get(url)).await;
    }
    let body = url.query().unwrap_or_default().to_owned();
    let post = client.post(format!("{at}/{question}")).header("content-type", "application/x-www-form-urlencoded");
    answer(post.body(body)).await
}

const PASSWORD: &str = "of a test & more";

#[tokio::test]
async fn brokers_of_ones_own_are_told_who_may_come_in_and_a_database_that_is_away_refuses_nobody() {
    use_ring();
    let database = Database::start().await;
    let sql = database.connect().await;
    let hash = credential::hash(PASSWORD, *b"twelve bytes", credential::ITERATIONS_OF_RANDOM);
    sql.batch_execute("INSERT INTO tracker (ident, profile) SELECT 'yy' || n, '{\"protocol\": \"json\"}' FROM generate_series(1, 3) n").await.unwrap();
    let insert = "INSERT INTO tracker_credential (tracker_id, password_hash) SELECT tracker_id, $1 FROM tracker WHERE ident <> 'yy3'";
    sql.execute(insert, &[&hash]).await.unwrap();
    let refused = sql.batch_execute("INSERT INTO tracker (ident, profile) VALUES ('RideGuard-ingest', '{}')").await;
    assert!(refused.is_err(), "no tracker is called as our own users are");
    let at = serve(&database, None).await;
    let own = topic("yy1");
    let down = own.replace("/up", "/down");

    let user = |name: &str, password: &str| json!({ "username": name, "password": password, "clientid": name });
    let allowed = (200, r#"{"result":"allow","is_superuser":false}"#.to_owned());
    let result = |word: &str| (200, format!(r#"{{"result":"{word}"}}"#));
    assert_eq!(emqx(&at, "authn", user("yy1", PASSWORD)).await, allowed);
    assert_eq!(emqx(&at, "authn", user("yy1", "wrong")).await, result("deny"));
    let by_name_of = |client: &str| json!({ "username": "yy1", "password": PASSWORD, "clientid": client });
    assert_eq!(emqx(&at, "authn", by_name_of("yy2")).await, result("deny"), "it would end the connection of yy2");
    assert_eq!(emqx(&at, "authn", by_name_of("")).await, allowed, "the broker does not say");
    for nobody in ["yy3", "yy9", "rideguard-ingest", "a/#", ""] {
        assert_eq!(emqx(&at, "authn", user(nobody, PASSWORD)).await, result("ignore"), "{nobody}");
    }
    let may =
        |action: &str, topic: &str| json!({ "username": "yy1", "clientid": "yy1", "action": action, "topic": topic });
    assert_eq!(emqx(&at, "authz", may("publish", &own)).await, allowed);
    assert_eq!(emqx(&at, "authz", may("subscribe", &down)).await, allowed);
    for (action, of) in
        [("publish", topic("yy2")), ("publish", down.clone()), ("subscribe", "#".into()), ("subscribe", own.clone())]
    {
        assert_eq!(emqx(&at, "authz", may(action, &of)).await, result("deny"), "{action} {of}");
    }
    assert_eq!(emqx(&at, "authn", json!([])).await.0, 400);

    let (allow, deny) = ((200, "allow".to_owned()), (200, "deny".to_owned()));
    for get in [true, false] {
        let login = |password| [("username", "yy1"), ("password", password), ("client_id", "yy1"), ("vhost", "/")];
        assert_eq!(form(&at, "rabbitmq/user", &login(PASSWORD), get).await, allow);
        assert_eq!(form(&at, "rabbitmq/user", &login("wrong"), get).await, deny);
        let other = [("username", "yy1"), ("password", PASSWORD), ("client_id", "yy2"), ("vhost", "/")];
        assert_eq!(form(&at, "rabbitmq/user", &other, get).await, deny, "the client id of another");
        let vhost = [("username", "yy1"), ("vhost", "/"), ("ip", "127.0.0.1")];
        assert_eq!(form(&at, "rabbitmq/vhost", &vhost, get).await, allow);
        let queue = "mqtt-subscription-yy1qos1";
        for (resource, name, permission, expected) in [
            ("exchange", "amq.topic", "write", &allow),
            ("queue", queue, "configure", &allow),
            ("queue", "mqtt-subscription-yy2qos1", "read", &deny),
        ] {
            let asked = [
                ("username", "yy1"),
                ("vhost", "/"),
                ("resource", resource),
                ("name", name),
                ("permission", permission),
            ];
            assert_eq!(&form(&at, "rabbitmq/resource", &asked, get).await, expected, "{resource} {name}");
        }
        for (permission, of, expected) in
            [("write", &own, &allow), ("write", &topic("yy2"), &deny), ("read", &down, &allow)]
        {
            let key = of.replace('/', ".");
            let asked = [
                ("username", "yy1"),
                ("resource", "topic"),
                ("name", "amq.topic"),
                ("permission", permission),
                ("routing_key", &key),
            ];
            assert_eq!(&form(&at, "rabbitmq/topic", &asked, get).await, expected, "{permission} {key}");
        }
    }

    assert_eq!(form(&at, "mosquitto/user", &[("username", "yy1"), ("password", PASSWORD)], false).await.0, 200);
    assert_eq!(form(&at, "mosquitto/user", &[("username", "yy1"), ("password", "x")], false).await.0, 403);
    assert_eq!(form(&at, "mosquitto/superuser", &[("username", "yy1")], false).await.0, 403);
    for (acc, of, expected) in
        [("2", own.as_str(), 200), ("2", &topic("yy2"), 403), ("4", &down, 200), ("1", &own, 403)]
    {
        let asked = [("username", "yy1"), ("clientid", "yy1"), ("topic", of), ("acc", acc)];
        assert_eq!(form(&at, "mosquitto/acl", &asked, false).await.0, expected, "{acc} {of}");
    }
    assert_eq!(form(&at, "mosquitto/nothing", &[], false).await.0, 404);

    let locked = serve(&database, Some("open sesame")).await;
    assert_eq!(emqx(&locked, "authn", user("yy1", PASSWORD)).await.0, 401);
    assert_eq!(emqx(&format!("{locked}/key/wrong"), "authn", user("yy1", PASSWORD)).await.0, 401);
    assert_eq!(
        emqx(&format!("{locked}/key/open%20sesame"), "authn", user("yy1", PASSWORD)).await.0,
        401,
        "as it is written"
    );
    let shows =
        reqwest::Client::new().post(format!("{locked}/emqx/authn")).header("authorization", "Bearer open sesame");
    assert_eq!(
        answer(shows.header("content-type", "application/json").body(user("yy1", PASSWORD).to_string())).await,
        allowed
    );

    // A revoked one is out as soon as what was kept is old.
    sql.batch_execute("UPDATE tracker_credential c SET password_hash = NULL, revoked_at = now() FROM tracker t WHERE t.tracker_id = c.tracker_id AND ident = 'yy2'").await.unwrap();
    let since = Instant::now();
    while emqx(&at, "authn", user("yy2", PASSWORD)).await != result("deny") {
        assert!(since.elapsed() < PATIENCE, "yy2 still comes in");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Without a database whoever was let in lately still is, a wrong password is still wrong, and of others nobody can say.
    database.superuser().await.batch_execute("ALTER ROLE rideguard_api NOLOGIN").await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'rideguard_api'";
    database.superuser().await.batch_execute(end).await.unwrap();
    let since = Instant::now();
    while emqx(&at, "authn", user("yy9999", PASSWORD)).await.0 != 503 {
        assert!(since.elapsed() < PATIENCE, "the database is not away");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(emqx(&at, "authn", user("yy1", PASSWORD)).await, allowed);
    assert_eq!(emqx(&at, "authn", user("yy1", "wrong")).await, result("deny"));
    assert_eq!(form(&at, "rabbitmq/user", &[("username", "yy77"), ("password", "x")], true).await.0, 503);
    assert_eq!(form(&at, "mosquitto/user", &[("username", "yy77"), ("password", "x")], false).await.0, 503);
}
