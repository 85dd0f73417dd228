//! The door as a process of its own: listeners here, lanes elsewhere.

use crate::app::{install_profiles, listen_for};
use crate::config::{Config, read_secret};
use crate::domain::{Lane, shard::LANES};
use crate::door::{Door, Surroundings};
use crate::ingest::door_state::DoorState;
use crate::ingest::lane_queue::LaneQueues;
use crate::ingest::places::Places;
use crate::link::{DoorSide, Secret};
use crate::store::journal::spool::Spool;
use crate::store::{self, Role};
use crate::telemetry::Metrics;
use anyhow::{Context, ensure};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The secret of links.
///
/// # Errors
/// It is missing or too short.
pub(super) fn link_secret(config: &Config) -> anyhow::Result<Secret> {
    let file = config.link.secret_file.as_deref().context("link.secret_file is missing")?;
    Secret::new(&read_secret(file)?)
}

/// Takes the folder of the spool for this process: two doors in one would overwrite each other's files.
fn lock(root: &Path) -> anyhow::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .with_context(|| format!("cannot make {}", root.display()))?;
    let file = File::create(root.join("lock"))?;
    let taken = file.try_lock().map_err(anyhow::Error::from);
    taken.with_context(|| {
        format!("another door uses {} (link.spool_dir); each needs a folder of its own", root.display())
    })?;
    Ok(file)
}

/// Opens the listeners, and looks for the holder of each lane.
///
/// # Errors
/// A setting that is missing, a port that is busy, a file that cannot be read.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    config: &Config,
    metrics: &Arc<Metrics>,
    state: &DoorState,
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    ensure!(!config.door.listener.is_empty(), "door.listener is missing: `rideguard door` listens there");
    ensure!(!config.link.workers.is_empty(), "link.workers is missing: `rideguard door` finds the lanes there");
    let to_workers: (Arc<[String]>, _) = (config.link.workers.clone().into(), link_secret(config)?);
    install_profiles(config.ingest.profiles_dir.as_deref())?;
    let bound = (config.link.spool_mb_max * 1_000_000 / u64::from(LANES), "link.spool_mb_max");
    let root = config.link.spool_dir.as_deref();
    let locked = root.map(lock).transpose()?;
    let spools = Lane::all().map(|lane| root.map(|root| Spool::open(root, lane, bound)).transpose());
    let spools = spools.collect::<anyhow::Result<Vec<_>>>()?;
    let (places, (queues, inboxes)) = (Places::default(), LaneQueues::new());
    let database = store::settings(&config.database, Role::Door)?;
    let around = Surroundings {
        queues,
        places: places.clone(),
        worker: format!("door-{}-{:08x}", std::process::id(), rand::random::<u32>()),
        state: state.clone(),
        metrics: metrics.clone(),
        changed: listen_for("tracker_credential", database.clone()),
        database,
    };
    Lane::all().for_each(|lane| state.note_lane(lane)); // its packets wait here, whoever holds it
    for ((lane, inbox), spool) in Lane::all().zip(inboxes).zip(spools) {
        let side = DoorSide::new(lane, inbox, places.clone(), metrics.clone(), to_workers.clone(), spool);
        tasks.spawn(side.run(stop.clone()));
    }
    if let Some(door) = Door::open(&config.door, around, stop.clone())? {
        let stop = stop.clone();
        tasks.spawn(async move {
            door.run(stop).await;
            drop(locked); // the spool is this process's until its end
        });
    }
    Ok(())
}
