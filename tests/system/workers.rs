//! Two workers on one set of lanes (F-13, F-14, F-26): they share, take over from one that is killed or
//! paused, and never both count.

use crate::harness::{PATIENCE, Up, program, seed, use_ring};
use crate::support::role::{Differs, Role};
use crate::support::world::World;
use nix::sys::signal::Signal;
use rideguard::failpoint::Point;
use std::time::{Duration, Instant};

/// Waits until each worker holds so many lanes.
pub async fn hold(world: &World, shares: &[(&Role, i64)]) {
    for (worker, lanes) in shares {
        let question = format!(
            "SELECT (count(*) = {lanes})::int::bigint FROM lane WHERE lease_until > now() AND owner LIKE '{}-%'",
            worker.pid()
        );
        world.up.wait_for(&question, 1).await;
    }
}

#[tokio::test]
async fn two_workers_share_the_lanes_and_one_takes_over_from_the_other_that_was_killed() {
    let seed = seed("two_workers_share");
    let world = World::without_a_door(24, seed).await;
    let (mut first, _notify) = (world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    hold(&world, &[(&first, 16)]).await;
    let second = world.ingest(&Differs::default());
    hold(&world, &[(&first, 8), (&second, 8)]).await;
    first.kill();
    hold(&world, &[(&second, 16)]).await;
    first.start_again(None);
    hold(&world, &[(&first, 8), (&second, 8)]).await;
    world.settle("two workers, one killed", 1, oracle).await;
}

/// As a deployment starts its roles: all at once.
#[tokio::test]
async fn processes_that_start_together_all_start() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let config = rideguard::config::Config::read(&up.config()).unwrap();
    for _ in 0..4 {
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let config = config.clone();
                tokio::spawn(async move { rideguard::app::prepare(&config).await })
            })
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_worker_paused_inside_a_copy_is_taken_over_from_and_commits_nothing_stale() {
    let seed = seed("a_worker_paused");
    let world = World::without_a_door(24, seed).await;
    let (first, mut second, _notify) =
        (world.ingest(&Differs::default()), world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    // Rows are copied only after some batches without duplicates, which a start makes likely.
    second.start_again_to_pause(Point::Copying, 20);
    hold(&world, &[(&first, 8), (&second, 8)]).await;
    second.paused().await;
    hold(&world, &[(&first, 16)]).await;
    second.signal(Signal::SIGCONT);
    hold(&world, &[(&first, 8), (&second, 8)]).await;
    // No ping-pong: with both alive, no lane changes hands.
    let fences = "SELECT sum(fence)::bigint FROM lane";
    let before = world.up.count(fences).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.up.count(fences).await, before);
    world.settle("F-13 two workers, one paused inside a COPY", 1, oracle).await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_worker_paused_beyond_its_keepalive_goes_on_where_it_was() {
    let seed = seed("a_worker_paused_beyond");
    let world = World::start(24, seed).await;
    let (ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    world.is_served_by(&ingest).await;
    ingest.signal(Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(100)).await; // the fault: the broker gives a client up after 90 s, a lease ends after 20
    ingest.signal(Signal::SIGCONT);
    world.is_served_by(&ingest).await;
    world.settle("F-13 paused for 100 s", 1, oracle).await;
}

/// F-26.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_deployment_under_load_ends_in_time_and_shows_nothing_twice() {
    let seed = seed("a_deployment_under_load");
    let world = World::start(24, seed).await;
    let (mut ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    for _ in 0..3 {
        world.is_served_by(&ingest).await;
        tokio::time::sleep(Duration::from_secs(2)).await; // some load on each version
        let since = Instant::now();
        ingest.signal(Signal::SIGTERM);
        let status = ingest.ended().await;
        assert!(status.success() && since.elapsed() < Duration::from_secs(10), "{status} after {:?}", since.elapsed());
        ingest.start_again(None);
    }
    world.is_served_by(&ingest).await;
    world.settle("F-26 SIGTERM under load", 3, oracle).await;
}

/// F-14, one machine: the second says what is wrong and leaves the first alone.
#[tokio::test]
async fn a_second_rideguard_in_one_folder_ends_with_a_sentence() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let folder = up.folder.to_string_lossy().into_owned();
    let second = std::process::Command::new(program())
        .args(["up", "--data", &folder, "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another rideguard is at work"), "{said}");
    let since = Instant::now();
    while up.count("SELECT count(*) FROM lane WHERE lease_until > now()").await < 16 {
        assert!(since.elapsed() < PATIENCE, "the first one suffers:\n{}", up.log());
    }
}
