//! `rideguard backup` and `rideguard restore`.

use crate::cli::backstage::connect;
use crate::cli::up::RoleArgs;
use crate::cli::{block_on, say};
use crate::clock::now;
use crate::store;
use crate::supervisor::backup;
use clap::Parser;
use std::path::PathBuf;

/// Flags of `backup`.
#[derive(Parser)]
pub struct BackupArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Folder of the backup; empty or missing.
    folder: PathBuf,
}

/// Flags of `restore`.
#[derive(Parser)]
pub struct RestoreArgs {
    /// Folder of the backup.
    folder: PathBuf,
    /// Data folder to make for `rideguard up`; empty or missing.
    #[arg(long)]
    data: PathBuf,
}

/// Backs a running deployment up.
///
/// # Errors
/// The database is away, a program is missing, or the folder is in use.
pub fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    let (config, major) = block_on(async {
        let (config, client) = connect(&args.role).await?;
        let major = store::server_major(&client).await?;
        Ok((config, major))
    })?;
    let about = backup::make(&config, &args.role.config, major, now().to_string(), &args.folder)?;
    let folder = args.folder.display();
    Ok(say(format_args!("{folder} holds everything as of {} (PostgreSQL {})", about.made_at, about.postgres))?)
}

/// Makes a data folder of a backup.
///
/// # Errors
/// It is no backup or a damaged one, of another server, or the folder is in use.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let about = backup::restore(&args.folder, &args.data)?;
    let data = args.data.display();
    Ok(say(format_args!(
        "{data} is as of {}: start it with `rideguard up --data {data}`, then `rideguard verify`; repeat erasures made since",
        about.made_at
    ))?)
}
