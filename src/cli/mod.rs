//! The subcommands, one file each; `docs/cli.md` documents them.

pub mod admin;
pub mod backstage;
pub mod decode;
mod demo;
pub mod replay;
pub mod up;

use std::future::Future;

/// Runs asynchronous work to its end.
///
/// # Errors
/// What the work says.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
