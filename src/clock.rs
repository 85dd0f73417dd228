//! The wall clock, for the shell. The core is told the time with every input.

use crate::domain::Timestamp;
use std::time::SystemTime;

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
