//! Who is at a connection, and what every conversation of a turn shares.

use crate::domain::{Lane, Shard, Timestamp, TrackerIdent, topic};
use crate::door::Shared;
use crate::ingest::receipt::Mailbox;
use crate::ingest::visits::{Network, Visit};
use std::net::IpAddr;
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
    /// By which listener it came, and from where.
    pub came_by: (usize, IpAddr),
}

impl Turn<'_> {
    /// What operators are told of a tracker that comes now.
    pub fn visit(&self, mqtt: Option<&'static str>) -> Visit {
        let (listener, address) = self.came_by;
        let listener = u8::try_from(listener).unwrap_or(u8::MAX); // there are 16 at most
        Visit { began_at: self.received_at, listener, mqtt, network: Network::of(address) }
    }
}
