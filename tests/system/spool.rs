//! PostgreSQL away: trackers are acknowledged from the spool, and the journal gets everything afterwards.

use crate::harness::{Up, topic, use_ring};
use nix::sys::signal::Signal;
use rideguard::domain::{Entry, Packet, Shard, Timestamp, Way};
use rideguard::store::journal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Whole batches in the spool of all lanes.
fn spooled(folder: &Path) -> usize {
    let lanes = std::fs::read_dir(folder.join("spool")).unwrap();
    let files = lanes.flat_map(|lane| std::fs::read_dir(lane.unwrap().path()).unwrap());
    files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "batch")).count()
}

fn message(ident: &str, n: i64, at_ms: i64) -> (String, Vec<u8>) {
    let at_ms = at_ms + n * 1000;
    let text = format!(r#"{{"v":1,"id":"{ident}","seq":{n},"fixes":[{{"t":{at_ms},"lat":28.55,"lon":112.35}}]}}"#);
    (topic(ident), text.into_bytes())
}

#[tokio::test]
async fn what_comes_while_the_database_is_away_lies_in_the_spool_and_counts_once_afterwards() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let (ident, password) = up.tracker(0);
    let start_ms = rideguard::clock::now().micros() / 1000 - 120_000;
    let some = |from: i64, to: i64| (from..to).map(|n| message(&ident, n, start_ms)).collect::<Vec<_>>();
    up.publish(&ident, &password, some(0, 10)).await;
    up.wait_for("SELECT sum(stored)::bigint FROM lane", 10).await;

    // It hangs, as behind a dead disk: connections are taken by the kernel and nobody answers.
    up.signal("services/postgres/data/postmaster.pid", Signal::SIGSTOP);
    up.end_backends();
    let since = Instant::now();
    for n in 10.. {
        up.publish(&ident, &password, some(n, n + 1)).await;
        if n >= 30 && spooled(&up.folder) > 1 {
            up.signal("services/postgres/data/postmaster.pid", Signal::SIGCONT);
            up.wait_for("SELECT sum(stored)::bigint FROM lane", n + 1).await;
            assert_eq!(up.count("SELECT count(*) FROM fix").await, n + 1, "every fix is there once");
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nothing went to the spool\n{}", up.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let since = Instant::now();
    while spooled(&up.folder) > 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "the spool is not drained\n{}", up.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

/// A lane asks the database about a sender it does not know while the packet is in its hands.
#[tokio::test]
async fn what_a_lane_held_when_its_question_to_the_database_failed_is_in_the_journal() {
    use_ring();
    let up = Up::start(4, &[]).await;
    // As ourselves, who may write to every topic.
    let password = std::fs::read_to_string(up.folder.join("secrets/broker")).unwrap();
    let (ident, _) = up.tracker(0);
    let own = Shard::of(&ident).0;
    let strays = (0..64).filter(|shard| *shard != own).map(|shard| format!("v1/{shard}/{ident}/up"));
    let strays: Vec<_> = strays.map(|topic| (topic, b"stray".to_vec())).collect();
    let count = strays.len() as i64;
    up.signal("services/postgres/data/postmaster.pid", Signal::SIGSTOP);
    up.end_backends();
    up.publish("rideguard-ingest", password.trim(), strays).await;
    up.signal("services/postgres/data/postmaster.pid", Signal::SIGCONT);
    up.wait_for("SELECT count(*) FROM quarantine WHERE reason = 'topic'", count).await;
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, count, "each is there once");
    assert!(up.command(&["verify"]).status.success());
}

#[tokio::test]
async fn the_spool_of_a_worker_that_lost_its_lane_reaches_the_journal_by_the_one_that_holds_it() {
    use_ring();
    let up = Up::start(4, &[]).await;
    let (ident, _) = up.tracker(0);
    let (topic, payload) = message(&ident, 1, rideguard::clock::now().micros() / 1000 - 5000);
    let packet = Packet {
        topic,
        received_at: Timestamp::from_micros(rideguard::clock::now().micros()),
        payload,
        way: Way::Broker,
    };
    let lane = Shard::of(&ident).lane();
    journal::hand_over(&up.sql().await, lane, &[Entry::Packet(packet)]).await.unwrap();
    up.wait_for("SELECT sum(stored)::bigint FROM lane", 1).await;
    up.wait_for("SELECT count(*) FROM fix", 1).await;
    assert_eq!(up.count("SELECT count(*) FROM handed_over").await, 0);
    assert!(up.command(&["verify"]).status.success());
}
