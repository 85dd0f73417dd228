//! Which packets came lately, by content: the duplicate filter.
//!
//! Two memories. A broker that we come back to redelivers what was in flight, whoever sent it: the lane
//! remembers that much. A tracker that waits for an answer sends its last few again, minutes later on
//! a quiet lane or seconds later on a busy one: each tracker remembers those. Older repeats are
//! caught by the keys of the tables.

use crate::domain::PacketDigest;
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};

/// Packets remembered per lane: twice the private broker's window of 4,000 in flight.
const LANE_PACKETS_MAX: usize = 8192;
/// Packets remembered per tracker.
const OWN_PACKETS_MAX: usize = 4;

/// The last packets of a lane, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<PacketDigest>", into = "Vec<PacketDigest>")]
pub(super) struct Recent {
    order: VecDeque<PacketDigest>,
    known: HashSet<PacketDigest>,
}

impl Recent {
    /// Whether this packet was here.
    pub fn has(&self, digest: PacketDigest) -> bool {
        self.known.contains(&digest)
    }

    /// Remembers it, forgetting the oldest.
    pub fn add(&mut self, digest: PacketDigest) {
        if !self.known.insert(digest) {
            return;
        }
        if self.order.len() == LANE_PACKETS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(digest);
    }
}

impl From<Vec<PacketDigest>> for Recent {
    fn from(digests: Vec<PacketDigest>) -> Self {
        Self { known: digests.iter().copied().collect(), order: digests.into() }
    }
}

impl From<Recent> for Vec<PacketDigest> {
    fn from(recent: Recent) -> Self {
        recent.order.into()
    }
}

/// The last packets of one tracker; no packet has the digest 0 that an empty place holds (one in
/// 2^63 would be taken for a repetition, and only as the first of its tracker).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Own([PacketDigest; OWN_PACKETS_MAX]);

impl Own {
    /// Whether this packet was here.
    pub fn has(&self, digest: PacketDigest) -> bool {
        self.0.contains(&digest)
    }

    /// Remembers it, forgetting the oldest.
    pub fn add(&mut self, digest: PacketDigest) {
        self.0.rotate_left(1);
        self.0[OWN_PACKETS_MAX - 1] = digest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_forgets_the_oldest_first_and_a_checkpoint_keeps_the_rest() {
        let mut recent = Recent::default();
        (0..=LANE_PACKETS_MAX as u64).for_each(|d| recent.add(PacketDigest(d)));
        let again: Recent = rmp_serde::from_slice(&rmp_serde::to_vec(&recent).unwrap()).unwrap();
        for recent in [recent, again] {
            assert!(!recent.has(PacketDigest(0)) && recent.has(PacketDigest(1)));
            assert_eq!((recent.order.len(), recent.known.len()), (LANE_PACKETS_MAX, LANE_PACKETS_MAX));
        }
    }

    #[test]
    fn a_tracker_s_last_packets_are_known_however_busy_the_lane() {
        let mut own = Own::default();
        (1..=5).for_each(|d| own.add(PacketDigest(d)));
        assert!(!own.has(PacketDigest(1)) && (2..=5).all(|d| own.has(PacketDigest(d))));
    }
}
