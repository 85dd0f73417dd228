//! Whether a fix is plausible, and what is odd about it.

use crate::domain::{Fix, Timestamp};
use serde::{Deserialize, Serialize};

/// How far in the future a tracker's clock may be, seconds.
pub const FUTURE_S_MAX: f64 = 120.0;
/// No tracker of ours measured anything before this: 2015-01-01.
const EARLIEST: Timestamp = Timestamp::from_secs(1_420_070_400);

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
    /// The packet has no time; the time of arrival stands in.
    pub const TIME_OF_ARRIVAL: i16 = 16;

    /// Whether the fix may become the newest place of its vehicle.
    pub fn is_trustworthy(self) -> bool {
        self.0 & (Self::NOT_VALID | Self::NULL_ISLAND) == 0
    }
}

/// The verdict on a fix.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Kept, at this time, with these flags.
    Keep {
        /// When.
        fixed_at: Timestamp,
        /// What is odd about it.
        flags: FixFlags,
    },
    /// Set aside.
    SetAside {
        /// One word.
        reason: &'static str,
        /// One sentence.
        detail: String,
    },
}

/// Judges a fix by CONTRACTS 6: not over 120 s ahead, not older than the limit, not before 2015,
/// position in range.
pub fn judge(
    fix: &Fix,
    buffered: bool,
    received_at: Timestamp,
    newest_at: Option<Timestamp>,
    max_fix_age_s: f64,
) -> Judgement {
    if !fix.position.is_in_range() {
        let detail = "the latitude is outside -90..=90 or the longitude outside -180..=180".to_owned();
        return Judgement::SetAside { reason: "position", detail };
    }
    let mut flags = 0;
    let fixed_at = fix.fixed_at.unwrap_or_else(|| {
        flags |= FixFlags::TIME_OF_ARRIVAL;
        received_at
    });
    let age_s = received_at.seconds_since(fixed_at);
    let problem = if age_s < -FUTURE_S_MAX {
        Some(format!("the fix is {:.0} s in the future; at most {FUTURE_S_MAX} s are plausible", -age_s))
    } else if fixed_at < EARLIEST {
        Some(format!("the fix says {fixed_at}; nothing before {EARLIEST} is plausible"))
    } else if age_s > max_fix_age_s {
        Some(format!(
            "the fix is {:.1} days old; at most {:.0} are plausible",
            age_s / 86_400.0,
            max_fix_age_s / 86_400.0
        ))
    } else {
        None
    };
    if let Some(detail) = problem {
        return Judgement::SetAside { reason: "time", detail };
    }
    if newest_at.is_some_and(|newest| fixed_at < newest) {
        flags |= FixFlags::LATE;
    }
    if buffered {
        flags |= FixFlags::BUFFERED;
    }
    if !fix.valid {
        flags |= FixFlags::NOT_VALID;
    }
    if fix.position.is_null_island() {
        flags |= FixFlags::NULL_ISLAND;
    }
    Judgement::Keep { fixed_at, flags: FixFlags(flags) }
}
