//! `rideguard up`: the whole system on this machine.

mod admission;
mod gate;

use crate::api;
use crate::app::{self, Roles};
use crate::cli::roles::stop_signal;
use crate::cli::up::admission::Admission;
use crate::cli::up::gate::{Gate, broker_settings, door_settings, language_port};
use crate::cli::{announce, block_on, demo};
use crate::config::{self, Accounts, Audit, Config, Http, Ingest, Journal, Notify, Retention, Rollup};
use crate::ingest::session::Subscribed;
use crate::store::{self, Role, accounts};
use crate::supervisor::broker::{self, Mosquitto};
use crate::supervisor::data_dir::write_private;
use crate::supervisor::postgres::Postgres;
use crate::supervisor::{Folder, postgres};
use crate::telemetry::Metrics;
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Flags of `up`.
#[derive(Parser)]
#[command(group = clap::ArgGroup::new("trackers_port").args(["mqtt_port", "door_port"]).multiple(true))]
pub struct Args {
    /// Data folder: database, broker, secrets.
    #[arg(long, default_value = "./data")]
    pub data: PathBuf,
    /// Where the web page is served (loopback).
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// People come through a proxy that speaks TLS: cookies are then Secure.
    #[arg(long)]
    pub behind_tls_proxy: bool,
    /// Where Prometheus may read metrics.
    #[arg(long, default_value = "127.0.0.1:9188")]
    pub metrics: SocketAddr,
    /// TLS port where trackers connect by MQTT: to RideGuard itself, or to the private broker where there is one; a free one if
    /// not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub mqtt_port: Option<u16>,
    /// Host name under which trackers connect from outside: every address is then listened on, and the certificate bears this
    /// name. Without it trackers connect from this machine only.
    #[arg(long, alias = "mqtt-public", requires = "trackers_port")]
    pub mqtt_hostname: Option<String>,
    /// Another TLS port for MQTT at RideGuard itself, as beside a private broker.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub door_port: Option<u16>,
    /// Starts a private broker (Mosquitto) at --mqtt-port, for other programs that subscribe there. A data folder that has one
    /// keeps it.
    #[arg(long)]
    pub broker: bool,
    /// Starts no private broker, as in a new data folder; refused in one whose broker may keep packets.
    #[arg(long, conflicts_with = "broker")]
    pub without_broker: bool,
    /// Port of the door for trackers that speak their language without MQTT, as jt808=6808; several may be given. Languages: gt06,
    /// h02, jt808, teltonika.
    #[arg(long, value_name = "LANGUAGE=PORT", value_parser = language_port)]
    pub door_tcp: Vec<(config::Language, u16)>,
    /// The same by UDP: h02, teltonika.
    #[arg(long, value_name = "LANGUAGE=PORT", value_parser = language_port)]
    pub door_udp: Vec<(config::Language, u16)>,
    /// Oldest plausible fix, days.
    #[arg(long, default_value_t = 30)]
    pub max_fix_age_days: u32,
    /// File on another disk or machine that gets the heads of the audit, too; several may be given.
    #[arg(long)]
    pub copy_audit_heads_to: Vec<PathBuf>,
    /// Plays a city of 200 vehicles with a staged theft, and makes a login for each role.
    #[arg(long)]
    pub demo: bool,
    /// Vehicles of the demonstration.
    #[arg(long, requires = "demo", default_value_t = 200, value_parser = clap::value_parser!(u16).range(3..=5000))]
    pub demo_vehicles: u16,
    /// Makes the demonstration's people and vehicles, and plays nothing.
    #[arg(long, requires = "demo")]
    pub demo_without_simulator: bool,
}

/// The whole system on this machine.
///
/// # Errors
/// A missing program, a busy port, a data folder in use.
pub fn up(args: Args) -> anyhow::Result<()> {
    // Before anything is made.
    postgres::bin_folder()?;
    if args.demo && !args.demo_without_simulator {
        demo::simulator()?;
    }
    // The folder's lock comes before the ports: a second start in one folder meets both.
    let folder = Folder::open(&args.data)?;
    let gate = Gate::new(&folder, &args)?;
    if args.demo {
        demo::make_credentials(&folder.path("trackers"), args.demo_vehicles)?;
    }
    let mut postgres = Postgres::start(&folder, None)?;
    let mut broker = match gate.start_broker(&folder, &args) {
        Ok(broker) => broker,
        Err(error) => {
            postgres.stop();
            return Err(error);
        }
    };
    let result = write_settings(&folder, &args, &postgres, (broker.as_ref(), &gate.door))
        .and_then(|config| block_on(together(&args, (&folder, &gate), config, &mut postgres, broker.as_mut())));
    if let Some(broker) = &mut broker {
        broker.stop();
    }
    postgres.stop();
    result
}

async fn together(
    args: &Args,
    (folder, gate): (&Folder, &Gate),
    config: Config,
    postgres: &mut Postgres,
    mut broker: Option<&mut Mosquitto>,
) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    // The superuser stands in no settings file: this start alone knows it.
    let mut with_superuser = config.clone();
    with_superuser.database = postgres.settings(folder)?;
    app::prepare(&with_superuser).await?;
    let demo = if args.demo {
        Some(demo::Demo::prepare(args.demo_vehicles, args.demo_without_simulator, folder, &config).await?)
    } else {
        None
    };
    let setup_address = offer_set_up(args, &config).await?;
    let subscribed = Subscribed::default();
    let (metrics, mut foreign) = (Arc::new(Metrics::new()?), 0);
    // Its role may ask for the broker's users; the administration's would do, which may everything.
    let asks_as = store::settings(&config.database, Role::Ingest)?;
    let mut admitted_changed = app::listen_for("tracker_credential", asks_as.clone());
    let mut admission = Admission::new(asks_as, folder.path("trackers"));
    let run = app::run_counted(config, Roles::ALL, metrics.clone(), subscribed.clone(), stop.clone());
    let mut running = tokio::spawn(run);
    while !subscribed.is_complete() && !running.is_finished() && !*stop.borrow() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    admission.look().await;
    if let Some(broker) = broker.as_deref() {
        admission.tell(folder, broker)?;
    }
    let port = broker.as_deref().map(|broker| broker.port).or(gate.mqtt_port()).unwrap_or_default();
    let mut playing = match demo {
        Some(demo) => demo.play((port, gate.said(port)), stop.clone()).await?,
        None => {
            announce(format_args!("RideGuard is at http://{}  (Ctrl-C stops it)", args.http));
            announce(format_args!("{}", gate.said(port)));
            if let Some(address) = setup_address {
                announce(format_args!("Nobody can log in yet. Make the first administrator at\n  {address}"));
            }
            None
        }
    };
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let result = loop {
        tokio::select! {
            ended = &mut running => break ended?,
            Ok(()) = admitted_changed.changed(), if broker.is_some() => admission.look().await,
            // As at the first start: first our sessions, then the trackers.
            () = until(admission.due_at()), if broker.is_some() && subscribed.is_complete() => {
                if let Some(Err(error)) = broker.as_deref().map(|broker| admission.tell(folder, broker)) {
                    tracing::error!(error = %format!("{error:#}"), "The broker was not told whom to let in; retrying");
                }
            }
            _ = look.tick() => {
                if *stop.borrow() {
                    continue;
                }
                bring_back_database(folder, postgres);
                let Some(broker) = broker.as_deref_mut() else { continue };
                if bring_back_broker(args, folder, broker, &subscribed) {
                    admission.forget_broker();
                }
                admission.look().await;
                let told = std::mem::replace(&mut foreign, broker.foreign_subscriptions());
                metrics.foreign_subscriptions.inc_by(foreign.checked_sub(told).unwrap_or(foreign)); // less: another broker
            }
        }
    };
    if let Some(simulator) = &mut playing {
        demo::end(simulator).await;
    }
    result
}

/// The address of the first start, while there is no administrator; that of an earlier start is dead.
async fn offer_set_up(args: &Args, config: &Config) -> anyhow::Result<Option<String>> {
    let client = store::connect(&store::settings(&config.database, Role::Admin)?, "set up").await?;
    if args.demo || accounts::has_administrator(&client).await? {
        return Ok(None);
    }
    let code = api::new_code();
    accounts::put_setup_code(&client, &api::digest_of_code(&code)).await?;
    Ok(Some(accounts::setup_address(&config.http, &code)))
}

/// Waits until then; for ever where there is nothing to wait for.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Starts PostgreSQL again if it ended, on the port that everybody knows. What fails is tried again
/// at the next look: broker and page go on meanwhile.
fn bring_back_database(folder: &Folder, postgres: &mut Postgres) {
    if postgres.is_alive() {
        return;
    }
    tracing::error!("PostgreSQL ended; restarting it");
    match Postgres::start(folder, Some(postgres.port)) {
        Ok(started) => *postgres = started,
        Err(error) => tracing::error!(error = %format!("{error:#}"), "PostgreSQL did not restart; retrying"),
    }
}

/// The same for Mosquitto; says whether a new one is there, which lets nobody in but ourselves.
fn bring_back_broker(args: &Args, folder: &Folder, broker: &mut Mosquitto, subscribed: &Subscribed) -> bool {
    if broker.is_alive() {
        return false;
    }
    tracing::error!("Mosquitto ended; restarting it");
    subscribed.forget_all();
    match broker.start_again(folder, args.mqtt_hostname.as_deref()) {
        Ok(started) => {
            *broker = started;
            true
        }
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Mosquitto did not restart; retrying");
            false
        }
    }
}

/// Writes the settings that the other commands of this data folder read.
fn write_settings(
    folder: &Folder,
    args: &Args,
    postgres: &Postgres,
    (broker, door): (Option<&Mosquitto>, &config::Door),
) -> anyhow::Result<Config> {
    let journal_key_file = folder.key("journal-key")?;
    let audit_key_file = folder.key("audit-key")?;
    let account_key_file = folder.key("account-key")?;
    let copy_heads_to = args.copy_audit_heads_to.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
    let config = Config {
        database: postgres.settings(folder)?,
        broker: broker.map_or_else(|| broker::none(folder), Mosquitto::settings),
        ingest: Ingest { max_fix_age_days: args.max_fix_age_days, ..Ingest::default() },
        http: Http { listen: args.http, metrics_listen: args.metrics, behind_tls_proxy: args.behind_tls_proxy },
        notify: Notify { allow_private_webhooks: args.demo, allow_http_webhooks: args.demo, ..Notify::default() },
        rollup: Rollup::default(),
        retention: Retention::default(),
        journal: Journal { key_file: Some(journal_key_file), ..Journal::default() },
        admission: config::Admission::default(), // its broker reads a file
        link: config::Link::default(),           // all is in this process
        door: door.clone(),
        audit: Audit { key_file: Some(audit_key_file), copy_heads_to, ..Audit::default() },
        accounts: Accounts { key_file: Some(account_key_file) },
    };
    let (d, b) = (&config.database, &config.broker);
    let roles: String = ["api", "door", "ingest", "notify", "rollup", "seal"]
        .iter()
        .map(|role| format!("{role}_user = \"rideguard_{role}\"\n{role}_password_file = \"secrets/database-{role}\"\n"))
        .collect();
    let broker = broker_settings(b);
    write_private(
        &folder.path("rideguard.toml"),
        &format!(
            "# Written by `rideguard up` at every start, for the other commands of this data folder.
[database]\nhost = {:?}\nport = {}\nname = {:?}\nuser = {:?}\npassword_file = \"secrets/database\"\n{roles}
{broker}
[ingest]\nmax_fix_age_days = {}\nspool_dir = \"spool\"\n
[http]\nlisten = \"{}\"\nmetrics_listen = \"{}\"\nbehind_tls_proxy = {}\n
[notify]\nallow_private_webhooks = {}\nallow_http_webhooks = {}\n
[journal]\nkey_file = \"secrets/journal-key\"\n
[audit]
key_file = \"secrets/audit-key\"
public_key_file = \"audit-key.pub\"
heads_file = \"audit-heads.jsonl\"
copy_heads_to = {:?}\n
[accounts]\nkey_file = \"secrets/account-key\"\n{}",
            d.host,
            d.port,
            d.name,
            d.user,
            args.max_fix_age_days,
            args.http,
            args.metrics,
            args.behind_tls_proxy,
            args.demo,
            args.demo,
            config.audit.copy_heads_to,
            door_settings(&config.door)
        ),
    )?;
    Config::read(&folder.path("rideguard.toml"))
}
