//! F-11: the disk of the one-machine mode is full, of everybody: database and its log, spool, the
//! broker's queues, our own log.

use crate::harness::{Up, door_flags, seed, use_ring};
use crate::support::disk::Disk;
use crate::support::oracle::{Oracle, judge};
use crate::support::world::note;
use std::time::Duration;

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn on_a_full_disk_nothing_is_promised_that_is_not_kept_and_it_heals_by_itself() {
    heal("F-11 disk full: database, spool, broker, logs", &[]).await;
}

/// The only ones that have what was not kept are the trackers.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn on_a_full_disk_the_door_answers_nothing_that_is_not_kept_and_it_heals_by_itself() {
    heal("F-11 disk full, trackers at the door", &door_flags()).await;
}

async fn heal(fault: &str, flags: &[String]) {
    use_ring();
    let seed = seed("on_a_full_disk");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut up = Up::start_on(40, &flags, |folder| Some(Disk::under(folder))).await;
    let oracle = Oracle::start(&up, seed, 40, &[]);
    let fills = 2;
    for _ in 0..fills {
        up.wait_for("SELECT sum(stored)::bigint FROM lane", 100).await; // there is load
        fill(&up);
        // Neither rows find room nor the new file that the database's log would need.
        if let Some(client) = up.try_sql().await {
            client.batch_execute("CREATE TABLE filler AS SELECT generate_series(1, 100000)").await.expect_err("full");
            let _ = client.batch_execute("SELECT pg_switch_wal()").await; // some end the server by this
        }
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(200)).await; // the fault, under load
            fill(&up); // a database that has ended leaves some room, and so do its attempts to come back
        }
        assert!(up.child.try_wait().unwrap().is_none(), "a full disk ends the program:\n{}", up.log());
        up.disk.iter().for_each(|disk| disk.empty(&up));
        up.wait_for("SELECT sum(stored)::bigint FROM lane", oracle.read().sent.len() as i64).await;
    }
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    let verdict = judge(&up, &oracle.end().await, 0, None).await;
    note(fault, fills, seed, &verdict);
    verdict.must_be_clean();
    assert!(!up.log().contains("panicked"), "{}", up.log());
}

fn fill(up: &Up) {
    up.disk.iter().for_each(|disk| disk.fill(up));
}
