//! `rideguard ingest`, `api`, `notify`, `rollup`, `seal`: one role against given servers.

use crate::app::{self, Roles};
use crate::cli::args::SettingsArgs;
use crate::cli::block_on;
use crate::config::Config;
use crate::ingest::session::Subscribed;
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
/// Only sealing the audit.
pub const SEAL: Roles = Roles { seal: true, ..Roles::NONE };

/// Runs one role until it is told to stop.
///
/// # Errors
/// A setting, file, port or service that is wrong.
pub fn run(args: SettingsArgs, roles: Roles) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    block_on(async {
        if roles.ingest || roles.rollup {
            app::prepare(&config).await?;
        }
        let stop = stop_signal()?;
        app::run(config, roles, Subscribed::default(), stop).await
    })
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
