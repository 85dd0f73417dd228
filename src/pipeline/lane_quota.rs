//! How many lanes a worker works on: its quota among those that are alive.
//!
//! A worker shows itself by a question that its own connection asks again and again; PostgreSQL keeps
//! the time of each. One that is paused or dead asks no more, and the others' quota grows.

use crate::domain::Lane;
use crate::store::{self, lane};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two questions. A worker counts as alive for `lane::SILENCE_S` after its last.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Lanes held, and how many may be.
pub struct LaneQuota {
    counts: Mutex<Counts>,
    target: AtomicUsize,
}

#[derive(Default)]
struct Counts {
    /// Lanes that this worker works on.
    held: usize,
    /// Lanes that it is trying to get.
    pending: usize,
}

/// A place within the quota for a lane that is not ours yet; given up when dropped.
pub struct Reservation(Arc<LaneQuota>);

/// A lane that counts as held; given up when dropped.
pub struct LanePermit(Option<Arc<LaneQuota>>);

impl Default for LaneQuota {
    /// Alone, until the first answer says otherwise.
    fn default() -> Self {
        Self { counts: Mutex::default(), target: AtomicUsize::new(Lane::all().count()) }
    }
}

impl LaneQuota {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another lane would be within the quota.
    pub fn has_room(&self) -> bool {
        self.counts().held < self.target.load(Ordering::Relaxed)
    }

    /// A place for another lane, if the quota has one.
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut counts = self.counts();
        (counts.held + counts.pending < self.target.load(Ordering::Relaxed)).then(|| {
            counts.pending += 1;
            Reservation(self.clone())
        })
    }

    /// The lane is ours; without a reservation it is one that nobody else serves.
    pub fn take(self: &Arc<Self>, reservation: Option<Reservation>) -> LanePermit {
        self.counts().held += 1;
        drop(reservation);
        LanePermit(Some(self.clone()))
    }

    /// Shows this worker to the others and counts them, until `stop`.
    pub async fn follow_workers(
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
                    self.target.store(Lane::all().count().div_ceil(workers), Ordering::Relaxed);
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
    /// Gives the permit up if the worker holds more than its quota; of several lanes that ask, only as
    /// many as are too many.
    pub fn release_if_over_quota(&mut self) -> bool {
        let Some(quota) = &self.0 else { return false };
        let mut counts = quota.counts();
        if counts.held <= quota.target.load(Ordering::Relaxed) {
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
        self.0.counts().pending -= 1;
    }
}

impl Drop for LanePermit {
    fn drop(&mut self) {
        if let Some(quota) = &self.0 {
            quota.counts().held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_share_and_gives_up_only_what_is_too_much() {
        let quota = Arc::new(LaneQuota::default());
        let reservations: Vec<Reservation> = std::iter::from_fn(|| quota.reserve()).collect();
        assert_eq!(reservations.len(), 16);
        let mut permits: Vec<LanePermit> = reservations.into_iter().map(|r| quota.take(Some(r))).collect();
        quota.target.store(8, Ordering::Relaxed);
        assert_eq!(permits.iter_mut().filter_map(|p| p.release_if_over_quota().then_some(())).count(), 8);
        drop(permits);
        assert!(quota.has_room(), "a permit that was given up is not given up again");
        let trying: Vec<Option<Reservation>> = (0..16).map(|_| quota.reserve()).collect();
        assert_eq!(trying.iter().flatten().count(), 8);
        assert!(!quota.take(None).release_if_over_quota(), "what is only reserved makes nobody leave");
        drop(trying);
        let beyond: Vec<LanePermit> = (0..9).map(|_| quota.take(None)).collect();
        assert!(quota.reserve().is_none());
        drop(beyond);
        assert!(quota.reserve().is_some());
    }
}
