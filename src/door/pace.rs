//! Whether a thread of the door waits out its turn.

use crate::door::limits::{BUSY_TRACKERS, TURN};
use std::time::Instant;

/// Whether the next turn is worth waiting for: by how many trackers spoke in a turn's time. Whoever logs in does not count, for a
/// handshake that waited for three turns would keep a herd out.
pub(super) struct Pace {
    /// Trackers that spoke since then.
    pub heard: u32,
    since: Instant,
    was_busy: bool,
}

impl Pace {
    pub fn new() -> Self {
        Self { heard: 0, since: Instant::now(), was_busy: false }
    }

    pub fn is_busy(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.since);
        if passed >= TURN {
            // After a longer wait there was less to do.
            self.was_busy = passed < TURN * 2 && self.heard >= BUSY_TRACKERS;
            (self.heard, self.since) = (0, now);
        }
        self.was_busy || self.heard >= BUSY_TRACKERS
    }
}
