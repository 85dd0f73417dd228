//! Where the ingest bench takes place: private servers, registered trackers, meters.

#[path = "cpu.rs"]
mod cpu;

use anyhow::Context;
use cpu::{cpu_s, with_children_s};
use rideguard::app;
use rideguard::config::Config;
use rideguard::domain::{Profile, credential};
use rideguard::store::registry;
use rideguard::store::{self, Role};
use rideguard::supervisor::broker::{Credential, INGEST_USER, Mosquitto};
use rideguard::supervisor::postgres::Postgres;
use rideguard::supervisor::{Folder, free_port};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Servers, database and trackers of one run.
pub struct Place {
    root: PathBuf,
    folder: Folder,
    postgres: Postgres,
    broker: Mosquitto,
    client: tokio_postgres::Client,
    ingest: Option<Child>,
    connections: usize,
    floods: AtomicU64,
    /// As the program reads it.
    pub config: Config,
    /// Counts instead of the database when the bare subscriber is measured.
    pub bare: Option<Arc<AtomicU64>>,
}

impl Place {
    /// Makes everything but ingest.
    pub async fn make(connections: usize) -> anyhow::Result<Self> {
        let root = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        let folder = Folder::open(&root)?;
        let postgres = Postgres::start(&folder, None)?;
        let broker = Mosquitto::start(&folder, None, None)?;
        let with_roles = postgres.settings(&folder)?;
        let text = format!(
            "[database]\nhost = {:?}\nport = {}\nname = \"postgres\"\npassword_file = {:?}\napi_password_file = {:?}\ningest_password_file = {:?}\n
[broker]\nhost = \"localhost\"\nport = {}\nservices_port = {}\nca_file = {:?}\nusername = {INGEST_USER:?}\npassword_file = {:?}\n{}
[http]\nlisten = \"127.0.0.1:{}\"\nmetrics_listen = \"127.0.0.1:{}\"\n
[door]\ncertificate_file = \"secrets/broker.pem\"\nkey_file = \"secrets/broker.key\"\ntrackers_file = \"trackers\"\n
[[door.listener]]\nlanguage = \"mqtt\"\nlisten = \"127.0.0.1:{}\"\n
[[door.listener]]\nlanguage = \"gt06\"\nlisten = \"127.0.0.1:{}\"\n",
            // The alternative to the Unix socket.
            if std::env::var("RIDEGUARD_BENCH_DATABASE_BY").is_ok_and(|by| by == "tcp") {
                "127.0.0.1"
            } else {
                &postgres.host
            },
            postgres.port,
            postgres.password_file,
            with_roles.api_password_file,
            with_roles.ingest_password_file.as_ref().context("a password of ingest")?,
            broker.port,
            broker.services_port.context("a broker of our own has a port for services")?,
            broker.ca_file,
            broker.password_file,
            // The alternative to the Unix socket, as it is with a broker elsewhere.
            if std::env::var("RIDEGUARD_BENCH_BROKER_BY").is_ok_and(|by| by == "tcp") {
                String::new()
            } else {
                broker.socket.as_ref().map_or_else(String::new, |s| format!("socket = {s:?}\n"))
            },
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
        );
        std::fs::write(root.join("rideguard.toml"), text)?;
        let config = Config::read(&root.join("rideguard.toml"))?;
        app::prepare(&Config { database: with_roles.clone(), ..config.clone() }).await?;
        let client = store::connect(&store::settings(&config.database, Role::Admin)?, "bench").await?;
        // A disk that syncs in 0.1 ms flatters; others take milliseconds.
        if let Ok(delay_us) = std::env::var("RIDEGUARD_BENCH_COMMIT_DELAY_US") {
            let delay_us: u32 = delay_us.parse().context("RIDEGUARD_BENCH_COMMIT_DELAY_US")?;
            let mut settings = store::settings(&config.database, Role::Admin)?;
            let password = rideguard::config::read_secret(&postgres.superuser_password_file)?;
            let client = store::connect(settings.user(&with_roles.superuser).password(password), "bench").await?;
            client.batch_execute("ALTER SYSTEM SET commit_siblings = 0").await?;
            client.batch_execute(&format!("ALTER SYSTEM SET commit_delay = {delay_us}")).await?;
            client.batch_execute("SELECT pg_reload_conf()").await?;
        }
        let mut place = Self {
            root,
            folder,
            postgres,
            broker,
            client,
            ingest: None,
            connections,
            floods: AtomicU64::new(1),
            config,
            bare: None,
        };
        place.register().await?;
        Ok(place)
    }

    /// Trackers in vehicles, every other one JT/T 808; nobody wants answers yet.
    async fn register(&mut self) -> anyhow::Result<()> {
        let (mut file, mut admitted) = (String::new(), Vec::new());
        let owner = registry::NewAccount {
            login: "bench",
            name: "bench",
            role: "owner",
            password_hash: "",
            unit: None,
            webhook: None,
            drops_webhook: false,
            without_second_factor: false,
        };
        let owner = registry::put_account(&self.client, &owner).await?;
        for n in 0..self.connections {
            let (ident, protocol) =
                if n % 2 == 0 { (format!("0138{n:08}"), "jt808") } else { (format!("yy{n:06}"), "json") };
            let (vehicle, _) =
                registry::put_vehicle(&self.client, &format!("湘H·B{n:05}"), "ebike", "Bench", owner).await?;
            let profile = Profile { wants_replies: false, ..Profile::of(protocol) };
            let tracker = registry::put_tracker(&self.client, &ident, &profile).await?;
            registry::install(&self.client, tracker, vehicle, false).await?;
            registry::arm(&self.client, owner, vehicle, true).await?;
            let password = format!("{:016x}", rand::random::<u64>());
            writeln!(file, "{ident} {password} {protocol}")?;
            let hash = credential::hash(&password, rand::random(), credential::ITERATIONS_OF_RANDOM);
            admitted.push(Credential { ident, password_hash: hash });
        }
        std::fs::write(self.root.join("trackers"), file)?;
        self.broker.admit(&self.folder, &admitted)?;
        Ok(())
    }

    /// From now on every tracker's profile wants answers.
    pub async fn ask_for_replies(&self) -> anyhow::Result<()> {
        let sql = "UPDATE tracker SET profile = jsonb_set(profile, '{wants_replies}', 'true')";
        self.client.execute(sql, &[]).await.context("asking for replies")?;
        Ok(())
    }

    /// Starts `rideguard ingest`, unless it runs, and waits until it listens.
    pub async fn start_ingest(&mut self) -> anyhow::Result<()> {
        if self.ingest.is_none() {
            let log = std::fs::File::create(self.root.join("ingest.log"))?;
            let mut command = match std::env::var("RIDEGUARD_BENCH_UNDER") {
                Ok(under) => {
                    let mut words = under.split_whitespace();
                    let mut command = Command::new(words.next().unwrap_or("env"));
                    command.args(words).arg(env!("CARGO_BIN_EXE_rideguard"));
                    command
                }
                Err(_) => Command::new(env!("CARGO_BIN_EXE_rideguard")),
            };
            command.arg("ingest").arg("--config").arg(self.root.join("rideguard.toml"));
            self.ingest = Some(command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?);
        }
        let held = "SELECT count(*) FILTER (WHERE owner IS NOT NULL AND lease_until > now()) = count(*) AND NOT EXISTS
            (SELECT 1 FROM setting s JOIN lane l ON s.lane = l.lane AND s.setting_id > l.setting_cursor) FROM lane";
        for _ in 0..600 {
            if self.client.query_one(held, &[]).await?.get(0) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("ingest did not take its lanes; see {}", self.root.display())
    }

    /// Stops ingest, and removes its sessions from the broker.
    pub async fn stop_ingest(&mut self) -> anyhow::Result<()> {
        let Some(mut ingest) = self.ingest.take() else { return Ok(()) };
        if let Some(pid) = ingest.id() {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGINT)?;
        }
        ingest.wait().await?;
        let password = rideguard::config::read_secret(&self.config.broker.password_file)?;
        for lane in rideguard::domain::Lane::all() {
            let session = rideguard::ingest::client_options::client_id(lane, &password);
            let mut options = rideguard::ingest::client_options::options(&self.config.broker.for_services(), &session)?;
            options.set_clean_session(true);
            let (client, mut events) = rumqttc::AsyncClient::new(options, 4);
            events.poll().await?;
            client.disconnect().await?;
            let _ = events.poll().await;
        }
        Ok(())
    }

    /// How many messages have been taken in for good.
    pub async fn consumed(&self) -> anyhow::Result<u64> {
        if let Some(counter) = &self.bare {
            return Ok(counter.load(Ordering::Relaxed));
        }
        let sum: i64 = self.client.query_one("SELECT sum(received)::bigint FROM lane", &[]).await?.get(0);
        Ok(sum as u64)
    }

    /// Fixes in the table: what came again is counted as taken in, and is none. The bare subscriber has none.
    pub async fn fixes(&self) -> anyhow::Result<u64> {
        let count: i64 = self.client.query_one("SELECT count(*) FROM fix", &[]).await?.get(0);
        Ok(count as u64)
    }

    /// Entries of a journal row, lately.
    pub async fn packets_per_batch(&self) -> anyhow::Result<f64> {
        let sql = "SELECT coalesce(avg(entries), 0)::float8 FROM journal WHERE written_at > now() - interval '3 s' AND entries > 1";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// Resident memory of ingest.
    pub fn ingest_rss_bytes(&self) -> u64 {
        let pid = self.ingest.as_ref().and_then(Child::id).unwrap_or_default();
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
    }

    /// Starts the load generator at the broker and waits until everybody is connected.
    pub async fn flood(&self, fixes: u16, replies: bool, step_s: u64) -> anyhow::Result<Flood> {
        self.flood_at(self.config.broker.port, fixes, replies, step_s).await
    }

    /// The port of the door.
    #[allow(dead_code)] // only the door's own bench asks
    pub fn door_port(&self) -> u16 {
        self.config.door.listener.first().map_or(0, |listener| listener.listen.port())
    }

    /// The port of GT06 at the door.
    #[allow(dead_code)] // only the bench of sockets asks
    pub fn socket_port(&self) -> u16 {
        self.config.door.listener.get(1).map_or(0, |listener| listener.listen.port())
    }

    /// Registers so many trackers of GT06 that come on sockets; the first is 860000000000000.
    #[allow(dead_code)] // only the bench of sockets asks
    pub async fn register_sockets(&self, count: u32) -> anyhow::Result<()> {
        let sql = r#"INSERT INTO tracker (ident, profile) SELECT (860000000000000 + n)::text, '{"protocol":"gt06","transport":"socket"}'
            FROM generate_series(0, $1::bigint - 1) n"#;
        self.client.execute(sql, &[&i64::from(count)]).await.context("registering trackers of sockets")?;
        Ok(())
    }

    /// The same at either port.
    pub async fn flood_at(&self, port: u16, fixes: u16, replies: bool, step_s: u64) -> anyhow::Result<Flood> {
        let program = Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
        let mut command = Command::new(program);
        command
            .args(["flood", "--broker", &format!("localhost:{port}"), "--ca"])
            .arg(&self.config.broker.ca_file)
            .arg("--credentials")
            .arg(self.root.join("trackers"))
            .args([
                format!("--connections={}", self.connections),
                format!("--step-s={step_s}"),
                format!("--fixes={fixes}"),
                "--rate=-".to_owned(),
                // Places of its own: clocks of a load of ten fixes a message run ahead into those of the next.
                format!("--seed={}", self.floods.fetch_add(1, Ordering::Relaxed)),
            ]);
        if replies {
            command.arg("--listen");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (stdin, stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let mut flood = Flood { child, stdin, lines: BufReader::new(stdout).lines() };
        let connected = flood.line().await?;
        eprintln!("{connected}");
        Ok(flood)
    }

    /// Stops everything and removes it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_ingest().await?;
        self.broker.stop();
        self.postgres.stop();
        std::fs::remove_dir_all(&self.root)?;
        Ok(())
    }
}

/// A running load generator.
pub struct Flood {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What it says of a step.
pub struct Step {
    /// Messages sent in it.
    pub sent: u64,
    /// Connections that broke so far.
    pub broken: u64,
}

impl Flood {
    /// One step at so many messages a second.
    pub async fn step(&mut self, rate: u64) -> anyhow::Result<Step> {
        self.stdin.write_all(format!("{rate}\n").as_bytes()).await?;
        let line = self.line().await?;
        let numbers: Vec<u64> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|w| w.parse().ok()).collect();
        let [sent, _, _, broken, ..] = numbers[..] else { anyhow::bail!("the load generator said {line:?}") };
        Ok(Step { sent, broken })
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.lines.next_line().await?.context("the load generator ended")
    }

    /// Ends it.
    pub async fn end(mut self) {
        let _ = self.child.kill().await;
    }
}

/// Processor time of everybody, seconds.
pub struct Meter(Vec<(&'static str, f64)>);

impl Meter {
    /// Reads the meters.
    pub fn read(place: &Place, flood: &Flood) -> Self {
        let ingest = place.ingest.as_ref().and_then(Child::id).unwrap_or_default();
        let load = flood.child.id().unwrap_or_default();
        let postgres = place.postgres.pid() as u32;
        Self(vec![
            ("rideguard", cpu_s(ingest)),
            ("postgres", with_children_s(postgres)),
            ("mosquitto", cpu_s(place.broker.pid() as u32)),
            ("simulator", cpu_s(load)),
        ])
    }

    /// What was spent between two readings.
    pub fn until(&self, later: &Self) -> Vec<(&'static str, f64)> {
        self.0.iter().zip(&later.0).map(|((name, from), (_, to))| (*name, to - from)).collect()
    }
}
