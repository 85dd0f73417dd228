//! What belongs to people: a hand-over with all that ends with it, family, share links, who looked, my data, its end.

use crate::harness::{PATIENCE, Person, Up, settled, tell, topic, use_ring};
use crate::live::Stream;
use rideguard::clock::now;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// What is revoked is gone from open streams within this.
const REVOKED_MAX: std::time::Duration = std::time::Duration::from_secs(5);
const PASSWORD: &str = "seven herons over Zijiang";

/// Somebody new, logged in.
async fn person(up: &Up, login: &str, role: &str) -> Person {
    let hash = rideguard::api::hash_password(PASSWORD).unwrap();
    let sql = "INSERT INTO account (login, name, role, password_hash) VALUES ($1, $1, $2, $3)";
    up.sql().await.execute(sql, &[&login, &role, &hash]).await.unwrap();
    let given = json!({ "login": login, "password": PASSWORD });
    let (status, opened) = up.person("").ask("POST", "/session", Some(given)).await;
    assert_eq!(status, 200, "{opened}");
    up.person(opened["token"].as_str().unwrap())
}

/// The vehicle of tracker 0, whose owner has had it for ten days.
async fn vehicle(up: &Up) -> String {
    let sql = up.sql().await;
    sql.batch_execute(
        "UPDATE ownership SET valid_from = now() - interval '10 days'; UPDATE installation SET valid_from = now() - interval '10 days'",
    )
    .await
    .unwrap();
    settled(up).await;
    let (ident, _) = up.tracker(0);
    let question = "SELECT vehicle_id::text FROM installation JOIN tracker USING (tracker_id) WHERE ident = $1 AND valid_to IS NULL";
    sql.query_one(question, &[&ident]).await.unwrap().get(0)
}

/// The files of an export.
async fn export(up: &Up, person: &Person) -> (u16, BTreeMap<String, String>) {
    let url = format!("http://{}/api/v1/me/export", up.http);
    let asked = reqwest::Client::new().get(url).header("Authorization", format!("Bearer {}", person.token)).send();
    let answer = asked.await.unwrap();
    let (status, bytes) = (answer.status().as_u16(), answer.bytes().await.unwrap());
    let mut files = BTreeMap::new();
    if status == 200 {
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for n in 0..zip.len() {
            let mut file = zip.by_index(n).unwrap();
            let (name, mut text) = (file.name().unwrap().into_owned(), String::new());
            file.read_to_string(&mut text).unwrap();
            files.insert(name, text);
        }
    }
    (status, files)
}

/// Where tracker 0 says it was so many seconds ago, at a latitude that nothing else has.
async fn tell_late(up: &Up, ago_s: i64, lat: f64) {
    let (ident, password) = up.tracker(0);
    let at_ms = now().micros() / 1000 - ago_s * 1000;
    let text = format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":{lat},"lon":112.35}}]}}"#);
    up.publish(&ident, &password, vec![(topic(&ident), text.into_bytes())]).await;
    up.wait_for(&format!("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 3) = {lat}"), 1).await;
}

fn code(answer: (u16, Value)) -> String {
    assert_eq!(answer.0, 201, "{}", answer.1);
    answer.1["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_hand_over_by_code_ends_what_was_the_sellers_and_a_late_packet_goes_to_whose_time_it_is() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let id = vehicle(&up).await;
    tell(&up, 0).await;
    let (seller, buyer, kin) =
        (up.log_in("owner").await, person(&up, "buyer", "owner").await, person(&up, "kin", "family").await);
    let (of, offer) = (format!("/vehicles/{id}"), format!("/vehicles/{id}/hand-over"));
    let invited = json!({ "name": "kin", "may": "see" });
    let invitation = code(seller.ask("POST", &format!("{of}/family"), Some(invited)).await);
    assert_eq!(kin.ask("POST", "/family/accept", Some(json!({ "code": invitation }))).await.0, 200);
    assert_eq!(kin.get(&of).await["may"], "see");

    // Too far ahead, foreign, twice, taken back, wrong, one's own.
    let far = json!({ "takes_place_at": now().plus_secs_f64(31.0 * 86_400.0).to_string() });
    assert_eq!(seller.ask("POST", &offer, Some(far)).await.1["code"], "out_of_range");
    assert_eq!(buyer.ask("POST", &offer, Some(json!({}))).await.0, 404);
    let taken_back = code(seller.ask("POST", &offer, Some(json!({}))).await);
    assert_eq!(seller.ask("POST", &offer, Some(json!({}))).await.1["code"], "hand_over_open");
    assert_eq!(seller.ask("DELETE", &offer, None).await.0, 204);
    assert_eq!(seller.get(&offer).await["hand_over"], Value::Null);
    for dead in [taken_back.as_str(), "0000-0000-0000-0000", "no code"] {
        let (status, answer) = buyer.ask("POST", "/hand-overs/accept", Some(json!({ "code": dead }))).await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("unknown_code")), "{dead}");
    }
    // One that is to come: both sides see it, nobody else, and either ends it.
    let rival = person(&up, "rival", "owner").await;
    let later = json!({ "takes_place_at": now().plus_secs_f64(3600.0).to_string() });
    for declines in [&buyer, &seller] {
        let promised = code(seller.ask("POST", &offer, Some(later.clone())).await);
        assert_eq!(rival.get("/me/hand-overs").await["hand_overs"], json!([]));
        assert_eq!(buyer.ask("POST", "/hand-overs/accept", Some(json!({ "code": promised }))).await.0, 200);
        let mut pending = String::new();
        for (side, who) in [("seller", &seller), ("buyer", &buyer)] {
            let seen = who.get("/me/hand-overs").await["hand_overs"].clone();
            assert_eq!((seen.as_array().map(Vec::len), &seen[0]["side"]), (Some(1), &json!(side)), "{seen}");
            pending = format!("/hand-overs/{}", seen[0]["hand_over"]["id"].as_str().unwrap());
        }
        assert_eq!(rival.ask("DELETE", &pending, None).await.0, 404);
        assert_eq!(declines.ask("DELETE", &pending, None).await.0, 204);
        assert_eq!(declines.ask("DELETE", &pending, None).await.0, 404, "once");
        assert_eq!(seller.get(&offer).await["hand_over"], Value::Null);
        assert_eq!(buyer.get("/me/hand-overs").await["hand_overs"], json!([]));
    }
    // Two who type the code at once: one gets it. Taken back while it is typed: it is over, or it is accepted, never both.
    for _ in 0..3 {
        let both = json!({ "code": code(seller.ask("POST", &offer, Some(later.clone())).await) });
        let ask = |who| Person::ask(who, "POST", "/hand-overs/accept", Some(both.clone()));
        let (one, other) = tokio::join!(ask(&buyer), ask(&rival));
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404]);
        assert_eq!(seller.ask("DELETE", &offer, None).await.0, 204);
        let raced = json!({ "code": code(seller.ask("POST", &offer, Some(later.clone())).await) });
        let (accepted, cancelled) =
            tokio::join!(rival.ask("POST", "/hand-overs/accept", Some(raced)), seller.ask("DELETE", &offer, None));
        assert!([200, 404].contains(&accepted.0) && cancelled.0 == 204, "{accepted:?} {cancelled:?}");
        assert_eq!(seller.get(&offer).await["hand_over"], Value::Null, "what is taken back stays so");
    }
    assert_eq!(up.count("SELECT count(*) FROM transfer WHERE done_at IS NOT NULL").await, 0);
    let given_back = person(&up, "buyer-too", "owner").await;
    assert_eq!(given_back.ask("GET", &of, None).await.0, 404);
    let soon = json!({ "takes_place_at": now().plus_secs_f64(2.0).to_string() });
    let given = code(seller.ask("POST", &offer, Some(soon)).await);
    let typed = json!({ "code": given.to_lowercase().replace('-', " ") });
    assert_eq!(seller.ask("POST", "/hand-overs/accept", Some(typed.clone())).await.1["code"], "own_vehicle");
    let (status, accepted) = buyer.ask("POST", "/hand-overs/accept", Some(typed.clone())).await;
    assert_eq!((status, &accepted["hand_over"]["done_at"]), (200, &Value::Null), "{accepted}");
    assert_eq!(buyer.ask("POST", "/hand-overs/accept", Some(typed)).await.0, 404, "a code works once");
    assert_eq!(buyer.ask("GET", &of, None).await.0, 404, "it is not theirs before its time");
    let kept = up.count("SELECT count(*) FROM transfer WHERE octet_length(code_sha256) = 32").await;
    assert_eq!(up.count("SELECT count(*) FROM transfer").await, kept, "a code is kept as its digest only");
    // The rollup's process does it.
    up.wait_for("SELECT count(*) FROM transfer WHERE done_at IS NOT NULL", 1).await;
    let late =
        "SELECT (extract(epoch FROM done_at - takes_place_at) * 1000)::bigint FROM transfer WHERE done_at IS NOT NULL";
    let late_ms = up.count(late).await;
    println!("hand_over.carried_out_after: {late_ms} ms");
    assert!((0..5000).contains(&late_ms), "carried out {late_ms} ms after its time");
    let begins = "SELECT count(*) FROM ownership o JOIN transfer t ON t.to_account = o.account_id AND t.takes_place_at = o.valid_from
        JOIN ownership s ON s.vehicle_id = o.vehicle_id AND s.valid_to = o.valid_from WHERE t.done_at IS NOT NULL";
    assert_eq!(up.count(begins).await, 1, "it begins when it was agreed");
    assert_eq!(buyer.get(&of).await["may"], "own");
    for gone in [&seller, &kin] {
        assert_eq!(gone.ask("GET", &of, None).await.0, 404);
    }
    assert_eq!(up.count("SELECT count(*) FROM family_member WHERE ended_at IS NULL").await, 0);

    // S-32: a packet of the seller's time that comes now, and one of the buyer's.
    tell_late(&up, 120, 28.771).await;
    tell_late(&up, 0, 28.772).await;
    let (_, sold) = export(&up, &seller).await;
    let (_, bought) = export(&up, &buyer).await;
    let tracks = |files: &BTreeMap<String, String>| {
        let found = files.iter().filter(|(name, _)| name.contains(&format!("-{id}.")));
        found.map(|(_, text)| text.as_str()).collect::<String>()
    };
    let (theirs, new) = (tracks(&sold), tracks(&bought));
    assert!(theirs.contains("28.771000") && theirs.contains("28.550000") && !theirs.contains("28.772000"), "{theirs}");
    assert!(new.contains("28.772000") && !new.contains("28.771000") && !new.contains("28.550000"), "{new}");
    assert!(sold["mine.json"].contains(&id) && !sold["mine.json"].contains("password"));
    let (from, to) = (now().plus_secs_f64(-7200.0).to_string(), now().plus_secs_f64(60.0).to_string());
    let question = format!("{of}/track?from={from}&to={to}");
    assert_eq!(seller.ask("GET", &question, None).await.0, 404);
    assert!(!buyer.get(&question).await.to_string().contains("28.771"));
    for _ in 0..2 {
        assert_eq!(export(&up, &buyer).await.0, 200);
    }
    assert_eq!(export(&up, &buyer).await.0, 429, "three a day");

    // S-34: who looked is told after the days that the grant says, to whose time was looked at.
    let (police, sql) = (up.log_in("police").await, up.sql().await);
    let grant = police.grant().await;
    let look = format!("{question}&grant_id={grant}");
    assert_eq!(police.ask("GET", &look, None).await.0, 200);
    assert_eq!(buyer.get("/me/looks").await["looks"], json!([]), "not before its time");
    sql.execute("UPDATE access_grant SET tell_owner_after_days = 0", &[]).await.unwrap();
    for person in [&seller, &buyer] {
        let told = person.get("/me/looks").await;
        let tracks = told["looks"].as_array().unwrap().iter().filter(|l| l["what"] == "track").count();
        assert!(tracks == 1 && !told.to_string().contains("police"), "{told}");
    }
    assert_eq!(kin.ask("GET", "/me/looks", None).await.0, 403);

    // The operator hands it back, with a reason and a document; then the buyer leaves.
    let operator = up.log_in("operator").await;
    let by = json!({ "reason": "repossession", "document": "C-2026-17", "to_login": "owner" });
    let path = format!("/registry/vehicles/{id}/hand-over");
    assert_eq!(buyer.ask("POST", &path, Some(by.clone())).await.0, 403);
    sql.execute("UPDATE vehicle SET unit_id = NULL", &[]).await.unwrap();
    assert_eq!(operator.ask("POST", &path, Some(by.clone())).await.1["code"], "not_found", "another organisation's");
    sql.batch_execute(
        "UPDATE vehicle SET unit_id = (SELECT unit_id FROM account WHERE login = 'operator');
         UPDATE account SET unit_id = (SELECT unit_id FROM account WHERE login = 'operator') WHERE role = 'owner'",
    )
    .await
    .unwrap();
    let nobody = json!({ "reason": "death", "document": "C-1", "to_phone": "+8613800000009" });
    assert_eq!(operator.ask("POST", &path, Some(nobody)).await.1["code"], "no_such_person");
    let (status, done) = operator.ask("POST", &path, Some(by)).await;
    assert!(status == 200 && done["done_at"].is_string(), "{done}");
    assert_eq!(seller.get(&of).await["may"], "own");
    assert_eq!(seller.get(&of).await["last_fix"], Value::Null, "what was the buyer's is not theirs");
    let audited = "SELECT count(*) FROM audit WHERE action = 'hand_over' AND question ->> 'document' = 'C-2026-17'";
    assert_eq!(up.count(audited).await, 1);
    let wrong = json!({ "password": "not this one" });
    assert_eq!(buyer.ask("DELETE", "/me", Some(wrong)).await.1["code"], "wrong_password");
    let (status, asked) = buyer.ask("DELETE", "/me", Some(json!({ "password": PASSWORD }))).await;
    assert_eq!(status, 200, "{asked}");
    assert_eq!(buyer.ask("GET", "/me", None).await.0, 401, "at once");
    let receipt = json!({ "receipt": asked["receipt"] });
    up.wait_for("SELECT count(*) FROM erasure WHERE report IS NOT NULL", 1).await;
    let (status, proof) = up.person("").ask("POST", "/erasure-proof", Some(receipt)).await;
    assert!(status == 200 && proof["done"] == true && proof["report"]["left"] == 0, "{proof}");
    assert_eq!(up.count("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 3) = 28.772").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 3) = 28.771").await, 1);
    assert_eq!(up.count("SELECT count(*) FROM account WHERE login = 'buyer'").await, 0);

    // Measured in the time of who was erased, and received now: acknowledged, and nowhere.
    settled(&up).await;
    let middle =
        "SELECT (extract(epoch FROM from_at + (least(to_at, now()) - from_at) / 2) * 1000)::bigint FROM erased_window
        WHERE tracker_id IS NOT NULL ORDER BY least(to_at, now()) - from_at DESC LIMIT 1";
    let in_their_time_ms = up.count(middle).await;
    let (ident, password) = up.tracker(0);
    let message = |at_ms: i64, lat: f64| {
        (
            topic(&ident),
            format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":{lat},"lon":112.35}}]}}"#).into_bytes(),
        )
    };
    up.publish(&ident, &password, vec![message(in_their_time_ms, 28.773), message(now().micros() / 1000, 28.774)])
        .await;
    up.wait_for("SELECT count(*) FROM fix WHERE round(ST_Y(position)::numeric, 3) = 28.774", 1).await;
    assert_eq!(up.count("SELECT count(*) FROM fix_known WHERE round(ST_Y(position)::numeric, 3) = 28.773").await, 0);
    assert!(up.metrics().await.contains("rideguard_packets_total{outcome=\"withheld\"} 1"));
    let journal = up.command(&["journal", "--tracker", &ident]);
    assert!(journal.status.success() && !String::from_utf8_lossy(&journal.stdout).contains(&hex::encode("28.773")));
}

#[tokio::test]
async fn family_does_what_it_may_sees_nothing_of_before_and_loses_it_in_open_streams() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let id = vehicle(&up).await;
    tell(&up, 0).await;
    let (owner, kin, stranger) =
        (up.log_in("owner").await, person(&up, "kin", "family").await, person(&up, "stranger", "family").await);
    let (of, family) = (format!("/vehicles/{id}"), format!("/vehicles/{id}/family"));
    assert_eq!(kin.get("/vehicles").await["vehicles"], json!([]));
    let invite = async |may: &str, ends: Option<String>| -> String {
        code(owner.ask("POST", &family, Some(json!({ "name": "妹妹", "may": may, "ends_at": ends }))).await)
    };
    assert_eq!(stranger.ask("POST", &family, Some(json!({ "name": "x", "may": "see" }))).await.0, 403);
    let see = json!({ "code": invite("see", None).await });
    assert_eq!(kin.ask("POST", "/family/accept", Some(see.clone())).await.0, 200);
    assert_eq!(stranger.ask("POST", "/family/accept", Some(see)).await.0, 404, "a code works once");

    // It sees the vehicle as it is now, and no track of before.
    let seen = kin.get("/vehicles").await["vehicles"][0].clone();
    assert!(seen["id"] == json!(id) && seen["may"] == "see" && seen["last_fix"].is_object(), "{seen}");
    let (from, to) = (now().plus_secs_f64(-7200.0).to_string(), now().plus_secs_f64(60.0).to_string());
    let track = format!("{of}/track?from={from}&to={to}");
    assert_eq!(kin.get(&track).await["points"], json!([]));
    assert!(!owner.get(&track).await["points"].as_array().unwrap().is_empty());
    for (method, path) in [("POST", format!("{of}/arm")), ("POST", format!("{of}/disarm"))] {
        let (status, answer) = kin.ask(method, &path, None).await;
        assert_eq!((status, &answer["values"]), (403, &json!({ "may": "see", "needs": "arm" })), "{path}: {answer}");
    }
    for (method, path) in [
        ("GET", format!("{of}/guard-policy")),
        ("POST", format!("{of}/phone-tokens")),
        ("GET", family.clone()),
        ("POST", format!("{of}/hand-over")),
    ] {
        assert_eq!(kin.ask(method, &path, None).await.0, 403, "{path}: the owner's alone");
    }
    for (method, path) in [("GET", of.clone()), ("POST", format!("{of}/arm")), ("GET", track.clone())] {
        assert_eq!(stranger.ask(method, &path, None).await.0, 404, "{path}");
    }

    // With more right, it arms and answers; the audit says who.
    let arm = json!({ "code": invite("arm", None).await });
    assert_eq!(kin.ask("POST", "/family/accept", Some(arm)).await.0, 200);
    assert_eq!(kin.ask("POST", &format!("{of}/arm"), None).await.0, 200);
    let who = "SELECT count(*) FROM audit JOIN account USING (account_id) WHERE action = 'arm' AND login = 'kin'";
    assert_eq!(up.count(who).await, 1);
    let sql = up.sql().await;
    sql.batch_execute(&format!(
        "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from, closed_at, state) VALUES (78, {id}, now() - interval '2 days', now() - interval '2 days', now(), 'closed');
         INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from) VALUES (77, {id}, now() - interval '1 day', now() - interval '1 day')"
    ))
    .await
    .unwrap();
    let known = kin.get("/incidents").await;
    assert!(known["incidents"].as_array().unwrap().len() == 1 && known["incidents"][0]["id"] == "77", "{known}");
    assert_eq!(kin.ask("GET", "/incidents/78", None).await.0, 404, "it was over before");
    let answer = json!({ "answer": "stolen" });
    let (status, said) = kin.ask("POST", "/incidents/77/answer", Some(answer.clone())).await;
    assert_eq!((status, &said["code"]), (403, &json!("family_right")), "{said}");
    assert_eq!(stranger.ask("POST", "/incidents/77/answer", Some(answer)).await.0, 404);

    // An open stream ends to show it when it is revoked; an end that has come is one.
    let mut stream = Stream::open_with(&up, &kin, None).await;
    let shown = format!("\"id\":\"{id}\"");
    stream.until(|said| said["type"] == "snapshot" && said.to_string().contains(&shown)).await;
    let members = owner.get(&family).await["members"].clone();
    assert_eq!(members.as_array().unwrap().len(), 1, "the newest invitation counts: {members}");
    let member = format!("/family/{}", members[0]["id"].as_str().unwrap());
    assert_eq!(stranger.ask("DELETE", &member, None).await.0, 404);
    let since = std::time::Instant::now();
    assert_eq!(owner.ask("DELETE", &member, None).await.0, 204);
    stream.until(|said| said["type"] == "snapshot" && !said.to_string().contains(&shown)).await;
    println!("family.revoked_in_stream: {:.1} s", since.elapsed().as_secs_f64());
    assert!(since.elapsed() < REVOKED_MAX, "{:?}", since.elapsed());
    assert_eq!(kin.ask("GET", &of, None).await.0, 404);
    // While nobody can be asked, a stream of what is somebody else's ends rather than outlive a revocation.
    let invited = json!({ "code": invite("see", None).await });
    assert_eq!(kin.ask("POST", "/family/accept", Some(invited)).await.0, 200);
    let mut stream = Stream::open_with(&up, &kin, None).await;
    stream.until(|said| said["type"] == "snapshot" && said.to_string().contains(&shown)).await;
    let lock = up.superuser().await;
    let since = std::time::Instant::now();
    lock.batch_execute("BEGIN; LOCK TABLE family_member IN ACCESS EXCLUSIVE MODE").await.unwrap();
    stream.until(|said| said["closed"] == 4503).await;
    assert!(since.elapsed() < REVOKED_MAX, "{:?}", since.elapsed());
    lock.batch_execute("ROLLBACK").await.unwrap();
    let brief = json!({ "code": invite("see", Some(now().plus_secs_f64(1.5).to_string())).await });
    assert_eq!(kin.ask("POST", "/family/accept", Some(brief)).await.0, 200);
    let since = std::time::Instant::now();
    while kin.ask("GET", &of, None).await.0 != 404 {
        assert!(since.elapsed() < PATIENCE, "its end has come");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_share_link_shows_the_place_alone_is_counted_and_ends_with_the_incident() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let id = vehicle(&up).await;
    let (owner, nobody) = (up.log_in("owner").await, up.person(""));
    let shares = format!("/vehicles/{id}/shares");
    let wanted = |minutes: u32, openings: i32| Some(json!({ "minutes": minutes, "openings_max": openings }));
    assert_eq!(owner.ask("POST", &shares, wanted(60, 2)).await.1["code"], "no_incident");
    let sql = up.sql().await;
    sql.batch_execute(&format!(
        "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from) VALUES (77, {id}, now(), now() - interval '1 minute')"
    ))
    .await
    .unwrap();
    assert_eq!(owner.ask("POST", &shares, wanted(1441, 2)).await.1["code"], "out_of_range");
    let (status, made) = owner.ask("POST", &shares, wanted(60, 2)).await;
    assert_eq!(status, 201, "{made}");
    let token = made["path"].as_str().unwrap().strip_prefix("/share#").unwrap().to_owned();
    assert_eq!(token.len(), 32, "128 bits");
    let open = async |token: &str, visit: Option<&Value>| -> (u16, Value) {
        let mut said = json!({ "token": token });
        if let Some(visit) = visit {
            said["visit"] = visit.clone();
        }
        nobody.ask("POST", "/share", Some(said)).await
    };
    let (status, first) = open(&token, None).await;
    assert_eq!((status, &first["place"]), (200, &Value::Null), "no fix since it began: {first}");
    tell(&up, 0).await;
    let (_, again) = open(&token, Some(&first["visit"])).await;
    assert_eq!(again["place"]["lat"], 28.55, "{again}");
    let names: Vec<_> = again.as_object().unwrap().keys().collect();
    assert_eq!(names, ["expires_at", "place", "visit"], "neither plate nor name");
    // The second opening is the last; forged visits are none. All that is refused looks the same.
    let (status, second) = open(&token, None).await;
    assert_eq!(status, 200, "{second}");
    let unknown = open(&"0".repeat(32), None).await;
    assert_eq!((unknown.0, unknown.1["code"].as_str()), (404, Some("unknown_share")));
    for refused in
        [open(&token, None).await, open(&token, Some(&json!("f".repeat(32)))).await, open("short", None).await]
    {
        assert_eq!(refused, unknown);
    }
    assert_eq!(open(&token, Some(&second["visit"])).await.0, 200, "an opening goes on");
    let listed = owner.get(&shares).await;
    assert_eq!(listed["shares"][0]["openings"].as_array().map(Vec::len), Some(2), "{listed}");
    let kept = up.count("SELECT count(*) FROM share_link WHERE octet_length(token_sha256) = 32").await;
    assert_eq!((kept, listed.to_string().contains(&token)), (1, false), "kept as its digest");
    // Revoked, run out, and ended with the incident.
    let link = format!("/shares/{}", made["share"]["id"].as_str().unwrap());
    let other = person(&up, "other", "owner").await;
    assert_eq!(other.ask("DELETE", &link, None).await.0, 404);
    assert_eq!(owner.ask("DELETE", &link, None).await.0, 204);
    assert_eq!(open(&token, Some(&second["visit"])).await, unknown);
    for end in ["UPDATE share_link SET expires_at = now()", "UPDATE incident SET closed_at = now(), state = 'closed'"] {
        let (status, made) = owner.ask("POST", &shares, wanted(60, 5)).await;
        assert_eq!(status, 201, "{made}");
        let token = made["path"].as_str().unwrap().trim_start_matches("/share#").to_owned();
        let (_, shown) = open(&token, None).await;
        sql.execute(end, &[]).await.unwrap();
        assert_eq!(open(&token, Some(&shown["visit"])).await, unknown, "{end}");
    }
    // The page is kept by nobody, and tells nobody where it was opened from.
    let page = reqwest::get(format!("http://{}/share", up.http)).await.unwrap();
    let header = |name: &str| page.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!((header("cache-control"), header("referrer-policy")), ("no-store".into(), "no-referrer".into()));
    assert!(header("x-robots-tag").contains("noindex") && page.text().await.unwrap().contains("/share.js"));
}
