//! `rideguard audit`: whether it is what was sealed, and who looked at what.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say, time};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::seal::key::PublicKeys;
use crate::seal::verify::{self, Report};
use crate::store::audit::list;
use crate::store::{self, Role, registry};
use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flags of `audit`.
#[derive(Parser)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hashes every row again and compares the seals, their signatures and heads that were kept elsewhere.
    Verify(VerifyArgs),
    /// Prints the newest 100 rows as JSON lines, without places; leaves a row itself.
    List(ListArgs),
}

/// Flags of `audit verify`.
#[derive(Parser)]
struct VerifyArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// File of heads that was kept elsewhere; several may be given. Those of the settings are compared, too.
    #[arg(long)]
    heads: Vec<PathBuf>,
    /// Public key that was kept elsewhere; without it the one of the settings.
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// Judges the signature of every head, not only of the newest, which holds all before it.
    #[arg(long)]
    every_signature: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `audit list`.
#[derive(Parser)]
struct ListArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only of this login.
    #[arg(long)]
    account: Option<String>,
    /// Only where the question names this vehicle, by its number.
    #[arg(long)]
    vehicle: Option<i64>,
    /// Only from this time on, RFC 3339.
    #[arg(long, value_parser = time)]
    since: Option<Timestamp>,
}

/// Runs a command about the audit; exit status 1 if it is not what was sealed.
///
/// # Errors
/// The database is away, or a file that cannot be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Verify(args) => check(args),
        Command::List(args) => print(&args).map(|()| ExitCode::SUCCESS),
    }
}

fn print(args: &ListArgs) -> anyhow::Result<()> {
    let rows = block_on(async {
        let (_, client) = connect(&args.settings).await?;
        let account = match &args.account {
            Some(login) => Some(registry::account(&client, login, &["owner", "police", "operator", "admin"]).await?),
            None => None,
        };
        let asked = list::Asked { account, vehicle: args.vehicle, since: args.since };
        let rows = list::list(&client, &asked).await?;
        // Whoever looks is looked at: before the answer.
        let what =
            json!({ "account": args.account, "vehicle": args.vehicle, "since": args.since.map(|t| t.to_string()) });
        registry::note_command(&client, "audit list", &what).await?;
        anyhow::Ok(rows)
    })?;
    for row in rows {
        say(row)?;
    }
    Ok(())
}

fn check(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let config = Config::read(&args.settings.config)?;
    let public_key = args.public_key.as_ref().or(config.audit.public_key_file.as_ref());
    let public_key = public_key.context("no public key is known: name one with --public-key FILE")?;
    let report = block_on(verified(&config, public_key, args.heads, args.every_signature))?;
    for missing in config.audit.heads_file.iter().chain(&config.audit.copy_heads_to).filter(|file| !file.exists()) {
        eprintln!("not compared: {} of the settings is not there", missing.display());
    }
    if args.json {
        say(serde_json::to_string_pretty(&report)?)?;
    } else {
        tell(&report)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the audit is, beside its seals and all heads that are at hand: those of the settings and these.
///
/// # Errors
/// The database is away, or a file that cannot be read.
pub async fn verified(
    config: &Config,
    public_key: &Path,
    heads: Vec<PathBuf>,
    every_signature: bool,
) -> anyhow::Result<Report> {
    let keys = PublicKeys::read(public_key)?;
    // Of the settings' own files one may not be there yet, or on another machine.
    let settings = &config.audit;
    let known = settings.heads_file.iter().chain(&settings.copy_heads_to).filter(|file| file.exists()).cloned();
    let files: Vec<PathBuf> = known.chain(heads).collect();
    let mut client = store::connect(&store::settings(&config.database, Role::Admin)?, "audit").await?;
    verify::run(&mut client, keys, &files, every_signature).await
}

fn tell(report: &Report) -> std::io::Result<()> {
    let state = |is_right| if is_right { "ok" } else { "FAIL" };
    for finding in &report.findings {
        say(format_args!("FAIL {}", finding.text))?;
    }
    if report.findings_total > report.findings.len() {
        say(format_args!("FAIL {} differences more", report.findings_total - report.findings.len()))?;
    }
    for file in &report.heads {
        say(format_args!("compared: {} heads of {}", file.heads, file.file.display()))?;
        if file.unreadable_lines > 0 {
            say(format_args!(
                "no heads: {} lines of {}; a power cut may leave one",
                file.unreadable_lines,
                file.file.display()
            ))?;
        }
    }
    if report.heads.is_empty() {
        say("compared: no heads from elsewhere; rows and seals that were deleted at the end are not noticed")?;
    }
    say(format_args!("public key: {}", report.public_key))?;
    match (report.unsealed_rows, &report.unsealed_since) {
        (rows, Some(since)) => say(format_args!("not sealed yet: {rows} rows, the oldest of {since}"))?,
        _ => say("not sealed yet: 0 rows")?,
    }
    let newest = match &report.newest {
        Some(newest) => format!(", the newest number {} of {}, head {}", newest.number, newest.sealed_at, newest.head),
        None => String::new(),
    };
    say(format_args!("{} audit: {} rows in {} seals{newest}", state(report.ok), report.rows, report.seals))
}
