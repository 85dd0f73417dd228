//! What a grant binds: the newest positions, the live map, ids that nobody can guess; and what a sale waits for.

use crate::harness::{Database, Up, tell, use_ring};
use crate::live::Stream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A view of the city that the demonstration's grant allows, and one that it does not.
const VIEWS: [&str; 2] =
    [r#"{"type":"view","bbox":[112.1,28.4,112.5,28.7]}"#, r#"{"type":"view","bbox":[111.0,27.5,113.5,29.5]}"#];

#[tokio::test]
async fn a_grant_tells_the_newest_of_what_it_has_found_only_and_ids_cannot_be_guessed() {
    use_ring();
    let up = Up::start(8, &[]).await;
    tell(&up, 0).await;
    let (police, owner) = (up.log_in("police").await, up.log_in("owner").await);
    let mine = owner.get("/vehicles").await["vehicles"].clone();
    let (id, plate) = (mine[0]["id"].as_str().unwrap(), mine[0]["plate"].as_str().unwrap());
    let sql = up.sql().await;
    sql.batch_execute(
        "INSERT INTO access_grant (account_id, case_number, document, purpose, approved_by, valid_to, area_km2_max)
         SELECT account_id, 'C-2', document, purpose, approved_by, now() + interval '1 day', 2000 FROM access_grant",
    )
    .await
    .unwrap();
    let grants = police.get("/grants").await["grants"].clone();
    let grants = [0, 1].map(|n| grants[n]["id"].as_str().unwrap().to_owned());
    let newest = async |grant: &str, vehicles: &[&str]| {
        let (status, found) =
            police.ask("POST", "/search/latest", Some(json!({ "grant_id": grant, "vehicles": vehicles }))).await;
        assert_eq!(status, 200, "{found}");
        found
    };
    let nothing = newest(&grants[0], &["9007199254740000"]).await;
    assert_eq!(newest(&grants[0], &[id]).await, nothing, "one that is there is like one that is not");
    let audited = "SELECT count(*) FROM audit WHERE action = 'newest' AND rows_returned = 0";
    assert_eq!(up.count(audited).await, 2);

    // A part of a plate that many have brings plates and no place.
    let many = police.get(&format!("/vehicles?q=D000&grant_id={}", grants[0])).await["vehicles"].clone();
    assert!(many.as_array().unwrap().len() == 8 && many[0]["id"] == id, "{many}");
    assert_eq!((&many[0]["last_fix"], &many[0]["guard_point"]), (&Value::Null, &Value::Null));
    assert_eq!(newest(&grants[0], &[id]).await, nothing);

    // By plate it is named, under this grant and no other.
    let q: String = plate.bytes().map(|b| format!("%{b:02X}")).collect();
    assert_eq!(police.get(&format!("/vehicles?q={q}&grant_id={}", grants[0])).await["vehicles"][0]["id"], id);
    assert_eq!(newest(&grants[0], &[id, "9007199254740000"]).await["vehicles"][0]["id"], id);
    assert_eq!(newest(&grants[1], &[id]).await, nothing);
    // What passes beside the area, although inside its bounds, is not found.
    let at = |hours: f64| rideguard::clock::now().plus_secs_f64(hours * 3600.0).to_string();
    let line = json!([[112.3, 28.52], [112.4, 28.62], [112.4, 28.620001], [112.3, 28.520001]]);
    let area = json!({ "grant_id": grants[1], "polygon": line, "from": at(-1.0), "to": at(1.0) });
    let (status, found) = police.ask("POST", "/search/area", Some(area)).await;
    assert_eq!((status, &found["vehicles"]), (200, &json!([])));
    assert_eq!(newest(&grants[1], &[id]).await, nothing);
    // A search by area finds it, too; its row counts vehicles, of which there is one with twenty fixes.
    let around = json!([[112.2, 28.4], [112.5, 28.4], [112.5, 28.7], [112.2, 28.7]]);
    let area = json!({ "grant_id": grants[1], "polygon": around, "from": at(-1.0), "to": at(1.0) });
    let (status, found) = police.ask("POST", "/search/area", Some(area)).await;
    assert_eq!((status, &found["vehicles"][0]["plate"]), (200, &json!(plate)), "{found}");
    assert_eq!(newest(&grants[1], &[id]).await["vehicles"][0]["id"], id);
    let counted = "SELECT max(rows_returned)::bigint FROM audit WHERE action = 'area'";
    assert_eq!(up.count(counted).await, 1);
    // Nor does a question for names that nobody has found bring any.
    let others = "SELECT count(*) FROM access_grant g, LATERAL (SELECT token_sha256 FROM session s WHERE s.account_id = g.account_id LIMIT 1) s, LATERAL api_police_names(s.token_sha256, g.grant_id, ARRAY(SELECT vehicle_id FROM vehicle)) n WHERE n.plate <> $1";
    assert_eq!(sql.query_one(others, &[&plate]).await.unwrap().get::<_, i64>(0), 0);

    // A new grant clears away what ended ones have found.
    sql.batch_execute(
        "UPDATE access_grant SET valid_from = now() - interval '2 days', valid_to = now() - interval '1 day' WHERE case_number = 'C-2';
         INSERT INTO access_grant (account_id, case_number, document, purpose, approved_by, valid_to)
         SELECT account_id, 'C-3', document, purpose, approved_by, now() + interval '1 day' FROM access_grant WHERE case_number = 'C-2'",
    )
    .await
    .unwrap();
    assert_eq!(up.count("SELECT count(*) FROM grant_vehicle").await, 1);

    // Numbers say neither how many there are nor which come next.
    let numbers = "SELECT vehicle_id AS id FROM vehicle UNION ALL SELECT account_id FROM account UNION ALL SELECT grant_id FROM access_grant";
    let ids: Vec<i64> = sql.query(numbers, &[]).await.unwrap().iter().map(|r| r.get(0)).collect();
    let large = ids.iter().filter(|id| **id > 1 << 40).count();
    assert!(large >= ids.len() - 1 && ids.iter().all(|id| (1..1 << 53).contains(id)), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(!ids.is_sorted(), "{ids:?}");
}

#[tokio::test]
async fn police_see_live_positions_of_a_view_within_their_grant_only() {
    use_ring();
    let up = Up::start(3, &[]).await;
    tell(&up, 0).await;
    let (police, operator) = (up.log_in("police").await, up.log_in("operator").await);
    let mut all = Stream::open_with(&up, &operator, None).await;
    let is_shown = |said: &Value| said["vehicles"].as_array().is_some_and(|v| !v.is_empty());
    all.until(is_shown).await; // the memory has it, and an operator needs no view
    let mut stream = Stream::open_with(&up, &police, Some(json!({ "grant_id": police.grant().await }))).await;
    assert_eq!(stream.until(|said| said["type"] == "snapshot").await["vehicles"], json!([]));
    tell(&up, 0).await;
    all.until(is_shown).await;
    stream.send(VIEWS[1]);
    let refused = stream.until(|said| said["type"] == "view_refused" || is_shown(said)).await;
    assert_eq!(
        (&refused["code"], &refused["values"]["km2_max"]),
        (&json!("view_too_large"), &json!(2000.0)),
        "{refused}"
    );
    stream.send(VIEWS[0]);
    assert!(is_shown(&stream.until(|said| said["type"] == "snapshot").await));
    stream.send(VIEWS[1]);
    stream.until(|said| said["type"] == "view_refused").await;
    // What moves now is not told: the next that is heard of it is a sign of life, or the next snapshot.
    tell(&up, 0).await;
    all.until(is_shown).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stream.send(r#"{"type":"view","bbox":[112.5,28.4,112.1,28.7]}"#);
    let refused = stream.until(|said| said["type"] == "view_refused" || is_shown(said)).await;
    assert_eq!(refused["code"], "bad_box", "{refused}");
    up.wait_for("SELECT count(*) FROM audit WHERE action = 'live' AND question ->> 'why' = 'view_refused'", 3).await;
    // A grant that shrinks takes the view with it.
    stream.send(VIEWS[0]);
    stream.until(is_shown).await;
    up.sql().await.batch_execute("UPDATE access_grant SET area_km2_max = 1").await.unwrap();
    let refused = stream.until(|said| said["type"] == "view_refused").await;
    assert_eq!(refused["values"]["km2_max"], 1.0, "{refused}");
}

/// A seller, a buyer and a vehicle with a tracker.
const PEOPLE: &str = "
    INSERT INTO account (account_id, login, name, role, password_hash) VALUES (1, 'seller', 's', 'owner', ''), (2, 'buyer', 'b', 'owner', '');
    INSERT INTO vehicle (vehicle_id, plate, kind) VALUES (1, 'T1', 'ebike');
    INSERT INTO tracker (ident, profile) VALUES ('t1', '{\"protocol\": \"json\"}');
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, 1 FROM tracker;
    INSERT INTO ownership (vehicle_id, account_id) VALUES (1, 1);
    INSERT INTO session (token_sha256, account_id, expires_at) VALUES (sha256('seller'), 1, 'infinity');";
const ZONE: &str = r#"'{"name": "home", "rule": "enter", "vehicle_id": 1, "dwell_s": 0, "drawn_crs": "wgs84",
    "shape": {"type": "circle", "centre": {"lat_deg": 28.5, "lon_deg": 112.3}, "radius_m": 100}}'"#;

#[tokio::test]
async fn a_change_waits_for_a_sale_before_it_looks_and_holds_nothing_up() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.batch_execute(PEOPLE).await.unwrap();
    let add = format!("SELECT * FROM api_add_zone(sha256('seller'), {ZONE})");
    client.batch_execute(&add).await.unwrap();
    // Each change meets a sale that has begun; the same sale is then undone.
    let (change, remove) = (
        format!("SELECT * FROM api_change_zone(sha256('seller'), (SELECT zone_id FROM zone), {ZONE})"),
        "SELECT api_delete_zone(sha256('seller'), zone_id) FROM zone".to_owned(),
    );
    let others = [
        "SELECT * FROM api_set_guarding(sha256('seller'), 1, NULL, 300)".to_owned(),
        "SELECT api_make_phone(sha256('seller'), 1, sha256('x'))".to_owned(),
        "SELECT api_switch(sha256('seller'), 1, true, false)".to_owned(),
    ];
    for sql in [&add, &change, &remove].into_iter().chain(&others) {
        let (mut selling, changing) = (database.superuser().await, database.connect().await);
        let sale = selling.transaction().await.unwrap();
        sale.batch_execute("SELECT pg_advisory_xact_lock(7241001)").await.unwrap();
        let (asked, pid) =
            (sql.clone(), changing.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0));
        let waiting = tokio::spawn(async move { changing.batch_execute(&asked).await });
        let is_waiting = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted";
        while client.query_one(is_waiting, &[&pid]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sale.batch_execute("SET LOCAL deadlock_timeout = '100ms'; SELECT transfer_vehicle(1, 2)").await.expect(sql);
        sale.commit().await.unwrap();
        let done = waiting.await.unwrap();
        assert_eq!(done.is_err(), *sql == add, "{sql}: {done:?}");
        let left =
            "SELECT (SELECT count(*) FROM zone) + (SELECT count(*) FROM phone_token) + (SELECT count(*) FROM guarding)
            + (SELECT count(*) FROM setting WHERE content ->> 'kind' = 'arm')";
        assert_eq!(
            client.query_one(left, &[]).await.unwrap().get::<_, i64>(0),
            0,
            "{sql}: nothing of the seller's is left"
        );
        client.batch_execute(&format!("SELECT transfer_vehicle(1, 1); {add}")).await.unwrap();
    }
}
