//! What people do about zones, incidents and guard sessions, and what the database makes of it.

use crate::harness::{Person, Up, program, topic, use_ring};
use crate::live::Stream;
use rideguard::domain::{Shard, Timestamp};
use serde_json::{Value, json};

/// Within Yiyang.
const PLACE: (f64, f64) = (28.554, 112.355);

fn corners(points: &[(f64, f64)]) -> Vec<Value> {
    points.iter().map(|(lat, lon)| json!({ "lat": PLACE.0 + lat, "lon": PLACE.1 + lon })).collect()
}

fn zone(rule: &str, shape: Value) -> Value {
    json!({ "name": "城区", "rule": rule, "shape": shape })
}

fn circle(radius_m: f64) -> Value {
    json!({ "type": "circle", "centre": { "lat": PLACE.0, "lon": PLACE.1 }, "radius_m": radius_m })
}

/// Zones that are none are refused with a text that says why; those that are come back as they are kept.
async fn zones_are_checked(operator: &Person) {
    let polygon = |outer: &[(f64, f64)], holes: Vec<Vec<Value>>| json!({ "type": "polygon", "outer": corners(outer), "holes": holes });
    let square = [(0.0, 0.0), (0.0, 0.1), (0.1, 0.1), (0.1, 0.0)];
    let outside = corners(&[(0.3, 0.3), (0.3, 0.4), (0.4, 0.4)]);
    let bad = [
        (zone("both", polygon(&[(0.0, 0.0), (0.1, 0.1), (0.0, 0.1), (0.1, 0.0)], vec![])), "Self-intersection"),
        (zone("both", polygon(&square, vec![outside])), "outside shell"),
        (zone("both", polygon(&[(0.0, 0.0), (0.0, 0.1), (0.0, 0.05)], vec![])), "polygon"),
        (zone("both", polygon(&[(0.0, 0.0), (0.0, 12.0), (9.0, 12.0)], vec![])), "degrees high"),
        (zone("both", json!({ "type": "polygon", "outer": vec![corners(&[(0.0, 0.0)]); 900].concat() })), "900"),
        (
            zone("both", json!({ "type": "corridor", "line": corners(&[(0.0, 0.0)]), "width_m": 60.0 })),
            "2 to 200 points",
        ),
        (zone("dwell", circle(300.0)), "dwell_s"),
    ];
    for (body, reason) in bad {
        let (status, said) = operator.ask("POST", "/zones", Some(body)).await;
        assert_eq!(status, 422, "{said}");
        assert!(said["message"].as_str().unwrap().contains(reason), "{said}");
    }
    let (status, _) = operator.ask("POST", "/zones", Some(zone("whenever", circle(300.0)))).await;
    assert_eq!(status, 400);

    let mut ban = zone("forbidden", circle(300.0));
    ban["crs"] = json!("gcj02");
    ban["vehicle_kind"] = json!("motorcycle");
    ban["schedule"] = json!({ "windows": [{ "days": [1, 2, 3, 4, 5], "from_min": 420, "to_min": 1320 }] });
    let (status, made) = operator.ask("POST", "/zones", Some(ban.clone())).await;
    assert_eq!((status, &made["crs"], &made["source_crs"]), (201, &json!("wgs84"), &json!("gcj02")), "{made}");
    let moved_deg = (made["shape"]["centre"]["lon"].as_f64().unwrap() - PLACE.1).abs();
    assert!((0.003..0.008).contains(&moved_deg), "the datum of Chinese maps lies hundreds of metres off: {made}");
    assert_eq!(made["schedule"]["time_zone"], "Asia/Shanghai");
    let path = format!("/zones/{}", made["id"].as_str().unwrap());
    let corridor = json!({ "type": "corridor", "line": corners(&[(0.0, 0.0), (0.0, 0.1)]), "width_m": 100.0 });
    let (status, changed) = operator.ask("PUT", &path, Some(zone("both", corridor))).await;
    assert_eq!((status, &changed["shape"]["type"], &changed["schedule"]), (200, &json!("corridor"), &Value::Null));
    assert_eq!(operator.ask("PUT", "/zones/999999", Some(zone("both", circle(300.0)))).await.0, 404);
}

/// Taking "stolen" back needs the version of now and its confirmation; "stolen" after that opens the incident again.
async fn the_owner_takes_stolen_back_and_says_it_again(up: &Up, owner: &Person, path: &str, seen_before: &Value) {
    let answer = format!("{path}/answer");
    let say = async |said: Value| owner.ask("POST", &answer, Some(said)).await;
    let mut stream = Stream::open(up, owner).await;

    // A card that was opened before, and a program that never looked, undo nothing.
    for stale in [json!({ "answer": "me", "version": seen_before["version"] }), json!({ "answer": "me" })] {
        let (status, said) = say(stale).await;
        assert_eq!((status, &said["error"]), (409, &json!("incident_changed")), "{said}");
        assert_eq!((&said["incident"]["answer"], &said["incident"]["closed_at"]), (&json!("stolen"), &Value::Null));
        assert_eq!(said["values"]["version"], said["incident"]["version"], "{said}");
    }
    let version = owner.get(path).await["version"].clone();
    let (status, said) = say(json!({ "answer": "me", "version": version })).await;
    assert_eq!((status, &said["error"]), (409, &json!("confirm_withdrawal")), "{said}");
    let vehicles = owner.get("/vehicles").await;
    let open = vehicles["vehicles"].as_array().unwrap().iter().find(|v| v["id"] == seen_before["vehicle_id"]).unwrap();
    assert_eq!(open["open_incident_answer"], "stolen", "{open}");

    // It is me; the rest of the ride wakes nobody.
    let (status, mine) = say(json!({ "answer": "me", "version": version, "withdraw": true })).await;
    assert_eq!(
        (status, &mine["state"], &mine["close_reason"]),
        (200, &json!("false_alarm"), &json!("false_alarm")),
        "{mine}"
    );
    let told = stream.until(|said| said["type"] == "incident" && said["incident"]["answer"] == "me").await;
    assert_eq!(told["incident"]["id"], seen_before["id"], "{told}");
    up.wait_for("SELECT count(*) FROM incident_note WHERE kind = 'held_off'", 1).await;
    let vehicle = seen_before["vehicle_id"].as_str().unwrap();
    assert_eq!(up.count(&format!("SELECT count(*) FROM incident WHERE vehicle_id = {vehicle}")).await, 1);

    // It was stolen after all.
    let (status, stale) = say(json!({ "answer": "stolen", "version": version })).await;
    assert_eq!((status, &stale["error"]), (409, &json!("incident_changed")), "{stale}");
    let (status, again) = say(json!({ "answer": "stolen", "version": mine["version"] })).await;
    assert_eq!((status, &again["answer"], &again["closed_at"]), (200, &json!("stolen"), &Value::Null), "{again}");
    assert!(["confirmed", "followed"].contains(&again["state"].as_str().unwrap()), "{again}");
    let is_open_again = |said: &Value| said["type"] == "incident" && said["incident"]["answer"] == "stolen";
    let told = stream.until(is_open_again).await;
    assert_eq!(
        (&told["incident"]["id"], &told["incident"]["closed_at"], &told["incident"]["version"]),
        (&again["id"], &Value::Null, &again["version"]),
        "{told}"
    );
    let now = owner.get(path).await;
    let answers = |of: &Value| of.as_array().unwrap().iter().map(|a| a["answer"].clone()).collect::<Vec<_>>();
    assert_eq!(answers(&now["answers"]), ["stolen", "me", "stolen"], "{now}");
    let lines: Vec<_> =
        now["timeline"].as_array().unwrap().iter().filter(|l| l["kind"] == "answered").cloned().collect();
    assert_eq!(answers(&json!(lines)), ["stolen", "me", "stolen"], "nothing is forgotten");
    // Neither switch of the guard takes it back without being asked.
    for switch in ["arm", "disarm"] {
        let (status, said) = owner.ask("POST", &format!("/vehicles/{vehicle}/{switch}"), None).await;
        assert_eq!((status, &said["code"]), (409, &json!("confirm_withdrawal")), "{switch}: {said}");
        assert_eq!(owner.get(path).await["closed_at"], Value::Null, "{switch}");
        let odd = owner.ask("POST", &format!("/vehicles/{vehicle}/{switch}"), Some(json!({ "withdraw": 1 }))).await;
        assert_eq!(odd.0, 400, "{}", odd.1);
    }
}

/// Who answers at the same time has not seen the other answer: one of both stands, and the other is told so.
#[tokio::test]
async fn of_two_answers_at_once_one_stands_and_the_other_is_told_so() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let owner = up.log_in("owner").await;
    let database = up.sql().await;
    for (tracker, other) in [(0, "me"), (2, "stolen")] {
        let (ident, password) = up.tracker(tracker);
        let carrier =
            "SELECT vehicle_id FROM tracker JOIN installation USING (tracker_id) WHERE ident = $1 AND valid_to IS NULL";
        let vehicle: i64 = database.query_one(carrier, &[&ident]).await.unwrap().get(0);
        assert_eq!(owner.ask("POST", &format!("/vehicles/{vehicle}/arm"), None).await.0, 200);
        let now_ms = rideguard::clock::now().micros() / 1000;
        let torn_off = format!(r#"{{"v":1,"id":"{ident}","t":{now_ms},"alarms":["tamper"]}}"#).into_bytes();
        up.publish(&ident, &password, vec![(topic(&ident), torn_off)]).await;
        let of_it = format!("FROM incident WHERE vehicle_id = {vehicle}");
        up.wait_for(&format!("SELECT count(*) {of_it} AND closed_at IS NULL"), 1).await;
        let incident: i64 = database.query_one(&format!("SELECT incident_id {of_it}"), &[]).await.unwrap().get(0);
        let path = format!("/incidents/{incident}");
        let version = owner.get(&path).await["version"].clone();
        let say = async |answer: &str| {
            let said = json!({ "answer": answer, "version": version });
            owner.ask("POST", &format!("{path}/answer"), Some(said)).await
        };
        let (recovered, second) = tokio::join!(say("recovered"), say(other));
        let won: Vec<&str> =
            [("recovered", recovered.0), (other, second.0)].into_iter().filter(|a| a.1 == 200).map(|a| a.0).collect();
        assert_eq!(won.len(), 1, "{recovered:?} {second:?}");
        assert!(recovered.0 == 409 || second.0 == 409, "{recovered:?} {second:?}");
        let now = owner.get(&path).await;
        assert_eq!(now["answer"], won[0], "{now}");
        let end = match won[0] {
            "recovered" => json!("recovered"),
            "me" => json!("false_alarm"),
            _ => Value::Null,
        };
        assert_eq!(now["close_reason"], end, "{now}");
        assert_eq!(now["answers"].as_array().unwrap().len(), 1, "{now}");
    }

    // What is made again from the journal has its version, so that a card that is open still fits.
    let versions = "SELECT incident_id, version FROM incident ORDER BY 1";
    let rows = async || -> Vec<(i64, i32)> {
        up.sql().await.query(versions, &[]).await.unwrap().iter().map(|r| (r.get(0), r.get(1))).collect()
    };
    let before = rows().await;
    assert!(before.len() == 2 && before.iter().all(|(_, version)| *version > 1), "{before:?}");
    let gone = "BEGIN; DELETE FROM notification; DELETE FROM outbox; DELETE FROM alert; DELETE FROM incident_note; DELETE FROM incident; COMMIT";
    database.batch_execute(gone).await.unwrap();
    let made = up.command(&["rebuild", "--replace"]);
    assert!(
        rows().await == before,
        "{before:?}: {} {}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    assert!(up.command(&["rebuild", "--check"]).status.success());
}

#[tokio::test]
async fn an_owner_answers_an_incident_and_guards_by_schedule_and_phone() {
    use_ring();
    let up = Up::start(20, &[]).await;
    let owner = up.log_in("owner").await;
    let seconds = ["--parked-interval-s", "2", "--moving-interval-s", "2", "--theft-after-s", "8", "--seed", "5"];
    let mut fleet = up.fleet(&[&["--vehicles", "20", "--theft-vehicle", "yy000001"], &seconds[..]].concat());
    zones_are_checked(&up.log_in("operator").await).await;

    // The incident has a timeline and a track; it is not anybody else's.
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    let listed = owner.get("/incidents").await;
    let id = listed["incidents"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/incidents/{id}");
    let incident = owner.get(&path).await;
    assert_eq!(incident["timeline"][0]["alert"], "moved", "{incident}");
    let vehicle = incident["vehicle_id"].as_str().unwrap();
    let time = |key: &str| Timestamp::parse_rfc3339(incident[key].as_str().unwrap()).unwrap();
    let (from, opened) = (time("fixes_from"), time("opened_at"));
    assert!(from < opened, "its fixes begin before the alert");
    let to = opened.plus_secs_f64(3600.0);
    let track = owner.get(&format!("/vehicles/{vehicle}/track?from={from}&to={to}")).await;
    assert!(!track["points"].as_array().unwrap().is_empty(), "{track}");

    // Stolen: it goes on.
    let answer = |said: &str| json!({ "answer": said });
    assert_eq!(owner.ask("POST", &format!("{path}/answer"), Some(answer("perhaps"))).await.0, 400);
    assert_eq!(owner.ask("POST", "/incidents/7/answer", Some(answer("me"))).await.0, 404);
    let (status, stolen) = owner.ask("POST", &format!("{path}/answer"), Some(answer("stolen"))).await;
    assert_eq!(
        (status, &stolen["answer"], &stolen["severity"]),
        (200, &json!("stolen"), &json!("critical")),
        "{stolen}"
    );
    assert!(["confirmed", "followed"].contains(&stolen["state"].as_str().unwrap()) && stolen["closed_at"].is_null());
    assert_eq!(owner.ask("POST", &format!("{path}/answer"), Some(answer("stolen"))).await.0, 409);
    the_owner_takes_stolen_back_and_says_it_again(&up, &owner, &path, &incident).await;

    // Guarded by a schedule that is in force all week, until the phone says that it is there.
    let second = owner.get("/vehicles").await["vehicles"][1]["id"].as_str().unwrap().to_owned();
    let guarding = format!("/vehicles/{second}/guard-policy");
    assert_eq!(owner.ask("POST", &format!("/vehicles/{second}/disarm"), None).await.0, 200);
    let week = json!({ "windows": [{ "days": [1, 2, 3, 4, 5, 6, 7], "from_min": 0, "to_min": 1440 }] });
    let wanted = json!({ "schedule": week, "auto_after_s": 300 });
    let (status, set) = owner.ask("PUT", &guarding, Some(wanted)).await;
    assert_eq!(
        (status, &set["armed"], &set["armed_by"], &set["auto_after_s"]),
        (200, &json!(true), &json!("schedule"), &json!(300)),
        "{set}"
    );
    assert_eq!(owner.ask("PUT", &guarding, Some(json!({ "auto_after_s": 5 }))).await.0, 422);
    assert_eq!(owner.ask("PUT", "/vehicles/9/guard-policy", Some(json!({}))).await.0, 404);
    let (status, made) = owner.ask("POST", &format!("/vehicles/{second}/phone-tokens"), None).await;
    assert_eq!(status, 201);
    let mut nobody = up.log_in("owner").await;
    nobody.token = String::new();
    assert_eq!(nobody.ask("POST", "/phone-presence", Some(json!({ "token": "0".repeat(64) }))).await.0, 404);
    assert_eq!(nobody.ask("POST", "/phone-presence", Some(json!({ "token": made["token"] }))).await.0, 200);
    let now = owner.get(&guarding).await;
    let earlier = owner.get(&format!("/vehicles/{second}/guarding")).await;
    assert_eq!(earlier["auto_after_s"], now["auto_after_s"], "the earlier path still answers");
    assert_eq!((&now["armed"], &now["armed_by"], &now["phones"]), (&json!(false), &json!("phone"), &json!(1)), "{now}");
    assert_eq!(owner.ask("DELETE", &format!("/vehicles/{second}/phone-tokens"), None).await.0, 204);
    assert_eq!(nobody.ask("POST", "/phone-presence", Some(json!({ "token": made["token"] }))).await.0, 404);

    fleet.kill().unwrap();
    fleet.wait().unwrap();
    a_storm_is_held_back(&up).await;
    for command in [&["verify"][..], &["rebuild", "--check"]] {
        let done = up.command(command);
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stdout));
    }
    a_backtest_over_the_journal_differs_only_by_its_parameters(&up).await;
}

/// Whether every lane has in force what people have set until now.
const ALL_IN_FORCE: &str = "SELECT (bool_and(setting_cursor >= coalesce((SELECT max(setting_id) FROM setting s WHERE s.lane = l.lane OR s.lane IS NULL), 0)
    AND applied >= journaled))::int::bigint FROM lane l";

#[tokio::test]
async fn a_vehicle_that_gets_a_tracker_of_another_lane_stays_guarded_and_by_that_lane_alone() {
    use_ring();
    let up = Up::start(20, &[]).await;
    let database = up.sql().await;
    let (old, old_password) = up.tracker(0);
    let lane = |ident: &str| Shard::of(ident).lane();
    let speaks_json = |ident: &str| ident.starts_with("yy");
    let other = (1..20).map(|n| up.tracker(n)).find(|(ident, _)| speaks_json(ident) && lane(ident) != lane(&old));
    let (new, new_password) = other.expect("twenty trackers are of more than one lane");
    let carrier = "SELECT v.vehicle_id, v.plate, v.kind FROM tracker JOIN installation i USING (tracker_id) JOIN vehicle v USING (vehicle_id) WHERE ident = $1 AND valid_to IS NULL";
    let row = database.query_one(carrier, &[&old]).await.unwrap();
    let (vehicle, plate, kind): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
    let torn_off = |ident: &str| {
        let now_ms = rideguard::clock::now().micros() / 1000;
        vec![(topic(ident), format!(r#"{{"v":1,"id":"{ident}","t":{now_ms},"alarms":["tamper"]}}"#).into_bytes())]
    };
    let alerts = format!("SELECT count(*) FROM alert WHERE kind = 'tampered' AND vehicle_id = {vehicle}");
    let owner = up.log_in("owner").await;
    assert_eq!(owner.ask("POST", &format!("/vehicles/{vehicle}/arm"), None).await.0, 200);
    up.publish(&old, &old_password, torn_off(&old)).await;
    up.wait_for(&alerts, 1).await;

    // The new tracker comes out of another vehicle. Taken as it is, it is refused: the vehicle carries one.
    let taken_out = "UPDATE installation SET valid_to = now() FROM tracker t WHERE t.tracker_id = installation.tracker_id AND ident = $1";
    database.execute(taken_out, &[&new]).await.unwrap();
    let install = |tracker: &str, more: &[&str]| {
        let vehicle = ["vehicle", &plate, "--kind", &kind, "--owner", "owner", "--tracker", tracker];
        let config = up.config();
        std::process::Command::new(program())
            .args(["admin", "--config"])
            .arg(config)
            .args(vehicle)
            .args(more)
            .output()
            .unwrap()
    };
    let refused = install(&new, &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--replace"), "{refused:?}");
    let done = install(&new, &["--replace"]);
    assert!(done.status.success(), "{done:?}");
    up.wait_for(ALL_IN_FORCE, 1).await;
    let ended = format!("SELECT count(*) FROM incident WHERE vehicle_id = {vehicle} AND ended_by = 'tracker_changed'");
    assert_eq!(up.count(&ended).await, 1, "the lane of before ends what it began");
    assert_eq!(up.count(&format!("SELECT count(*) FROM guard_status WHERE vehicle_id = {vehicle} AND armed")).await, 1);

    // The lane of before may be behind, and its incident open still.
    let behind = format!(
        "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from) VALUES (77, {vehicle}, now() - interval '1 minute', now())"
    );
    database.batch_execute(&behind).await.unwrap();
    up.publish(&new, &new_password, torn_off(&new)).await;
    up.wait_for(&alerts, 2).await;
    assert_eq!(up.count(&ended).await, 2);
    let open = format!("SELECT count(*) FROM incident WHERE vehicle_id = {vehicle} AND closed_at IS NULL");
    assert_eq!(up.count(&open).await, 1);
    database.batch_execute("DELETE FROM incident WHERE incident_id = 77").await.unwrap();

    // Back again, armed still; and what stands there follows from the journal.
    assert!(install(&old, &["--replace"]).status.success());
    up.wait_for(ALL_IN_FORCE, 1).await;
    up.publish(&old, &old_password, torn_off(&old)).await;
    up.wait_for(&alerts, 3).await;
    for command in [&["verify"][..], &["rebuild", "--check"]] {
        let done = up.command(command);
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

/// The journal gives the alerts that were told; with evidence that nothing reaches, those of movement are missing.
async fn a_backtest_over_the_journal_differs_only_by_its_parameters(up: &Up) {
    let done = up.command(&["backtest", "--journal", "--vary", "exit.evidence_min=1000", "--list"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout);
    let cells = |name: &str| -> Vec<String> {
        let line = text.lines().find(|l| l.starts_with(&format!("{name} |"))).unwrap_or_else(|| panic!("{text}"));
        line.split(" | ").map(str::to_owned).collect()
    };
    let woken = up.count("SELECT count(*) FROM alert WHERE wakes_owner").await.to_string();
    let default = cells("default");
    assert_eq!((&default[1], &default[4..]), (&woken, &["0".to_owned(), "0".to_owned()][..]), "{text}");
    let never = cells("exit.evidence_min=1000");
    let moved = up.count("SELECT count(*) FROM alert WHERE kind = 'moved'").await;
    assert!(moved > 0 && never[5] != "0", "{text}");
    assert!(text.lines().any(|l| l.starts_with("exit.evidence_min=1000: - ") && l.contains(" moved ")), "{text}");
}

/// Of a dozen alerts of one vehicle at once, the first and as many as its bucket holds are sent.
async fn a_storm_is_held_back(up: &Up) {
    let database = up.sql().await;
    database
        .batch_execute(
            "BEGIN;
             UPDATE account SET webhook_url = 'http://127.0.0.1:9/' WHERE login = 'owner';
             INSERT INTO incident (incident_id, vehicle_id, opened_at, closed_at, fixes_from) SELECT 77, min(vehicle_id), now(), now(), now() FROM vehicle;
             WITH a AS (INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, late, evidence, cause)
                SELECT 77, (SELECT min(vehicle_id) FROM vehicle), 'storm', true, now(), false, '{}', n FROM generate_series(1, 12) n RETURNING alert_id)
             INSERT INTO outbox (alert_id, account_id, channel) SELECT alert_id, account_id, 'webhook' FROM a, account WHERE login = 'owner';
             NOTIFY outbox; COMMIT",
        )
        .await
        .unwrap();
    up.wait_for(
        "SELECT count(*) FROM outbox JOIN alert USING (alert_id) WHERE kind = 'storm' AND state = 'held_back'",
        6,
    )
    .await;
    let held =
        "SELECT count(*) FROM outbox o JOIN alert a USING (alert_id) WHERE a.kind = 'storm' AND o.state = 'held_back'";
    assert_eq!(up.count(held).await, 6);
    let first = "SELECT count(*) FROM outbox o WHERE o.alert_id = (SELECT min(alert_id) FROM alert WHERE kind = 'storm') AND o.admitted";
    assert_eq!(up.count(first).await, 1, "the first is never dropped");
    // They were made by hand, so the journal knows nothing of them. The notifier is at work on them meanwhile.
    database
        .batch_execute(
            "LOCK TABLE notification, outbox IN EXCLUSIVE MODE;
             DELETE FROM notification n USING outbox o, alert a WHERE n.outbox_id = o.outbox_id AND a.alert_id = o.alert_id AND a.kind = 'storm';
             DELETE FROM outbox o USING alert a WHERE a.alert_id = o.alert_id AND a.kind = 'storm';
             DELETE FROM alert WHERE kind = 'storm'; DELETE FROM incident WHERE incident_id = 77",
        )
        .await
        .unwrap();
}
