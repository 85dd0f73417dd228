//! A door that is a process of its own: trackers stay connected while ingest is replaced, and nothing is lost whoever dies.

use crate::harness::{PATIENCE, free_port, seed};
use crate::support::role::{Differs, Role};
use crate::support::world::World;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// The settings that all processes of a deployment share.
struct Linked {
    differs: Differs,
    metrics: String,
}

impl Linked {
    /// Trackers come to the door of `world` from now on.
    fn of(world: &mut World, more: &str) -> Self {
        let [link, door, metrics] = [free_port(), free_port(), free_port()];
        let folder = world.up.folder.display();
        std::fs::write(world.up.folder.join("secrets/link"), "a secret of this test alone\n").unwrap();
        world.up.args.extend(["--door-port".to_owned(), door.to_string()]);
        let sockets = world.up.door_tcp().into_iter();
        let sockets: String = sockets
            .map(|(language, port)| format!(r#", {{ language = "{language}", listen = "127.0.0.1:{port}" }}"#))
            .collect();
        let more = format!(
            r#"
            [link]
            listen = "127.0.0.1:{link}"
            workers = ["127.0.0.1:{link}"]
            secret_file = "secrets/link"
            spool_dir = "door-spool"
            [door]
            certificate_file = "{folder}/secrets/broker.pem"
            key_file = "{folder}/secrets/broker.key"
            trackers_file = "trackers"
            listener = [{{ language = "mqtt", listen = "127.0.0.1:{door}" }}{sockets}]
            {more}"#
        );
        let metrics = format!("127.0.0.1:{metrics}");
        Self { differs: Differs { more, ..Differs::default() }, metrics }
    }

    fn ingest(&self, world: &World) -> Role {
        self.start(world, "ingest")
    }

    fn start(&self, world: &World, role: &'static str) -> Role {
        Role::start(&world.up.folder, role, &self.differs)
    }

    fn door(&self, world: &World) -> Role {
        let more = format!("{}\n[http]\nmetrics_listen = \"{}\"", self.differs.more, self.metrics);
        Role::start(&world.up.folder, "door", &Differs { more, ..self.differs.clone() })
    }

    /// A metric of the door, all its labels together.
    async fn metric(&self, name: &str) -> f64 {
        let page = reqwest::get(format!("http://{}/metrics", self.metrics)).await.unwrap().text().await.unwrap();
        let of = |line: &str| line.starts_with(name).then(|| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        page.lines().filter_map(of).sum()
    }

    /// Connections that ended otherwise than by their trackers.
    async fn ended_by_us(&self) -> f64 {
        let mut ended = 0.0;
        for reason in ["given_up", "network", "replaced", "not_held", "removed", "stopped", "deaf"] {
            ended += self.metric(&format!("rideguard_door_ended_total{{reason=\"{reason}\"")).await;
        }
        ended
    }

    async fn is_at_least(&self, name: &str, least: f64, door: &Role) {
        let since = Instant::now();
        loop {
            let there = reqwest::get(format!("http://{}/metrics", self.metrics)).await.is_ok();
            if there && self.metric(name).await >= least {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{name} is below {least}:\n{}", door.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How many of the fixes are there.
const FIXES: &str = "SELECT count(*) FROM fix_known";

#[tokio::test(flavor = "multi_thread")]
async fn ingest_is_replaced_and_stays_away_and_no_tracker_loses_its_connection() {
    let seed = seed("ingest_is_replaced_and_stays_away");
    let mut world = World::start(24, seed).await;
    let linked = Linked::of(&mut world, "");
    let (mut ingest, door, _notify) = (linked.ingest(&world), linked.door(&world), world.notify());
    let oracle = world.oracle(&[]);
    linked.is_at_least("rideguard_door_connections", 24.0, &door).await;
    assert!(reqwest::get(format!("http://{}/ready", linked.metrics)).await.unwrap().status().is_success());
    // Operators see who is connected to it.
    world
        .up
        .wait_for("SELECT count(*) FROM tracker_connection WHERE ended_at IS NULL AND worker LIKE 'door-%'", 24)
        .await;
    linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    world.up.wait_for(FIXES, 50).await;
    let ended = linked.ended_by_us().await; // some may have come before the door had read its list
    // An upgrade: the old one ends in order, the new one begins.
    for _ in 0..2 {
        ingest.signal(Signal::SIGTERM);
        assert!(ingest.ended().await.success());
        ingest.start_again(None);
        linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    }
    // And one that dies, and stays away for so long that the door keeps for itself what comes.
    ingest.kill();
    linked.is_at_least("rideguard_spool_bytes", 1.0, &door).await;
    let before = oracle.read().acknowledged.len();
    let since = Instant::now();
    while oracle.read().acknowledged.len() < before + 50 {
        assert!(since.elapsed() < PATIENCE, "trackers are not acknowledged from the spool:\n{}", door.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.end_leases().await;
    ingest.start_again(None);
    let verdict = world.settle("ingest replaced and away, a door of its own", 3, oracle).await;
    assert!(verdict.answered > 20, "answers go by the link, too: {verdict:?}");
    assert_eq!(linked.ended_by_us().await, ended);
    assert_eq!(linked.metric("rideguard_spool_bytes").await, 0.0);
    assert!(door.log().contains("The door's spool is empty"), "{}", door.log());
}

/// The door itself, its link and ingest die and stand still in turn.
async fn any_of_them_dies(kills: u64, name: &str, fault: &str) {
    let seed = seed(name);
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start(24, seed).await;
    let linked = Linked::of(&mut world, "");
    let (mut ingest, mut door, _notify) = (linked.ingest(&world), linked.door(&world), world.notify());
    let oracle = world.oracle(&[]);
    linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1500))).await;
        match random.random_range(0..4) {
            0 => door.start_again(None),
            1 => {
                world.end_leases().await;
                ingest.start_again(None);
            }
            2 => {
                // Both: what nobody had kept is the trackers' to send again.
                door.kill();
                world.end_leases().await;
                ingest.start_again(None);
                door.start_again(None);
            }
            _ => {
                let stopped = if random.random_bool(0.5) { &door } else { &ingest };
                stopped.signal(Signal::SIGSTOP);
                tokio::time::sleep(Duration::from_millis(random.random_range(100..4000))).await;
                stopped.signal(Signal::SIGCONT);
            }
        }
    }
    linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    world.settle(fault, kills, oracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_door_of_its_own_acknowledged_survives_kills_of_the_door_and_of_ingest() {
    any_of_them_dies(6, "what_a_door_of_its_own", "door of its own: door and ingest killed and paused").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn what_a_door_of_its_own_acknowledged_survives_50_kills() {
    any_of_them_dies(50, "what_a_door_of_its_own_acknowledged_survives_50", "door of its own: 50 kills").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_is_away_is_known_and_a_link_takes_only_who_has_the_secret() {
    let seed = seed("a_door_that_is_away_is_known");
    let mut world = World::start(3, seed).await;
    let linked = Linked::of(&mut world, "");
    let ingest = linked.ingest(&world);
    world.is_served_by(&ingest).await;
    tokio::time::sleep(Duration::from_secs(11)).await; // two ticks without a door
    std::fs::write(world.up.folder.join("secrets/link"), "another secret of this test\n").unwrap();
    let wrong = linked.door(&world);
    let since = Instant::now();
    while !ingest.log().contains("refused at the link") {
        assert!(since.elapsed() < PATIENCE, "{}", ingest.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(linked.metric("rideguard_door_lanes_linked").await, 0.0);
    drop(wrong);
    std::fs::write(world.up.folder.join("secrets/link"), "a secret of this test alone\n").unwrap();
    let door = linked.door(&world);
    linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    let gap = "SELECT count(*) FROM coverage_gap WHERE cause = 'door_away' AND until_at - from_at > interval '8 s'";
    world.up.wait_for(gap, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_processes_of_their_own_are_a_whole_system() {
    let seed = seed("without_a_broker_processes");
    let mut world = World::start(12, seed).await;
    let linked = Linked::of(&mut world, "[broker]\nenabled = false");
    world.up.crash_the_broker(); // nobody starts it again
    let start = |role| linked.start(&world, role);
    let (_ingest, _notify, api) = (start("ingest"), start("notify"), start("api"));
    let door = linked.door(&world);
    linked.is_at_least("rideguard_door_lanes_linked", 16.0, &door).await;
    let oracle = world.oracle(&[]);
    world.up.wait_for(FIXES, 20).await;
    let since = Instant::now();
    while !world.up.text_if_there("/ready").await.is_some_and(|t| t.contains("ready")) {
        assert!(since.elapsed() < PATIENCE, "{}", api.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let operator = world.up.log_in("operator").await;
    crate::own_door::a_live_map_hears_of_it(&world.up, &operator).await;
    let verdict = world.settle("no broker, processes of their own", 1, oracle).await;
    assert!(verdict.answered > 10, "{verdict:?}");
}
