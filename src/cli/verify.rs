//! `rideguard verify`: the invariants of a live database, `ok|FAIL name: figure` each.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{audit, block_on, say};
use crate::store::rebuild::verify;
use crate::store::{plates, retention};
use std::process::ExitCode;

/// What `rideguard audit verify` says more of.
const AUDIT: &str = "audit_is_as_it_was_sealed";

/// Checks the invariants; exit status 1 if one is broken.
///
/// # Errors
/// The database is away.
pub fn run(args: SettingsArgs) -> anyhow::Result<ExitCode> {
    let (checked, purge, unclear) = block_on(async {
        let (config, client) = connect(&args).await?;
        let unclear = plates::count_unclear(&client).await?;
        let mut checked = verify::run(&client).await?;
        if let Some(key) = config.audit.public_key_file.as_ref().filter(|file| file.exists()) {
            let report = audit::verified(&config, key, Vec::new(), false).await?;
            checked.push(verify::Checked { name: AUDIT, broken: i64::try_from(report.findings_total)? });
        }
        Ok((checked, retention::summary(&client).await?, unclear))
    })?;
    for check in &checked {
        say(format_args!("{} {}: {}", if check.broken == 0 { "ok" } else { "FAIL" }, check.name, check.broken))?;
    }
    for gone in purge {
        say(format_args!("purged: {gone}"))?;
    }
    if !checked.iter().any(|check| check.name == AUDIT) {
        say(format_args!("{AUDIT}: not checked, as no public key is known (audit.public_key_file)"))?;
    }
    if unclear > 0 {
        say(format_args!("unclear plates: {unclear}; `rideguard admin plates` lists them"))?;
    }
    Ok(if checked.iter().all(|c| c.broken == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
