//! Publishes to live maps what the lanes did: twice a second where vehicles are, at once what happened to them.
//!
//! Maps show a change a second later than it came anyway. A message for each batch was more than a busy broker reads of us, and
//! grew without bound in front of it.

use crate::domain::Lane;
use crate::ingest::publisher::Publisher;
use crate::live::{self, LiveUpdate};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often places are published.
const EVERY: Duration = Duration::from_millis(500);

/// Collects updates of all lanes of a process.
#[derive(Default)]
pub struct LivePublisher(Arc<Pending>);

#[derive(Default)]
struct Pending {
    /// What was not published yet. No more than the lanes do in [`EVERY`].
    unsent: Mutex<BTreeMap<Lane, LiveUpdate>>,
    is_urgent: Notify,
}

impl LivePublisher {
    /// Publishes in the background for as long as the process runs.
    pub fn start(publisher: Publisher) -> Self {
        let live_publisher = Self::default();
        let pending = live_publisher.0.clone();
        tokio::spawn(async move {
            let mut turn = tokio::time::interval(EVERY);
            turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = turn.tick() => {}
                    () = pending.is_urgent.notified() => {}
                }
                let unsent = std::mem::take(&mut *pending.lock());
                for (lane, mut update) in unsent {
                    update.keep_newest();
                    update.to_messages().into_iter().for_each(|message| publisher.send(live::topic(lane), message));
                }
            }
        });
        live_publisher
    }

    /// Takes the update of a batch; also if there are none, which says that the lane works.
    pub fn publish(&self, lane: Lane, update: LiveUpdate) {
        let is_urgent = update.is_urgent();
        self.0.lock().entry(lane).or_default().add(update);
        if is_urgent {
            self.0.is_urgent.notify_one();
        }
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Lane, LiveUpdate>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
