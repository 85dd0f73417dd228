//! What was really played, and what the broker has promised.

use anyhow::Context;
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A file of JSON lines, written line by line; shared by all trackers.
#[derive(Clone, Default)]
pub struct Lines(Option<Arc<Mutex<BufWriter<File>>>>);

impl Lines {
    /// Opens a file, or nothing if none is wanted.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        path.map(|path| {
            // Positions: nobody else's business.
            let file = File::options().create(true).write(true).truncate(true).mode(0o600).open(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Arc::new(Mutex::new(BufWriter::new(file))))
        })
        .transpose()
        .map(Self)
    }

    /// Whether anybody wants the lines.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a line and flushes it: a judge may read while we play, and we may be killed.
    pub fn write(&self, line: &Value) {
        if let Some(file) = &self.0 {
            let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
            if writeln!(file, "{line}").and_then(|()| file.flush()).is_err() {
                eprintln!("simulator: cannot write a line of the truth");
            }
        }
    }
}
