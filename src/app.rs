//! The composition root: which roles run in this process, and how they are stopped.

mod door_process;

use crate::app::door_process::link_secret;
use crate::config::{Broker, Config};
use crate::domain::Lane;
use crate::door::{Door, Surroundings};
use crate::ingest::broker_limits;
use crate::ingest::door_state::DoorState;
use crate::ingest::lane_queue::LaneQueues;
use crate::ingest::places::{Outlet, Places};
use crate::ingest::publisher::{Message, Publisher};
use crate::ingest::remote_doors::RemoteDoors;
use crate::ingest::retained;
use crate::ingest::session::Subscribed;
use crate::link::{HolderSide, hear_news};
use crate::pipeline::{self, LivePublisher, Shared};
use crate::store::tracks::partitions;
use crate::store::{self, Role, migrate};
use crate::telemetry::Metrics;
use crate::{api, notify, protocol, rollup, seal};
use anyhow::bail;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, NoTls};

/// Which roles a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// MQTT to journal to effects.
    pub ingest: bool,
    /// Outbox to people.
    pub notify: bool,
    /// HTTP.
    pub api: bool,
    /// Hot fixes to tracks.
    pub rollup: bool,
    /// The audit to its chain.
    pub seal: bool,
    /// The door without the lanes; with them it is a part of ingest.
    pub door: bool,
}

impl Roles {
    /// Everything: the one-machine mode, where the door is with the lanes.
    pub const ALL: Self = Self { ingest: true, notify: true, api: true, rollup: true, seal: true, door: false };
    /// Nothing.
    pub const NONE: Self = Self { ingest: false, notify: false, api: false, rollup: false, seal: false, door: false };
}

/// Makes the roles, brings the schema up to date and makes what ingest relies on.
///
/// # Errors
/// PostgreSQL is away, could forget, lacks a role, or a migration fails.
pub async fn prepare(config: &Config) -> anyhow::Result<()> {
    store::roles::prepare(&config.database).await?;
    let mut client = store::connect(&store::settings(&config.database, Role::Admin)?, "migrate").await?;
    store::check_durability(&client).await?;
    let applied = migrate::migrate(&mut client).await?;
    if applied > 0 {
        tracing::info!(applied, "Schema migrated");
    }
    let unclear = store::plates::count_unclear(&client).await?;
    if unclear > 0 {
        tracing::warn!(unclear, "Vehicles share a plate or have none; `rideguard admin plates` lists them");
    }
    Ok(partitions::make(&client, config.ingest.hot_days).await.map(drop)?)
}

/// What a process that holds the password of its own role only does instead: it waits until `rideguard migrate` has run.
///
/// # Errors
/// PostgreSQL is away or could forget.
pub async fn wait_for_schema(config: &Config, role: Role, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let client = store::connect(&store::settings(&config.database, role)?, "start").await?;
    store::check_durability(&client).await?;
    let mut is_said = false;
    loop {
        let missing = migrate::count_missing(&client).await?;
        if missing == 0 {
            break;
        }
        if !is_said {
            tracing::warn!(missing, "The schema is of an earlier version; waiting for `rideguard migrate`");
            is_said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            _ = stop.changed() => return Ok(()),
        }
    }
    if role == Role::Ingest {
        partitions::make(&client, config.ingest.hot_days).await?;
    }
    Ok(())
}

/// Puts the profiles of the deployment's folder before the embedded ones; once, before anything is decoded.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn install_profiles(folder: Option<&Path>) -> anyhow::Result<()> {
    match folder {
        Some(folder) => Ok(protocol::dialect::install(&crate::config::read_profiles(folder)?)?),
        None => Ok(()),
    }
}

/// Runs the roles until `stop`. `subscribed` tells when ingest hears every tracker.
///
/// # Errors
/// A setting, port or file that is wrong; failures while running are met by trying again.
pub async fn run(
    config: Config,
    roles: Roles,
    subscribed: Subscribed,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    run_counted(config, roles, Arc::new(Metrics::new()?), subscribed, stop).await
}

/// The same with counters that others count with.
///
/// # Errors
/// As [`run`].
pub async fn run_counted(
    config: Config,
    roles: Roles,
    metrics: Arc<Metrics>,
    subscribed: Subscribed,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    // One cryptography provider for the whole process; a second call (tests) finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    // All below is a service of ours; no tracker's connection goes out from here.
    let config = Config { broker: config.broker.for_services(), ..config };
    let for_prometheus = api::metrics_listener(&config.http).await?;
    let web = if roles.api { Some(api::web_listener(&config.http).await?) } else { None };
    let mut tasks = JoinSet::new();
    // Without a broker, live maps hear of the lanes within this process, or by links.
    let (news, heard) = mpsc::channel(api::NEWS_MAX);
    if !config.broker.enabled {
        if roles.api && !roles.ingest && config.link.workers.is_empty() {
            bail!("broker.enabled is false: `api` needs link.workers, where it hears of the lanes");
        }
        if roles.ingest && !roles.api && config.link.listen.is_none() {
            bail!("broker.enabled is false: `ingest` needs link.listen, where `api` and `door` find it");
        }
    }
    let workers = if config.broker.enabled || roles.ingest { &[][..] } else { &config.link.workers[..] };
    for worker in workers.iter().filter(|_| roles.api) {
        tokio::spawn(hear_news(worker.clone(), link_secret(&config)?, news.clone()));
    }
    let door = DoorState::default();
    if roles.door {
        door_process::start(&mut tasks, &config, &metrics, &door, &stop)?;
    }
    let mut heard = Some(heard);
    if roles.ingest || roles.rollup || roles.notify || roles.seal {
        // Whoever lives with the lanes hears of them; otherwise those at the link do.
        let for_links = if roles.api { None } else { heard.take() };
        start_workers(&mut tasks, &config, roles, &metrics, (&subscribed, &door, (news, for_links)), &stop).await?;
    }
    if let Some(web) = web {
        let waits_for = roles.ingest.then_some((subscribed, door.clone()));
        if let Some(listen) = config.admission.listen {
            let secret = config.admission.secret_file.as_deref().map(crate::config::read_secret).transpose()?;
            let listener = api::listen(listen, "the questions of brokers").await?;
            let router = api::broker_auth_router(&store::settings(&config.database, Role::Api)?, secret.as_deref())?;
            tasks.spawn(api::serve(listener, router, stop.clone()));
        }
        let pools = api::Pools::new(&store::settings(&config.database, Role::Api)?)?;
        let secret = crate::config::read_secret(&config.database.api_password_file)?;
        let factors = api::FactorKey::open(&config.accounts)?;
        let keys = (api::CursorKey::of(&secret)?, factors, api::registry::IdKey::of(&secret)?);
        let (api, router) = api::new(
            pools,
            keys,
            metrics.clone(),
            waits_for,
            Duration::from_secs(config.ingest.tick_every_s),
            config.http.behind_tls_proxy,
        );
        let of_broker =
            config.broker.enabled.then(|| api::Hub::news_of(&broker_of_api(&config.broker)?)).transpose()?;
        if let Some(news) = of_broker.or(heard) {
            tokio::spawn(api.hub().run(news));
        }
        tokio::spawn(api.clone().run_imports());
        tokio::spawn(api.remember_logins());
        tasks.spawn(api::serve(web, router, stop.clone()));
    }
    // Another worker may have some of the lanes; a door without lanes waits for its list alone.
    let door = if roles.door { door } else { DoorState::default() };
    tasks.spawn(api::serve(for_prometheus, api::metrics_router(metrics, door), stop.clone()));
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// How the API reaches the broker. What cannot be read ends the start: without it live maps would stand still.
fn broker_of_api(broker: &Broker) -> anyhow::Result<Broker> {
    if !broker.has_api_user() {
        tracing::warn!(
            username = broker.username,
            "broker.api_username is not set: the API is this user at the broker, which reads every packet"
        );
    }
    let broker = broker.for_api();
    crate::config::read_secret(&broker.password_file)?;
    Ok(broker)
}

/// Where lanes publish; and where links hear of it, if nobody in this process does.
type News = (mpsc::Sender<Message>, Option<mpsc::Receiver<Message>>);

/// Starts what works on the data itself, each as a role of its own.
async fn start_workers(
    tasks: &mut JoinSet<()>,
    config: &Config,
    roles: Roles,
    metrics: &Arc<Metrics>,
    (subscribed, door, (news, heard)): (&Subscribed, &DoorState, News),
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let settings_of = |role| store::settings(&config.database, role);
    for (runs, role) in [
        (roles.ingest, Role::Ingest),
        (roles.notify, Role::Notify),
        (roles.rollup, Role::Rollup),
        (roles.seal, Role::Seal),
    ] {
        if runs && config.database.login(role).is_none() {
            tracing::warn!(
                ?role,
                user = config.database.user,
                "No role of its own in [database]; running with the rights of administration"
            );
        }
    }
    if roles.ingest {
        let database = settings_of(Role::Ingest)?;
        let settings_changed = listen_for("setting", database.clone());
        install_profiles(config.ingest.profiles_dir.as_deref())?;
        let owner = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        let (places, (queues, inboxes)) = (Places::default(), LaneQueues::new());
        let around = Surroundings {
            queues,
            places: places.clone(),
            worker: owner.clone(),
            state: door.clone(),
            metrics: metrics.clone(),
            database: database.clone(),
            changed: listen_for("tracker_credential", database.clone()),
        };
        let remote = RemoteDoors::default();
        if let Some(listen) = config.link.listen {
            if !config.door.listener.is_empty() {
                tracing::info!("link.listen is set: the listeners of [door] are those of `rideguard door`");
            }
            let (queues, remote) = (around.queues, remote.clone());
            let side = HolderSide::open(listen, link_secret(config)?, queues, remote).await?;
            tasks.spawn(side.run(heard.unwrap_or_else(|| mpsc::channel(1).1), stop.clone()));
        } else if let Some(door) = Door::open(&config.door, around, stop.clone())? {
            tasks.spawn(door.run(stop.clone()));
        }
        let dropped = &metrics.publications_dropped;
        let publisher = |name, listener| {
            if config.broker.enabled {
                return Publisher::start(&config.broker, name, dropped.clone());
            }
            Ok(Publisher::without_broker(listener, dropped.clone()))
        };
        let lane_quota = Arc::new(pipeline::lane_quota::LaneQuota::default());
        let shared = Arc::new(Shared {
            lane_quota: lane_quota.clone(),
            outlet: Outlet { places: places.clone(), remote, publisher: publisher("answers", None)? },
            live_publisher: LivePublisher::start(publisher("news", Some(news))?),
            database: database.clone(),
            metrics: metrics.clone(),
            settings_changed,
            subscribed: subscribed.clone(),
            door: door.clone(),
            owner,
            config: config.clone(),
        });
        for (lane, inbox) in Lane::all().zip(inboxes) {
            tasks.spawn(pipeline::run(shared.clone(), lane, inbox, stop.clone()));
        }
        if config.broker.enabled {
            tasks.spawn(check_the_broker(config.clone(), metrics.clone(), stop.clone()));
            tasks.spawn(clear_the_broker(config.clone(), stop.clone()));
        }
        tasks.spawn(lane_quota.follow_workers(database.clone(), shared.owner.clone(), stop.clone()));
        tasks.spawn(keep_partitions(config.clone(), database.clone(), stop.clone()));
    }
    if roles.rollup {
        let database = settings_of(Role::Rollup)?;
        tasks.spawn(rollup::run(config.clone(), database, metrics.clone(), stop.clone()));
    }
    if roles.notify {
        let database = settings_of(Role::Notify)?;
        let outbox_filled = listen_for("outbox", database.clone());
        tasks.spawn(notify::run(config.clone(), database, metrics.clone(), outbox_filled, stop.clone()));
    }
    if roles.seal {
        let sealer = seal::Sealer::open(&config.audit, metrics.clone())?;
        tasks.spawn(sealer.run(settings_of(Role::Seal)?, stop.clone()));
    }
    Ok(())
}

/// Says where the broker's limits are at odds with ours, once it is there.
async fn check_the_broker(config: Config, metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        conflicts = broker_limits::check(config.broker, config.ingest) => metrics.broker_conflicts.set(conflicts as i64),
        _ = stop.changed() => {}
    }
}

/// Takes away what trackers let the broker retain, now and then.
async fn clear_the_broker(config: Config, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = retained::keep_clear(config.broker) => {}
        _ = stop.changed() => {}
    }
}

/// Makes tomorrow's partitions in time, also where the rollup runs elsewhere.
async fn keep_partitions(config: Config, database: tokio_postgres::Config, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
            _ = stop.changed() => return,
        }
        let made = async {
            let client = store::connect(&database, "partitions").await?;
            anyhow::Ok(partitions::make(&client, config.ingest.hot_days).await?)
        };
        if let Err(error) = made.await {
            tracing::error!(error = %format!("{error:#}"), "Creating partitions failed; retrying in an hour, three days are ready");
        }
    }
}

/// Turns PostgreSQL's notices of a channel into a counter that tasks wait on. A lost notice costs a few seconds:
/// everybody also looks by the clock.
pub fn listen_for(channel: &'static str, mut database: tokio_postgres::Config) -> watch::Receiver<u64> {
    let (noticed, seen) = watch::channel(0);
    database.application_name("rideguard notices");
    tokio::spawn(async move {
        loop {
            if let Ok((client, mut connection)) = database.connect(NoTls).await {
                let listen = tokio::spawn(async move {
                    let listening = client.batch_execute(&format!("LISTEN {channel}")).await;
                    listening.map(|()| client)
                });
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notification(_) = message {
                        noticed.send_modify(|n| *n += 1);
                    }
                }
                listen.abort();
            }
            if noticed.is_closed() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    seen
}
