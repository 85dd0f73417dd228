//! What a frame is to whoever holds its tracker's connection: whose it is, whether it is session or data, and the answer.
//!
//! In: the tracker's profile, a frame as `frame()` of its language cut it, the time. Out: [`Heard`]. Answers to data promise
//! that it is kept, so they may leave later.

use crate::domain::ReplyBytes;
use compact_str::CompactString;
use smallvec::SmallVec;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Positions, alarms, states: answered when they are kept.
    Data,
    /// Log-in, heartbeat, a question for the time: answered at once.
    Session,
    /// JT/T 808: the terminal asks for its authentication code; `jt808::registration_answer` answers.
    Register,
    /// JT/T 808: the terminal shows its code; `jt808::general_answer` answers.
    Authenticate,
}

/// A frame as whoever holds the connection hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whom it names; many languages do so at the log-in only.
    pub idents: SmallVec<[CompactString; 1]>,
    /// What it is for.
    pub kind: Kind,
    /// Whether it says something that belongs into the journal.
    pub is_kept: bool,
    /// The answer, as it goes onto the wire; empty where none is owed.
    pub answer: ReplyBytes,
}
