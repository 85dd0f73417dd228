//! From a tracker's publish to the owner's webhook, at 1,000, 10,000 and 30,000 fixes/s, everything on
//! this machine. `RIDEGUARD_BENCH_RATES` (`1000,10000`) leaves rates out.
//!
//! The real program with its PostgreSQL and Mosquitto (TLS, ACL), 600 trackers on connections of
//! their own, an open-loop load, thefts hidden in it. For each theft: the time from the publish of
//! the packet that raised the alert to the arrival of the webhook.

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use rideguard::clock::now;
use rideguard::config::Config;
use rideguard::domain::Timestamp;
use rideguard::store::registry;
use rideguard::store::{self, Role};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TRACKERS: usize = 600;
/// The rate that must be held, fixes/s; above it a machine may have its limit.
const NOMINAL: u32 = 1000;
/// Fixes a second, and for how long.
const LOADS: [(u32, u32); 3] = [(NOMINAL, 70), (10_000, 45), (30_000, 45)];

/// Plate, when the packet came, when the webhook came.
type Arrivals = Arc<Mutex<Vec<(String, Timestamp, Timestamp)>>>;

struct Program(Child, PathBuf);

impl Drop for Program {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let asked = std::env::var("RIDEGUARD_BENCH_RATES").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (rate_per_s, duration_s) in LOADS {
        if asked.is_empty() || asked.split(',').any(|a| a == rate_per_s.to_string()) {
            match runtime.block_on(measure(rate_per_s, duration_s)) {
                Err(error) if rate_per_s > NOMINAL => eprintln!("at {rate_per_s}/s: not held: {error}"),
                measured => measured?,
            }
        }
    }
    Ok(())
}

async fn measure(rate_per_s: u32, duration_s: u32) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
    std::fs::create_dir(&folder)?;
    std::os::unix::fs::chown(&folder, None, None)?;
    let http = format!("127.0.0.1:{}", rideguard::supervisor::free_port()?);
    let metrics = format!("127.0.0.1:{}", rideguard::supervisor::free_port()?);
    let log = std::fs::File::create(folder.join("log"))?;
    let program = Program(
        Command::new(env!("CARGO_BIN_EXE_rideguard"))
            .args(["up", "--demo", "--demo-without-simulator", "--broker", "--http", &http, "--metrics", &metrics])
            .args(["--demo-vehicles", &TRACKERS.to_string(), "--data"])
            .arg(folder.join("data"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?,
        folder.clone(),
    );
    while !reqwest::get(format!("http://{http}/ready")).await.is_ok_and(|a| a.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let config = Config::read(&folder.join("data/rideguard.toml"))?;
    let arrivals = Arrivals::default();
    prepare(&config, sink(arrivals.clone()).await?).await?;
    let load = load(&folder, &config, rate_per_s, duration_s)?;
    let output = tokio::task::spawn_blocking(move || load.wait_with_output()).await??;
    tokio::time::sleep(Duration::from_secs(3)).await; // what is still on its way
    report(&folder.join("thefts"), &arrivals.lock().expect("no panic"), rate_per_s)?;
    eprint!("at {rate_per_s}/s: {}", String::from_utf8_lossy(&output.stdout));
    drop(program);
    Ok(())
}

/// All vehicles armed; alerts go to our sink.
async fn prepare(config: &Config, webhook: String) -> anyhow::Result<()> {
    let client = store::connect(&store::settings(&config.database, Role::Admin)?, "bench").await?;
    client
        .execute("UPDATE account SET webhook_url = $1, webhook_secret = 'bench' WHERE role = 'owner'", &[&webhook])
        .await?;
    let owned = client.query("SELECT account_id, vehicle_id FROM ownership WHERE valid_to IS NULL", &[]).await?;
    for row in owned {
        registry::arm(&client, row.get(0), row.get(1), true).await?;
    }
    Ok(())
}

/// Listens for alerts.
async fn sink(arrivals: Arrivals) -> anyhow::Result<String> {
    async fn receive(State(arrivals): State<Arrivals>, Json(body): Json<Value>) {
        let came_at = now();
        let alert = &body["alert"];
        let plate = alert["plate"].as_str().unwrap_or_default().to_owned();
        let raised_at = alert["raised_at"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
        if let (Some(raised_at), Some("moved")) = (raised_at, alert["kind"].as_str()) {
            let raised_at = Timestamp::from_micros(raised_at.as_microsecond());
            arrivals.lock().expect("no panic").push((plate, raised_at, came_at));
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/", listener.local_addr()?);
    let router = axum::Router::new().route("/", post(receive)).with_state(arrivals);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

fn load(folder: &Path, config: &Config, rate_per_s: u32, duration_s: u32) -> anyhow::Result<Child> {
    let program = Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
    Ok(Command::new(program)
        .args(["load", "--broker", &format!("localhost:{}", config.broker.port), "--ca"])
        .arg(&config.broker.ca_file)
        .arg("--credentials")
        .arg(folder.join("data/trackers"))
        .args([
            format!("--rate={rate_per_s}"),
            format!("--connections={TRACKERS}"),
            format!("--duration-s={duration_s}"),
        ])
        .args(["--first-theft-s=20", "--theft-every-s=0.25", "--thefts-file"])
        .arg(folder.join("thefts"))
        .stdout(Stdio::piped())
        .spawn()?)
}

/// The packet that raised an alert is the last one its tracker published before it was received.
fn report(thefts: &Path, arrivals: &[(String, Timestamp, Timestamp)], rate_per_s: u32) -> anyhow::Result<()> {
    let mut published = BTreeMap::<u64, Vec<i64>>::new();
    let text = std::fs::read_to_string(thefts)?;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line)?;
        let ident = row["ident"].as_str().unwrap_or_default();
        let number: u64 = ident.trim_start_matches("yy").trim_start_matches("0138").parse()?;
        published.entry(number).or_default().push(row["published_at_us"].as_i64().unwrap_or_default());
    }
    let mut took_ms: Vec<f64> = Vec::new();
    for (plate, raised_at, came_at) in arrivals {
        let number: u64 = plate.chars().filter(char::is_ascii_digit).collect::<String>().parse()?;
        let before = published.get(&number).and_then(|p| p.iter().rfind(|at| **at <= raised_at.micros()));
        if let Some(before) = before {
            took_ms.push((came_at.micros() - before) as f64 / 1000.0);
        }
    }
    took_ms.sort_by(f64::total_cmp);
    anyhow::ensure!(took_ms.len() * 2 > published.len(), "{} alerts for {} thefts", took_ms.len(), published.len());
    let share = |p: f64| took_ms[((took_ms.len() - 1) as f64 * p).round() as usize];
    let (stage, at) = match rate_per_s {
        NOMINAL => ("chain", String::new()),
        rate => ("ingest", format!("_at_{rate}")),
    };
    println!("{stage}.thefts{at}: {} alerts", took_ms.len());
    println!("{stage}.publish_to_webhook_p50{at}: {:.1} ms", share(0.5));
    println!("{stage}.publish_to_webhook_p99{at}: {:.1} ms", share(0.99));
    println!("{stage}.publish_to_webhook_max{at}: {:.1} ms", share(1.0));
    Ok(())
}
