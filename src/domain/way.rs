//! By which way a packet came to us.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Where a packet came from. Two sources feed a lane, and one that is away says nothing of the other.
///
/// It stands where journals had the broker's retain flag: `false`, `true`, and the numbers 2 and 3 for what had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// By the broker, from its tracker.
    #[default]
    Broker,
    /// A copy that the broker had retained; trackers must not retain.
    Retained,
    /// At our own door, by MQTT without the broker.
    Door,
    /// At our own door, in its language on a socket of its own: the door has answered it.
    Socket,
}

/// The numbers of [`Way::Door`] and [`Way::Socket`] in journals; 0 and 1 are what a flag would be.
const DOOR: u8 = 2;
const SOCKET: u8 = 3;

impl Way {
    /// Of what a broker sends, by its retain flag.
    pub fn by_broker(is_retained: bool) -> Self {
        if is_retained { Self::Retained } else { Self::Broker }
    }

    /// Whether it came past the broker.
    pub fn is_door(self) -> bool {
        matches!(self, Self::Door | Self::Socket)
    }
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Broker => serializer.serialize_bool(false),
            Self::Retained => serializer.serialize_bool(true),
            Self::Door => serializer.serialize_u8(DOOR),
            Self::Socket => serializer.serialize_u8(SOCKET),
        }
    }
}

impl<'de> Deserialize<'de> for Way {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagOrNumber)
    }
}

/// Reads what [`Way`] writes.
struct FlagOrNumber;

impl Visitor<'_> for FlagOrNumber {
    type Value = Way;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a flag, or {DOOR} or {SOCKET} for a packet that came at the door")
    }

    fn visit_bool<E: Error>(self, is_retained: bool) -> Result<Way, E> {
        Ok(Way::by_broker(is_retained))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Way, E> {
        match number {
            number if number == u64::from(DOOR) => Ok(Way::Door),
            number if number == u64::from(SOCKET) => Ok(Way::Socket),
            other => Err(E::invalid_value(Unexpected::Unsigned(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_stands_where_the_retain_flag_stood() {
        for (way, json, packed) in [
            (Way::Broker, "false", 0xc2),
            (Way::Retained, "true", 0xc3),
            (Way::Door, "2", 0x02),
            (Way::Socket, "3", 0x03),
        ] {
            assert_eq!(serde_json::to_string(&way).unwrap(), json);
            assert_eq!(rmp_serde::to_vec(&way).unwrap(), [packed]);
            assert_eq!(serde_json::from_str::<Way>(json).unwrap(), way);
            assert_eq!(rmp_serde::from_slice::<Way>(&[packed]).unwrap(), way);
        }
    }

    #[test]
    fn another_number_is_named_and_not_guessed() {
        for (json, named) in [("1", "1"), ("4", "4"), ("\"door\"", "door")] {
            let error = serde_json::from_str::<Way>(json).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("2 or 3 for a packet that came at the door"), "{error}");
        }
    }
}
