//! Turns a tracker's bytes into a [`Report`].
//!
//! In: a packet's payload and the tracker's profile. Out: a report, or the reason there is none.
//! Never: sockets, clocks, SQL, logs. To add a protocol: one file here, one line in [`PROTOCOLS`],
//! goldens beside it.

pub mod connected;
mod cursor;
mod cut;
pub mod dialect;
mod elements;
pub mod gt06;
pub mod h02;
mod heard;
pub mod json;
pub mod jt808;
pub mod jt808_json;
#[cfg(test)]
mod odd_tests;
pub mod osmand;
pub mod owntracks;
pub mod teltonika;
mod words;

use crate::domain::{Profile, Report};
use std::collections::BTreeMap;

/// Most items without a name that a report keeps.
const UNKNOWN_MAX: usize = 64;

/// Keeps an item that has no name here, as hexadecimal, as long as there is room.
fn keep(unknown: &mut BTreeMap<String, String>, name: impl FnOnce() -> String, bytes: &[u8]) {
    if unknown.len() < UNKNOWN_MAX {
        unknown.insert(name(), hex::encode(bytes));
    }
}

/// One tracker language.
pub struct Protocol {
    /// Its name in profiles, contracts and commands.
    pub name: &'static str,
    /// Reads one packet.
    pub decode: fn(&Profile, &[u8]) -> Result<Report, DecodeError>,
    /// How frames are told apart in one payload; `None` where a payload is one message.
    pub framing: Option<Framing>,
}

/// How the frames of a language are found.
pub struct Framing {
    /// Finds the first frame.
    pub step: fn(&[u8]) -> FrameStep,
    /// Whether a frame found behind noise is surely one: it has a check or a form that noise has not.
    pub is_sure: fn(&[u8]) -> bool,
    /// Whether one byte may end a frame and begin the next.
    pub shares_delimiter: bool,
}

/// How frames of JT/T 808 are found.
const JT808: Framing =
    Framing { step: jt808::frame_in_payload, is_sure: |frame| frame.first() != Some(&b'('), shares_delimiter: true };

/// Every language we read, by name.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "gt06",
        decode: gt06::decode,
        framing: Some(Framing { step: gt06::frame, is_sure: |_| true, shares_delimiter: false }),
    },
    Protocol {
        name: "h02",
        decode: h02::decode,
        framing: Some(Framing { step: h02::frame, is_sure: |f| f.first() == Some(&b'*'), shares_delimiter: false }),
    },
    Protocol { name: "json", decode: json::decode, framing: None },
    Protocol { name: "jt808", decode: jt808::decode, framing: Some(JT808) },
    Protocol { name: "jt808_json", decode: jt808_json::decode, framing: None },
    Protocol { name: "osmand", decode: osmand::decode, framing: None },
    Protocol { name: "owntracks", decode: owntracks::decode, framing: None },
    Protocol {
        name: "teltonika",
        decode: teltonika::decode,
        framing: Some(Framing { step: teltonika::frame, is_sure: |f| f.starts_with(&[0; 4]), shares_delimiter: false }),
    },
];

/// What to do with the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStep {
    /// Not enough bytes yet.
    More,
    /// So many bytes are no frame.
    Skip(usize),
    /// So many bytes are a frame, delimiters included.
    Frame(usize),
}

/// Why a packet cannot be read. Names the field, the value and the limit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The packet ends too early.
    #[error("packet ends at byte {at} inside {field}")]
    Truncated {
        /// The field that is cut.
        field: &'static str,
        /// Length of what is there.
        at: usize,
    },
    /// The profile names a language that we do not read.
    #[error("no protocol is called {0:?}")]
    UnknownProtocol(String),
    /// A check sum does not match.
    #[error("{field} is {found:#x}, computed {computed:#x}")]
    Checksum {
        /// Which check sum.
        field: &'static str,
        /// As sent.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// A value that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong, with the value and the limit.
        problem: String,
    },
}

/// Most characters of a value that an error shows.
const VALUE_CHARS_SHOWN_MAX: usize = 40;

impl DecodeError {
    /// A value that is not what its field takes.
    fn invalid(field: &'static str, value: &str, expected: &str) -> Self {
        let shown: String = value.chars().take(VALUE_CHARS_SHOWN_MAX).collect();
        Self::Field { field, problem: format!("{shown:?} is not valid; expected {expected}") }
    }
}

/// The table of a reflected CRC of 16 bits, one entry for each byte.
const fn crc16_table(polynomial: u16) -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u16, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Reads every frame of a payload in the language that the profile states: what they say follows each other.
///
/// # Errors
/// The reason why it cannot be read.
pub fn decode(profile: &Profile, payload: &[u8]) -> Result<Report, DecodeError> {
    let protocol = PROTOCOLS
        .iter()
        .find(|p| p.name == profile.protocol.0)
        .ok_or_else(|| DecodeError::UnknownProtocol(profile.protocol.0.clone()))?;
    match &protocol.framing {
        Some(framing) => cut::decode(framing, |frame| (protocol.decode)(profile, frame), payload),
        None => (protocol.decode)(profile, payload),
    }
}

/// The same for JT/T 808, whose messages may come in parts that the tracker's others wait for.
///
/// # Errors
/// The reason why nothing can be read.
pub fn decode_with_parts(profile: &Profile, payload: &[u8], parts: &mut jt808::Parts) -> Result<Report, DecodeError> {
    cut::decode(&JT808, |frame| jt808::decode_with_parts(profile, frame, parts), payload)
}
