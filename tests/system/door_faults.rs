//! Faults at the door, under trackers of MQTT and of each language without it: each PUBACK and each answer binds.

use crate::harness::seed;
use crate::support::proxy::{Mode, Proxy};
use crate::support::role::Differs;
use crate::support::world::World;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

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
    let ports: Vec<u16> = world.up.door_port().into_iter().chain(world.up.door_tcp().into_iter().map(|d| d.1)).collect();
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
