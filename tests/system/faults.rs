//! Faults of our own processes and of the way to PostgreSQL: whatever is cut where, nothing that was
//! promised is lost, nothing counts twice, nothing is made up.

use crate::harness::{PATIENCE, seed, topic};
use crate::support::proxy::{Commit, Mode, Proxy};
use crate::support::role::Differs;
use crate::support::world::World;
use crate::workers::hold;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::clock::now;
use rideguard::failpoint::Point;
use std::time::{Duration, Instant};

/// F-01: kill -9 at every named point of ingest, in the middle of the load.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn killed_at_every_point_of_the_flow_nothing_is_lost_or_counted_twice() {
    let seed = seed("killed_at_every_point");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start(24, seed).await;
    let (mut ingest, _notify) =
        (world.ingest(&Differs { checkpoint_every_s: Some(1), ..Differs::default() }), world.notify());
    let oracle = world.oracle(&[]);
    // The first of them is passed when the theft is noticed, so it waits for that.
    let points = [
        (Point::EffectsWritten, 1),
        (Point::Recovered, 5),
        (Point::Received, 40),
        (Point::Journaled, 60),
        (Point::Acknowledged, 60),
        (Point::Understood, 60),
        (Point::Answered, 60),
        (Point::Counted, 60),
        (Point::Checkpointed, 8),
    ];
    for (point, passages) in points {
        ingest.start_again(Some((point, random.random_range(1..=passages))));
        ingest.ended().await;
    }
    ingest.start_again(None);
    world.is_served_by(&ingest).await;
    world.settle("F-01 kill -9 at named points", points.len() as u64, oracle).await;
}

/// F-02: the outcome of a commit is unknown: it was sent, and the connection died before the answer.
#[tokio::test]
async fn a_commit_whose_answer_never_came_counts_once() {
    let seed = seed("a_commit_whose_answer");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start(24, seed).await;
    let proxy = Proxy::start(world.config().database.port).await;
    let through = Differs { database_port: Some(proxy.port), ..Differs::default() };
    let (ingest, _notify) = (world.ingest(&through), world.notify());
    let oracle = world.oracle(&[]);
    world.is_served_by(&ingest).await;
    let cuts = 10;
    for cut in 0..cuts {
        let commit = if cut % 2 == 0 { Commit::Journal } else { Commit::Effects };
        proxy.cut_behind(commit, random.random_range(0..40));
        let since = Instant::now();
        while proxy.sprung() <= cut {
            assert!(since.elapsed() < PATIENCE, "commit {cut} was not cut");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    world.settle("F-02 commit sent, answer lost", cuts, oracle).await;
}

/// F-03: killed between commit and notification, between sent and noted, and after.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_notifier_that_is_killed_tells_each_alert_under_one_name() {
    let seed = seed("a_notifier_that_is_killed");
    let world = World::start(8, seed).await;
    let (ingest, mut notify) = (world.ingest(&Differs::default()), world.notify());
    world.is_served_by(&ingest).await;
    let points = [(Point::Claimed, 0), (Point::Sent, 2), (Point::Noted, 4)];
    for (point, tracker) in points {
        notify.start_again(Some((point, 1)));
        steal(&world, tracker).await;
        notify.ended().await;
    }
    notify.start_again(None);
    // What the dead had claimed comes free after 30 s.
    world.up.wait_for("SELECT count(*) FROM outbox WHERE state = 'done'", points.len() as i64).await;
    let deliveries = world.sink.deliveries();
    assert_eq!(world.up.count("SELECT count(*) FROM outbox").await, deliveries.len() as i64);
    let repeated = deliveries.values().filter(|told| told.len() > 1).count();
    assert_eq!(repeated, 1, "the one that was sent but not noted comes again, under the same name");
    assert!(world.up.command(&["verify"]).status.success());
}

/// A tracker's vehicle is armed, seen parked and then seen riding away, all in one burst.
async fn steal(world: &World, n: usize) {
    let (ident, password) = world.up.tracker(n);
    arm(world, &ident).await;
    world.up.publish(&ident, &password, theft(&ident)).await;
}

/// Guards a tracker's vehicle, and waits until the guard has it.
pub async fn arm(world: &World, ident: &str) {
    let client = world.up.sql().await;
    let row = client
        .query_one(
            "SELECT vehicle_id, account_id FROM tracker JOIN installation USING (tracker_id) JOIN ownership USING (vehicle_id) WHERE ident = $1",
            &[&ident],
        )
        .await
        .unwrap();
    assert!(rideguard::store::registry::arm(&client, row.get(1), row.get(0), true).await.unwrap());
    let armed = format!("SELECT count(*) FROM guard_status WHERE armed AND vehicle_id = {}", row.get::<_, i64>(0));
    world.up.wait_for(&armed, 1).await;
}

/// Parked for 40 s, then ridden away for 30.
pub fn theft(ident: &str) -> Vec<(String, Vec<u8>)> {
    let now_ms = rideguard::clock::now().micros() / 1000;
    let message = |second: i64, metres: f64| {
        let (t, lat) = (now_ms + second * 1000, 28.55 + metres / 111_195.0);
        let moving = metres > 0.0;
        let text = format!(
            r#"{{"v":1,"id":"{ident}","seq":{second},"fixes":[{{"t":{t},"lat":{lat},"lon":112.35,"kmh":{},"sats":12,"acc":4}}],"status":{{"battery":80,"moving":{moving}}}}}"#,
            if moving { 25 } else { 0 }
        );
        (topic(ident), text.into_bytes())
    };
    let parked = (1..=40).map(|second| message(second, 0.0));
    let ridden = (41..=70).map(|second| message(second, (second - 40) as f64 * 7.0));
    parked.chain(ridden).collect()
}

/// What is wrong with a way that passes through the proxy.
#[derive(Clone, Copy)]
enum Wrong {
    /// Connections are refused and cut.
    Cut,
    /// Nothing passes, and nobody is told.
    Silent,
}

/// The way to one server is wrong for a while, under load.
async fn way_is_wrong(fault: &str, to_broker: bool, wrong: Wrong, seconds: u64) {
    let seed = seed(fault);
    let world = World::start(24, seed).await;
    let config = world.config();
    let proxy = Proxy::start(if to_broker { config.broker.for_services().port } else { config.database.port }).await;
    let through = match to_broker {
        true => Differs { broker_port: Some(proxy.port), ..Differs::default() },
        false => Differs { database_port: Some(proxy.port), ..Differs::default() },
    };
    let (ingest, _notify) = (world.ingest(&through), world.notify());
    let oracle = world.oracle(&[]);
    world.is_served_by(&ingest).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // something is on its way
    let began_at = now();
    proxy.set(if matches!(wrong, Wrong::Cut) { Mode::Cut } else { Mode::Silent });
    tokio::time::sleep(Duration::from_secs(seconds)).await; // the fault
    proxy.set(Mode::Pass);
    world.is_served_by(&ingest).await;
    if to_broker && matches!(wrong, Wrong::Silent) {
        // What was not heard is known from when it began, not from when it was noticed.
        let gaps = format!(
            "SELECT count(DISTINCT lane) FROM coverage_gap, (SELECT '{began_at}'::timestamptz AS began) b
             WHERE from_at < began + interval '3 s' AND until_at > began + interval '30 s'"
        );
        world.up.wait_for(&gaps, 8).await;
    }
    world.settle(fault, 1, oracle).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_database_away_for_half_a_minute_loses_nothing() {
    way_is_wrong("F-07 PostgreSQL away for 30 s", false, Wrong::Cut, 30).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_way_to_the_database_that_swallows_everything_is_noticed() {
    way_is_wrong("F-21 half-open to PostgreSQL for 45 s", false, Wrong::Silent, 45).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_way_to_the_broker_that_swallows_everything_is_noticed() {
    way_is_wrong("F-21 half-open to the broker for 60 s", true, Wrong::Silent, 60).await;
}

/// F-20: each commit takes long, as on a disk that is slow to sync; two workers must not take that for
/// each other's death.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_disk_that_syncs_slowly_makes_it_slow_and_nothing_else() {
    let seed = seed("a_disk_that_syncs_slowly");
    let world = World::without_a_door(24, seed).await;
    let proxy = Proxy::start(world.config().database.port).await;
    let through = Differs { database_port: Some(proxy.port), ..Differs::default() };
    let (first, second, _notify) = (world.ingest(&through), world.ingest(&through), world.notify());
    let oracle = world.oracle(&[]);
    hold(&world, &[(&first, 8), (&second, 8)]).await;
    let fences = "SELECT sum(fence)::bigint FROM lane";
    let before = world.up.count(fences).await;
    for (commit_ms, seconds) in [(20, 5), (500, 10), (5000, 25)] {
        proxy.slow_down(Duration::from_millis(commit_ms));
        tokio::time::sleep(Duration::from_secs(seconds)).await; // the fault
        assert_eq!(world.up.count(fences).await, before, "a lane changes hands because commits take {commit_ms} ms");
    }
    proxy.slow_down(Duration::ZERO);
    world.settle("F-20 commits of 20 ms, 500 ms, 5 s", 3, oracle).await;
}
