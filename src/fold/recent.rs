//! Which packets a tracker sent lately, by content: the duplicate filter.

use crate::domain::PacketDigest;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Packets remembered per tracker. Brokers redeliver what was in flight, trackers resend their last
/// few; 64 covers both ten minutes of riding and a restart. Older repeats are caught by the keys
/// of the tables.
const RECENT_PACKETS_MAX: usize = 64;

/// The digests of the last packets, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recent(VecDeque<PacketDigest>);

impl Recent {
    /// Whether this packet was here.
    pub fn has(&self, digest: PacketDigest) -> bool {
        self.0.iter().rev().any(|d| *d == digest)
    }

    /// Remembers it, forgetting the oldest.
    pub fn add(&mut self, digest: PacketDigest) {
        if self.0.len() == RECENT_PACKETS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::default();
        (0..=RECENT_PACKETS_MAX as u64).for_each(|d| recent.add(PacketDigest(d)));
        assert!(!recent.has(PacketDigest(0)));
        assert!(recent.has(PacketDigest(1)));
        assert_eq!(recent.0.len(), RECENT_PACKETS_MAX);
    }
}
