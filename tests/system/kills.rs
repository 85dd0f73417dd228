//! kill -9 at any time, of the program and of its servants: nothing that was promised is lost, nothing
//! counts twice, nothing is made up.

use crate::harness::{Up, seed, use_ring};
use crate::support::oracle::{Oracle, judge};
use crate::support::world::note;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

#[tokio::test]
async fn after_kills_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Program, 5).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn after_the_database_crashed_every_obligation_is_in_the_journal_and_counts_once() {
    survive(Victim::Database, 4).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn after_the_broker_crashed_what_it_acknowledges_then_is_in_the_journal() {
    survive(Victim::Broker, 2).await;
}

#[tokio::test]
async fn answers_bind_even_when_the_broker_dies_with_its_disk() {
    survive(Victim::BrokerAndItsDisk, 2).await;
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

/// Both were killed, and PostgreSQL needs longer to come back.
#[tokio::test]
async fn a_start_beside_a_database_that_is_coming_back_waits_for_it() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    up.kill();
    // What it says of itself while it reads its log again (miscadmin.h, PM_STATUS_STARTING).
    let pid_file = up.folder.join("services/postgres/data/postmaster.pid");
    let says = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&pid_file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&pid_file, text.replace(from, to)).unwrap();
    };
    says("ready   ", "starting");
    let began = Instant::now();
    let comes_back = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        says("starting", "ready   ");
    };
    tokio::join!(up.start_again(), comes_back);
    assert!(began.elapsed() > Duration::from_secs(3), "it did not wait");
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// rideguard, by SIGKILL; the test starts it again.
    Program,
    /// Mosquitto, by SIGKILL; rideguard starts it again. What it acknowledged before is lost with its
    /// memory and binds nobody.
    Broker,
    /// The same, and its saved queues and sessions are gone. Trackers keep what we have not answered.
    BrokerAndItsDisk,
    /// PostgreSQL, as by `stop -m immediate`; rideguard starts it again.
    Database,
}

impl Victim {
    /// Name of the fault in the table of `make faults`.
    fn fault(self) -> &'static str {
        match self {
            Self::Program => "F-01 kill -9 of everything, at random",
            Self::Broker => "F-10 kill -9 of the broker",
            Self::BrokerAndItsDisk => "F-10 broker killed, disk wiped; trackers wait for answers",
            Self::Database => "F-08 crash of PostgreSQL",
        }
    }
}

/// A fleet with a staged theft; the victim is killed so many times, 1 to 3 s apart.
async fn survive(victim: Victim, kills: u64) {
    use_ring();
    let seed = seed("kills");
    let mut random = StdRng::seed_from_u64(seed);
    let mut up = Up::start(40, &[]).await;
    let waits = victim == Victim::BrokerAndItsDisk;
    let more: &[&str] = if waits { &["--wait-for-answers", "--patience-s=60"] } else { &[] };
    let oracle = Oracle::start(&up, seed, 40, more);
    let mut binds_from_ms = 0;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(1000..3000))).await;
        match victim {
            Victim::Program => {
                up.kill();
                up.start_again().await;
            }
            Victim::Database => up.crash_the_database(),
            Victim::Broker => up.crash_the_broker(),
            Victim::BrokerAndItsDisk => up.crash_the_broker_and_wipe_its_disk(),
        }
        if matches!(victim, Victim::Broker | Victim::BrokerAndItsDisk) {
            binds_from_ms = rideguard::clock::now().micros() / 1000;
        }
    }
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // load after the last kill, on what came back
    let notes = oracle.end().await;
    if waits {
        let unanswered = notes.sent.difference(&notes.answered).count();
        assert_eq!(unanswered, 0, "of {} messages: whoever waits for our answers gets them", notes.sent.len());
    }
    let verdict = judge(&up, &notes, binds_from_ms, None).await;
    note(victim.fault(), kills, seed, &verdict);
    verdict.must_be_clean();
    if waits {
        let told = up.log_in("operator").await.get("/coverage-gaps").await;
        let gaps = told["gaps"].as_array().unwrap();
        assert!(gaps.iter().any(|gap| gap["cause"] == "session_lost"), "operators see that queues were lost: {told}");
    }
}
