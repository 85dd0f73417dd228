//! The installer at a door: a tracker is taken out of one vehicle, fitted into another, tried and handed over.

use crate::harness::{Person, Up, settled, topic, use_ring};
use rideguard::clock::now;
use rideguard::domain::credential;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Somebody of the organisation that looks after a tracker, logged in by a token of the test's own.
async fn enter(up: &Up, login: &str, role: &str, ident: &str) -> Person {
    let token = format!("token-of-{login}");
    let sql = "WITH made AS (
            INSERT INTO account (login, name, role, unit_id) SELECT $1, $1, $4, unit_id FROM tracker WHERE ident = $2 RETURNING account_id)
        INSERT INTO session (token_sha256, account_id, expires_at) SELECT $3, account_id, now() + interval '1 hour' FROM made";
    let digest = Sha256::digest(token.as_bytes());
    up.sql().await.execute(sql, &[&login, &ident, &digest.as_slice(), &role]).await.unwrap();
    up.person(&token)
}

/// Gives the tracker a credential with the password that it has, and a label with a claim code.
async fn put_claim(up: &Up, (ident, password): (&str, &str), claim: &str) {
    let sql = "INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256) SELECT tracker_id, $2, $3 FROM tracker WHERE ident = $1";
    let hash = credential::hash(password, [7; 12], credential::ITERATIONS_OF_RANDOM);
    let digest = Sha256::digest(claim.as_bytes());
    up.sql().await.execute(sql, &[&ident, &hash, &digest.as_slice()]).await.unwrap();
}

/// Fits a tracker with an idempotency key.
async fn enrol(up: &Up, person: &Person, key: &str, body: &Value) -> (u16, Value) {
    let answer = reqwest::Client::new()
        .post(format!("http://{}/api/v1/door/visits", up.http))
        .header("Authorization", format!("Bearer {}", person.token))
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", key)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// What a tracker says now: of itself, and what alarms it.
async fn says(up: &Up, number: usize, status: &str, alarms: &str) {
    let (ident, password) = up.tracker(number);
    let before = up.count("SELECT count(*) FROM fix").await;
    let at_ms = now().micros() / 1000;
    let fix = format!(r#"{{"t":{at_ms},"lat":28.55,"lon":112.35,"speed":0}}"#);
    let said = format!(r#"{{"v":1,"id":"{ident}","fixes":[{fix}],"status":{{{status}}},"alarms":[{alarms}]}}"#);
    up.publish(&ident, &password, vec![(topic(&ident), said.into_bytes())]).await;
    up.wait_for("SELECT count(*) FROM fix", before + 1).await;
}

/// The state of a check, and whether it may be left out.
fn state<'a>(check: &'a Value, name: &str) -> (&'a str, bool) {
    let found = check["checks"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
    (found["state"].as_str().unwrap(), found["is_skippable"] == true)
}

/// Sends a photo.
async fn put_photo(up: &Up, person: &Person, path: &str, bytes: Vec<u8>) -> (u16, Value) {
    let answer = reqwest::Client::new()
        .put(format!("http://{}/api/v1{path}/photo", up.http))
        .header("Authorization", format!("Bearer {}", person.token))
        .body(bytes)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// Bytes that are given out as they are.
async fn bytes(up: &Up, person: &Person, path: &str) -> (u16, Vec<u8>) {
    let url = format!("http://{}/api/v1{path}", up.http);
    let asked = reqwest::Client::new().get(url).header("Authorization", format!("Bearer {}", person.token));
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

/// The tracker was torn off, says it, and what is told of it has arrived.
async fn tear_off(up: &Up, number: usize, alerts: i64) {
    let (ident, password) = up.tracker(number);
    let now_ms = now().micros() / 1000;
    // It was well before: an alarm that goes on is no new one.
    let said = |at_ms: i64, alarms: &str| {
        (topic(&ident), format!(r#"{{"v":1,"id":"{ident}","t":{at_ms},"alarms":[{alarms}]}}"#).into_bytes())
    };
    up.publish(&ident, &password, vec![said(now_ms - 1, ""), said(now_ms, r#""tamper""#)]).await;
    up.wait_for("SELECT count(*) FROM alert WHERE wakes_owner", alerts).await;
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // one visit, from the list of jobs to the owner's own list
async fn a_tracker_is_fitted_tried_and_handed_over_at_the_door_and_nobody_else_is_told_of_the_drill() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let number = 2; // speaks JSON
    let (ident, password) = up.tracker(number);
    let (installer, operator) =
        (enter(&up, "fitter", "installer", &ident).await, enter(&up, "planner", "operator", &ident).await);
    put_claim(&up, (&ident, &password), "ab12cd34").await;
    let day = "2026-11-29";

    // The operator plans, the installer sees it; neither an owner nor the police have the door.
    let job = json!({ "day": day, "work": "install", "place": "赫山区某路 1 号" });
    assert_eq!(installer.ask("POST", "/door/jobs", Some(job.clone())).await.0, 403);
    let (status, made) = operator.ask("POST", "/door/jobs", Some(job)).await;
    assert_eq!(status, 201, "{made}");
    let seen = installer.get(&format!("/door/jobs?day={day}")).await;
    assert_eq!(seen["jobs"][0]["place"], "赫山区某路 1 号", "{seen}");
    for other in ["owner", "police"] {
        let (status, _) = up.log_in(other).await.ask("GET", &format!("/door/jobs?day={day}"), None).await;
        assert_eq!(status, 403, "{other}");
    }

    // Out of the vehicle that it is in: until then it cannot be fitted elsewhere.
    let mut asked = json!({
        "ident": ident, "claim": "AB12CD34", "plate": "湘H T9001", "kind": "ebike", "name": "王某", "phone": "+8613800000001",
        "consent": "2026-11", "consented_at": "2026-11-29T08:00:00Z", "job_id": made["id"],
    });
    let (status, said) = enrol(&up, &installer, "key-00000001", &asked).await;
    assert_eq!((status, &said["code"]), (409, &json!("tracker_elsewhere")), "{said}");
    let removal = json!({ "ident": ident, "claim": "AB12CD34", "reason": "换到新车" });
    assert_eq!(installer.ask("POST", "/door/removals", Some(removal)).await.0, 204);

    // Bad values are named, and leave nothing.
    for (field, wrong, code) in [
        ("phone", json!("1380000"), "unknown_word"),
        ("plate", json!("湘"), "plate_length"),
        ("kind", json!("car"), "unknown_word"),
        ("name", json!(" "), "text_length"),
        ("consented_at", json!("yesterday"), "not_a_time"),
    ] {
        let mut bad = asked.clone();
        bad[field] = wrong;
        let (status, said) = enrol(&up, &installer, "key-00000002", &bad).await;
        assert_eq!((status, &said["code"]), (400, &json!(code)), "{field}: {said}");
    }
    assert_eq!(enrol(&up, &installer, "short", &asked).await.0, 400);
    assert_eq!(up.count("SELECT count(*) FROM account WHERE phone IS NOT NULL").await, 0);

    // Sent twice it is one visit.
    let (status, visit) = enrol(&up, &installer, "key-00000003", &asked).await;
    assert_eq!(status, 201, "{visit}");
    assert_eq!(enrol(&up, &installer, "key-00000003", &asked).await, (201, visit.clone()));
    assert_eq!(up.count("SELECT count(*) FROM door_visit").await, 1);
    assert_eq!((&visit["plate"], &visit["work"]), (&json!("湘H·T9001"), &json!("install")));
    let path = format!("/door/visits/{}", visit["id"].as_str().unwrap());
    asked["phone"] = json!("+8613800000002");
    let (status, said) = enrol(&up, &installer, "key-00000004", &asked).await;
    assert_eq!((status, &said["code"]), (409, &json!("visit_open")), "{said}");

    // Nothing was seen yet, so nothing is handed over; a stranger sees nothing.
    let here = "?lat=28.5501&lon=112.3501";
    let check = installer.get(&format!("{path}{here}")).await["check"].clone();
    assert_eq!((&check["is_heard"], &check["distance_m"]), (&json!(false), &Value::Null), "{check}");
    let hand_over = format!("{path}/hand-over");
    let place = json!({ "lat": 28.5501, "lon": 112.3501 });
    let (status, said) = installer.ask("POST", &hand_over, Some(place.clone())).await;
    let all = json!(["heard", "place", "battery", "signal", "shake", "supply", "drill"]);
    assert_eq!((status, &said["code"], &said["values"]["missing"]), (409, &json!("checks_missing"), &all), "{said}");
    assert_eq!(installer.ask("GET", "/door/visits/1", None).await.0, 404);
    // Whether it is heard, and whether its alert arrives, is left out by nobody; the rest not without a reason.
    let left_out = |without: Value, reason: Option<&str>| {
        Some(json!({ "lat": 28.5501, "lon": 112.3501, "without": without, "reason": reason }))
    };
    for name in ["heard", "drill"] {
        let (status, said) = installer.ask("POST", &hand_over, left_out(json!([name]), Some("r"))).await;
        assert_eq!((status, &said["code"]), (400, &json!("unknown_word")), "{name}: {said}");
    }
    let (status, said) = installer.ask("POST", &hand_over, left_out(json!(["shake"]), None)).await;
    assert_eq!((status, &said["values"]["field"]), (400, &json!("reason")), "{said}");
    let (status, said) = installer
        .ask("POST", &hand_over, left_out(json!(["place", "battery", "signal", "shake", "supply"]), Some("r")))
        .await;
    assert_eq!((status, &said["values"]["missing"]), (409, &json!(["heard", "drill"])), "{said}");

    // It speaks, of a battery that is low; then the drill: guarded, shaken, the plug pulled, torn off, and the alert arrives.
    settled(&up).await;
    says(&up, number, r#""battery":9,"signal":60,"external_power":true"#, "").await;
    let check = installer.get(&format!("{path}{here}")).await["check"].clone();
    assert!(check["is_heard"] == true && check["distance_m"].as_f64().unwrap() < 100.0, "{check}");
    for (name, is) in [
        ("heard", ("seen", false)),
        ("place", ("seen", false)),
        ("battery", ("wrong", false)),
        ("signal", ("seen", false)),
        ("shake", ("not_seen", true)),
        ("supply", ("not_seen", true)),
        ("drill", ("not_seen", false)),
    ] {
        assert_eq!(state(&check, name), is, "{name}: {check}");
    }
    // A place that is another is another tracker's; a phone that does not say where it is may be left out.
    let check = installer.get(&format!("{path}?lat=28.6&lon=112.35")).await["check"].clone();
    assert_eq!(state(&check, "place"), ("wrong", false), "{check}");
    let check = installer.get(&path).await["check"].clone();
    assert_eq!(state(&check, "place"), ("not_seen", true), "{check}");
    let (status, said) =
        installer.ask("POST", &hand_over, left_out(json!(["battery", "shake", "supply"]), Some("r"))).await;
    assert_eq!((status, &said["values"]["missing"]), (409, &json!(["battery", "drill"])), "{said}");

    assert_eq!(installer.ask("POST", &format!("{path}/drill"), None).await.0, 202);
    settled(&up).await;
    assert_eq!(installer.get(&path).await["check"]["armed"], true);
    says(&up, number, r#""battery":90,"signal":60,"external_power":true"#, r#""vibration""#).await;
    says(&up, number, r#""battery":90,"signal":60,"external_power":false"#, "").await;
    up.wait_for("SELECT count(*) FROM door_visit WHERE shaken_at IS NOT NULL AND unplugged_at IS NOT NULL", 1).await;
    let check = installer.get(&format!("{path}{here}")).await["check"].clone();
    assert_eq!((state(&check, "shake").0, state(&check, "supply").0), ("seen", "wrong"), "{check}");
    says(&up, number, r#""battery":90,"signal":60,"external_power":true"#, "").await;
    up.wait_for("SELECT count(*) FROM tracker_status WHERE external_power AND battery_percent = 90", 1).await;
    tear_off(&up, number, 1).await;
    let check = installer.get(&format!("{path}{here}")).await["check"].clone();
    assert_eq!(check["drill_kind"], "tampered", "{check}");
    assert!(check["checks"].as_array().unwrap().iter().all(|c| c["state"] == "seen"), "{check}");
    let told = up.count("SELECT count(*) FROM outbox").await;
    assert_eq!(told, 0, "nobody is told of a drill");

    // A photo, if wanted: small, a picture, and without a word of its place.
    let picture = [&b"\xff\xd8\xff\xe0\0\x04JF\xff\xda\0\x02"[..], &[7; 1000]].concat();
    let exif = [&b"\xff\xd8\xff\xe1\0\x08Exif\0\0\xff\xda\0\x02"[..], &[7; 1000]].concat();
    let large = [&picture[..], &[7; 300 * 1024]].concat();
    for (photo, refused) in
        [(b"GIF89a".to_vec(), (400, "photo_form")), (exif, (400, "photo_details")), (large, (413, "too_large"))]
    {
        let (status, said) = put_photo(&up, &installer, &path, photo).await;
        assert_eq!((status, said["code"].as_str().unwrap()), refused, "{said}");
    }
    assert_eq!(bytes(&up, &installer, &format!("{path}/photo")).await.0, 404);
    let (status, said) = put_photo(&up, &installer, &path, picture.clone()).await;
    assert_eq!((status, &said["has_photo"]), (200, &json!(true)), "{said}");
    for person in [&installer, &operator] {
        assert_eq!(bytes(&up, person, &format!("{path}/photo")).await, (200, picture.clone()));
    }
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE action = 'door_photo_seen'").await, 1);

    // Handed over: it is the owner's from now on, who sees nothing of the trial.
    let (status, over) = installer.ask("POST", &hand_over, Some(place.clone())).await;
    assert_eq!((status, &over["visit"]["outcome"]), (200, &json!("handed_over")), "{over}");
    assert_eq!(over["visit"]["without"], json!([]), "everything was seen");
    assert_eq!(installer.ask("POST", &format!("{path}/give-up"), Some(json!({ "reason": "x" }))).await.0, 409);
    let day = installer.get(&format!("/door/jobs?day={day}")).await;
    assert!(day["jobs"][0]["done_at"].is_string() && day["visits"] == json!([]), "{day}");
    settled(&up).await;
    let owned = "SELECT count(*) FROM ownership w JOIN account p USING (account_id) JOIN vehicle v USING (vehicle_id)
        WHERE v.plate = '湘H·T9001' AND p.phone = '+8613800000001' AND p.password_hash IS NULL AND w.valid_to IS NULL";
    assert_eq!(up.count(owned).await, 1);
    let guarded =
        "SELECT count(*) FROM guard_status g JOIN vehicle v USING (vehicle_id) WHERE v.plate = '湘H·T9001' AND g.armed";
    assert_eq!(up.count(guarded).await, 0, "the drill's guard has ended");

    // Fitted again, with a reason; another person's phone does not get the vehicle.
    let (status, said) = enrol(&up, &installer, "key-00000005", &asked).await;
    assert_eq!((status, &said["code"]), (409, &json!("vehicle_of_other")), "{said}");
    asked["phone"] = json!("+8613800000001");
    let (status, said) = enrol(&up, &installer, "key-00000006", &asked).await;
    assert_eq!((status, &said["code"]), (409, &json!("vehicle_has_tracker")), "{said}");
    asked["reason"] = json!("天线松动");
    let (status, refit) = enrol(&up, &installer, "key-00000007", &asked).await;
    assert_eq!((status, &refit["work"]), (201, &json!("refit")), "{refit}");

    // The owner is in by now and has a webhook: a drill of a vehicle that is theirs is held back.
    let wants = "UPDATE account SET webhook_url = 'http://127.0.0.1:9/', webhook_secret = 'secret-of-the-test', password_hash = 'x' WHERE phone = '+8613800000001'";
    up.sql().await.execute(wants, &[]).await.unwrap();
    let path = format!("/door/visits/{}", refit["id"].as_str().unwrap());
    assert_eq!(installer.ask("POST", &format!("{path}/drill"), None).await.0, 202);
    settled(&up).await;
    tear_off(&up, number, 2).await;
    up.wait_for("SELECT count(*) FROM outbox WHERE state = 'held_back'", 1).await;
    assert_eq!(up.count("SELECT count(*) FROM outbox WHERE state <> 'held_back'").await, 0);
    // The owner sees it as a drill, in the list and as an incident; a webhook would say it, too.
    let token = "token-of-owner";
    let enters = "INSERT INTO session (token_sha256, account_id, expires_at)
        SELECT $1, account_id, now() + interval '1 hour' FROM account WHERE phone = '+8613800000001'";
    up.sql().await.execute(enters, &[&Sha256::digest(token.as_bytes()).as_slice()]).await.unwrap();
    let owner = up.person(token);
    let alerts = owner.get("/alerts").await["alerts"].clone();
    assert_eq!((&alerts[0]["kind"], &alerts[0]["is_drill"]), (&json!("tampered"), &json!(true)), "{alerts}");
    assert_eq!(alerts.as_array().unwrap().len(), 1, "nothing of the trial before it was theirs: {alerts}");
    assert_eq!(owner.get("/incidents").await["incidents"][0]["is_drill"], true);
    let shown = "SELECT count(*) FROM alert WHERE wakes_owner AND (alert_as_json(alert_id) ->> 'is_drill')::boolean";
    assert_eq!(up.count(shown).await, 2, "what channels send");

    // A tracker that cannot feel anything is handed over with a reason, which stays.
    for power in [false, true] {
        let status = format!(r#""battery":90,"signal":60,"external_power":{power}"#);
        says(&up, number, &status, "").await;
    }
    let told = "SELECT count(*) FROM tracker_status JOIN door_visit d USING (tracker_id)
        WHERE external_power AND last_heard_at >= began_at AND ended_at IS NULL AND d.unplugged_at IS NOT NULL";
    up.wait_for(told, 1).await;
    let without = left_out(json!(["shake", "place"]), Some("无振动传感器"));
    let (status, over) = installer.ask("POST", &format!("{path}/hand-over"), without).await;
    assert_eq!((status, &over["visit"]["without"]), (200, &json!(["shake"])), "only what was not seen: {over}");
    let vehicle =
        up.sql().await.query_one("SELECT vehicle_id::text FROM vehicle WHERE plate = '湘H·T9001'", &[]).await.unwrap();
    let vehicle: String = vehicle.get(0);
    let visits = operator.get(&format!("/door/visits?vehicle_id={vehicle}")).await["visits"].clone();
    assert_eq!(
        (&visits[0]["without_why"], &visits[1]["has_photo"]),
        (&json!("无振动传感器"), &json!(true)),
        "{visits}"
    );

    // Given up: a tracker that was in stays in.
    asked["reason"] = json!("改日再装");
    let (status, third) = enrol(&up, &installer, "key-00000008", &asked).await;
    assert_eq!(status, 201, "{third}");
    let path = format!("/door/visits/{}", third["id"].as_str().unwrap());
    let (status, over) = installer.ask("POST", &format!("{path}/give-up"), Some(json!({ "reason": "改日再装" }))).await;
    assert_eq!((status, &over["outcome"]), (200, &json!("given_up")), "{over}");
    let fitted = "SELECT count(*) FROM installation i JOIN vehicle v USING (vehicle_id) WHERE v.plate = '湘H·T9001' AND i.valid_to IS NULL";
    assert_eq!(up.count(fitted).await, 1, "a tracker that was in stays in");

    // What the owner takes along has the photo; nobody else's has.
    let (status, zip) = bytes(&up, &owner, "/me/export").await;
    assert_eq!(status, 200);
    let photo = zip.windows(8).any(|w| w == b"fitting-");
    assert!(photo, "the photo is in the export");

    // Who is erased is not named by a visit any more.
    let erase = "SELECT close_account(account_id, account_id, 'test') FROM account WHERE phone = '+8613800000001'";
    up.sql().await.execute(erase, &[]).await.unwrap();
    assert_eq!(up.count("SELECT count(*) FROM door_visit WHERE owner_id IS NOT NULL OR reason IS NOT NULL OR without_why IS NOT NULL").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM door_photo").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM door_job WHERE place <> ''").await, 0);
}
