//! The way between processes: from the door to the holders of lanes, and from the lanes to live maps.
//!
//! `rideguard door` keeps the trackers' connections while `rideguard ingest` is replaced. A connection for each lane carries
//! packets to its holder and brings receipts, answers and commands back. What the holder has not kept when the connection
//! breaks is sent to the next one; who counts twice is known by what it sent (docs/decisions/0042-a-door-of-its-own.md).
//! Never: decoding, SQL.

mod door_side;
mod greeting;
mod holder_side;
mod news;
mod wire;

pub use door_side::DoorSide;
pub use greeting::Secret;
pub use holder_side::HolderSide;
pub use news::hear_news;

use std::time::Duration;

/// Each side says something that often.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Whoever is silent for so long is gone: a host that lost its power says no goodbye.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest that connecting and greeting may take.
const GREETING_MAX: Duration = Duration::from_secs(3);
/// Packets that the holder has not kept yet, of one door and lane: two of its largest batches, and one on the way.
const UNKEPT_MAX: usize = 3000;
/// Longest that writing may wait for the other side.
const WRITE_MAX: Duration = Duration::from_secs(10);
