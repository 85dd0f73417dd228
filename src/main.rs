//! The `rideguard` program: one subcommand per job. A checklist; the work is in the library.

use clap::{Parser, Subcommand};
use rideguard::cli::args::SettingsArgs;
use rideguard::cli::recording::LeftOut;
use rideguard::cli::{
    admin, audit, backtest, backup, decode, erase, explain, hold, import, journal, migrate, purge, rebuild, replay,
    restore, roles, say, score, up, verify,
};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps watch over a city's e-bikes and motorcycles.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Write logs as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole system on this machine, with a private PostgreSQL.
    Up(up::Args),
    /// Runs the ingest role against a given broker and database.
    Ingest(SettingsArgs),
    /// Runs the API role.
    Api(SettingsArgs),
    /// Runs the notification role.
    Notify(SettingsArgs),
    /// Runs the rollup role: hot fixes to tracks.
    Rollup(SettingsArgs),
    /// Runs the door alone: trackers connect here, and `ingest` works on what they send.
    Door(SettingsArgs),
    /// Runs the role that seals the audit.
    Seal(SettingsArgs),
    /// Imports recorded tracks (`simulator tracks`) into the hot table.
    #[command(alias = "load")]
    Import(import::Args),
    /// Brings the schema of a given database up to date.
    Migrate(SettingsArgs),
    /// Enters people, vehicles, trackers and grants.
    Admin(admin::Args),
    /// Decodes packets: JSON lines in, JSON lines out.
    Decode {
        /// Folder of tracker profiles that go before the embedded ones.
        #[arg(long)]
        profiles: Option<PathBuf>,
    },
    /// Runs a recording through the guard and writes its alerts as JSON lines.
    Replay {
        /// A packets.jsonl[.gz], or a folder that holds one.
        #[arg(long)]
        scenario: PathBuf,
        /// Where to write the alerts.
        #[arg(long)]
        alerts: PathBuf,
    },
    /// Plays recordings to the guard with other parameters and compares the alerts.
    Backtest(backtest::Args),
    /// Scores the alerts that this deployment raised against what really happened.
    Score(score::Args),
    /// Prints the packets of the journal as JSON lines.
    Journal(journal::Args),
    /// Checks the invariants of a live database.
    Verify(SettingsArgs),
    /// The audit: whether it is what was sealed.
    Audit(audit::Args),
    /// Applies the journal again, and compares or replaces what is stored.
    Rebuild(rebuild::Args),
    /// Prints why an incident was raised.
    Explain(explain::Args),
    /// Deletes what no purpose keeps any more, as the nightly job does.
    #[command(alias = "retain")]
    Purge(purge::Args),
    /// Legal holds: what a case needs is kept.
    Hold(hold::Args),
    /// Erases a person's data and proves it.
    Erase(erase::Args),
    /// Backs a running deployment up.
    Backup(backup::Args),
    /// Makes a data folder of a backup.
    Restore(restore::Args),
    /// Prints the OpenAPI document.
    Openapi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    rideguard::telemetry::start_logging(cli.log_json);
    match run(cli.command) {
        Ok(code) => code,
        // Who reads our output has seen enough (`rideguard journal | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rideguard: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |e: &(dyn std::error::Error + 'static)| e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|e| io(e) == Some(std::io::ErrorKind::BrokenPipe))
}

/// A recording of which lines were left out was played, but it is not whole.
fn whole(left_out: LeftOut) -> ExitCode {
    if left_out.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Decode { profiles } => {
            rideguard::app::install_profiles(profiles.as_deref())?;
            decode::run(std::io::stdin().lock(), std::io::stdout().lock())?;
        }
        Command::Replay { scenario, alerts } => return Ok(whole(replay::run(&scenario, &alerts)?)),
        Command::Openapi => say(serde_json::to_string_pretty(&rideguard::api::openapi())?)?,
        Command::Backtest(args) => return Ok(whole(backtest::run(&args)?)),
        Command::Score(args) => score::run(&args)?,
        Command::Up(args) => up::up(args)?,
        Command::Ingest(args) => roles::run(args, roles::INGEST)?,
        Command::Api(args) => roles::run(args, roles::API)?,
        Command::Notify(args) => roles::run(args, roles::NOTIFY)?,
        Command::Rollup(args) => roles::run(args, roles::ROLLUP)?,
        Command::Door(args) => roles::run(args, roles::DOOR)?,
        Command::Seal(args) => roles::run(args, roles::SEAL)?,
        Command::Import(args) => import::run(&args)?,
        Command::Migrate(args) => migrate::run(args)?,
        Command::Admin(args) => admin::run(args)?,
        Command::Journal(args) => journal::run(args)?,
        Command::Verify(args) => return verify::run(args),
        Command::Audit(args) => return audit::run(args),
        Command::Rebuild(args) => return rebuild::run(args),
        Command::Explain(args) => explain::run(args)?,
        Command::Purge(args) => purge::run(args)?,
        Command::Hold(args) => hold::run(args)?,
        Command::Backup(args) => backup::run(&args)?,
        Command::Restore(args) => restore::run(&args)?,
        Command::Erase(args) => erase::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
