//! What operators see of the door: its listeners, refused log-ins, and how each tracker is connected.

use crate::harness::{PATIENCE, Person, free_port, settled};
use crate::own_door::{client, publish};
use crate::socket_door::{ask, connect, enter, gt06, gt06_login, jt808_enter, jt808_place, register, with_sockets};
use crate::support::shapes;
use rideguard::domain::Shard;
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The connection of a tracker, as operators see it.
async fn connection(operator: &Person, ident: &str) -> Value {
    let list = operator.get(&format!("/trackers?q={ident}")).await;
    shapes::must_fit("GET", "/trackers", 200, &list);
    list["trackers"].as_array().unwrap().iter().find(|t| t["ident"] == ident).unwrap()["connection"].clone()
}

/// Waits until the connection of a tracker is as it should be.
async fn until(operator: &Person, ident: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let now = connection(operator, ident).await;
        if is_so(&now) {
            return now;
        }
        assert!(since.elapsed() < PATIENCE, "{ident}: {now}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_there(connection: &Value) -> bool {
    connection.is_object() && connection["ended_at"].is_null()
}

fn is_over(connection: &Value) -> bool {
    connection["ended_at"].is_string()
}

/// The doors, those that are there first.
async fn doors(operator: &Person) -> Value {
    let said = operator.get("/listeners").await;
    shapes::must_fit("GET", "/listeners", 200, &said);
    said["doors"].clone()
}

/// Waits until the listener of a language says so.
async fn listener_until(operator: &Person, language: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let doors = doors(operator).await;
        let listeners = doors[0]["listeners"].as_array().cloned().unwrap_or_default();
        let found = listeners.into_iter().find(|l| l["language"] == language && is_so(l));
        if let Some(found) = found {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{language}: {doors}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_who_is_connected_how_and_from_which_network_and_who_was_refused() {
    let (mqtt_port, udp_port) = (free_port().to_string(), free_port());
    let (up, [gt06_port, _, jt808_port, _]) =
        with_sockets(&["--door-port", &mqtt_port, &format!("--door-udp=h02={udp_port}")]).await;
    let operator = up.log_in("operator").await;
    let (ident, password) = up.tracker(0);
    assert!(connection(&operator, &ident).await.is_null(), "it never came");
    let down = format!("v1/{}/{ident}/down", Shard::of(&ident).0);
    let mut listening =
        client(&up, "mosquitto_sub", &ident, &password, &["-t", &down, "-V", "mqttv5"]).spawn().unwrap();
    let seen = until(&operator, &ident, is_there).await;
    let how = json!([seen["language"], seen["transport"], seen["is_tls"], seen["mqtt_version"]]);
    assert_eq!(how, json!(["mqtt", "tcp", true, "5"]), "{seen}");
    let by_mqtt = listener_until(&operator, "mqtt", |l| l["connected"] == 1).await;
    assert_eq!((&by_mqtt["connected_in_all"], &by_mqtt["is_tls"]), (&json!(1), &json!(true)), "{by_mqtt}");
    assert!(by_mqtt["address"].as_str().unwrap().ends_with(&format!(":{mqtt_port}")), "{by_mqtt}");

    // A plain socket; its network stands in its record, which leaves a row of audit.
    register(&up, "13800000071", "jt808", "socket");
    let (mut terminal, _) = jt808_enter(jt808_port, "13800000071", "TERM71");
    ask(&mut terminal, &jt808_place("13800000071", 1), 20);
    let seen = until(&operator, "13800000071", is_there).await;
    let how = json!([seen["language"], seen["transport"], seen["is_tls"], seen["mqtt_version"]]);
    assert_eq!(how, json!(["jt808", "tcp", false, null]), "{seen}");
    let id = up.sql().await.query_one("SELECT tracker_id FROM tracker WHERE ident = '13800000071'", &[]).await.unwrap();
    let record = operator.get(&format!("/registry/trackers/{}", id.get::<_, i64>(0))).await;
    assert_eq!((&record["transport"], &record["connection"]["network"]), (&json!("socket"), &json!("127.0.0.0/24")));
    drop(terminal);
    let seen = until(&operator, "13800000071", is_over).await;
    assert_eq!(seen["reason"], "closed", "{seen}");

    // Datagrams: nobody is connected, and it is there all the same.
    register(&up, "8600000072", "h02", "socket");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let since = Instant::now();
    while !is_there(&connection(&operator, "8600000072").await) {
        assert!(since.elapsed() < PATIENCE, "{}", doors(&operator).await);
        sender.send_to(b"*HQ,8600000072,HTBT,80#", ("127.0.0.1", udp_port)).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(connection(&operator, "8600000072").await["transport"], "udp");
    listener_until(&operator, "h02", |l| l["transport"] == "udp" && l["connected_in_all"] == 1).await;

    // Wrong passwords and unknown identifiers are counted where they came.
    let told = publish(&up, &ident, "wrong", &["-q", "1", "-t", "x", "-m", "x"]);
    assert!(!told.status.success());
    assert!(ask(&mut connect(gt06_port), &gt06_login("860000000000079"), 10).is_empty());
    for language in ["mqtt", "gt06"] {
        listener_until(&operator, language, |l| l["ended"]["refused"] == 1).await;
    }
    let idle = connect(gt06_port);
    listener_until(&operator, "gt06", |l| l["strangers"] == 1).await;
    drop(idle);
    assert!(is_there(&connection(&operator, &ident).await), "somebody else's wrong password ends nothing");
    let owner = up.log_in("owner").await;
    assert_eq!(owner.ask("GET", "/listeners", None).await.0, 403);
    listening.kill().unwrap();
    listening.wait().unwrap();
    until(&operator, &ident, is_over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_connected_to_a_door_that_was_killed_and_a_database_that_was_away_learns_who_is_there() {
    let (mut up, [gt06_port, ..]) = with_sockets(&[]).await;
    let idents = ["860000000000081", "860000000000082"];
    for ident in idents {
        register(&up, ident, "gt06", "socket");
    }
    let come = |ident: &str| enter(gt06_port, &gt06_login(ident), &gt06(1, &[], 1));
    let first = come(idents[0]);
    let operator = up.log_in("operator").await;
    until(&operator, idents[0], is_there).await;
    // While the database is away one goes and another comes; then both are known.
    up.crash_the_database();
    drop(first);
    let second = come(idents[1]);
    drop(up.sql().await);
    up.wait_for("SELECT count(*) FROM door_worker WHERE beat_at > now() - interval '5 s'", 1).await;
    let since = Instant::now();
    while reqwest::get(format!("http://{}/ready", up.http)).await.is_ok_and(|a| !a.status().is_success()) {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(until(&operator, idents[0], is_over).await["reason"], "closed");
    until(&operator, idents[1], is_there).await;
    // Nobody writes what a killed process would have written.
    up.kill();
    drop(second);
    up.start_again().await;
    let operator = up.log_in("operator").await;
    let seen = until(&operator, idents[1], is_over).await;
    assert_eq!(seen["reason"], "lost", "{seen}");
    let both = doors(&operator).await;
    assert_eq!((both.as_array().unwrap().len(), is_there(&both[0]), is_over(&both[1])), (2, true, true), "{both}");
    // The next to come is there again; one that says goodbye leaves nobody there.
    let third = come(idents[1]);
    until(&operator, idents[1], is_there).await;
    assert!(up.interrupt());
    drop(third);
    up.start_again().await;
    let seen = connection(&up.log_in("operator").await, idents[1]).await;
    assert_eq!(seen["reason"], "stopped", "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_another_organisation_sees_neither_connections_nor_numbers_of_everybody() {
    let (up, [gt06_port, ..]) = with_sockets(&[]).await;
    for ident in ["860000000000091", "860000000000092"] {
        register(&up, ident, "gt06", "socket");
    }
    up.sql()
        .await
        .batch_execute(
            "INSERT INTO organisation (name, kind) VALUES ('Seen A', 'operator'), ('Seen B', 'operator');
             INSERT INTO unit (organisation_id, name) SELECT organisation_id, name FROM organisation WHERE name LIKE 'Seen _';
             UPDATE tracker SET unit_id = (SELECT unit_id FROM unit WHERE name = 'Seen A') WHERE ident = '860000000000091';
             UPDATE tracker SET unit_id = (SELECT unit_id FROM unit WHERE name = 'Seen B') WHERE ident = '860000000000092';
             INSERT INTO account (login, name, role, password_hash, unit_id) SELECT 'of-a', 'a', 'operator', '!', unit_id FROM unit WHERE name = 'Seen A';
             INSERT INTO account (login, name, role, password_hash) VALUES ('of-all', 'a', 'admin', '!');
             INSERT INTO session SELECT sha256(convert_to(login, 'UTF8')), account_id, now(), now() + interval '1 hour' FROM account WHERE login IN ('of-a', 'of-all')",
        )
        .await
        .unwrap();
    let come = |ident: &str| enter(gt06_port, &gt06_login(ident), &gt06(1, &[], 1));
    let _both = (come("860000000000091"), come("860000000000092"));
    let (of_a, of_all) = (up.person("of-a"), up.person("of-all"));
    until(&of_a, "860000000000091", is_there).await;
    let all = listener_until(&of_all, "gt06", |l| l["connected"] == 2).await;
    assert!(all["connected_in_all"] == 2 && all["ended"].is_object() && all["strangers"].is_number(), "{all}");
    let own = listener_until(&of_a, "gt06", |l| l["connected"] == 1).await;
    assert!(own["connected_in_all"].is_null() && own["ended"].is_null() && own["strangers"].is_null(), "{own}");
    let others = of_a.get("/trackers?q=860000000000092").await;
    assert_eq!(others["trackers"], json!([]));
    let id =
        up.sql().await.query_one("SELECT tracker_id FROM tracker WHERE ident = '860000000000092'", &[]).await.unwrap();
    let (status, _) = of_a.ask("GET", &format!("/registry/trackers/{}", id.get::<_, i64>(0)), None).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_has_not_read_its_list_of_trackers_is_not_ready_and_says_so() {
    let (mut up, [gt06_port, ..]) = with_sockets(&[]).await;
    register(&up, "860000000000095", "gt06", "socket");
    drop(enter(gt06_port, &gt06_login("860000000000095"), &gt06(1, &[], 1)));
    let sql = up.superuser().await;
    sql.batch_execute("REVOKE EXECUTE ON FUNCTION door_sockets(text) FROM rideguard_ingest_rights").await.unwrap();
    assert!(up.interrupt());
    up.start_unready();
    let since = Instant::now();
    let waits = "the door has not read its list of trackers yet";
    while !up.text_if_there("/ready").await.is_some_and(|said| said.contains(waits)) {
        assert!(since.elapsed() < PATIENCE, "{}", up.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reqwest::get(format!("http://{}/ready", up.http)).await.unwrap().status(), 503);
    assert!(ask(&mut connect(gt06_port), &gt06_login("860000000000095"), 10).is_empty());
    let operator = up.log_in("operator").await;
    assert_eq!(doors(&operator).await[0]["is_list_read"], false);
    let sql = up.superuser().await;
    sql.batch_execute("GRANT EXECUTE ON FUNCTION door_sockets(text) TO rideguard_ingest_rights").await.unwrap();
    up.wait_ready().await;
    drop(enter(gt06_port, &gt06_login("860000000000095"), &gt06(1, &[], 1)));
    let since = Instant::now();
    while doors(&operator).await[0]["is_list_read"] == false {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_with_the_person_and_with_the_journal() {
    let (up, _) = with_sockets(&["--door-port", &free_port().to_string()]).await;
    let (ident, password) = up.tracker(0);
    up.sql()
        .await
        .batch_execute("INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!')")
        .await
        .unwrap();
    let owner_of = "SELECT login FROM account JOIN ownership USING (account_id) JOIN installation USING (vehicle_id) JOIN tracker USING (tracker_id) WHERE ident = $1";
    let login: String = up.sql().await.query_one(owner_of, &[&ident]).await.unwrap().get(0);
    let operator = up.log_in("operator").await;
    let down = format!("v1/{}/{ident}/down", Shard::of(&ident).0);
    let mut listening = client(&up, "mosquitto_sub", &ident, &password, &["-t", &down]).spawn().unwrap();
    until(&operator, &ident, is_there).await;
    settled(&up).await;
    let proof = up.command(&["erase", &login, "--by", "chief", "--request", "R-1"]);
    let proof: Value = serde_json::from_slice(&proof.stdout).unwrap();
    assert_eq!((&proof["left"], &proof["erased"]["tracker_connection"]), (&json!(0), &json!(1)), "{proof}");
    // It is still there, and what is written of it does not come back within the time that was erased.
    let sql = up.sql().await;
    sql.batch_execute("DELETE FROM door_worker").await.unwrap(); // then everybody is told of again
    up.wait_for("SELECT count(*) FROM door_worker", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(connection(&operator, &ident).await.is_null());
    sql.batch_execute("UPDATE erased_window SET to_at = now(); DELETE FROM door_worker").await.unwrap();
    until(&operator, &ident, is_there).await;
    assert_eq!(
        up.count(
            "SELECT count(*) FROM tracker_connection JOIN erased_window USING (tracker_id) WHERE began_at < to_at"
        )
        .await,
        0
    );
    listening.kill().unwrap();
    listening.wait().unwrap();
    until(&operator, &ident, is_over).await;
    // The nightly job takes what is older than the journal.
    for (age, left) in [("29 days", 1), ("31 days", 0)] {
        let aged = format!(
            "UPDATE tracker_connection SET began_at = now() - interval '40 days', ended_at = now() - interval '{age}'"
        );
        sql.batch_execute(&aged).await.unwrap();
        let said = up.command(&["purge"]);
        assert!(said.status.success(), "{said:?}");
        assert_eq!(up.count("SELECT count(*) FROM tracker_connection").await, left, "{age}");
    }
}
