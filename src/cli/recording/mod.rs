//! Recordings: `packets.jsonl[.gz]` in the benchmark's format, row by row as the guard takes them.
//!
//! Every vehicle has a clock of its own: its timers run up to each row's `rx` before the row is
//! handled. A value that cannot be is left out and counted. A line that cannot be read is reported by its
//! number, and the rest is played; who reads learns of both.

mod event;
mod row;

pub use event::Event;
pub use row::LeftOut;

use crate::domain::VehicleId;
use anyhow::{Context, bail};
use row::Row;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Reads a recording; `tell` gets each row: the vehicle's name, its number, what happened. Lines that cannot be
/// read are named on stderr. Returns what was left out.
///
/// # Errors
/// Names the file that cannot be opened.
pub fn read(scenario: &Path, mut tell: impl FnMut(&str, VehicleId, Event)) -> anyhow::Result<LeftOut> {
    let path = packets_file(scenario)?;
    let mut reader = open(&path)?;
    let mut line = Vec::new();
    let mut left_out = LeftOut::default();
    for number in 1.. {
        line.clear();
        let row = match reader.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => serde_json::from_slice::<Row>(&line).map_err(|e| e.to_string()),
            Err(e) => {
                // Nothing can be read behind it: the file is damaged here.
                eprintln!("rideguard: {}: line {number} and what follows: {e}", path.display());
                left_out.lines += 1;
                break;
            }
        };
        match row {
            Ok(row) => {
                let (name, event) = row.adapt(&mut left_out);
                tell(&name, vehicle_id(&name), event);
            }
            Err(problem) => {
                eprintln!("rideguard: {}: line {number}: {problem}", path.display());
                left_out.lines += 1;
            }
        }
    }
    Ok(left_out)
}

/// Opens a text file, unpacked if its name ends in `.gz`.
///
/// # Errors
/// Names the file.
pub fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let is_gz = path.extension().is_some_and(|e| e == "gz");
    let stream: Box<dyn Read> = if is_gz { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Box::new(BufReader::with_capacity(1 << 20, stream)))
}

/// The recording itself, or the one in a folder.
fn packets_file(scenario: &Path) -> anyhow::Result<PathBuf> {
    if !scenario.is_dir() {
        return Ok(scenario.to_path_buf());
    }
    for name in ["packets.jsonl.gz", "packets.jsonl"] {
        let path = scenario.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("{} holds no packets.jsonl and no packets.jsonl.gz", scenario.display())
}

/// A number for a name, the same whatever came before it in the file.
fn vehicle_id(name: &str) -> VehicleId {
    let hash = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    VehicleId(i64::from_be_bytes(bytes) & i64::MAX)
}
