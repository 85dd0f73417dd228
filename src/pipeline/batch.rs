//! A batch on its way.

use crate::domain::{Entry, Packet};
use crate::ingest::Receipt;

/// Inputs in the order in which they will be journaled, and what is owed for them.
#[derive(Clone, Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub receipts: Vec<Receipt>,
    pub setting_cursor: i64,
    /// Batches of another worker's spool that are among the entries.
    pub handed_over: Vec<i64>,
}

impl Batch {
    /// What has to be kept of it when it was not journaled. Settings are not: the database gives them again.
    pub fn owed(mut self) -> Self {
        self.entries.retain(|entry| !matches!(entry, Entry::Setting { .. }));
        self.handed_over.clear();
        self
    }
}

pub(super) fn as_packet(entry: &Entry) -> Option<&Packet> {
    match entry {
        Entry::Packet(packet) => Some(packet),
        _ => None,
    }
}
