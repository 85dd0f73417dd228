//! Bad input is set aside with a reason, counted and acknowledged; nothing else is disturbed.

use crate::harness::{Up, topic, use_ring};
use rideguard::supervisor::broker::PACKET_BYTES_MAX;
use std::io::Write;

#[tokio::test]
async fn every_kind_of_bad_input_ends_in_quarantine_with_its_reason() {
    use_ring();
    let mut up = Up::start(4, &[]).await;
    let (ident, password) = up.tracker(0);
    let now_ms = rideguard::clock::now().micros() / 1000;
    let json = |id: &str, t: i64, lat: f64| {
        format!(r#"{{"v":1,"id":"{id}","seq":{t},"fixes":[{{"t":{t},"lat":{lat},"lon":112.35}}]}}"#).into_bytes()
    };
    let at_limit = vec![b'x'; PACKET_BYTES_MAX - topic(&ident).len() - 16];
    let own = |payload: Vec<u8>| (topic(&ident), payload);
    let wrong_shard = format!("v1/{}/{ident}/up", (rideguard::domain::Shard::of(&ident).0 + 1) % 64);
    up.publish(
        &ident,
        &password,
        vec![
            own(vec![]),
            own(vec![0x7e]),
            own(b"garbage".to_vec()),
            own(at_limit),
            own(json("yy999999", now_ms, 28.5)),
            own(json(&ident, now_ms, 91.0)),
            own(json(&ident, 3_471_292_800_000, 28.5)),
            (wrong_shard, json(&ident, now_ms, 28.5)),
            own(json(&ident, now_ms, 28.5)),
            // A character that PostgreSQL cannot keep, in a text that it must.
            own(format!(r#"{{"v":1,"id":"{ident}","t":{now_ms},"status":{{"firmware":"a\\u0000b","battery":50}}}}"#)
                .into_bytes()),
        ],
    )
    .await;
    // The broker leaves the shard open to a tracker; ingest does not.
    up.wait_for("SELECT sum(stored + quarantined + duplicate)::bigint FROM lane", 10).await;
    for (reason, count) in [("decode", 4), ("identity", 1), ("position", 1), ("time", 1), ("topic", 1)] {
        assert_eq!(
            up.count(&format!("SELECT count(*) FROM quarantine WHERE reason = '{reason}'")).await,
            count,
            "{reason}"
        );
    }
    assert_eq!(up.count("SELECT count(*) FROM quarantine WHERE security").await, 2);
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 1, "the good one is stored");
    assert!(up.command(&["verify"]).status.success());

    // A tracker with a credential at the broker but without an entry here.
    assert!(up.interrupt());
    let mut trackers = std::fs::OpenOptions::new().append(true).open(up.folder.join("trackers")).unwrap();
    writeln!(trackers, "zz000001 a-password json").unwrap();
    up.start_again().await;
    up.publish("zz000001", "a-password", vec![(topic("zz000001"), json("zz000001", now_ms, 28.5))]).await;
    up.wait_for("SELECT count(*) FROM quarantine WHERE reason = 'unknown_tracker'", 1).await;
    let counted = up.metrics().await;
    assert!(counted.contains("rideguard_packets_total{outcome=\"quarantined\"} 1"), "{counted}");
    // Behind the time of a line: its seconds may be 28.5.
    let said: Vec<String> = up.log().lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    for position in ["112.35", "28.5"] {
        assert!(!said.iter().any(|line| line.contains(position)), "positions never go into logs");
    }
}

/// F-09: a row that PostgreSQL refuses, whatever the reason, in the middle of a large batch.
#[tokio::test]
async fn of_a_batch_with_one_row_that_is_refused_the_others_are_stored() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let client = up.sql().await;
    client.batch_execute("ALTER TABLE fix ADD CONSTRAINT poison CHECK (speed_kmh <> 33.25)").await.unwrap();
    let (ident, password) = up.tracker(0);
    let now_ms = rideguard::clock::now().micros() / 1000;
    let message = |n: i64| {
        // Young enough for its slice to be open whatever the clock says.
        let (t, kmh) = (now_ms - 100_000 + n * 200, if n == 250 { 33.25 } else { 12.0 });
        let text =
            format!(r#"{{"v":1,"id":"{ident}","seq":{n},"fixes":[{{"t":{t},"lat":28.55,"lon":112.35,"kmh":{kmh}}}]}}"#);
        (topic(&ident), text.into_bytes())
    };
    up.publish(&ident, &password, (0..500).map(message).collect()).await;
    up.wait_for("SELECT sum(stored + quarantined)::bigint FROM lane", 500).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 499);
    let aside = "SELECT count(*) FROM quarantine WHERE reason = 'store' AND detail LIKE '%23514 at poison%'";
    assert_eq!(up.count(aside).await, 1);
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[tokio::test]
async fn a_tracker_cannot_speak_for_another_nor_take_a_session_of_ours() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let ((thief, password), (victim, _)) = (up.tracker(0), up.tracker(2));
    let now_ms = rideguard::clock::now().micros() / 1000;
    let message = |id: &str, lat: f64| {
        format!(r#"{{"v":1,"id":"{id}","fixes":[{{"t":{now_ms},"lat":{lat},"lon":112.3}}]}}"#).into_bytes()
    };
    let spoofed = vec![(topic(&victim), message(&victim, 28.5)), (topic(&thief), message(&thief, 28.5))];
    up.publish(&thief, &password, spoofed).await;
    up.wait_for("SELECT sum(stored)::bigint FROM lane", 1).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 1, "the broker's ACL keeps the spoofed one out");
    // Whoever connected with the client id of its lane would end the lane's session, and this message with it.
    let lane = rideguard::domain::Shard::of(&thief).lane();
    let own = vec![(topic(&thief), message(&thief, 28.6))];
    let broker = rideguard::config::Config::read(&up.config()).unwrap().broker;
    let of_ingest = rideguard::config::read_secret(&broker.password_file).unwrap();
    let of_lane = rideguard::ingest::client_options::client_id(lane, &of_ingest);
    // A broker that is slow at the start has let sessions wait; what counts is what breaks from here on.
    let broken = || up.log().matches("connection broke").count();
    let before = broken();
    up.publish_as(&of_lane, &thief, &password, own).await;
    up.wait_for("SELECT sum(stored)::bigint FROM lane", 2).await;
    assert_eq!(broken(), before, "the lane's session is its own");
}
