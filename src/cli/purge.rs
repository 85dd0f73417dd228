//! `rideguard purge`: deletes what no purpose keeps any more, as the nightly job does.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::store::retention;
use anyhow::bail;
use clap::Parser;

/// Flags of `purge`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only counts what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the nightly job now; prints its report as JSON.
///
/// # Errors
/// The database is away, a row is damaged, or a run is at work.
pub fn run(args: Args) -> anyhow::Result<()> {
    let report = block_on(async {
        let (config, mut client) = connect(&args.settings).await?;
        retention::run(&mut client, &config.retention, &config.journal, args.dry_run).await
    })?;
    match report {
        Some(report) => Ok(say(serde_json::to_string_pretty(&report)?)?),
        None => bail!("another run of the retention job is at work; try again when it is over"),
    }
}
