//! `rideguard migrate`: brings the schema of a given database up to date.

use crate::app;
use crate::cli::args::SettingsArgs;
use crate::cli::{block_on, say};
use crate::config::Config;

/// Brings a database up to date.
///
/// # Errors
/// PostgreSQL is away, or a migration fails.
pub fn run(args: SettingsArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    block_on(app::prepare(&config))?;
    Ok(say("The schema is up to date.")?)
}
