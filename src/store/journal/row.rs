//! A row of the journal.

use crate::domain::{Entry, Timestamp};
use crate::store::journal::codec::pack;

/// A batch as columns of its row.
pub(in crate::store) struct Row {
    /// First and last receive time.
    pub first_at: Timestamp,
    /// Last receive time.
    pub last_at: Timestamp,
    /// How many entries.
    pub count: i32,
    /// Packed.
    pub content: Vec<u8>,
}

impl Row {
    /// Packs a batch.
    pub fn of(entries: &[Entry]) -> anyhow::Result<Self> {
        Ok(Self {
            first_at: entries.iter().map(Entry::at).min().unwrap_or_default(),
            last_at: entries.iter().map(Entry::at).max().unwrap_or_default(),
            count: i32::try_from(entries.len())?,
            content: pack(entries)?,
        })
    }
}
