//! How many lanes a worker works on: its fair share of those that are alive.
//!
//! A worker shows itself by a question that its own connection asks again and again; PostgreSQL keeps
//! the time of each. One that is paused or dead asks no more, and the others' share grows.

use crate::domain::Lane;
use crate::store::{self, lane};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two questions. A worker counts as alive for `lane::SILENCE_S` after its last.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Lanes held and lanes due.
pub struct LaneQuota {
    counts: Mutex<Counts>,
    due: AtomicUsize,
}

#[derive(Default)]
struct Counts {
    /// Lanes that this worker works on.
    held: usize,
    /// Lanes that it is trying to get.
    tried: usize,
}

/// Room within the share for a lane that is not ours yet; given up when dropped.
pub struct Reservation(Arc<LaneQuota>);

/// A lane that counts as held; given up when dropped.
pub struct LanePermit(Option<Arc<LaneQuota>>);

impl Default for LaneQuota {
    /// Alone, until the first answer says otherwise.
    fn default() -> Self {
        Self { counts: Mutex::default(), due: AtomicUsize::new(Lane::all().count()) }
    }
}

impl LaneQuota {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another lane would be within the share.
    pub fn has_room(&self) -> bool {
        self.counts().held < self.due.load(Ordering::Relaxed)
    }

    /// Room for another lane, if the share has any.
    pub fn room(self: &Arc<Self>) -> Option<Reservation> {
        let mut counts = self.counts();
        (counts.held + counts.tried < self.due.load(Ordering::Relaxed)).then(|| {
            counts.tried += 1;
            Reservation(self.clone())
        })
    }

    /// The lane is ours; without room it is one that nobody else serves.
    pub fn settle(self: &Arc<Self>, room: Option<Reservation>) -> LanePermit {
        self.counts().held += 1;
        drop(room);
        LanePermit(Some(self.clone()))
    }

    /// Shows this worker to the others and counts them, until `stop`.
    pub async fn keep(
        self: Arc<Self>,
        database: tokio_postgres::Config,
        owner: String,
        mut stop: watch::Receiver<bool>,
    ) {
        while !*stop.borrow() {
            let asked = async {
                let client = store::connect(&database, &lane::presence(&owner)).await?;
                loop {
                    let workers = store::answered(lane::workers(&client)).await?.max(1);
                    self.due.store(Lane::all().count().div_ceil(workers), Ordering::Relaxed);
                    tokio::time::sleep(ASK_EVERY).await;
                }
            };
            let ended: anyhow::Result<()> = tokio::select! {
                ended = asked => ended,
                _ = stop.changed() => return,
            };
            if let Err(error) = ended {
                tracing::debug!(error = %format!("{error:#}"), "Counting workers failed; lane quota unchanged");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl LanePermit {
    /// Gives the seat up if the worker holds more than its share; of several lanes that ask, only as
    /// many as are too many.
    pub fn leave_if_over(&mut self) -> bool {
        let Some(share) = &self.0 else { return false };
        let mut counts = share.counts();
        if counts.held <= share.due.load(Ordering::Relaxed) {
            return false;
        }
        counts.held -= 1;
        drop(counts);
        self.0 = None;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.counts().tried -= 1;
    }
}

impl Drop for LanePermit {
    fn drop(&mut self) {
        if let Some(share) = &self.0 {
            share.counts().held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_share_and_gives_up_only_what_is_too_much() {
        let share = Arc::new(LaneQuota::default());
        let rooms: Vec<Reservation> = std::iter::from_fn(|| share.room()).collect();
        assert_eq!(rooms.len(), 16);
        let mut seats: Vec<LanePermit> = rooms.into_iter().map(|room| share.settle(Some(room))).collect();
        share.due.store(8, Ordering::Relaxed);
        assert_eq!(seats.iter_mut().filter_map(|s| s.leave_if_over().then_some(())).count(), 8);
        drop(seats);
        assert!(share.has_room(), "a seat that was given up is not given up again");
        let trying: Vec<Option<Reservation>> = (0..16).map(|_| share.room()).collect();
        assert_eq!(trying.iter().flatten().count(), 8);
        assert!(!share.settle(None).leave_if_over(), "what is only tried for makes nobody leave");
        drop(trying);
        let beyond: Vec<LanePermit> = (0..9).map(|_| share.settle(None)).collect();
        assert!(share.room().is_none());
        drop(beyond);
        assert!(share.room().is_some());
    }
}
