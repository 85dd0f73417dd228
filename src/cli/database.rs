//! The connection of the commands that ask a database once.

use crate::cli::args::SettingsArgs;
use crate::config::Config;
use crate::store::{self, Role};
use tokio_postgres::Client;

/// Reads the settings and connects as the administration.
///
/// # Errors
/// A setting is wrong, or the database is away.
pub async fn connect(args: &SettingsArgs) -> anyhow::Result<(Config, Client)> {
    let config = Config::read(&args.config)?;
    let client = store::connect(&store::settings(&config.database, Role::Admin)?, "command").await?;
    Ok((config, client))
}
