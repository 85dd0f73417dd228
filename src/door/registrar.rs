//! Registrations of terminals (JT/T 808): a thread of the door asks, the database keeps, and the connection is told.

use crate::ingest::receipt::{Mailbox, Place};
use crate::store::door_sockets::Digest;
use std::sync::Arc;
use std::time::Instant;

/// Registrations that may wait for the database; it takes a few hundred a second.
pub(super) const WAITING_MAX: usize = 1024;

/// A language and an identifier without leading zeros, which some trackers leave out.
pub(super) type Name = (String, String);

/// The name of a tracker in a language.
pub(super) fn name_of(language: &str, ident: &str) -> Name {
    (language.to_owned(), ident.trim_start_matches('0').to_owned())
}

/// A terminal wants a code.
pub(super) struct Registration {
    /// Row of its tracker.
    pub tracker: i64,
    /// Its name.
    pub name: Name,
    /// When: whoever waits for longer than a log-in may take is gone.
    pub asked_at: Instant,
    /// Of the code and of the terminal.
    pub digests: (Digest, Digest),
    /// Who is told, at which connection.
    pub mailbox: Arc<Mailbox>,
    pub place: Place,
}
