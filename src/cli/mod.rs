//! The subcommands, one file each; `docs/cli.md` documents them.

pub mod admin;
pub mod args;
pub mod audit;
pub mod backtest;
pub mod backup;
mod database;
pub mod decode;
mod demo;
mod enrol;
pub mod erase;
pub mod explain;
pub mod hold;
pub mod import;
pub mod journal;
pub mod migrate;
pub mod purge;
pub mod rebuild;
pub mod recording;
pub mod replay;
pub mod restore;
pub mod roles;
pub mod score;
pub mod up;
pub mod verify;

use crate::domain::Timestamp;
use std::fmt::Display;
use std::future::Future;
use std::io::Write;

/// Runs asynchronous work to its end.
///
/// # Errors
/// What the work says.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Prints a line on standard output. `println!` would panic where the reader has gone
/// (`rideguard verify | head -1`).
///
/// # Errors
/// Nobody reads it.
pub fn say(line: impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The same where the work goes on without a reader: a server whose terminal was closed.
fn announce(line: impl Display) {
    drop(say(line));
}

/// Reads a flag's time.
fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| "not a valid time; expected RFC 3339, like 2026-11-23T10:00:00Z".to_owned())
}
