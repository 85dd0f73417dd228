//! What the journal holds: every input that moves the engine, in order.

use crate::domain::topic;
use crate::domain::{PacketDigest, Setting, Timestamp, TrackerIdent, Way};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A packet as received, before anybody understood it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Packet {
    /// The MQTT topic it came on.
    pub topic: String,
    /// When we received it (an upper bound: MQTT 3.1.1 carries no broker time).
    pub received_at: Timestamp,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// By which way it came. Journals have it under the name of the flag that it replaced.
    #[serde(default, rename = "retained")]
    pub way: Way,
}

impl Packet {
    /// Largest payload that is understood, bytes: twice what the private broker lets through. A larger
    /// one is kept in part and set aside.
    pub const PAYLOAD_BYTES_MAX: usize = 128 * 1024;

    /// Whether its topic names this tracker, by itself or behind a gateway.
    pub fn is_of(&self, ident: &str) -> bool {
        topic::names(&self.topic, ident)
    }

    /// The tracker that its topic names, where it names one: in every form of ours it follows version and shard.
    pub fn tracker(&self) -> Option<TrackerIdent> {
        topic::tracker(&self.topic)
    }

    /// Its identity by content: the same for every redelivery.
    pub fn digest(&self) -> PacketDigest {
        let mut hash = Sha256::new();
        hash.update(self.topic.as_bytes());
        hash.update([0]);
        hash.update(&self.payload);
        let bytes: [u8; 32] = hash.finalize().into();
        // 63 bits, because PostgreSQL's bigint is signed.
        PacketDigest(
            u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]) >> 1,
        )
    }
}

/// Packets of one tracker beyond its quota: acknowledged, counted, and not kept (`docs/decisions/0025-a-quota-for-each-tracker.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flood {
    /// The MQTT topic of the first.
    pub topic: String,
    /// How many packets.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// When the first was received.
    pub from: Timestamp,
    /// When the last was received.
    pub to: Timestamp,
}

/// Packets of a vehicle whose positioning is off: acknowledged, counted, and not kept (`docs/decisions/0036-off-by-choice.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The MQTT topic of the first.
    pub topic: String,
    /// How many packets.
    pub packets: u64,
    /// When the first was received.
    pub from: Timestamp,
    /// When the last was received.
    pub to: Timestamp,
}

/// Why we heard nothing for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The connection to the broker was broken; the broker kept what came.
    #[default]
    Connection,
    /// The same, and the broker has lost our session with what it kept for it. Trackers that wait for our
    /// answers send it again, the others do not.
    SessionLost,
    /// Nobody worked on the lane; the broker kept what came.
    Away,
    /// The broker is away just now, so trackers behind it cannot be heard. It is told with each tick, and as one
    /// (`Connection` or `SessionLost`) when the broker is back; people see only that.
    WithoutBroker,
    /// No door is linked just now, so trackers at it cannot be heard. It is told with each tick, and as one (`DoorAway`) when
    /// a door is back; people see only that.
    WithoutDoor,
    /// No door was linked; trackers at it kept what they had, or their door did.
    DoorAway,
}

impl GapCause {
    /// Whether trackers at our own door were heard all the same.
    pub fn is_of_broker(self) -> bool {
        match self {
            Self::Connection | Self::SessionLost | Self::WithoutBroker => true,
            Self::Away | Self::WithoutDoor | Self::DoorAway => false,
        }
    }

    /// Whether trackers behind the broker were heard all the same.
    pub fn is_of_door(self) -> bool {
        matches!(self, Self::WithoutDoor | Self::DoorAway)
    }

    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::SessionLost => "session_lost",
            Self::Away => "away",
            Self::WithoutBroker => "without_broker",
            Self::WithoutDoor => "without_door",
            Self::DoorAway => "door_away",
        }
    }
}

/// One input of a lane's fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A packet.
    Packet(Packet),
    /// A setting, in force from `at` on.
    Setting {
        /// When people made it.
        at: Timestamp,
        /// What.
        setting: Setting,
    },
    /// The clock: deadlines up to here are due.
    Tick {
        /// Server time.
        at: Timestamp,
    },
    /// We (or the broker) were away: silence in this time says nothing of the trackers.
    Gap {
        /// From.
        from: Timestamp,
        /// To.
        to: Timestamp,
        /// Why.
        #[serde(default)]
        cause: GapCause,
    },
    /// Something that was purged: its time of keeping was over, or it was erased.
    #[serde(rename = "LetGo")]
    Tombstone {
        /// Server time of what was there.
        at: Timestamp,
    },
    /// Packets beyond a tracker's quota, as one.
    Flood(Flood),
    /// Packets that nobody wants kept, as one.
    Withheld(Withheld),
}

impl Entry {
    /// The server time of the entry.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Packet(packet) => packet.received_at,
            Self::Setting { at, .. } | Self::Tick { at } | Self::Tombstone { at } => *at,
            Self::Gap { to, .. } => *to,
            Self::Flood(flood) => flood.to,
            Self::Withheld(withheld) => withheld.to,
        }
    }

    /// The topic, where trackers sent the entry.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Packet(packet) => Some(&packet.topic),
            Self::Flood(flood) => Some(&flood.topic),
            Self::Withheld(withheld) => Some(&withheld.topic),
            _ => None,
        }
    }

    /// How many packets it stands for.
    pub fn packets(&self) -> u64 {
        match self {
            Self::Packet(_) => 1,
            Self::Flood(flood) => flood.packets,
            Self::Withheld(withheld) => withheld.packets,
            _ => 0,
        }
    }
}

/// What became of a packet. Exactly one of these; the byte values stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Outcome {
    /// No packet: a setting, a tick or a gap.
    None = 0,
    /// Understood and kept.
    Stored = 1,
    /// Seen before; changed nothing.
    Duplicate = 2,
    /// Set aside with a reason.
    Quarantined = 3,
    /// Acknowledged, counted, and not kept: positioning is off by choice.
    Withheld = 4,
}

impl Outcome {
    /// From its byte; an unknown byte counts as none.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Stored,
            2 => Self::Duplicate,
            3 => Self::Quarantined,
            4 => Self::Withheld,
            _ => Self::None,
        }
    }

    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Quarantined => "quarantined",
            Self::Withheld => "withheld",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redelivery_has_the_same_digest_and_another_topic_has_not() {
        let packet = |topic: &str, at| Packet {
            topic: topic.into(),
            received_at: Timestamp::from_secs(at),
            payload: vec![1, 2, 3],
            way: Way::Broker,
        };
        assert_eq!(packet("a", 1).digest(), packet("a", 2).digest());
        assert_ne!(packet("a", 1).digest(), packet("b", 1).digest());
    }
}
