//! The demonstration: people, 200 vehicles around Yiyang, a local webhook, and a staged theft.

use crate::api::hash_password;
use crate::cli::announce;
use crate::config::Config;
use crate::domain::{Plate, Profile};
use crate::store::registry;
use crate::store::registry::NewAccount;
use crate::store::{self, Role, plates};
use crate::supervisor::Folder;
use crate::supervisor::data_dir::write_private;
use anyhow::Context;
use axum::Json;
use axum::routing::post;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_postgres::Client;

/// The vehicle that is stolen; the demonstration's owner owns it and two more.
const STOLEN: usize = 1;
/// When, in seconds after the simulator's start: guard points are known by then.
const THEFT_AFTER_S: &str = "45";
/// Vehicles of the owner who can log in.
const OWNED: usize = 3;

/// Ids have 53 bits at most (schema 0043), which a number of JavaScript holds exactly.
const ID_MAX: i64 = (1 << 53) - 1;

/// A demonstration that is ready to be played.
pub struct Demo {
    address: String,
    logins: Vec<(String, String)>,
    trackers_file: PathBuf,
    ca_file: PathBuf,
    truth_file: PathBuf,
    vehicles: u16,
    webhook: tokio::net::TcpListener,
    stolen: String,
    without_simulator: bool,
}

/// Every other tracker speaks JT/T 808, whose identifiers are phone numbers.
fn tracker(n: usize) -> (String, &'static str) {
    if n.is_multiple_of(2) { (format!("0138{n:08}"), "jt808") } else { (format!("yy{n:06}"), "json") }
}

/// Makes the trackers' credentials at the first start; they are kept in `trackers`, 0600.
pub fn make_credentials(path: &Path, vehicles: u16) -> anyhow::Result<()> {
    let mut text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    for n in text.lines().count() + 1..=usize::from(vehicles) {
        let (ident, protocol) = tracker(n);
        text.push_str(&format!("{ident} {} {protocol}\n", hex::encode(rand::random::<[u8; 12]>())));
    }
    write_private(path, &text)
}

/// Enters the demonstration's people, vehicles and trackers, or finds those of an earlier time.
///
/// # Errors
/// A login is missing, or the database's own word.
pub async fn enter(
    client: &Client,
    logins: &[(String, String)],
    vehicles: u16,
    webhook: Option<(&str, &str)>,
) -> anyhow::Result<()> {
    let nobody = hex::encode(rand::random::<[u8; 16]>());
    let account = |login: &'static str, name, role, unit, webhook| {
        let password = logins.iter().find(|(l, _)| l == login).map_or(nobody.as_str(), |(_, p)| p.as_str());
        let hash = hash_password(password);
        async move {
            registry::put_account(
                client,
                &NewAccount {
                    login,
                    name,
                    role,
                    password_hash: &hash?,
                    unit,
                    webhook,
                    drops_webhook: false,
                    without_second_factor: true,
                },
            )
            .await
        }
    };
    let bureau = Some(("益阳市公安局", "police", "Demo unit"));
    let owner = account("owner", "陈女士 (demo owner)", "owner", None, webhook).await?;
    let others = account("city", "Other owners of the demo", "owner", None, None).await?;
    let officer = account("police", "李警官 (demo officer)", "police", bureau, None).await?;
    let approver = account("police-lead", "Demo approver", "police", bureau, None).await?;
    let operations = Some(("行车卫士运营", "operator", "Demo unit"));
    account("operator", "王工 (demo operator)", "operator", operations, None).await?;
    let known = registry::plates_with_tracker(client).await?;
    for n in 1..=usize::from(vehicles) {
        if known.contains(&plate(n)) {
            continue; // made by an earlier start, and nobody has been erased with it
        }
        let (ident, protocol) = tracker(n);
        let kind = if n % 5 == 0 { "motorcycle" } else { "ebike" };
        let holder = if n <= OWNED { owner } else { others };
        plates::put_with_id(client, vehicle_id(n), &Plate::parse(&plate(n))?, kind).await?;
        let (vehicle, _) = registry::put_vehicle(client, &plate(n), kind, "Demo", holder).await?;
        let tracker = registry::put_tracker(client, &ident, &Profile::of(protocol)).await?;
        registry::install(client, tracker, vehicle, false).await?;
    }
    if known.is_empty() {
        registry::put_grant(client, officer, approver, "DEMO-2026-001", "demonstration", (3650.0, 30)).await?;
    }
    let (stolen, _) = registry::put_vehicle(client, &plate(STOLEN), "ebike", "Demo", owner).await?;
    // Anew at every start, so that the theft can be staged again.
    registry::arm(client, owner, stolen, true).await?;
    Ok(())
}

fn plate(n: usize) -> String {
    format!("湘H·D{n:04}")
}

/// The same in every demonstration, so that the incidents of two runs can be compared; elsewhere ids are random.
fn vehicle_id(n: usize) -> i64 {
    let digest = Sha256::digest(format!("demo vehicle {n}"));
    digest[..8].iter().fold(0, |id, byte| id << 8 | i64::from(*byte)) & ID_MAX
}

impl Demo {
    /// Makes people, vehicles and trackers, or finds those of an earlier start.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn prepare(
        vehicles: u16,
        without_simulator: bool,
        folder: &Folder,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let client = store::connect(&store::settings(&config.database, Role::Admin)?, "demo").await?;
        // Opened now and kept: a port that was only chosen may be somebody else's when it is needed.
        let webhook = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("the demonstration's webhook")?;
        let logins = logins(&folder.path("demo-logins"))?;
        let (_, webhook_secret) = folder.secret("demo-webhook")?;
        let webhook_url = format!("http://{}/webhook", webhook.local_addr()?);
        enter(&client, &logins, vehicles, Some((&webhook_url, &webhook_secret))).await?;
        Ok(Self {
            address: format!("http://{}", config.http.listen),
            logins,
            trackers_file: folder.path("trackers"),
            ca_file: config.broker.ca_file.clone(),
            truth_file: folder.path("demo-truth.jsonl"),
            vehicles,
            webhook,
            stolen: tracker(STOLEN).0,
            without_simulator,
        })
    }

    /// Starts the webhook's receiver and the simulator, which connects to `mqtt_port`, and says where everything is.
    ///
    /// # Errors
    /// The simulator is not beside this program.
    pub async fn play(
        self,
        (mqtt_port, gate): (u16, String),
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Option<Child>> {
        let router = axum::Router::new().route("/webhook", post(receive));
        tokio::spawn(async move {
            let _ = axum::serve(self.webhook, router)
                .with_graceful_shutdown(async move { drop(stop.wait_for(|s| *s).await) })
                .await;
        });
        announce(format_args!("\nRideGuard 行车卫士 is at {}  (Ctrl-C stops it)", self.address));
        announce(format_args!("{gate}"));
        for (login, password) in &self.logins {
            announce(format_args!("  log in as {login:<9} password {password}"));
        }
        if self.without_simulator {
            return Ok(None);
        }
        announce(format_args!(
            "Vehicle {} will be stolen in about {THEFT_AFTER_S} s; its alert shows here, in the page and at a local webhook.\n",
            plate(STOLEN)
        ));
        let simulator = Command::new(simulator()?)
            .arg("fleet")
            .args(["--broker", &format!("localhost:{mqtt_port}")])
            .arg("--ca")
            .arg(&self.ca_file)
            .arg("--credentials")
            .arg(&self.trackers_file)
            .args([
                "--vehicles",
                &self.vehicles.to_string(),
                "--seed",
                "20180801",
                "--theft-vehicle",
                &self.stolen,
                "--theft-after-s",
                THEFT_AFTER_S,
            ])
            .arg("--truth")
            .arg(&self.truth_file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the simulator")?;
        Ok(Some(simulator))
    }
}

/// The simulator, which is built beside this program.
///
/// # Errors
/// It is not there.
pub fn simulator() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("simulator");
    anyhow::ensure!(
        program.exists(),
        "the simulator is missing ({}): build it with cargo build --workspace",
        program.display()
    );
    Ok(program)
}

/// Stops the simulator and waits for it.
pub async fn end(simulator: &mut Child) {
    if let Some(pid) = simulator.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(Duration::from_secs(5), simulator.wait()).await.is_err() {
        let _ = simulator.kill().await;
    }
}

/// The demonstration's webhook: prints what came.
async fn receive(Json(body): Json<Value>) -> &'static str {
    let alert = &body["alert"];
    let text = |key: &str| alert[key].as_str().unwrap_or("?").to_owned();
    announce(format_args!(
        "⚠ ALERT {} {} at {} (webhook delivery {})",
        text("plate"),
        text("kind"),
        text("raised_at"),
        body["delivery"].as_str().unwrap_or("?")
    ));
    "ok"
}

/// Reads or makes the file of demonstration logins: login and password, one pair a line, 0600.
pub fn logins(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    if !path.exists() {
        let line = |login: &str| format!("{login} {}\n", hex::encode(rand::random::<[u8; 6]>()));
        write_private(path, &["owner", "police", "operator"].map(line).concat())?;
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().filter_map(|l| l.split_once(' ')).map(|(l, p)| (l.to_owned(), p.trim().to_owned())).collect())
}
