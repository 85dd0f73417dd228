//! Which trackers that went have a subscription that is kept for them.
//!
//! It is all that is kept of a session: what a tracker is told and does not hear, it asks for again. A start of RideGuard
//! forgets it, and says so: then no tracker is told that its session is present (MQTT 3.1.1, 3.2.2.2).

use crate::domain::TrackerIdent;
use crate::door::limits::SUBSCRIPTION_KEPT_S;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tracker → when it subscribed last, or logged in with the subscription. Bounded by the trackers that are admitted.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<TrackerIdent, Instant>>);

impl Kept {
    /// Whether there is one that is not too old; it is taken away.
    pub fn take(&self, ident: &TrackerIdent) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ident);
        kept.is_some_and(|at| at.elapsed() < Duration::from_secs(SUBSCRIPTION_KEPT_S.into()))
    }

    /// Keeps it, or not.
    pub fn set(&self, ident: &TrackerIdent, is_kept: bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_kept {
            kept.insert(ident.clone(), Instant::now());
        } else {
            kept.remove(ident);
        }
    }
}
