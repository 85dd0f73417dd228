//! How many live streams are open, for each account and together.

use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams side by side; each holds a socket and looks through the memory every second.
const STREAMS_MAX: usize = 1000;
/// Streams of one account: a few tabs and a phone.
const STREAMS_OF_ACCOUNT_MAX: usize = 5;

/// The open streams of each account.
#[derive(Clone)]
pub(super) struct Streams {
    open: Arc<Mutex<HashMap<i64, usize>>>,
    metrics: Arc<Metrics>,
}

/// The place of one stream; it is free again when this is dropped.
pub(super) struct Place {
    streams: Streams,
    account: i64,
}

impl Streams {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { open: Arc::default(), metrics }
    }

    /// A place for one more stream, or how many there may be.
    pub(super) fn open(&self, account: i64) -> Result<Place, i64> {
        let mut open = self.lock();
        if open.values().sum::<usize>() >= STREAMS_MAX {
            return Err(STREAMS_MAX as i64);
        }
        let of_account = open.entry(account).or_default();
        if *of_account >= STREAMS_OF_ACCOUNT_MAX {
            return Err(STREAMS_OF_ACCOUNT_MAX as i64);
        }
        *of_account += 1;
        self.metrics.live_streams.inc();
        Ok(Place { streams: self.clone(), account })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        self.streams.metrics.live_streams.dec();
        if let Some(left) = open.get_mut(&self.account) {
            *left -= 1;
            if *left == 0 {
                open.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_cannot_take_the_streams_of_others() {
        let streams = Streams::new(Arc::new(Metrics::new().unwrap()));
        let of_one: Vec<_> =
            (0..STREAMS_OF_ACCOUNT_MAX).map(|_| streams.open(1).unwrap_or_else(|_| panic!())).collect();
        assert_eq!(streams.open(1).err(), Some(5));
        let others: Vec<_> = (2..).map_while(|account| streams.open(account).ok()).collect();
        assert_eq!(of_one.len() + others.len(), STREAMS_MAX);
        drop(of_one);
        assert!(streams.open(1).is_ok());
        drop(others);
        assert_eq!((streams.lock().len(), streams.metrics.live_streams.get()), (0, 0));
    }
}
