//! What reading a content needs to know of the tracker.

use crate::protocol::dialect::Dialect;

/// What reading a content needs to know of the tracker.
#[derive(Clone, Copy)]
pub struct Hints {
    /// Offset of its clock, seconds east of UTC.
    pub offset_s: i32,
    /// Its dialect.
    pub dialect: &'static Dialect,
}
