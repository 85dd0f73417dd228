//! What requests were called before still works, and lists go page by page.

use crate::harness::{Person, Up, use_ring};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A wrong value under a name: the call is refused, and the refusal says what was read.
struct Spelling<'a> {
    who: &'a Person,
    method: &'static str,
    path: String,
    /// None: the name stands in the query.
    body: Option<Value>,
    now: &'static str,
    before: &'static str,
    wrong: Value,
    /// Code and, where it has one, the field that the refusal names.
    refusal: (&'static str, Option<&'static str>),
}

impl Spelling<'_> {
    async fn ask(&self, name: &str) -> (u16, Value) {
        match &self.body {
            Some(body) => {
                let mut body = body.clone();
                body.as_object_mut().unwrap().remove(self.now);
                body[name] = self.wrong.clone();
                self.who.ask(self.method, &self.path, Some(body)).await
            }
            None => {
                let path = format!("{}{name}={}", self.path, self.wrong.as_str().unwrap());
                self.who.ask(self.method, &path, None).await
            }
        }
    }
}

#[tokio::test]
async fn every_field_is_read_under_its_earlier_name_too() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let (owner, police, operator) = (up.log_in("owner").await, up.log_in("police").await, up.log_in("operator").await);
    let window = "from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z";
    let of_case = police.grant().await;
    let asked = |more: Value| {
        let mut asked = json!({ "grant_id": of_case, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z", "vehicle_id": "1" });
        more.as_object().unwrap().iter().for_each(|(name, value)| asked[name] = value.clone());
        Some(asked)
    };
    let circle = || asked(json!({ "circle": { "lat": 28.5, "lon": 112.3, "radius_m": 100 } }));
    let hold = || asked(json!({ "plate": "湘H·D0001", "reason": "x", "ends_at": "2026-02-01T00:00:00Z" }));
    let (number, form, place) = ("not_a_number", ("not_understood", None), ("bad_cursor", None));
    let range = |field| ("out_of_range", Some(field));
    let grant = ("grant", "grant_id", (number, Some("grant_id")));
    let cursor = |before| (before, "cursor", (number, Some("cursor")));
    let mut spellings = Vec::new();
    let mut add = |who, method, path: &str, body: Option<Value>, wrong: Value, (before, now, refusal)| {
        spellings.push(Spelling { who, method, path: path.to_owned(), body, now, before, wrong, refusal });
    };
    let co_travel = "/search/co-travel";
    add(&police, "POST", "/search/area", circle(), json!("inside out"), ("did", "condition", form));
    add(&police, "POST", "/search/area", circle(), json!("long"), ("stayed_s", "min_stay_s", form));
    add(
        &police,
        "POST",
        co_travel,
        asked(json!({})),
        json!(1),
        ("within_m", "max_distance_m", range("max_distance_m")),
    );
    let offset = ("within_s", "max_time_offset_s", range("max_time_offset_s"));
    add(&police, "POST", co_travel, asked(json!({})), json!(301), offset);
    add(&police, "POST", co_travel, asked(json!({})), json!(601), ("minutes", "min_minutes", range("min_minutes")));
    add(&police, "POST", "/search/latest", asked(json!({})), json!([2, 2, 1, 1]), ("box", "bbox", ("bad_box", None)));
    for path in ["/search/area", "/search/co-travel", "/search/latest"] {
        add(&police, "POST", path, circle(), json!("one"), grant);
    }
    add(&police, "POST", "/holds", hold(), json!("one"), grant);
    add(&police, "POST", "/holds/1/release", Some(json!({ "reason": "x" })), json!("one"), grant);
    add(&police, "POST", "/live/ticket", Some(json!({})), json!("one"), grant);
    add(&police, "GET", "/vehicles?q=D0001&", None, json!("one"), grant);
    add(&police, "GET", "/holds?", None, json!("one"), grant);
    add(&police, "GET", &format!("/vehicles/1/track?{window}&"), None, json!("one"), grant);
    add(&police, "GET", &format!("/vehicles/1/trips?{window}&"), None, json!("one"), grant);
    add(&police, "GET", &format!("/tiles/traffic/12/3326/1708?{window}&"), None, json!("one"), grant);
    add(&owner, "GET", "/alerts?", None, json!("one"), cursor("before"));
    add(&owner, "GET", "/incidents?", None, json!("one"), ("before", "cursor", place));
    add(&police, "GET", &format!("/holds?grant_id={of_case}&"), None, json!("one"), cursor("before"));
    add(&operator, "GET", "/trackers?", None, json!("one"), cursor("after"));
    add(&operator, "GET", "/zones?", None, json!("one"), cursor("after"));
    for spelling in spellings {
        let said = format!("{} {} {}/{}", spelling.method, spelling.path, spelling.before, spelling.now);
        let read = |(status, said): (u16, Value)| {
            (status, said["code"].clone(), said["values"]["field"].clone(), said["values"]["value"].clone())
        };
        let now = read(spelling.ask(spelling.now).await);
        let (code, field) = spelling.refusal;
        assert_eq!((now.0, &now.1, &now.2), (400, &json!(code), &json!(field)), "{said}");
        assert_eq!(read(spelling.ask(spelling.before).await), now, "{said}");
        assert_ne!(read(spelling.ask("misspelt").await), now, "{said}: the name has no effect");
    }
}

#[tokio::test]
async fn corners_are_read_by_both_names_and_shown_by_the_short_ones_while_the_table_keeps_its_own() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let operator = up.log_in("operator").await;
    let corners =
        |lat: &str, lon: &str| json!([{ lat: 28.5, lon: 112.3 }, { lat: 28.6, lon: 112.3 }, { lat: 28.6, lon: 112.4 }]);
    for (lat, lon) in [("lat", "lon"), ("lat_deg", "lon_deg")] {
        let shape = json!({ "type": "polygon", "outer": corners(lat, lon), "holes": [] });
        let asked = json!({ "name": lat, "rule": "enter", "shape": shape });
        let (status, made) = operator.ask("POST", "/zones", Some(asked)).await;
        assert_eq!((status, &made["shape"]["outer"]), (201, &corners("lat", "lon")), "{made}");
        assert_eq!((&made["editable"], &made["source_crs"]), (&json!(true), &json!("wgs84")));
    }
    let kept = "SELECT count(*) FROM zone WHERE shape -> 'outer' -> 1 = '{\"lat_deg\": 28.6, \"lon_deg\": 112.3}'";
    assert_eq!(up.count(kept).await, 2);
    let first = operator.get("/zones?limit=1").await;
    let second = operator.get(&format!("/zones?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((&first["zones"][0]["name"], &second["zones"][0]["name"]), (&json!("lat"), &json!("lat_deg")));
}

#[tokio::test]
async fn incidents_and_alerts_come_page_by_page_each_once_though_many_began_together() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let owner = up.log_in("owner").await;
    up.sql()
        .await
        .batch_execute(
            "INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from, closed_at, ended_by, state, score, severity)
                SELECT 1000 + n, v, t, t, t, 'disarmed', 'closed', 0.5, 'high' FROM generate_series(1, 30) n,
                (SELECT min(vehicle_id) v FROM ownership JOIN account USING (account_id) WHERE login = 'owner') mine,
                LATERAL (SELECT now() + make_interval(secs => CASE WHEN n BETWEEN 5 AND 24 THEN 5 ELSE n END) t) at;
            INSERT INTO alert (vehicle_id, kind, wakes_owner, raised_at, cause, late, held_back, evidence)
                SELECT v, kind, NOT kind LIKE 'pre%', now(), 0, false, n = 2, '{}' FROM (VALUES (1, 'moved'), (2, 'pre_suspicion')) k (n, kind),
                (SELECT min(vehicle_id) v FROM ownership JOIN account USING (account_id) WHERE login = 'owner') mine;",
        )
        .await
        .unwrap();
    for limit in [1, 3, 7, 100] {
        let (mut path, mut seen, mut last) = (format!("/incidents?limit={limit}"), BTreeSet::new(), None);
        loop {
            let page = owner.get(&path).await;
            for incident in page["incidents"].as_array().unwrap() {
                let number: i64 = incident["id"].as_str().unwrap().parse().unwrap();
                let at = (incident["opened_at"].as_str().unwrap().to_owned(), number);
                assert!(seen.insert(number), "{number} came twice, limit {limit}");
                assert!(last.is_none_or(|last| last > at), "{at:?} is out of order, limit {limit}");
                assert_eq!(incident["close_reason"], "disarmed");
                last = Some(at);
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            path = format!("/incidents?limit={limit}&cursor={next}");
        }
        assert_eq!(seen.len(), 30, "limit {limit}");
    }
    // A time, as earlier clients give it: what began before it.
    let all = owner.get("/incidents?limit=100").await;
    let newest = all["incidents"][0]["opened_at"].as_str().unwrap().replace('+', "%2B");
    let before = owner.get(&format!("/incidents?limit=100&before={newest}")).await;
    assert_eq!(before["incidents"][0]["id"], all["incidents"][1]["id"]);

    let first = owner.get("/alerts?limit=1").await;
    let second = owner.get(&format!("/alerts?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let shown = |page: &Value| {
        let alert = &page["alerts"][0];
        json!([alert["kind"], alert["level"], alert["wakes_owner"], alert["suppressed"]])
    };
    assert_eq!(shown(&first), json!(["pre_suspicion", "notice", false, true]));
    assert_eq!(shown(&second), json!(["moved", "alarm", true, false]));
}
