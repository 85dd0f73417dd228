//! `rideguard restore`: makes a data folder of a backup.

use crate::cli::say;
use crate::supervisor::backup;
use clap::Parser;
use std::path::PathBuf;

/// Flags of `restore`.
#[derive(Parser)]
pub struct Args {
    /// Folder of the backup.
    folder: PathBuf,
    /// Data folder to make for `rideguard up`; empty or missing.
    #[arg(long)]
    data: PathBuf,
}

/// Makes a data folder of a backup.
///
/// # Errors
/// It is no backup or a damaged one, of another server, or the folder is in use.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let about = backup::restore(&args.folder, &args.data)?;
    let data = args.data.display();
    Ok(say(format_args!(
        "{data} is as of {}: start it with `rideguard up --data {data}`, then `rideguard verify`; repeat erasures made since",
        about.made_at
    ))?)
}
