//! Faults at the door, under trackers of MQTT and of each language without it: each PUBACK and each answer binds.

use crate::harness::{Up, door_flags, seed, use_ring};
use crate::support::oracle::{Oracle, judge};
use crate::support::proxy::{Mode, Proxy};
use crate::support::role::Differs;
use crate::support::world::{World, note};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// F-01, F-07, F-10: everything is killed in turn, and the broker and the database.
#[tokio::test]
async fn what_the_door_answered_survives_kills_of_everything_and_a_theft_is_told() {
    use_ring();
    let seed = seed("what_the_door_answered");
    let flags = door_flags();
    let mut up = Up::start(20, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let oracle = Oracle::start(&up, seed, 20, &[]);
    let kills = 5;
    for n in 0..kills {
        tokio::time::sleep(Duration::from_secs(4)).await;
        match n {
            0 | 2 | 4 => {
                up.kill();
                up.start_again().await;
            }
            1 => up.crash_the_broker(),
            _ => up.crash_the_database(),
        }
    }
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // load after the last kill, on what came back
    let verdict = judge(&up, &oracle.end().await, 0, None).await;
    note("F-01, F-07, F-10 everything killed, trackers at the door", kills, seed, &verdict);
    assert!(verdict.answered > 100, "{verdict:?}");
    verdict.must_be_clean();
}

/// F-01: kill -9 of whoever runs the door, at any time: under load, while it starts, while trackers come back.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn after_fifty_kills_of_the_door_what_it_answered_is_in_the_journal_and_counts_once() {
    let seed = seed("after_fifty_kills_of_the_door");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::at_the_door(24, seed).await;
    let (mut ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    let kills = 50;
    for _ in 0..kills {
        if random.random_range(0..5) > 0 {
            world.is_served_by(&ingest).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2000))).await;
        ingest.start_again(None);
    }
    world.is_served_by(&ingest).await;
    world.settle("F-01 kill -9 of the door, at random", kills, oracle).await;
}

/// F-13: the process stands still, shorter and longer than its leases. F-21: nothing passes for a while; connections break;
/// trackers come back while the door still believes in their older connections.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn a_door_that_is_paused_cut_off_or_half_open_loses_nothing_that_it_answered() {
    let seed = seed("a_door_that_is_paused");
    let mut world = World::at_the_door(24, seed).await;
    let ports: Vec<u16> =
        world.up.door_port().into_iter().chain(world.up.door_tcp().into_iter().map(|d| d.1)).collect();
    let mut proxies = Vec::new();
    for port in ports {
        let proxy = Proxy::start(port).await;
        world.up.ways.insert(port, proxy.port);
        proxies.push(proxy);
    }
    let (ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    let oracle = world.oracle(&[]);
    let mut faults = 0;
    for pause_s in [2, 8, 25] {
        world.is_served_by(&ingest).await;
        tokio::time::sleep(Duration::from_secs(2)).await; // something is on its way
        ingest.signal(Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(pause_s)).await; // the fault
        ingest.signal(Signal::SIGCONT);
        faults += 1;
    }
    world.is_served_by(&ingest).await;
    for (mode, seconds) in [(Mode::Silent, 4), (Mode::Cut, 1), (Mode::Silent, 12)] {
        tokio::time::sleep(Duration::from_secs(2)).await; // something is on its way
        proxies.iter().for_each(|proxy| proxy.set(mode));
        tokio::time::sleep(Duration::from_secs(seconds)).await; // the fault
        proxies.iter().for_each(|proxy| proxy.set(Mode::Pass));
        faults += 1;
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1500)).await; // something is on its way
        proxies.iter().for_each(Proxy::forget);
        faults += 1;
    }
    world.settle("F-13, F-21 the door paused, cut off, half-open", faults, oracle).await;
}
