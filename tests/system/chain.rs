//! From a tracker's packet to an alert in everybody's hands.

use crate::harness::{Up, use_ring};
use serde_json::json;

#[tokio::test]
async fn a_theft_reaches_its_owner_and_only_the_entitled_see_the_track() {
    use_ring();
    let mut up = Up::start(20, &[]).await;
    let owner = up.log_in("owner").await;
    let mut fleet = up.fleet(&[
        "--vehicles",
        "20",
        "--seed",
        "5",
        "--theft-vehicle",
        "yy000001",
        "--theft-after-s",
        "12",
        "--parked-interval-s",
        "3",
        "--moving-interval-s",
        "3",
    ]);
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    up.wait_for("SELECT count(*) FROM outbox WHERE state = 'done'", 1).await;

    // The owner.
    let vehicles = owner.get("/vehicles").await;
    let mine = &vehicles["vehicles"][0];
    assert_eq!((vehicles["vehicles"].as_array().unwrap().len(), mine["plate"].as_str()), (3, Some("湘H·D0001")));
    assert!(mine["last_fix"]["lat"].as_f64().unwrap() > 27.0 && mine["armed"] == true, "{mine}");
    let (id, incident) = (mine["id"].as_str().unwrap(), mine["open_incident"].as_str().unwrap().to_owned());
    assert!(
        owner.get("/alerts").await["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["kind"] == "moved" && a["wakes_owner"] == true)
    );
    let explained = owner.get(&format!("/incidents/{incident}")).await;
    assert!(!explained["alerts"][0]["evidence"]["thresholds"].as_array().unwrap().is_empty());
    let span = "from=2026-01-01T00:00:00Z&to=2026-01-20T00:00:00Z";
    let (from, to) = (days_from_now(-0.5), days_from_now(0.5));
    let today = format!("from={from}&to={to}");
    assert!(owner.get(&format!("/vehicles/{id}/track?{today}")).await["points"].as_array().unwrap().len() > 3);
    assert!(owner.get(&format!("/vehicles/{id}/track?{span}")).await["points"].as_array().unwrap().is_empty());
    assert_eq!(owner.ask("GET", &format!("/vehicles/{id}/track?from={to}&to={from}"), None).await.0, 400);
    let of_another = "SELECT min(vehicle_id) FROM ownership JOIN account USING (account_id) WHERE login = 'city'";
    let somebody_elses = format!("/vehicles/{}", up.count(of_another).await);
    for path in ["", "/track?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"] {
        assert_eq!(owner.ask("GET", &format!("{somebody_elses}{path}"), None).await.0, 404);
    }
    assert_eq!(owner.ask("POST", &format!("{somebody_elses}/disarm"), None).await.0, 404);
    let (status, armed) = owner.ask("POST", &format!("/vehicles/{id}/disarm"), None).await;
    assert_eq!((status, &armed["armed"]), (200, &json!(false)));
    assert_eq!(
        up.count("SELECT count(*) FROM incident WHERE closed_at IS NOT NULL AND ended_by = 'disarmed'").await,
        1
    );

    let late = json!({ "answer": "stolen" });
    let (status, refused) = owner.ask("POST", &format!("/incidents/{incident}/answer"), Some(late)).await;
    assert_eq!((status, &refused["error"]), (409, &json!("incident_closed")), "{refused}");
    assert_eq!(
        (&refused["values"]["state"], &refused["incident"]["close_reason"]),
        (&json!("closed"), &json!("disarmed"))
    );

    // The police: nothing without a grant, everything with one leaves a row.
    let police = up.log_in("police").await;
    assert_eq!(police.ask("GET", "/vehicles?q=D0001&grant_id=999", None).await.0, 403);
    let grant = police.grant().await;
    let audited = up.count("SELECT count(*) FROM audit WHERE grant_id IS NOT NULL").await;
    assert_eq!(police.get(&format!("/vehicles?q=D0001&grant_id={grant}")).await["vehicles"][0]["id"], id);
    assert!(
        !police.get(&format!("/vehicles/{id}/track?{today}&grant_id={grant}")).await["points"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let around = json!([[112.2, 28.4], [112.6, 28.4], [112.6, 28.7], [112.2, 28.7]]);
    let area = |polygon, from: &str| json!({ "grant_id": grant, "polygon": polygon, "from": from, "to": to });
    let (status, found) = police.ask("POST", "/search/area", Some(area(around.clone(), &from))).await;
    assert_eq!(status, 200, "{found}");
    assert!(!found["vehicles"].as_array().unwrap().is_empty());
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE grant_id IS NOT NULL").await, audited + 3);
    let (status, refused) =
        police.ask("POST", "/search/area", Some(area(json!([[100, 20], [120, 20], [120, 40]]), &from))).await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("km²"));
    // Page by page, by a cursor that nobody else's question takes.
    let mut page = area(around.clone(), &from);
    page["limit"] = json!(1);
    let (_, first) = police.ask("POST", "/search/area", Some(page.clone())).await;
    page["cursor"] = first["next_cursor"].clone();
    let (status, second) = police.ask("POST", "/search/area", Some(page.clone())).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(first["vehicles"][0]["vehicle_id"], second["vehicles"][0]["vehicle_id"]);
    page["min_stay_s"] = json!(1);
    assert_eq!(police.ask("POST", "/search/area", Some(page)).await.0, 400, "another question");
    let circle = json!({ "grant_id": grant, "circle": { "lat": 28.55, "lon": 112.35, "radius_m": 5000 }, "from": from, "to": to });
    assert_eq!(police.ask("POST", "/search/area", Some(circle)).await.0, 200);
    let watched = json!({ "grant_id": grant, "vehicles": [id] });
    let (_, newest) = police.ask("POST", "/search/latest", Some(watched)).await;
    assert!(newest["vehicles"][0]["last_fix"]["lat"].is_number(), "{newest}");
    let boxed = json!({ "grant_id": grant, "bbox": [112.3, 28.5, 112.4, 28.6] });
    assert_eq!(police.ask("POST", "/search/latest", Some(boxed)).await.0, 200);
    let company = json!({ "grant_id": grant, "vehicle_id": id, "from": from, "to": to });
    assert_eq!(police.ask("POST", "/search/co-travel", Some(company)).await.0, 200);
    assert!(police.get(&format!("/vehicles/{id}/trips?{today}&grant_id={grant}")).await["stops"].is_array());
    let simplify = police.get(&format!("/vehicles/{id}/track?{today}&grant_id={grant}&points_max=2")).await;
    assert_eq!(simplify["points"].as_array().unwrap().len(), 2);
    let tile = format!("/tiles/traffic/12/3326/1708?{today}&grant_id={grant}");
    assert_eq!((police.ask("GET", &tile, None).await.0, owner.ask("GET", &tile, None).await.0), (200, 403));

    // The operator: health, no places.
    let operator = up.log_in("operator").await;
    let trackers = operator.get("/trackers?limit=5").await;
    assert_eq!((trackers["trackers"].as_array().unwrap().len(), trackers["counts"]["online"].as_i64()), (5, Some(20)));
    assert!(trackers["trackers"][0].get("lat").is_none());

    // Nobody does what is not his.
    let matrix = [
        (&owner, "GET", "/trackers"),
        (&owner, "GET", "/grants"),
        (&police, "GET", "/trackers"),
        (&police, "GET", "/alerts"),
        (&operator, "GET", "/vehicles"),
        (&operator, "GET", "/alerts"),
        (&operator, "POST", "/vehicles/1/arm"),
        (&police, "POST", "/vehicles/1/disarm"),
    ];
    for (person, method, path) in matrix {
        assert_eq!(person.ask(method, path, None).await.0, 403, "{method} {path}");
    }
    assert_eq!(owner.ask("DELETE", "/session", None).await.0, 204);
    assert_eq!(owner.ask("GET", "/vehicles", None).await.0, 401);

    // Zones: made, told, gone.
    let zone = json!({ "name": "城区", "rule": "both", "shape": { "type": "circle", "centre": { "lat": 28.55, "lon": 112.35 }, "radius_m": 500.0 } });
    let (status, made) = operator.ask("POST", "/zones", Some(zone)).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(operator.ask("DELETE", &format!("/zones/{}", made["id"].as_str().unwrap()), None).await.0, 204);
    assert_eq!(operator.ask("POST", "/zones", Some(json!({ "name": "x", "rule": "enter", "shape": { "type": "circle", "centre": { "lat": 91.0, "lon": 0.0 }, "radius_m": 5.0 } }))).await.0, 422);

    // Odd texts are refused, not failures.
    let odd = json!({ "name": "a\u{0}b", "rule": "enter", "shape": { "type": "circle", "centre": { "lat": 28.55, "lon": 112.35 }, "radius_m": 500.0 } });
    assert_eq!(operator.ask("POST", "/zones", Some(odd)).await.0, 400);
    assert_eq!(police.ask("GET", &format!("/vehicles?q=abc%00&grant_id={grant}"), None).await.0, 400);
    assert_eq!(operator.ask("GET", "/trackers?q=%00", None).await.0, 400);
    assert_eq!(owner.ask("POST", "/session", Some(json!({ "login": "a\u{0}", "password": "x" }))).await.0, 401);

    fleet.kill().unwrap();
    fleet.wait().unwrap();
    let (verified, rebuilt) = (up.command(&["verify"]), up.command(&["rebuild", "--check"]));
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stdout));
    let explained = up.command(&["explain", &incident]);
    assert!(String::from_utf8_lossy(&explained.stdout).contains("rule_version"));
    assert!(up.interrupt(), "Ctrl-C is a good end");
    for servant in ["services/postgres/data/postmaster.pid", "services/mosquitto/mosquitto.pid"] {
        assert!(!up.folder.join(servant).exists(), "{servant} is still there: the servant was not stopped");
    }
    let logins = std::fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    up.start_again().await;
    assert_eq!(logins, std::fs::read_to_string(up.folder.join("demo-logins")).unwrap());
    assert!(up.count("SELECT count(*) FROM fix").await > 20, "a second start keeps the data");
}

/// RFC 3339, some days from now.
fn days_from_now(days: f64) -> String {
    let now = rideguard::clock::now();
    now.plus_secs_f64(days * 86_400.0).to_string()
}
