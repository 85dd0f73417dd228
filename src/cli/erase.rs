//! `rideguard erase`: erases a person's data and proves it.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::store::archive::keys::KeyStore;
use crate::store::retention::erasure;
use crate::store::retention::erasure::Asked;
use clap::Parser;

/// Flags of `erase`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Login of the person, an owner.
    login: String,
    /// Login of the administrator who carries it out.
    #[arg(long)]
    by: String,
    /// Number of the person's request.
    #[arg(long)]
    request: String,
    /// Only counts what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

/// Erases a person; prints the proof as JSON.
///
/// # Errors
/// The database is away, or there is no such owner or administrator.
pub fn run(args: Args) -> anyhow::Result<()> {
    let report = block_on(async {
        let (config, mut client) = connect(&args.settings).await?;
        let asked = Asked { login: &args.login, by: &args.by, request: &args.request, dry_run: args.dry_run };
        erasure::erase(&mut client, &KeyStore::of(&config.journal), &asked).await
    })?;
    Ok(say(serde_json::to_string_pretty(&report)?)?)
}
