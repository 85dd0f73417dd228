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
pub(super) struct LaneDigests {
    order: VecDeque<PacketDigest>,
    known: HashSet<PacketDigest>,
}

impl LaneDigests {
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

impl From<Vec<PacketDigest>> for LaneDigests {
    fn from(digests: Vec<PacketDigest>) -> Self {
        Self { known: digests.iter().copied().collect(), order: digests.into() }
    }
}

impl From<LaneDigests> for Vec<PacketDigest> {
    fn from(digests: LaneDigests) -> Self {
        digests.order.into()
    }
}

/// The last packets of one tracker, by six bytes of their digests: a packet is taken for a repetition that it is not once
/// in 7 x 10^13, which a city of a million trackers sends in seventy years. An empty place is a digest of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[u64; OWN_PACKETS_MAX]", into = "[u64; OWN_PACKETS_MAX]")]
pub(super) struct TrackerDigests([Short; OWN_PACKETS_MAX]);

type Short = [u8; 6];

fn short(digest: u64) -> Short {
    let [.., a, b, c, d, e, f] = digest.to_be_bytes();
    [a, b, c, d, e, f]
}

impl TrackerDigests {
    /// Whether this packet was here.
    pub fn has(&self, digest: PacketDigest) -> bool {
        self.0.contains(&short(digest.0))
    }

    /// Remembers it, forgetting the oldest.
    pub fn add(&mut self, digest: PacketDigest) {
        self.0.rotate_left(1);
        self.0[OWN_PACKETS_MAX - 1] = short(digest.0);
    }
}

impl From<[u64; OWN_PACKETS_MAX]> for TrackerDigests {
    fn from(digests: [u64; OWN_PACKETS_MAX]) -> Self {
        Self(digests.map(short))
    }
}

impl From<TrackerDigests> for [u64; OWN_PACKETS_MAX] {
    fn from(own: TrackerDigests) -> Self {
        own.0.map(|[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_forgets_the_oldest_first_and_a_checkpoint_keeps_the_rest() {
        let mut digests = LaneDigests::default();
        (0..=LANE_PACKETS_MAX as u64).for_each(|d| digests.add(PacketDigest(d)));
        let again: LaneDigests = rmp_serde::from_slice(&rmp_serde::to_vec(&digests).unwrap()).unwrap();
        for digests in [digests, again] {
            assert!(!digests.has(PacketDigest(0)) && digests.has(PacketDigest(1)));
            assert_eq!((digests.order.len(), digests.known.len()), (LANE_PACKETS_MAX, LANE_PACKETS_MAX));
        }
    }

    #[test]
    fn a_tracker_s_last_packets_are_known_however_busy_the_lane() {
        let mut own = TrackerDigests::default();
        (1..=5).for_each(|d| own.add(PacketDigest(d)));
        let again: TrackerDigests = rmp_serde::from_slice(&rmp_serde::to_vec(&own).unwrap()).unwrap();
        let long =
            rmp_serde::from_slice::<TrackerDigests>(&rmp_serde::to_vec(&[2u64, 3, 4, 7 << 48 | 5]).unwrap()).unwrap();
        for own in [own, again, long] {
            assert!(!own.has(PacketDigest(1)) && (2..=5).all(|d| own.has(PacketDigest(d))));
        }
    }
}
