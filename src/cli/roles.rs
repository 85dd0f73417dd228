//! `rideguard ingest`, `api`, `notify`, `rollup`, `seal`, `door`: one role against given servers.

use crate::app::{self, Roles};
use crate::cli::args::SettingsArgs;
use crate::cli::block_on;
use crate::config::Config;
use crate::ingest::session::Subscribed;
use crate::store::Role;
use std::io::Write;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Only ingest.
pub const INGEST: Roles = Roles { ingest: true, ..Roles::NONE };
/// Only the API.
pub const API: Roles = Roles { api: true, ..Roles::NONE };
/// Only notifications.
pub const NOTIFY: Roles = Roles { notify: true, ..Roles::NONE };
/// Only the rollup.
pub const ROLLUP: Roles = Roles { rollup: true, ..Roles::NONE };
/// Only the door: trackers' connections, while the lanes are elsewhere.
pub const DOOR: Roles = Roles { door: true, ..Roles::NONE };
/// Only sealing the audit.
pub const SEAL: Roles = Roles { seal: true, ..Roles::NONE };

/// Runs one role until it is told to stop.
///
/// # Errors
/// A setting, file, port or service that is wrong.
pub fn run(args: SettingsArgs, roles: Roles) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    block_on(async {
        let stop = stop_signal()?;
        start(&config, roles, stop.clone()).await?;
        app::run(config, roles, Subscribed::default(), stop).await
    })
}

/// With a password of its own a process waits until others have made what it needs. Without one it holds that of the
/// administration, and makes it itself, as before there were such roles.
async fn start(config: &Config, roles: Roles, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let (role, makes) = match roles {
        INGEST => (Role::Ingest, true),
        ROLLUP => (Role::Rollup, true),
        NOTIFY => (Role::Notify, false),
        DOOR => (Role::Door, false),
        _ => return Ok(()), // the API says that it is not ready
    };
    match config.database.login(role) {
        Some(_) => app::wait_for_schema(config, role, stop).await,
        None if makes => app::prepare(config).await,
        None => Ok(()),
    }
}

/// Turns SIGINT, SIGTERM and a closed terminal (SIGHUP) into one wish to stop: the managed services are in
/// process groups of their own and would outlive us otherwise.
pub(super) fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (tell, told) = watch::channel(false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let _ = tell.send(true);
        drop(writeln!(std::io::stderr(), "Stopping …"));
        tell.closed().await;
    });
    Ok(told)
}
