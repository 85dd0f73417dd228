//! A receiver that repeats one place.

use crate::domain::Timestamp;
use crate::guard::state::plane::Point;
use serde::{Deserialize, Serialize};

/// One place reported again and again of a vehicle that moves. Few vehicles have one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    /// Which place.
    pub place: Point,
    /// When the vehicle first moved at it, event time.
    pub since: Timestamp,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// Reports since then.
    pub reports: u16,
    /// Those that said that it moves.
    pub moving: u16,
    /// Whether it was raised.
    #[serde(rename = "is_told")]
    pub is_raised: bool,
}
