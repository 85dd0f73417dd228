//! PostgreSQL and Mosquitto as servants of nobody, a webhook, an oracle, and the roles of RideGuard as
//! processes that a test may do anything to.

use super::oracle::{Oracle, Verdict, judge};
use super::role::{Differs, Role};
use super::sink::Sink;
use crate::harness::{Up, door_flags, socket_flags, use_ring};
use rideguard::config::Config;
use serde_json::json;

/// What is there to be broken.
pub struct World {
    pub up: Up,
    pub sink: Sink,
    pub seed: u64,
    vehicles: usize,
}

impl World {
    /// Servers with sessions that stand, people, vehicles and admitted trackers; no RideGuard. The fleet comes by the broker,
    /// trackers without MQTT by the door of whoever runs `ingest`.
    pub async fn start(vehicles: usize, seed: u64) -> Self {
        use_ring();
        let up = Up::start(vehicles, &words(&socket_flags())).await;
        Self::around(up, vehicles, seed).await
    }

    /// The same, and the fleet comes by the door, too.
    pub async fn at_the_door(vehicles: usize, seed: u64) -> Self {
        use_ring();
        let up = Up::start(vehicles, &words(&door_flags())).await;
        Self::around(up, vehicles, seed).await
    }

    /// The same without a door: of two workers that share the lanes only one could open it.
    pub async fn without_a_door(vehicles: usize, seed: u64) -> Self {
        use_ring();
        let up = Up::start_demo(vehicles, &[], |_| None).await;
        Self::around(up, vehicles, seed).await
    }

    async fn around(mut up: Up, vehicles: usize, seed: u64) -> Self {
        let (ident, password) = up.tracker(0);
        up.publish(&ident, &password, vec![]).await; // trackers are admitted a moment after it is ready
        up.kill();
        let (sink, url) = Sink::start().await;
        let client = up.sql().await;
        client
            .execute("UPDATE account SET webhook_url = $1, webhook_secret = 'x' WHERE role = 'owner'", &[&url])
            .await
            .unwrap();
        let world = Self { up, sink, seed, vehicles };
        world.end_leases().await;
        world
    }

    /// Nobody need wait until the leases of the dead run out.
    pub async fn end_leases(&self) {
        self.up.sql().await.execute("UPDATE lane SET lease_until = '-infinity'", &[]).await.unwrap();
    }

    pub fn ingest(&self, differs: &Differs) -> Role {
        Role::start(&self.up.folder, "ingest", differs)
    }

    pub fn notify(&self) -> Role {
        Role::start(&self.up.folder, "notify", &Differs::default())
    }

    pub fn oracle(&self, more: &[&str]) -> Oracle {
        Oracle::start(&self.up, self.seed, self.vehicles, more)
    }

    pub fn config(&self) -> Config {
        Config::read(&self.up.config()).unwrap()
    }

    /// Every lane is worked on by this worker: the lease of one that was killed outlives it.
    pub async fn is_served_by(&self, worker: &Role) {
        crate::workers::hold(self, &[(worker, 16)]).await;
    }

    /// Waits for the theft (then there is an alert that could be lost or told twice), judges what the oracle
    /// noted, leaves the figures for `make faults`, and demands that they are clean.
    pub async fn settle(&self, fault: &str, injected: u64, oracle: Oracle) -> Verdict {
        self.up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
        let verdict = judge(&self.up, &oracle.end().await, 0, Some(&self.sink)).await;
        note(fault, injected, self.seed, &verdict);
        verdict.must_be_clean();
        verdict
    }
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// Keeps the newest figures of a fault in `target/faults`; `make faults` prints them.
pub fn note(fault: &str, injected: u64, seed: u64, verdict: &Verdict) {
    let folder = std::path::Path::new(crate::harness::program()).parent().unwrap().with_file_name("faults");
    std::fs::create_dir_all(&folder).unwrap();
    let line = json!({
        "fault": fault, "injected": injected, "obligations": verdict.obligations, "answered": verdict.answered,
        "lost": verdict.lost, "duplicated": verdict.duplicated, "invented": verdict.invented,
        "healthy_after_s": verdict.healthy_after.as_secs_f64(), "seed": seed.to_string(),
        "at": rideguard::clock::now().to_string(),
    });
    let name: String = fault.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    std::fs::write(folder.join(format!("{name}.json")), format!("{line}\n")).unwrap();
}
