//! `rideguard explain`: why an incident was raised.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::store::{explain, registry};
use clap::Parser;
use serde_json::json;

/// Flags of `explain`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Number of the incident.
    incident: i64,
}

/// Prints the fixes, thresholds and rule versions behind an incident.
///
/// # Errors
/// The database is away, or there is no such incident.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let (_, client) = connect(&args.settings).await?;
        registry::note_command(&client, "explain", &json!({ "incident": args.incident })).await?;
        let incident = explain::incident(&client, args.incident).await?;
        let incident = incident.ok_or_else(|| anyhow::anyhow!("there is no incident {}", args.incident))?;
        Ok(say(serde_json::to_string_pretty(&incident)?)?)
    })
}
