//! The client that speaks: replies to trackers and the internal live topic.
//!
//! Apart from the sessions that listen, because a publisher whose window is full also stops the
//! acknowledgements of its connection. Everything it sends is QoS 0 and may be lost: a tracker
//! asks again, a map gets the next position.

use super::mqtt::{jittered, options};
use crate::config::Broker;
use rumqttc::{AsyncClient, QoS};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Messages waiting for the socket; beyond that they are dropped and counted.
const OUTGOING_MAX: usize = 16_384;

/// Sends and forgets.
#[derive(Clone)]
pub struct Publisher {
    client: AsyncClient,
    dropped: Arc<AtomicU64>,
}

impl Publisher {
    /// Connects in the background and keeps connected.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn start(broker: &Broker, name: &str) -> anyhow::Result<Self> {
        let mut options = options(broker, &format!("rideguard-{name}-{:08x}", rand::random::<u32>()))?;
        options.set_clean_session(true);
        let (client, mut event_loop) = AsyncClient::new(options, OUTGOING_MAX);
        tokio::spawn(async move {
            loop {
                if let Err(error) = event_loop.poll().await {
                    tracing::debug!(%error, "The publishing connection broke; connecting again");
                    tokio::time::sleep(jittered(Duration::from_secs(1))).await;
                }
            }
        });
        Ok(Self { client, dropped: Arc::default() })
    }

    /// Sends a message, or drops it if the way out is full.
    pub fn send(&self, topic: String, payload: Vec<u8>) {
        if self.client.try_publish(topic, QoS::AtMostOnce, false, payload).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Messages dropped because the way out was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
