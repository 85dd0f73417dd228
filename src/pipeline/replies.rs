//! Replies to trackers. Those that number their packets get one reply for a run of them, and at most
//! one a second each: by the broker a reply costs as much as a packet.

use crate::domain::TrackerIdent;
use crate::engine::Reply;
use crate::ingest::places::Outlet;
use crate::protocol::json;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Least time between two replies to one tracker.
const EVERY: Duration = Duration::from_secs(1);

/// A run of packets that are on disk.
struct Run {
    from: u64,
    to: u64,
    /// Whether a part of it has no reply yet.
    is_owed: bool,
}

/// Runs of the trackers that got a reply within the last second.
#[derive(Default)]
pub(super) struct ReplyThrottle {
    runs: HashMap<TrackerIdent, Run>,
    /// When each of them may get another.
    due: VecDeque<(Instant, TrackerIdent)>,
}

impl ReplyThrottle {
    /// Sends a reply, or keeps it until the tracker may get another.
    pub fn send(&mut self, reply: Reply, now: Instant, outlet: &Outlet) {
        let publish = |payload: &[u8]| outlet.send(&reply.ident, payload);
        let Some(sequence) = reply.sequence else { return publish(&reply.payload) };
        let Some(run) = self.runs.get_mut(&reply.ident) else {
            publish(&reply.payload);
            self.due.push_back((now + EVERY, reply.ident.clone()));
            self.runs.insert(reply.ident, Run { from: sequence, to: sequence, is_owed: false });
            return;
        };
        if !run.take(sequence) {
            // A number was left out, or the tracker counts from zero: the old run is answered, a new one begins.
            if run.is_owed {
                publish(&json::acknowledgement(run.from, run.to));
            }
            *run = Run { from: sequence, to: sequence, is_owed: true };
        }
    }

    /// When the next tracker may get another.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// Sends the replies whose time has come; a tracker that is owed none is forgotten.
    pub fn flush_due(&mut self, now: Instant, outlet: &Outlet) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some((_, ident)) = self.due.pop_front() else { return };
            let Some(run) = self.runs.get_mut(&ident) else { continue };
            if std::mem::take(&mut run.is_owed) {
                outlet.send(&ident, &json::acknowledgement(run.from, run.to));
                self.due.push_back((now + EVERY, ident));
            } else {
                self.runs.remove(&ident);
            }
        }
    }
}

impl Run {
    /// Takes a packet's number, if it belongs here.
    fn take(&mut self, sequence: u64) -> bool {
        if Some(sequence) == self.to.checked_add(1) {
            self.to = sequence;
        } else if !(self.from..=self.to).contains(&sequence) {
            return false;
        }
        self.is_owed = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_what_follows_and_repetitions_and_nothing_behind_a_gap() {
        let mut run = Run { from: 7, to: 7, is_owed: false };
        assert!(run.take(8) && run.take(9) && run.take(7) && run.is_owed);
        assert_eq!((run.from, run.to), (7, 9));
        assert!(!run.take(11) && !run.take(6) && !run.take(0));
        let mut last = Run { from: u64::MAX, to: u64::MAX, is_owed: false };
        assert!(last.take(u64::MAX) && !last.take(0));
    }
}
