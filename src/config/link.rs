//! Settings of the way between processes: from the door to the workers, and from the workers to live maps.

use anyhow::bail;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Most workers that a door or an API knows: more than a city's lanes.
const WORKERS_MAX: usize = 32;

/// Off by default: the door and the live maps are then in the process of the lanes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Where `ingest` listens for `door` and `api`; the door's listeners are then of `rideguard door`.
    pub listen: Option<SocketAddr>,
    /// Where `door` and `api` find the workers, as host:port.
    pub workers: Vec<String>,
    /// File with the secret that all of them share; needed by each side.
    pub secret_file: Option<PathBuf>,
    /// Folder in which `door` stores and acknowledges what trackers send while no worker has their lane.
    pub spool_dir: Option<PathBuf>,
    /// Most that may be in that folder, megabytes.
    pub spool_mb_max: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { listen: None, workers: Vec::new(), secret_file: None, spool_dir: None, spool_mb_max: 1024 }
    }
}

impl Link {
    /// Files are relative to the settings file.
    pub(super) fn settle_files(&mut self, base: &Path) {
        for file in [&mut self.secret_file, &mut self.spool_dir].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.workers.len() > WORKERS_MAX {
            bail!("link.workers names {} workers; it may name {WORKERS_MAX}", self.workers.len());
        }
        let has_port = |w: &&String| {
            w.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
        };
        if let Some(wrong) = self.workers.iter().find(|worker| !has_port(worker)) {
            bail!("link.workers has {wrong:?}; each must be host:port");
        }
        if (self.listen.is_some() || !self.workers.is_empty()) && self.secret_file.is_none() {
            bail!("link.secret_file is missing: `ingest` lets in only who has it");
        }
        if !(16..=1 << 20).contains(&self.spool_mb_max) {
            bail!("link.spool_mb_max is {}; it must be 16 to {}", self.spool_mb_max, 1 << 20);
        }
        Ok(())
    }
}
