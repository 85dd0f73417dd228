//! Who is at a connection, and what every conversation of a turn shares.

use crate::domain::{Lane, Shard, Timestamp, TrackerIdent, topic};
use crate::door::Shared;
use crate::ingest::receipt::Mailbox;
use std::sync::Arc;

/// Who a connection is of.
pub(super) struct Guest {
    pub ident: TrackerIdent,
    pub lane: Lane,
    /// Its own topic, on which it speaks.
    pub up_topic: Box<str>,
}

impl Guest {
    pub fn new(ident: TrackerIdent) -> Self {
        let (lane, up_topic) = (Shard::of(ident.as_str()).lane(), topic::up_topic(ident.as_str()));
        Self { ident, lane, up_topic: up_topic.into_boxed_str() }
    }
}

/// What every conversation of a turn shares.
pub(super) struct Turn<'a> {
    pub shared: &'a Shared,
    pub mailbox: &'a Arc<Mailbox>,
    pub received_at: Timestamp,
}
