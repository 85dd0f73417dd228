//! A head of the audit's chain as it leaves the database: the text that is signed, and a line of JSON.

use crate::domain::Timestamp;
use crate::store::audit::ChainHead;
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First line of the text that is signed: what it is, and the version of its form.
const TAG: &str = "rideguard audit head 1";
/// Version of the line of JSON.
const VERSION: u32 = 1;
/// Longest line that may be a head, bytes; ours have about 300.
pub const LINE_BYTES_MAX: usize = 4096;

/// The state of the chain after a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the seal, from 1 on without a gap.
    pub number: i64,
    /// Rows sealed by it and by all before it.
    pub rows: i64,
    /// Head of the chain.
    pub head: [u8; 32],
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Ed25519 over [`Head::text`].
    pub signature: [u8; 64],
}

/// The same as a line of a file.
#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    number: i64,
    rows: i64,
    head: String,
    sealed_at_us: i64,
    /// For people; the signed one is in microseconds.
    sealed_at: String,
    signature: String,
}

impl Head {
    /// What is signed: five lines.
    pub fn text(&self) -> String {
        let Self { number, rows, head, sealed_at, .. } = self;
        format!("{TAG}\n{number}\n{rows}\n{}\n{}\n", hex::encode(head), sealed_at.micros())
    }

    /// What the first row of the next seal is chained to: so a signature of the newest head holds every seal before it.
    pub fn link(&self) -> ChainHead {
        ChainHead(Sha256::digest(self.text()).into())
    }

    /// A line of JSON, with its end.
    ///
    /// # Errors
    /// None in practice.
    pub fn line(&self) -> anyhow::Result<String> {
        let line = Line {
            v: VERSION,
            number: self.number,
            rows: self.rows,
            head: hex::encode(self.head),
            sealed_at_us: self.sealed_at.micros(),
            sealed_at: self.sealed_at.to_string(),
            signature: hex::encode(self.signature),
        };
        Ok(serde_json::to_string(&line)? + "\n")
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        ensure!(line.len() <= LINE_BYTES_MAX, "it has {} bytes; at most {LINE_BYTES_MAX} are allowed", line.len());
        let line: Line = serde_json::from_str(line)?;
        ensure!(line.v == VERSION, "it has version {}; this program reads version {VERSION}", line.v);
        Ok(Self {
            number: line.number,
            rows: line.rows,
            head: bytes(&line.head).context("its head is not 64 hexadecimal digits")?,
            sealed_at: Timestamp::from_micros(line.sealed_at_us),
            signature: bytes(&line.signature).context("its signature is not 128 hexadecimal digits")?,
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_its_signed_text_stays_as_it_is() {
        let sealed_at = Timestamp::from_micros(1_764_410_400_123_456);
        let head = Head { number: 7, rows: 12, head: [0xab; 32], sealed_at, signature: [1; 64] };
        let line = head.line().unwrap();
        assert!(line.ends_with("}\n") && line.lines().count() == 1 && line.len() < 400, "{line}");
        assert!(line.contains(r#""sealed_at":"2025-11-29T10:00:00.123456Z""#), "{line}");
        assert_eq!(Head::parse(line.trim_end()).unwrap(), head);
        let signed = format!("rideguard audit head 1\n7\n12\n{}\n1764410400123456\n", "ab".repeat(32));
        assert_eq!(head.text(), signed);
        assert_eq!(hex::encode(head.link().0), "465f98ef1ad9cba53e0ebb29a8d1971da0a86d22820880631c71a0bcca4be677");
    }

    #[test]
    fn what_is_no_head_is_refused_with_the_reason() {
        let line = Head { number: 1, rows: 1, head: [0; 32], sealed_at: Timestamp::default(), signature: [0; 64] };
        let line = line.line().unwrap();
        let because = |line: &str| format!("{:#}", Head::parse(line).unwrap_err());
        assert!(because("{").contains("EOF"), "{}", because("{"));
        assert!(because(&line.replace("\"v\":1", "\"v\":2")).contains("version 2"));
        assert!(because(&line.replacen("00", "0g", 1)).contains("64 hexadecimal digits"));
        assert!(because(&" ".repeat(LINE_BYTES_MAX + 1)).contains("4097 bytes"));
    }
}
