//! Sessions that are kept for trackers: whether there is one, and whether it has the subscription.
//!
//! It is all that is kept of a session: what a tracker is told and does not hear, it asks for again. But a client that asks to
//! keep its session and is told that there is none forgets what was not acknowledged (MQTT 5, 3.2.2.1.1). So a session is known
//! as long as the tracker is connected, and then for as long as it asked for. A start of RideGuard forgets all of them, and
//! says so.

use crate::domain::TrackerIdent;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A session.
struct Session {
    /// None: the tracker is connected.
    until: Option<Instant>,
    is_subscribed: bool,
}

/// Tracker → its session. Bounded by the trackers that are admitted.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<TrackerIdent, Session>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<TrackerIdent, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session away, if there is one that is not too old; says whether it has the subscription.
    pub fn take(&self, ident: &TrackerIdent) -> Option<bool> {
        let session = self.lock().remove(ident);
        session.filter(|s| s.until.is_none_or(|until| Instant::now() < until)).map(|s| s.is_subscribed)
    }

    /// The session of a tracker that is connected.
    pub fn set(&self, ident: &TrackerIdent, is_subscribed: bool) {
        self.lock().insert(ident.clone(), Session { until: None, is_subscribed });
    }

    /// The tracker went: from now on its session is kept for so long.
    pub fn leave(&self, ident: &TrackerIdent, keeps_s: u32) {
        let mut kept = self.lock();
        if keeps_s == 0 {
            kept.remove(ident);
        } else if let Some(session) = kept.get_mut(ident) {
            session.until = Some(Instant::now() + Duration::from_secs(keeps_s.into()));
        }
    }

    /// The tracker is not admitted any more.
    pub fn forget(&self, ident: &TrackerIdent) {
        self.lock().remove(ident);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_while_its_tracker_is_connected_and_then_for_as_long_as_it_asked_for() {
        let (kept, ident) = (Kept::default(), TrackerIdent::parse("yy1").unwrap());
        assert_eq!(kept.take(&ident), None);
        kept.set(&ident, true);
        assert_eq!(kept.take(&ident), Some(true), "a newer connection takes it over");
        kept.set(&ident, false);
        kept.leave(&ident, 60);
        assert_eq!(kept.take(&ident), Some(false), "one without a subscription is one, too");
        kept.set(&ident, true);
        kept.leave(&ident, 0);
        assert_eq!(kept.take(&ident), None);
        kept.set(&ident, true);
        kept.forget(&ident);
        assert_eq!(kept.take(&ident), None);
    }
}
