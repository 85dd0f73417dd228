//! `rideguard verify`: the invariants of a live database, `ok|FAIL name: figure` each.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::store::rebuild::verify;
use crate::store::{plates, retention};
use std::process::ExitCode;

/// Checks the invariants; exit status 1 if one is broken.
///
/// # Errors
/// The database is away.
pub fn run(args: SettingsArgs) -> anyhow::Result<ExitCode> {
    let (checked, purge, unclear) = block_on(async {
        let (_, client) = connect(&args).await?;
        let unclear = plates::count_unclear(&client).await?;
        Ok((verify::run(&client).await?, retention::summary(&client).await?, unclear))
    })?;
    for check in &checked {
        say(format_args!("{} {}: {}", if check.broken == 0 { "ok" } else { "FAIL" }, check.name, check.broken))?;
    }
    for gone in purge {
        say(format_args!("purged: {gone}"))?;
    }
    if unclear > 0 {
        say(format_args!("unclear plates: {unclear}; `rideguard admin plates` lists them"))?;
    }
    Ok(if checked.iter().all(|c| c.broken == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
