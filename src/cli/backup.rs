//! `rideguard backup`: copies a running deployment.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::clock::now;
use crate::store;
use crate::supervisor::backup;
use clap::Parser;
use std::path::PathBuf;

/// Flags of `backup`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Folder of the backup; empty or missing.
    folder: PathBuf,
}

/// Backs a running deployment up.
///
/// # Errors
/// The database is away, a program is missing, or the folder is in use.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, major) = block_on(async {
        let (config, client) = connect(&args.settings).await?;
        store::must_hold_everything(&client).await?;
        let major = store::server_major(&client).await?;
        Ok((config, major))
    })?;
    let about = backup::make(&config, &args.settings.config, major, now().to_string(), &args.folder)?;
    let folder = args.folder.display();
    Ok(say(format_args!("{folder} holds everything as of {} (PostgreSQL {})", about.made_at, about.postgres))?)
}
