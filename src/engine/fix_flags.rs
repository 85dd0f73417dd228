//! What was noticed about a fix.

use serde::{Deserialize, Serialize};

/// What was noticed about a fix; a set of bits, as the database keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FixFlags(pub i16);

impl FixFlags {
    /// Older than the newest of its vehicle when it came.
    pub const LATE: i16 = 1;
    /// Kept in the tracker and sent later, by its own word.
    pub const BUFFERED: i16 = 2;
    /// The tracker says itself that it had no fix.
    pub const NOT_VALID: i16 = 4;
    /// 0°, 0°: no position.
    pub const NULL_ISLAND: i16 = 8;
    /// The packet has no time; the time of arrival replaces it.
    pub const TIME_OF_ARRIVAL: i16 = 16;

    /// The tracker's clock was wrong by a known amount; the time is repaired.
    pub const CLOCK_REPAIRED: i16 = 32;
    /// What zone the clock showed cannot be decided: see `docs/protocols.md`, "Clocks". The time is what the likeliest
    /// explanation says.
    pub const ZONE_DOUBTED: i16 = 64;
    /// Far off, but near the newest place with latitude and longitude swapped or a sign turned.
    pub const AXES_DOUBTED: i16 = 128;
    /// Farther from the newest place than a two-wheeler can ride.
    pub const JUMP: i16 = 256;
    /// The same place to the last digit, again and again, while the vehicle says that it moves.
    pub const FROZEN: i16 = 512;
    /// A speed, course, altitude or precision that cannot be was left out.
    pub const FIELD_DROPPED: i16 = 1024;
    /// The packet's check sum was wrong, which its tracker's profile tolerates.
    pub const CHECK_SUM_WRONG: i16 = 2048;
    /// The first heard of its tracker in its cell and quarter of an hour ([`crate::engine::CellEntry`]): how a search by place finds
    /// the tracker while its fixes are hot. Says nothing about the fix.
    pub const CELL_ENTRY: i16 = 4096;
    /// With [`Self::CELL_ENTRY`]: it represents a narrow cell, not a wide one.
    pub const NARROW: i16 = 8192;

    /// Fixes with one of these are kept, but no track shows them: the position is none, or not this one. The
    /// number is in the schema, too (0006).
    pub const UNSHOWN: i16 = Self::NOT_VALID | Self::NULL_ISLAND | Self::AXES_DOUBTED;

    /// Whether tracks show the fix.
    pub fn is_shown(self) -> bool {
        self.0 & Self::UNSHOWN == 0
    }

    /// Whether the fix may become the newest place of its vehicle.
    pub fn is_trustworthy(self) -> bool {
        self.0 & (Self::NOT_VALID | Self::NULL_ISLAND | Self::AXES_DOUBTED | Self::JUMP) == 0
    }
}
