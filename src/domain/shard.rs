//! Which shard a tracker belongs to, and which lane serves the shard.
//!
//! `shard = crc32(tracker ident) mod 64` is part of the topic, so it never changes. Lanes are the
//! unit of work: one MQTT session, one database connection, one engine, one journal sequence
//! (`docs/decisions/0001-lanes.md`).

use serde::{Deserialize, Serialize};

/// Number of shards, fixed at installation because trackers carry their shard in their topic.
pub const SHARDS: u16 = 64;
/// Number of lanes. 16: enough sessions for one worker's throughput, and two workers can share.
pub const LANES: u16 = 16;

/// A shard, 0..64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a tracker identifier (CRC-32/ISO-HDLC of its bytes, modulo 64).
    pub fn of(ident: &str) -> Self {
        Self((crc32fast::hash(ident.as_bytes()) % u32::from(SHARDS)) as u16)
    }

    /// The lane that serves this shard.
    pub fn lane(self) -> Lane {
        Lane(self.0 % LANES)
    }
}

/// A lane, 0..16: the shards that are leased, journaled and folded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane(pub u16);

impl Lane {
    /// Every lane, in order.
    pub fn all() -> impl Iterator<Item = Lane> {
        (0..LANES).map(Lane)
    }

    /// The shards of this lane, in order.
    pub fn shards(self) -> impl Iterator<Item = Shard> {
        (0..SHARDS).map(Shard).filter(move |s| s.lane() == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_exactly_one_lane() {
        let mut seen: Vec<u16> = Lane::all().flat_map(|l| l.shards().map(|s| s.0)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..SHARDS).collect::<Vec<_>>());
    }

    #[test]
    fn the_shard_of_an_ident_is_its_crc32() {
        // CRC-32/ISO-HDLC("123456789") = 0xCBF43926, its published check value.
        assert_eq!(Shard::of("123456789").0, (0xCBF4_3926_u32 % 64) as u16);
    }
}
