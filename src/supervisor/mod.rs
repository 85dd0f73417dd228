//! The managed services of the one-machine mode: a private PostgreSQL/PostGIS cluster and a private Mosquitto.
//!
//! Debian's own programs, our own data folder, our own ports on loopback, generated passwords and
//! certificates. They are adopted if an earlier run left them behind (a killed RideGuard must not
//! take the broker's queue with it), and stopped when we end.

pub mod backup;
pub mod broker;
mod broker_files;
mod broker_log;
pub mod certificates;
pub mod data_dir;
pub mod postgres;
mod process;

pub use data_dir::Folder;
pub use process::Child;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// Ports to choose from: above those with well-known users, below the ones that Linux gives to outgoing
/// connections (`ip_local_port_range`, from 32768), any of which may take a port before its server does.
const PORTS: std::ops::Range<u16> = 20_000..32_768;
/// Longest path that a Unix socket may have, bytes (unix(7): 108 with the final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Ports tried; with half of them in use, that all of these are is one case in 10³⁰.
const TRIES: usize = 100;

/// A service's log above this is put aside at its start, in place of the one before: bytes.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bounds what a service's log takes on disk: the last one and the one before.
fn put_log_aside(log: &Path) -> io::Result<()> {
    if fs::metadata(log).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        fs::rename(log, log.with_extension("log.1"))?;
    }
    Ok(())
}

/// A port on loopback that is free now, and that this process was not given before.
///
/// # Errors
/// None was found.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..TRIES)
        .map(|_| rand::random_range(PORTS))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .ok_or_else(|| anyhow::anyhow!("none of {TRIES} ports of {PORTS:?} is free"))
}
