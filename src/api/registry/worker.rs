//! Does the imports that people have started. It passes nobody and nothing on: the database holds both.

use crate::api::Api;
use crate::store::imports;
use std::time::Duration;

/// Until it looks for imports that another process's people have started, or that a restart left.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rest between two steps: trackers' packets go first.
const REST: Duration = Duration::from_millis(10);

impl Api {
    /// Steps through imports as long as the process lives.
    pub async fn run_imports(self) {
        loop {
            let stepped = async { imports::step_any(&**self.pool.get().await?).await.map_err(anyhow::Error::from) };
            match stepped.await {
                Ok(Some(_)) => tokio::time::sleep(REST).await,
                Ok(None) => drop(tokio::time::timeout(LOOK_EVERY, self.imports.notified()).await),
                // What the step had begun is undone with its transaction, and is begun again.
                Err(error) => {
                    tracing::warn!(%error, "A step of an import failed; it is tried again");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }
}
