//! Starts the real program, speaks to it as people and trackers do, and cleans up after it.

pub use crate::support::database::{Database, superuser};
use crate::support::disk::Disk;
use rideguard::clock::now;
use rideguard::config::Config;
use rideguard::domain::Shard;
use rumqttc::{AsyncClient, Event, Outgoing, Packet, QoS};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use tungstenite::{ClientRequestBuilder, Message};

/// Longest a condition is waited for. Much longer than any needs: on a busy machine a start alone takes half a minute.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// Every test in turn: ports, processors and disks are shared.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// Starts that may fail because another program took a port between its choice and its use.
const LOST_PORTS_MAX: usize = 3;

/// A RideGuard at work in a folder of its own.
pub struct Up {
    pub child: Child,
    pub folder: PathBuf,
    pub http: String,
    metrics: String,
    pub args: Vec<String>,
    /// What lies under the folder, if it is not the machine's own.
    pub disk: Option<Disk>,
    /// Ports that trackers reach by another one, which is a proxy's.
    pub ways: BTreeMap<u16, u16>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// The seed of a random test, from RIDEGUARD_TEST_SEED or new; prints the command that repeats it.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("RIDEGUARD_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: RIDEGUARD_TEST_SEED={seed} cargo test --test system {test}");
    seed
}

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_rideguard")
}

/// The simulator, which cargo puts beside it.
pub fn simulator() -> PathBuf {
    let path = Path::new(program()).with_file_name("simulator");
    assert!(path.exists(), "{} is missing: cargo build --workspace first", path.display());
    path
}

/// Flags of a door for each language without MQTT.
pub fn socket_flags() -> Vec<String> {
    ["gt06", "h02", "jt808", "teltonika"].map(|language| format!("--door-tcp={language}={}", free_port())).to_vec()
}

/// The same and MQTT.
pub fn door_flags() -> Vec<String> {
    [socket_flags(), vec![format!("--door-port={}", free_port())]].concat()
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    rideguard::supervisor::free_port().unwrap()
}

impl Up {
    /// Starts it with the demonstration's people but without its simulator.
    pub async fn start(vehicles: usize, more: &[&str]) -> Self {
        Self::start_on(vehicles, more, |_| None).await
    }

    /// The same on a disk that `mount` puts under the folder.
    pub async fn start_on(vehicles: usize, more: &[&str], mount: fn(&Path) -> Option<Disk>) -> Self {
        let door = if std::env::var_os("RIDEGUARD_TEST_DOOR").is_some() { door_flags() } else { Vec::new() };
        let is_set = |flag: &&String| more.iter().any(|own| own.starts_with(&flag[.."--door-tcp".len()]));
        let door = door.iter().filter(|flag| !is_set(flag)).map(String::as_str);
        Self::start_demo(vehicles, &more.iter().copied().chain(door).collect::<Vec<_>>(), mount).await
    }

    /// The same with a door only if the flags say so.
    pub async fn start_demo(vehicles: usize, more: &[&str], mount: fn(&Path) -> Option<Disk>) -> Self {
        let vehicles = vehicles.to_string();
        let demo = ["--demo", "--demo-without-simulator", "--demo-vehicles", &vehicles];
        Self::start_with(&[&demo, more].concat(), mount).await
    }

    /// Starts it in an empty folder, as somebody does who has just got it.
    pub async fn start_empty() -> Self {
        Self::start_with(&[], |_| None).await
    }

    async fn start_with(more: &[&str], mount: fn(&Path) -> Option<Disk>) -> Self {
        let turn = TURN.lock().await;
        let folder = std::env::temp_dir().join(format!("rideguard-test-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
        let disk = mount(&folder);
        let (http, metrics) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut args = ["up", "--data", &folder.to_string_lossy(), "--http", &http, "--metrics", &metrics]
            .iter()
            .chain(more)
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>();
        // Most tests are about both ways in; `start_empty` and whoever asks for it has the door alone.
        if !more.is_empty() && !more.contains(&"--without-broker") {
            args.push("--broker".to_owned());
        }
        let child = spawn(&args, &folder);
        let mut up = Self { child, folder, http, metrics, args, disk, ways: BTreeMap::new(), _turn: turn };
        up.wait_ready().await;
        up
    }

    /// Waits until it says that it can work.
    pub async fn wait_ready(&mut self) {
        let (mut ready_since, mut lost_ports) = (Instant::now(), 0);
        while !reqwest::get(format!("http://{}/ready", self.http)).await.is_ok_and(|a| a.status().is_success()) {
            if self.child.try_wait().unwrap().is_some() {
                let is_port_lost = self.log().lines().last().is_some_and(|l| l.contains("is in use; choose another"));
                assert!(is_port_lost && lost_ports < LOST_PORTS_MAX, "it ended:\n{}", self.log());
                lost_ports += 1;
                self.choose_other_ports();
                ready_since = Instant::now();
                self.child = spawn(&self.args, &self.folder);
            }
            assert!(ready_since.elapsed() < PATIENCE, "it is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Gives its two addresses other ports; later questions read `http` again.
    fn choose_other_ports(&mut self) {
        for address in [&mut self.http, &mut self.metrics] {
            let other = format!("127.0.0.1:{}", free_port());
            for arg in self.args.iter_mut().filter(|a| *a == address) {
                arg.clone_from(&other);
            }
            *address = other;
        }
    }

    /// kill -9, as a power cut would; database and broker go on.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends PostgreSQL at once, without its last checkpoint; the next start recovers from its log.
    pub fn crash_the_database(&self) {
        self.signal("services/postgres/data/postmaster.pid", nix::sys::signal::Signal::SIGQUIT);
    }

    /// Ends Mosquitto at once, with everything that it had not saved.
    pub fn crash_the_broker(&self) {
        self.signal("services/mosquitto/mosquitto.pid", nix::sys::signal::Signal::SIGKILL);
    }

    /// Ends every process of PostgreSQL's but the first.
    pub fn end_backends(&self) {
        let postmaster = fs::read_to_string(self.folder.join("services/postgres/data/postmaster.pid")).unwrap();
        let postmaster: i32 = postmaster.lines().next().unwrap().trim().parse().unwrap();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        for pid in children.split_whitespace().map(|c| c.parse().unwrap()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// The same with everything that it had saved: queues, sessions.
    pub fn crash_the_broker_and_wipe_its_disk(&self) {
        // Its saved state first: the supervisor starts another one at once.
        let saved = self.folder.join("services/mosquitto/mosquitto.db");
        let _ = fs::remove_file(&saved); // it may never have saved
        self.crash_the_broker();
        let _ = fs::remove_file(&saved);
    }

    /// Signals a servant; it may be on its way up from the last crash, and then is left alone.
    pub fn signal(&self, pid_file: &str, signal: nix::sys::signal::Signal) {
        let text = fs::read_to_string(self.folder.join(pid_file));
        if let Some(pid) = text.ok().and_then(|t| t.lines().next()?.trim().parse().ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }

    /// Starts it again in the same folder.
    pub async fn start_again(&mut self) {
        self.start_unready();
        self.wait_ready().await;
    }

    /// The same without waiting.
    pub fn start_unready(&mut self) {
        self.child = spawn(&self.args, &self.folder);
    }

    /// Ctrl-C; returns whether it ended well.
    pub fn interrupt(&mut self) -> bool {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), nix::sys::signal::Signal::SIGINT)
            .unwrap();
        self.child.wait().unwrap().success()
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("test.log")).unwrap_or_default()
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.metrics)).await.unwrap().text().await.unwrap()
    }

    /// What stands on a path of the page's listener.
    pub async fn text(&self, path: &str) -> String {
        reqwest::get(format!("http://{}{path}", self.http)).await.unwrap().text().await.unwrap()
    }

    /// The same, if somebody listens.
    pub async fn text_if_there(&self, path: &str) -> Option<String> {
        reqwest::get(format!("http://{}{path}", self.http)).await.ok()?.text().await.ok()
    }

    /// Opens the live stream as a page of some origin: the type of its first message, or the code with
    /// which it was closed; nothing if it was not opened at all.
    pub async fn open_live(&self, ticket: &str, origin: &str) -> Option<String> {
        let url = format!("ws://{}/api/v1/live?ticket={ticket}", self.http);
        let request = ClientRequestBuilder::new(url.parse().unwrap()).with_header("Origin", origin);
        let opened = tokio::task::spawn_blocking(|| tungstenite::connect(request).ok());
        let (mut socket, _) = opened.await.unwrap()?;
        let first = tokio::task::spawn_blocking(move || socket.read().unwrap());
        Some(match first.await.unwrap() {
            Message::Close(frame) => u16::from(frame.unwrap().code).to_string(),
            message => {
                let said: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                said["type"].as_str().unwrap().to_owned()
            }
        })
    }

    /// Its settings file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("rideguard.toml")
    }

    /// Runs one of its other commands.
    pub fn command(&self, args: &[&str]) -> Output {
        Command::new(program()).args(args).arg("--config").arg(self.config()).output().unwrap()
    }

    /// A connection as the superuser, which the program itself uses at its start only.
    pub async fn superuser(&self) -> Client {
        let config = Config::read(&self.config()).unwrap();
        let settings = rideguard::store::settings(&config.database, rideguard::store::Role::Admin);
        superuser(settings.unwrap(), &self.folder.join("secrets/database-superuser")).await
    }

    /// A connection as the process of the rollup.
    pub async fn rollup(&self) -> Client {
        let config = Config::read(&self.config()).unwrap();
        let settings = rideguard::store::settings(&config.database, rideguard::store::Role::Rollup).unwrap();
        rideguard::store::connect(&settings, "test").await.unwrap()
    }

    /// A connection as the administration, which may what the schema's owner may; a database that is coming back is waited for.
    pub async fn sql(&self) -> Client {
        let since = Instant::now();
        loop {
            if let Some(client) = self.try_sql().await {
                return client;
            }
            assert!(since.elapsed() < PATIENCE, "the database does not come back:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same, if the database is there now.
    pub async fn try_sql(&self) -> Option<Client> {
        let config = Config::read(&self.config()).unwrap();
        let settings = rideguard::store::settings(&config.database, rideguard::store::Role::Admin).unwrap();
        rideguard::store::connect(&settings, "test").await.ok()
    }

    /// The figure a question counts.
    pub async fn count(&self, question: &str) -> i64 {
        self.sql().await.query_one(question, &[]).await.unwrap().get(0)
    }

    /// Waits until a question counts at least so many.
    pub async fn wait_for(&self, question: &str, at_least: i64) {
        let (mut client, since) = (self.try_sql().await, Instant::now());
        loop {
            let found = match &client {
                Some(client) => client.query_one(question, &[]).await.ok().map(|row| row.get::<_, i64>(0)),
                None => None,
            };
            if found.is_some_and(|found| found >= at_least) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{question}: {found:?}, not {at_least}\n{}", self.log());
            if found.is_none() {
                client = self.try_sql().await; // a test may have taken the database away
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Logs in with a demonstration login.
    pub async fn log_in(&self, login: &str) -> Person {
        let logins = fs::read_to_string(self.folder.join("demo-logins")).unwrap();
        self.log_in_with(login, logins.lines().find_map(|l| l.strip_prefix(login)).unwrap().trim()).await
    }

    async fn log_in_with(&self, login: &str, password: &str) -> Person {
        let (status, body) =
            self.person("").ask("POST", "/session", Some(json!({ "login": login, "password": password }))).await;
        assert_eq!(status, 200, "{body}");
        self.person(body["token"].as_str().unwrap())
    }

    /// Enters an administrator, whom the demonstration does not have, as `chief`, and logs in.
    pub async fn administrator(&self) -> Person {
        let hash = rideguard::api::hash_password("long enough").unwrap();
        let sql = "INSERT INTO account (login, name, role, password_hash, without_second_factor) VALUES ('chief', 'Chief', 'admin', $1, true)";
        self.sql().await.execute(sql, &[&hash]).await.unwrap();
        self.log_in_with("chief", "long enough").await
    }

    /// Whoever has this token.
    pub fn person(&self, token: &str) -> Person {
        Person { token: token.to_owned(), http: self.http.clone() }
    }

    /// The port of the door, if it was started with one.
    pub fn door_port(&self) -> Option<u16> {
        let at = self.args.iter().position(|arg| arg.starts_with("--door-port"))?;
        let port = self.args[at].split_once('=').map_or_else(|| self.args[at + 1].as_str(), |(_, port)| port);
        port.parse().ok()
    }

    /// The ports of the door for languages without MQTT.
    pub fn door_tcp(&self) -> Vec<(String, u16)> {
        let named = |arg: &String| {
            let (language, port) = arg.strip_prefix("--door-tcp=")?.split_once('=')?;
            Some((language.to_owned(), port.parse().ok()?))
        };
        self.args.iter().filter_map(named).collect()
    }

    /// Where trackers reach a port.
    pub fn way_to(&self, port: u16) -> u16 {
        self.ways.get(&port).copied().unwrap_or(port)
    }

    /// Starts the simulator's fleet with more flags; by the door, if there is one.
    pub fn fleet(&self, more: &[&str]) -> Child {
        let broker = Config::read(&self.config()).unwrap().broker;
        let port = self.way_to(self.door_port().unwrap_or(broker.port));
        Command::new(simulator())
            .args(["fleet", "--broker", &format!("localhost:{port}"), "--ca"])
            .arg(broker.ca_file)
            .arg("--credentials")
            .arg(self.folder.join("trackers"))
            .args(more)
            .spawn()
            .unwrap()
    }

    /// Identifier and password of tracker number `n`, from 0.
    pub fn tracker(&self, n: usize) -> (String, String) {
        let text = fs::read_to_string(self.folder.join("trackers")).unwrap();
        let mut words = text.lines().nth(n).unwrap().split(' ');
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    }

    /// Publishes as a user of the broker and waits for every PUBACK.
    pub async fn publish(&self, user: &str, password: &str, messages: Vec<(String, Vec<u8>)>) {
        self.publish_as(&format!("test-{}", rand::random::<u32>()), user, password, messages).await;
    }

    /// The same under a client id of one's choice.
    pub async fn publish_as(&self, client: &str, user: &str, password: &str, messages: Vec<(String, Vec<u8>)>) {
        let mut broker = Config::read(&self.config()).unwrap().broker;
        let secret = self.folder.join("test-secret");
        fs::write(&secret, password).unwrap();
        (broker.username, broker.password_file, broker.socket) = (user.to_owned(), secret, None);
        broker.port = self.door_port().unwrap_or(broker.port);
        let since = Instant::now();
        // The broker admits trackers once our sessions are there; until then they try again.
        let (client, mut events) = loop {
            let options = rideguard::ingest::client_options::options(&broker, client).unwrap();
            let (client, mut events) = AsyncClient::new(options, 1000);
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break (client, events),
                other => assert!(since.elapsed() < PATIENCE, "{user} is not admitted: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let (mut acked, count) = (0, messages.len());
        for (topic, payload) in messages {
            client.try_publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
        }
        while acked < count {
            assert!(since.elapsed() < PATIENCE, "{acked} of {count} messages were acknowledged");
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::PubAck(_)) => acked += 1,
                Event::Outgoing(Outgoing::Disconnect) => break,
                _ => {}
            }
        }
        client.try_disconnect().unwrap();
        while events.poll().await.is_ok() {}
    }
}

/// `v1/{shard}/{ident}/up`
pub fn topic(ident: &str) -> String {
    format!("v1/{}/{ident}/up", Shard::of(ident).0)
}

fn spawn(args: &[String], folder: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("test.log")).unwrap();
    // SIGXFSZ is ignored, also by whom it starts: a file that may not grow is an error, not an end.
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", program()])
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|s| s.is_none()) {
            self.interrupt();
        }
        // A test that killed it may have left the servants behind.
        for file in ["services/postgres/data/postmaster.pid", "services/mosquitto/mosquitto.pid"] {
            let pid =
                fs::read_to_string(self.folder.join(file)).ok().and_then(|t| t.lines().next()?.trim().parse().ok());
            if let Some(pid) = pid {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("what the program said ({}):\n{}", self.folder.display(), self.log());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Somebody who has logged in.
pub struct Person {
    pub token: String,
    http: String,
}

impl Person {
    /// The first of an officer's grants.
    pub async fn grant(&self) -> String {
        self.get("/grants").await["grants"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Status and body of an answer, which is as the OpenAPI document says.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask_of_version(method, path, None, body).await
    }

    /// The same of the version that was seen.
    pub async fn ask_of_version(
        &self,
        method: &str,
        path: &str,
        version: Option<i64>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let url = format!("http://{}/api/v1{path}", self.http);
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), url)
            .header("Authorization", format!("Bearer {}", self.token));
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        if let Some(version) = version {
            request = request.header("If-Match", format!("\"{version}\""));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let answer = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        crate::support::shapes::must_fit(method, path, status, &answer);
        (status, answer)
    }

    /// The body of a GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// One provider of cryptography for the test's own clients.
pub fn use_ring() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// What a command that must succeed printed.
pub fn lines(output: &Output) -> Vec<String> {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A tracker, by its number, tells where it is, twenty times.
pub async fn tell(up: &Up, number: usize) {
    let (ident, password) = up.tracker(number);
    let messages = (0..20).map(|n| {
        let at_ms = now().micros() / 1000 + n;
        let text = format!(r#"{{"v":1,"id":"{ident}","fixes":[{{"t":{at_ms},"lat":28.55,"lon":112.35{n}}}]}}"#);
        (topic(&ident), text.into_bytes())
    });
    let before = up.count("SELECT count(*) FROM fix").await;
    up.publish(&ident, &password, messages.collect()).await;
    up.wait_for("SELECT count(*) FROM fix", before + 20).await;
}

/// Until every lane knows what people have set.
pub async fn settled(up: &Up) {
    up.wait_for(
        "SELECT (count(*) = 16)::int::bigint FROM lane l WHERE applied = journaled
            AND setting_cursor >= (SELECT coalesce(max(setting_id), 0) FROM setting s WHERE s.lane IS NULL OR s.lane = l.lane)",
        1,
    )
    .await;
}
