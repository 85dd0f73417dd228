//! One role of RideGuard as a process of its own, which a test may kill, pause and start again.

use crate::harness::{PATIENCE, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rideguard::failpoint::Point;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a role's settings differ from those of the data folder.
#[derive(Clone, Debug, Default)]
pub struct Differs {
    /// Through a proxy.
    pub database_port: Option<u16>,
    /// Through a proxy, or another broker.
    pub broker_port: Option<u16>,
    /// Another broker's authority.
    pub ca_file: Option<PathBuf>,
    /// Another interval, so that a test need not wait.
    pub checkpoint_every_s: Option<u64>,
    /// Password files of other roles, and of the administration, are not there.
    pub is_alone: bool,
    /// More settings; a section is added to one that is there.
    pub more: String,
}

/// A running (or killed) role.
pub struct Role {
    child: Child,
    role: &'static str,
    config: PathBuf,
    log: PathBuf,
}

impl Role {
    pub fn start(folder: &Path, role: &'static str, differs: &Differs) -> Self {
        let text = fs::read_to_string(folder.join("rideguard.toml")).unwrap();
        let mut settings: toml::Table = text.parse().unwrap();
        let mut set = |section: &str, key: &str, value: Option<toml::Value>| {
            let section = settings.entry(section).or_insert(toml::Value::Table(toml::Table::new()));
            if let Some(value) = value {
                section.as_table_mut().unwrap().insert(key.into(), value);
            }
        };
        let port = |port: u16| toml::Value::Integer(port.into());
        set("database", "port", differs.database_port.map(port));
        set("database", "host", differs.database_port.map(|_| toml::Value::String("127.0.0.1".into())));
        set("broker", "port", differs.broker_port.map(port));
        let ca = differs.ca_file.as_ref().map(|f| toml::Value::String(f.to_string_lossy().into_owned()));
        set("broker", "ca_file", ca);
        set("ingest", "checkpoint_every_s", differs.checkpoint_every_s.map(|s| toml::Value::Integer(s as i64)));
        if differs.is_alone {
            for other in ["", "api_", "door_", "ingest_", "notify_", "rollup_", "seal_"]
                .iter()
                .filter(|o| **o != format!("{role}_"))
            {
                set(
                    "database",
                    &format!("{other}password_file"),
                    Some(toml::Value::String("secrets/not-there".into())),
                );
            }
        }
        set("http", "metrics_listen", Some(toml::Value::String("127.0.0.1:0".into())));
        for (name, section) in differs.more.parse::<toml::Table>().unwrap() {
            let Some(keys) = section.as_table() else { panic!("{name} is no section") };
            keys.iter().for_each(|(key, value)| set(&name, key, Some(value.clone())));
        }
        if differs.broker_port.is_some() {
            for way in ["socket", "services_port"] {
                settings["broker"].as_table_mut().unwrap().remove(way);
            }
        }
        let name = format!("{role}-{:08x}", rand::random::<u32>());
        let (config, log) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.log")));
        fs::write(&config, settings.to_string()).unwrap();
        Self { child: spawn(role, &config, &log, None), role, config, log }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended at a failpoint
        self.child.wait().unwrap();
    }

    /// Kills it if need be and starts it again, with a failpoint or without.
    pub fn start_again(&mut self, fails_at: Option<(Point, u64)>) {
        self.kill();
        self.child = spawn(self.role, &self.config, &self.log, fails_at.map(|(point, n)| (point, "kill", n)));
    }

    /// The same, but it is paused there.
    pub fn start_again_to_pause(&mut self, point: Point, passage: u64) {
        self.kill();
        self.child = spawn(self.role, &self.config, &self.log, Some((point, "stop", passage)));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it goes on:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is paused (state T in /proc/PID/stat, proc(5)).
    pub async fn paused(&mut self) {
        let since = Instant::now();
        let path = format!("/proc/{}/stat", self.child.id());
        while !fs::read_to_string(&path).unwrap().rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            assert!(since.elapsed() < PATIENCE, "it is not paused:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number that stands in its name as an owner of leases.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn spawn(role: &str, config: &Path, log: &Path, fails: Option<(Point, &str, u64)>) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(program());
    if let Some((point, action, passage)) = fails {
        command.env("RIDEGUARD_FAILPOINT", format!("{}={action}@{passage}", point.name()));
    }
    command.arg(role).arg("--config").arg(config).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of {}'s log:\n{}", self.role, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}
