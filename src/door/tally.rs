//! What a listener has to do, counted for operators.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts of one listener.
#[derive(Default)]
pub(super) struct Tally {
    /// Connections of trackers that are in, and of whoever has not logged in.
    connected: AtomicU64,
    strangers: AtomicU64,
    /// Connections that ended, by why; datagrams, by what became of them.
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub fn opened(&self) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
    }

    pub fn logged_in(&self) {
        self.strangers.fetch_sub(1, Ordering::Relaxed);
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closed(&self, was_in: bool) {
        if was_in { &self.connected } else { &self.strangers }.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn count(&self, name: &'static str) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    /// Connections that are in, and those that are not.
    pub fn open(&self) -> (u64, u64) {
        (self.connected.load(Ordering::Relaxed), self.strangers.load(Ordering::Relaxed))
    }

    pub fn ended(&self) -> BTreeMap<&'static str, u64> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
