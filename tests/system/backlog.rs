//! After an outage of ingest: thefts are told although everything that trackers sent meanwhile comes first.

use crate::harness::{Up, seed, simulator, use_ring};
use crate::support::oracle::{Oracle, judge};
use crate::support::role::Differs;
use crate::support::world::{World, note};
use nix::sys::signal::Signal;
use rideguard::clock::now;
use rideguard::config::Config;
use rideguard::store::registry;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const TRACKERS: usize = 60;
const RATE_PER_S: u64 = 300;
const FIRST_THEFT_S: u64 = 20;
const OUTAGE_S: u64 = 30;
/// What is promised: a theft is told so soon after the restart, or after its first fix if that is later.
const TOLD_WITHIN_S: f64 = 60.0;

/// L-03, shortened: ingest is off for half a minute at 300 packets a second, with thefts before,
/// in and after it.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn thefts_hidden_in_a_backlog_are_told_within_a_minute_of_the_restart() {
    let seed = seed("thefts_hidden_in_a_backlog");
    let world = World::start(TRACKERS, seed).await;
    arm_all(&world.up).await;
    let (mut ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    world.is_served_by(&ingest).await;
    let thefts_file = world.up.folder.join("thefts");
    let mut load = load(&world.up, seed, &thefts_file);
    world.up.wait_for("SELECT sum(received)::bigint FROM lane", (RATE_PER_S * (FIRST_THEFT_S - 5)) as i64).await;
    ingest.kill();
    tokio::time::sleep(Duration::from_secs(OUTAGE_S)).await; // the fault
    let restarted_us = now().micros();
    let before = world.up.count("SELECT sum(received)::bigint FROM lane").await;
    ingest.start_again(None);
    let status = tokio::task::spawn_blocking(move || load.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let thefts = first_published_us(&thefts_file);
    assert!(thefts.len() > TRACKERS / 4 && thefts.values().any(|at| *at < restarted_us), "{thefts:?}");
    world.up.wait_for("SELECT count(DISTINCT a.vehicle_id) FROM alert a JOIN outbox o USING (alert_id) WHERE o.state = 'done' AND a.kind = 'moved'", thefts.len() as i64).await;
    let mut waits_s: Vec<f64> = told_us(&world.up)
        .await
        .into_iter()
        .map(|(ident, told)| (told - thefts[&ident].max(restarted_us)) as f64 / 1e6)
        .collect();
    waits_s.sort_by(f64::total_cmp);
    let backlog = world.up.count("SELECT sum(received)::bigint FROM lane").await - before;
    let (median, last) = (waits_s[waits_s.len() / 2], waits_s[waits_s.len() - 1]);
    println!("L-03: {backlog} messages, {} thefts told after {median:.1} s, the last after {last:.1} s", waits_s.len());
    assert!(last <= TOLD_WITHIN_S, "seed {seed}: {waits_s:?}\n{}", ingest.log());
    assert!(world.up.command(&["verify"]).status.success());
}

const HERD: usize = 250;
/// Another number of trackers, for a machine with more room or a build with optimizations.
const HERD_SETTING: &str = "RIDEGUARD_TEST_HERD";
const HERD_OUTAGE_S: u64 = 20;

/// L-01, as large as a test may be: the broker stands still and then dies with its disk; every tracker comes
/// back at once by TLS with some forty fixes, waits for answers and repeats. One is being stolen.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_herd_that_waits_for_answers_gets_them_and_the_theft_in_it_is_told_within_a_minute() {
    use_ring();
    let seed = seed("a_herd_that_waits");
    let herd = std::env::var(HERD_SETTING).map_or(HERD, |n| n.parse().expect(HERD_SETTING));
    let up = Up::start(herd, &[]).await;
    let oracle = Oracle::start(&up, seed, herd, &["--wait-for-answers", "--patience-s=90"]);
    up.wait_for("SELECT sum(received)::bigint FROM lane", herd as i64 * 5).await;
    up.signal("services/mosquitto/mosquitto.pid", Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(HERD_OUTAGE_S)).await; // the fault
    up.crash_the_broker_and_wipe_its_disk();
    let back_us = now().micros();
    up.wait_for(
        "SELECT count(*) FROM alert a JOIN outbox o USING (alert_id) WHERE o.state = 'done' AND a.kind = 'moved'",
        1,
    )
    .await;
    let told_after_s = told_us(&up).await.into_values().map(|told| (told - back_us) as f64 / 1e6).fold(0.0, f64::max);
    let notes = oracle.end().await;
    let drained_after_s = (now().micros() - back_us) as f64 / 1e6;
    let unanswered = notes.sent.difference(&notes.answered).count();
    assert_eq!(unanswered, 0, "of {} messages: whoever waits for our answers gets them", notes.sent.len());
    let verdict = judge(&up, &notes, back_us / 1000, None).await;
    note(&format!("L-01 herd of {herd} with 40 fixes each, waiting for answers"), 1, seed, &verdict);
    verdict.must_be_clean();
    println!(
        "L-01: {} messages, the theft told {told_after_s:.1} s after the broker was ended, all answered after {drained_after_s:.1} s",
        notes.sent.len()
    );
    assert!(told_after_s <= TOLD_WITHIN_S, "seed {seed}: {told_after_s} s\n{}", up.log());
}

pub async fn arm_all(up: &Up) {
    let client = up.sql().await;
    let owned = "SELECT account_id, vehicle_id FROM ownership WHERE valid_to IS NULL";
    for row in client.query(owned, &[]).await.unwrap() {
        registry::arm(&client, row.get(0), row.get(1), true).await.unwrap();
    }
}

fn load(up: &Up, seed: u64, thefts: &Path) -> Child {
    let broker = Config::read(&up.config()).unwrap().broker;
    Command::new(simulator())
        .args(["load", "--broker", &format!("localhost:{}", broker.port), "--ca"])
        .arg(broker.ca_file)
        .arg("--credentials")
        .arg(up.folder.join("trackers"))
        .args([format!("--rate={RATE_PER_S}"), format!("--connections={TRACKERS}"), format!("--seed={seed}")])
        .args([format!("--duration-s={}", FIRST_THEFT_S + OUTAGE_S + 15), format!("--first-theft-s={FIRST_THEFT_S}")])
        .args(["--theft-every-s=1.5", "--thefts-file"])
        .arg(thefts)
        .spawn()
        .unwrap()
}

/// When each stolen tracker's first fix of the theft was published.
fn first_published_us(thefts: &Path) -> BTreeMap<String, i64> {
    let mut first = BTreeMap::new();
    for line in std::fs::read_to_string(thefts).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let ident = row["ident"].as_str().unwrap().to_owned();
        first.entry(ident).or_insert_with(|| row["published_at_us"].as_i64().unwrap());
    }
    first
}

/// When the owner's webhook had taken each tracker's first alert of a departure.
async fn told_us(up: &Up) -> BTreeMap<String, i64> {
    let sql = "SELECT t.ident, (extract(epoch FROM min(o.done_at)) * 1e6)::bigint FROM alert a JOIN outbox o USING (alert_id)
        JOIN installation i USING (vehicle_id) JOIN tracker t USING (tracker_id) WHERE o.state = 'done' AND a.kind = 'moved' GROUP BY 1";
    up.sql().await.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}
