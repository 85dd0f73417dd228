//! Commands for operators and judges: `journal`, `verify`, `rebuild`, `explain`.

use crate::app;
use crate::cli::up::RoleArgs;
use crate::cli::{block_on, say};
use crate::config::Config;
use crate::domain::topic::Address;
use crate::domain::{Entry, Outcome, Timestamp};
use crate::engine::FoldSettings;
use crate::store::archive::keys::KeyStore;
use crate::store::journal::Asked;
use crate::store::rebuild::verify as invariants;
use crate::store::{self, Role, explain, plates, rebuild as refold, retention};
use clap::Parser;
use serde_json::json;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use tokio_postgres::Client;

/// Flags of `journal`.
#[derive(Parser)]
pub struct JournalArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Packets received at or after this time, RFC 3339; from the beginning if not given.
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// Packets received before this time, RFC 3339; to the end if not given.
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// Only packets on topics of this tracker.
    #[arg(long)]
    tracker: Option<String>,
}

/// Flags of `rebuild`.
#[derive(Parser)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct RebuildArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Only compares.
    #[arg(long, group = "what")]
    check: bool,
    /// Puts right what differs. Stop ingest first.
    #[arg(long, group = "what")]
    replace: bool,
}

/// Flags of `explain`.
#[derive(Parser)]
pub struct ExplainArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Number of the incident.
    incident: i64,
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| format!("{text:?} is no time like 2026-11-23T10:00:00Z"))
}

pub(super) async fn connect(args: &RoleArgs) -> anyhow::Result<(Config, Client)> {
    let config = Config::read(&args.config)?;
    let client = store::connect(&store::settings(&config.database, Role::Owner)?, "command").await?;
    Ok((config, client))
}

/// Prints packets as JSON lines: `received_at`, `topic`, `principal`, `payload`, `outcome`.
///
/// # Errors
/// The database is away, or a row is damaged.
pub fn journal(args: JournalArgs) -> anyhow::Result<()> {
    let from = args.from.unwrap_or(Timestamp::from_secs(0));
    let to = args.to.unwrap_or(Timestamp::from_secs(253_402_300_799));
    block_on(async {
        let (config, mut client) = connect(&args.role).await?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let asked = Asked { from, to, tracker: args.tracker.clone() };
        store::journal::scan(&mut client, &KeyStore::of(&config.journal), &asked, |row| {
            for (i, entry) in row.entries.iter().enumerate() {
                let Entry::Packet(packet) = entry else { continue };
                let address = Address::parse(&packet.topic).ok();
                let is_asked = args.tracker.as_deref().is_none_or(|t| packet.is_of(t));
                if packet.received_at < from || packet.received_at >= to || !is_asked {
                    continue;
                }
                let outcome = row.outcomes.get(i).map_or("pending", |o: &Outcome| o.name());
                let line = json!({ "received_at": packet.received_at.to_string(), "topic": packet.topic, "principal": address.map(|a| a.principal()),
                    "payload": hex::encode(&packet.payload), "outcome": outcome, "digest": format!("{:016x}", packet.digest().0) });
                writeln!(out, "{line}")?;
            }
            Ok(())
        })
        .await?;
        Ok(out.flush()?)
    })
}

/// Checks the invariants; exit status 1 if one is broken.
///
/// # Errors
/// The database is away.
pub fn verify(args: RoleArgs) -> anyhow::Result<ExitCode> {
    let (checked, purge, unclear) = block_on(async {
        let (_, client) = connect(&args).await?;
        let unclear = plates::count_unclear(&client).await?;
        Ok((invariants::run(&client).await?, retention::summary(&client).await?, unclear))
    })?;
    for check in &checked {
        say(format_args!("{} {}: {}", if check.broken == 0 { "ok" } else { "FAIL" }, check.name, check.broken))?;
    }
    for gone in purge {
        say(format_args!("let go: {gone}"))?;
    }
    if unclear > 0 {
        say(format_args!("unclear plates: {unclear}; `rideguard admin plates` lists them"))?;
    }
    Ok(if checked.iter().all(|c| c.broken == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Folds the journal again; exit status 1 if something differs.
///
/// # Errors
/// The database is away, or a row is damaged.
pub fn rebuild(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let compared = block_on(async {
        let (config, mut client) = connect(&args.role).await?;
        app::install_profiles(config.ingest.profiles_folder.as_deref())?;
        let fold = FoldSettings { max_fix_age_s: f64::from(config.ingest.max_fix_age_days) * 86_400.0 };
        refold::run(&mut client, &KeyStore::of(&config.journal), &fold, args.replace).await
    })?;
    let is_equal = |c: &refold::Compared| c.missing == 0 && c.extra == 0;
    for c in &compared {
        let word = if is_equal(c) { "ok" } else { "FAIL" };
        let purge = if c.purge > 0 { format!(", {} let go", c.purge) } else { String::new() };
        say(format_args!("{word} {}: {} rows, {} missing, {} extra{purge}", c.table, c.rows, c.missing, c.extra))?;
    }
    Ok(if args.replace || compared.iter().all(is_equal) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the fixes, thresholds and rule versions behind an incident.
///
/// # Errors
/// The database is away, or there is no such incident.
pub fn explain(args: ExplainArgs) -> anyhow::Result<()> {
    block_on(async {
        let (_, client) = connect(&args.role).await?;
        let incident = explain::incident(&client, args.incident).await?;
        let incident = incident.ok_or_else(|| anyhow::anyhow!("there is no incident {}", args.incident))?;
        Ok(say(serde_json::to_string_pretty(&incident)?)?)
    })
}
