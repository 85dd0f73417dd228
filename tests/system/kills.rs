//! kill -9 at any time: nothing that the broker acknowledged is lost, nothing counts twice.

use crate::harness::{Up, seed, use_ring};
use rideguard::domain::Profile;
use rideguard::protocol;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[tokio::test]
async fn after_kills_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Program, 5).await;
}

#[tokio::test]
async fn after_the_database_crashed_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Database, 4).await;
}

#[tokio::test]
async fn after_the_broker_crashed_what_it_acknowledges_then_is_in_the_journal() {
    survive(Victim::Broker, 2).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn after_fifty_crashes_of_the_database_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Database, 50).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn after_fifty_kills_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Program, 50).await;
}

/// Who is killed.
#[derive(Clone, Copy)]
enum Victim {
    /// rideguard, by SIGKILL; the test starts it again.
    Program,
    /// Mosquitto, by SIGKILL; rideguard starts it again. What it acknowledged before is lost with its
    /// memory and binds nobody.
    Broker,
    /// PostgreSQL, as by `stop -m immediate`; rideguard starts it again.
    Database,
}

/// A fleet with a staged theft; the victim is killed so many times, 2 to 5 s apart.
async fn survive(victim: Victim, kills: u64) {
    use_ring();
    let seed = seed("kills");
    let mut up = Up::start(40, &[]).await;
    let obligations = up.folder.join("obligations.jsonl");
    let duration_s = kills.max(5) * 5 + 15;
    let mut fleet = up.fleet(&[
        "--vehicles=40",
        &format!("--seed={seed}"),
        "--theft-vehicle=yy000001",
        "--theft-after-s=14",
        "--parked-interval-s=0.5",
        "--moving-interval-s=0.5",
        &format!("--duration-s={duration_s}"),
        &format!("--obligations={}", obligations.display()),
    ]);
    let mut wait_ms = seed;
    let mut binds_from_ms = 0;
    for _ in 0..kills {
        wait_ms = wait_ms.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(2000 + (wait_ms >> 33) % 3000)).await;
        match victim {
            Victim::Program => {
                up.kill();
                up.start_again().await;
            }
            Victim::Database => up.crash_the_database(),
            Victim::Broker => {
                up.crash_the_broker();
                binds_from_ms = rideguard::clock::now().micros() / 1000;
            }
        }
    }
    assert!(fleet.wait().unwrap().success());
    let promised: Vec<String> = std::fs::read_to_string(&obligations)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|o| o["puback_at_ms"].as_i64().unwrap() >= binds_from_ms)
        .map(|o| o["payload_sha256"].as_str().unwrap().to_owned())
        .collect();
    assert!(promised.len() > 500, "only {} messages were acknowledged", promised.len());
    // Everything that was on its way has arrived when the journal holds the last promise, and counts
    // when nothing is pending.
    let mut journal = Journal::default();
    for _ in 0..100 {
        journal = read_journal(&up);
        let is_applied = journal.outcomes.values().flatten().all(|o| o != "pending");
        if is_applied && promised.iter().all(|p| journal.outcomes.contains_key(p)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let lost: Vec<_> = promised.iter().filter(|p| !journal.outcomes.contains_key(*p)).collect();
    assert!(lost.is_empty(), "{} of {} obligations are not in the journal", lost.len(), promised.len());
    // Each stored once; repeats say so.
    for (payload, outcomes) in &journal.outcomes {
        let stored = outcomes.iter().filter(|o| *o == "stored").count();
        assert_eq!((stored, outcomes.iter().any(|o| o == "quarantined")), (1, false), "{payload}: {outcomes:?}");
    }
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    assert_eq!(up.count("SELECT count(*) FROM incident").await, 1, "one theft is one incident");
    assert_eq!(up.count("SELECT count(*) FROM alert WHERE kind = 'moved'").await, 1);
    up.wait_for("SELECT count(*) FROM outbox WHERE state = 'done'", 1).await;
    let fixes = journal.fixes.len() as i64;
    up.wait_for("SELECT count(*) FROM fix", fixes).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, fixes, "every fix is there once");
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[derive(Default)]
struct Journal {
    /// SHA-256 of each payload → what became of it, as often as it stands there.
    outcomes: BTreeMap<String, Vec<String>>,
    /// The fixes in it: topic, time, position. A second has room for several, but not for the same twice.
    fixes: BTreeSet<(String, i64, u64, u64)>,
}

fn read_journal(up: &Up) -> Journal {
    let output = up.command(&["journal"]);
    assert!(output.status.success());
    let mut journal = Journal::default();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (topic, payload) = (row["topic"].as_str().unwrap(), hex::decode(row["payload"].as_str().unwrap()).unwrap());
        let language = if payload.starts_with(b"{") { "json" } else { "jt808" };
        for fix in protocol::decode(&Profile::of(language), &payload).unwrap().moments.iter().flat_map(|m| &m.fix) {
            let position = (fix.position.lat_deg.to_bits(), fix.position.lon_deg.to_bits());
            journal.fixes.insert((topic.to_owned(), fix.fixed_at.unwrap().micros(), position.0, position.1));
        }
        let outcomes = journal.outcomes.entry(hex::encode(Sha256::digest(payload))).or_default();
        outcomes.push(row["outcome"].as_str().unwrap().to_owned());
    }
    journal
}
