//! `rideguard rebuild`: applies the journal again, and compares or replaces what is there.

use crate::app;
use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::engine::FoldSettings;
use crate::store::archive::keys::KeyStore;
use crate::store::rebuild;
use clap::Parser;
use std::process::ExitCode;

/// Flags of `rebuild`.
#[derive(Parser)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only compares.
    #[arg(long, group = "what")]
    check: bool,
    /// Puts right what differs. Stop ingest first.
    #[arg(long, group = "what")]
    replace: bool,
}

/// Applies the journal again; exit status 1 if something differs.
///
/// # Errors
/// The database is away, or a row is damaged.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let compared = block_on(async {
        let (config, mut client) = connect(&args.settings).await?;
        app::install_profiles(config.ingest.profiles_dir.as_deref())?;
        let fold = FoldSettings { max_fix_age_s: f64::from(config.ingest.max_fix_age_days) * 86_400.0 };
        rebuild::run(&mut client, &KeyStore::of(&config.journal), &fold, args.replace).await
    })?;
    let is_equal = |c: &rebuild::Compared| c.missing == 0 && c.extra == 0;
    for c in &compared {
        let word = if is_equal(c) { "ok" } else { "FAIL" };
        let purge = if c.purge > 0 { format!(", {} purged", c.purge) } else { String::new() };
        say(format_args!("{word} {}: {} rows, {} missing, {} extra{purge}", c.table, c.rows, c.missing, c.extra))?;
    }
    Ok(if args.replace || compared.iter().all(is_equal) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
