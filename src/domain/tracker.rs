//! Trackers and the profiles that say which language they speak.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The row number of a tracker in the database; short, so that it can stand in every fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackerKey(pub i64);

/// The row number of a vehicle in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VehicleId(pub i64);

/// What a vehicle is; some rules are for one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleKind {
    /// An electric bicycle.
    Ebike,
    /// A motorcycle.
    Motorcycle,
}

/// The identifier a tracker carries on the wire and in its topic: 1-32 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackerIdent(CompactString);

/// Longest tracker identifier, characters. A JT/T 808-2019 phone number has 20.
pub const TRACKER_IDENT_CHARS_MAX: usize = 32;

impl TrackerIdent {
    /// Checks an identifier's form.
    ///
    /// # Errors
    /// Returns the offending text's problem: empty, too long, or a character that could act as a
    /// topic wildcard or path separator.
    pub fn parse(text: &str) -> Result<Self, IdentError> {
        let chars = text.chars().count();
        if chars == 0 || chars > TRACKER_IDENT_CHARS_MAX {
            return Err(IdentError::Length(chars));
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
            Some(c) => Err(IdentError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a packet's own identifier names this tracker. Leading zeros do not count: JT/T 808
    /// pads its phone number with them.
    pub fn is_named_by(&self, ident: &str) -> bool {
        ident.trim_start_matches('0') == self.0.trim_start_matches('0')
    }
}

impl fmt::Display for TrackerIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no tracker identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// Empty or too long.
    #[error("a tracker identifier has 1 to 32 characters, this one has {0}")]
    Length(usize),
    /// A character outside the allowed set.
    #[error("a tracker identifier has only A-Z a-z 0-9 _ -, this one has {0:?}")]
    Character(char),
}

/// The name of a protocol as profiles, contracts and the command line write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProtocolName(pub String);

/// The zone of a tracker's clock where its language does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockZone {
    /// What the protocol's standard says (JT/T 808: GMT+8; most others: UTC).
    #[default]
    Standard,
    /// UTC.
    Utc,
    /// A fixed offset, seconds east of UTC.
    OffsetS(i32),
}

/// The datum of a tracker's positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Datum {
    /// WGS-84, what receivers measure.
    #[default]
    Wgs84,
    /// GCJ-02, the shifted datum of Chinese maps.
    Gcj02,
}

/// How a tracker connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By MQTT, with a password; also behind a gateway that does.
    #[default]
    Mqtt,
    /// By its language on a socket of its own, TCP or UDP: most languages have no password there.
    Socket,
}

/// What must be known of a tracker to read its packets. The protocol is stated, never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Which language.
    pub protocol: ProtocolName,
    /// The zone of its clock.
    #[serde(default)]
    pub clock: ClockZone,
    /// The datum of its positions.
    #[serde(default)]
    pub datum: Datum,
    /// Device model or vendor dialect, where the language needs one (alarm bits, additional items).
    #[serde(default)]
    pub model: Option<String>,
    /// Whether replies are owed to it; a tracker that waits for them resends without.
    #[serde(default = "yes")]
    pub wants_replies: bool,
    /// Whether a packet with a wrong checksum is read all the same.
    #[serde(default)]
    pub tolerate_checksum: bool,
    /// Teltonika: whether records carry a group of 16-byte values, which no field of theirs says.
    #[serde(default)]
    pub has_16_byte_values: bool,
    /// How it connects.
    #[serde(default, skip_serializing_if = "is_mqtt")]
    pub transport: Transport,
}

fn is_mqtt(transport: &Transport) -> bool {
    *transport == Transport::Mqtt
}

fn yes() -> bool {
    true
}

impl Profile {
    /// The plain profile of a protocol: standard clock, WGS-84, no vendor dialect.
    pub fn of(protocol: &str) -> Self {
        Self {
            protocol: ProtocolName(protocol.to_owned()),
            clock: ClockZone::default(),
            datum: Datum::default(),
            model: None,
            wants_replies: true,
            tolerate_checksum: false,
            has_16_byte_values: false,
            transport: Transport::Mqtt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_separators_are_no_identifiers() {
        for bad in ["", "a+", "#", "a/b", "..", "a b", "车", &"x".repeat(33)] {
            assert!(TrackerIdent::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TrackerIdent::parse("013800138000").is_ok());
    }

    #[test]
    fn leading_zeros_do_not_make_another_tracker() {
        let ident = TrackerIdent::parse("13800138000").unwrap();
        assert!(ident.is_named_by("013800138000"));
        assert!(!ident.is_named_by("113800138000"));
    }
}
