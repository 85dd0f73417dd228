//! How many lanes a worker works on: its fair share of those that are alive.
//!
//! A worker shows itself by a question that its own connection asks again and again; PostgreSQL keeps
//! the time of each. One that is paused or dead asks no more, and the others' share grows.

use crate::domain::Lane;
use crate::store::{self, lane};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two questions. A worker counts as alive for `lane::SILENCE_S` after its last.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Lanes held and lanes due.
pub struct Share {
    held: Mutex<usize>,
    due: AtomicUsize,
}

/// The right to work on one lane; gives it up when dropped.
pub struct Seat(Option<Arc<Share>>);

impl Default for Share {
    /// Alone, until the first answer says otherwise.
    fn default() -> Self {
        Self { held: Mutex::new(0), due: AtomicUsize::new(Lane::all().count()) }
    }
}

impl Share {
    /// Whether another lane would be within the share.
    pub fn has_room(&self) -> bool {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) < self.due.load(Ordering::Relaxed)
    }

    /// A seat, if the share has room for another lane.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (*held < self.due.load(Ordering::Relaxed)).then(|| {
            *held += 1;
            Seat(Some(self.clone()))
        })
    }

    /// A seat beyond the share: for a lane that nobody else serves.
    pub fn seat_beyond(self: &Arc<Self>) -> Seat {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Seat(Some(self.clone()))
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
                tracing::debug!(error = %format!("{error:#}"), "The other workers cannot be counted; the share stays");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Seat {
    /// Gives the seat up if the worker holds more than its share; of several lanes that ask, only as
    /// many as are too many.
    pub fn leave_if_over(&mut self) -> bool {
        let Some(share) = &self.0 else { return false };
        let mut held = share.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held <= share.due.load(Ordering::Relaxed) {
            return false;
        }
        *held -= 1;
        drop(held);
        self.0 = None;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(share) = &self.0 {
            *share.held.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_share_and_gives_up_only_what_is_too_much() {
        let share = Arc::new(Share::default());
        let mut seats: Vec<Seat> = std::iter::from_fn(|| share.seat()).collect();
        assert_eq!(seats.len(), 16);
        share.due.store(8, Ordering::Relaxed);
        assert_eq!(seats.iter_mut().filter_map(|s| s.leave_if_over().then_some(())).count(), 8);
        drop(seats);
        assert_eq!(*share.held.lock().unwrap(), 0, "a seat that was given up is not given up again");
        let beyond: Vec<Seat> = (0..9).map(|_| share.seat_beyond()).collect();
        assert!(share.seat().is_none());
        drop(beyond);
        assert!(share.seat().is_some());
    }
}
