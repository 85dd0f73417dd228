//! Whether anybody watches: contact by the tracker's own interval, and vehicles that are armed while there is none.

use crate::harness::{Up, settled, tell, use_ring};
use serde_json::{Value, json};

/// A vehicle of the owner's and its tracker's place in the list of logins.
async fn first(up: &Up) -> (Value, usize) {
    let vehicle = up.log_in("owner").await.get("/vehicles").await["vehicles"][0].clone();
    let number = (0..3).find(|n| up.tracker(*n).0 == vehicle["tracker"].as_str().unwrap()).unwrap();
    (vehicle, number)
}

/// As if the tracker had been heard last so many seconds ago, with this interval.
async fn heard_before(up: &Up, tracker: &Value, ago_s: i32, interval_s: Option<i32>) {
    let sql = "UPDATE tracker_status s SET last_heard_at = now() - make_interval(secs => $2), report_interval_s = $3
        FROM tracker t WHERE t.tracker_id = s.tracker_id AND t.ident = $1";
    let ident = tracker.as_str().unwrap();
    assert_eq!(up.sql().await.execute(sql, &[&ident, &f64::from(ago_s), &interval_s]).await.unwrap(), 1);
}

#[tokio::test]
async fn armed_without_contact_is_no_protection_and_is_told() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let (owner, operator) = (up.log_in("owner").await, up.log_in("operator").await);
    let (vehicle, number) = first(&up).await;
    let path = format!("/vehicles/{}", vehicle["id"].as_str().unwrap());
    let shown = async || {
        let now = owner.get(&path).await;
        (now["contact"].as_str().unwrap().to_owned(), now["protection"].as_str().unwrap().to_owned())
    };
    let both = |contact: &str, protection: &str| (contact.to_owned(), protection.to_owned());

    // It never spoke.
    for (word, protection) in [("disarm", "off"), ("arm", "no_contact")] {
        let (status, said) = owner.ask("POST", &format!("{path}/{word}"), None).await;
        assert!([200, 202].contains(&status), "{status} {said}");
        settled(&up).await;
        assert_eq!(shown().await, both("never", protection));
    }
    let told = format!(
        "SELECT count(*) FROM alert WHERE kind = 'pre_armed_without_contact' AND vehicle_id = {}",
        vehicle["id"].as_str().unwrap()
    );
    up.wait_for(&told, 1).await;
    let alerts = owner.get("/alerts").await;
    let alert = alerts["alerts"].as_array().unwrap().iter().find(|a| a["vehicle_id"] == vehicle["id"]).unwrap();
    assert_eq!(
        (&alert["kind"], &alert["wakes_owner"]),
        (&json!("pre_armed_without_contact"), &json!(false)),
        "{alert}"
    );

    // It speaks; then it is silent for a quarter of an hour, or for a while that is nothing to a tracker that sleeps.
    tell(&up, number).await;
    assert_eq!(shown().await, both("online", "protected"));
    for (ago_s, interval_s, contact, protection) in [
        (16 * 60, None, "silent", "no_contact"),
        (6 * 60, Some(10), "silent", "no_contact"),
        (90, Some(10), "late", "protected"),
        (50, Some(10), "online", "protected"),
        (85 * 60, Some(3600), "online", "protected"),
        (150 * 60, Some(3600), "late", "protected"),
        (200 * 60, Some(3600), "silent", "no_contact"),
    ] {
        heard_before(&up, &vehicle["tracker"], ago_s, interval_s).await;
        assert_eq!(shown().await, both(contact, protection), "{ago_s} s ago, every {interval_s:?} s");
        let trackers = operator.get(&format!("/trackers?state={contact}")).await;
        let listed = trackers["trackers"].as_array().unwrap();
        assert_eq!((listed.len(), &listed[0]["ident"]), (if contact == "never" { 3 } else { 1 }, &vehicle["tracker"]));
        assert_eq!((&listed[0]["state"], &listed[0]["report_interval_s"]), (&json!(contact), &json!(interval_s)));
        assert_eq!((&trackers["counts"][contact], &trackers["counts"]["never"]), (&json!(1), &json!(2)));
    }
    assert_eq!(up.count(&told).await, 1, "told once");
}
