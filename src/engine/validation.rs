//! Whether a fix is plausible, and what is odd about it.

use crate::domain::{Fix, Timestamp};
use crate::engine::clock::{FUTURE_S_MAX, Reading};
use crate::engine::fix_flags::FixFlags;
use std::ops::RangeInclusive;

/// No tracker of ours measured anything before this: 2015-01-01.
const EARLIEST: Timestamp = Timestamp::from_secs(1_420_070_400);

/// What a two-wheeler's receiver can say. 255 km/h is how one byte says "unknown".
const SPEED_KMH: RangeInclusive<f32> = 0.0..=250.0;
const COURSE_DEG: RangeInclusive<f32> = 0.0..=360.0;
/// From the Dead Sea to above the highest road.
const ALTITUDE_M: RangeInclusive<f32> = -500.0..=9000.0;
const HDOP: RangeInclusive<f32> = 0.1..=99.9;
const ACCURACY_M: RangeInclusive<f32> = 0.0..=100_000.0;

/// The verdict on a fix.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Kept, at this time, with these flags.
    Accept {
        /// When.
        fixed_at: Timestamp,
        /// What is odd about it.
        flags: FixFlags,
        /// Whether it is of a time before the newest. A clock that may be hours behind is not: it is live.
        is_history: bool,
    },
    /// Set aside.
    Quarantine {
        /// One word.
        reason: &'static str,
        /// One sentence.
        detail: String,
    },
}

impl Verdict {
    /// Whether it is of a time before the newest.
    pub fn is_history(&self) -> bool {
        matches!(self, Self::Accept { is_history: true, .. })
    }
}

/// A fix without the values that cannot be: each has a limit, NaN has none.
pub fn without_nonsense(fix: &Fix, flags: &mut FixFlags) -> Fix {
    let mut kept = fix.clone();
    let within = |value: &mut Option<f32>, limits: RangeInclusive<f32>| {
        let is_nonsense = value.is_some_and(|v| !limits.contains(&v));
        if is_nonsense {
            *value = None;
        }
        is_nonsense
    };
    let dropped = [
        within(&mut kept.speed_kmh, SPEED_KMH),
        within(&mut kept.course_deg, COURSE_DEG),
        within(&mut kept.altitude_m, ALTITUDE_M),
        within(&mut kept.hdop, HDOP),
        within(&mut kept.accuracy_m, ACCURACY_M),
    ];
    if dropped.contains(&true) {
        flags.0 |= FixFlags::FIELD_DROPPED;
    }
    kept
}

/// Judges a fix, whose time was read, by CONTRACTS 6: not over 120 s ahead, not older than the limit, not before 2015,
/// position in range.
pub fn validate(
    fix: &Fix,
    reading: &Reading,
    buffered: bool,
    received_at: Timestamp,
    newest_at: Option<Timestamp>,
    max_fix_age_s: f64,
) -> Verdict {
    if !fix.position.is_in_range() {
        let detail = "the latitude is outside -90..=90 or the longitude outside -180..=180".to_owned();
        return Verdict::Quarantine { reason: "position", detail };
    }
    let (fixed_at, mut flags) = (reading.at, reading.flags);
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
        return Verdict::Quarantine { reason: "time", detail };
    }
    let is_late = newest_at.is_some_and(|newest| fixed_at < newest);
    if is_late {
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
    Verdict::Accept { fixed_at, flags: FixFlags(flags), is_history: is_late && !reading.may_be_live }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FixSource, LatLon};

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn fix(fixed_at: Timestamp) -> Fix {
        Fix {
            fixed_at: Some(fixed_at),
            valid: true,
            position: LatLon::new(28.55, 112.35),
            altitude_m: None,
            speed_kmh: None,
            course_deg: None,
            satellites: None,
            hdop: None,
            accuracy_m: None,
            source: FixSource::Gnss,
        }
    }

    fn judged(fix: &Fix) -> Verdict {
        let reading = Reading { at: fix.fixed_at.unwrap_or(NOW), flags: 0, may_be_live: false };
        validate(fix, &reading, false, NOW, None, 30.0 * 86_400.0)
    }

    fn kept(fixed_at: Timestamp) -> Option<(Timestamp, i16)> {
        match judged(&fix(fixed_at)) {
            Verdict::Accept { fixed_at, flags, .. } => Some((fixed_at, flags.0)),
            Verdict::Quarantine { .. } => None,
        }
    }

    #[test]
    fn a_time_in_the_future_before_2015_or_too_long_ago_is_set_aside() {
        for told in [121.0, 3600.0, 8.0 * 3600.0, 86_400.0, 50.0 * 365.0 * 86_400.0, -31.0 * 86_400.0] {
            assert_eq!(kept(NOW.plus_secs_f64(told)), None, "{told}");
        }
        for told in [0, 315_964_800, 946_684_800] {
            assert_eq!(kept(Timestamp::from_secs(told)), None, "{told}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_left_out() {
        let mut fix = fix(NOW);
        for nonsense in [f32::NAN, f32::INFINITY, -1.0, 1e9] {
            (fix.speed_kmh, fix.hdop, fix.accuracy_m) = (Some(nonsense), Some(nonsense), Some(nonsense));
            let mut flags = FixFlags::default();
            let kept = without_nonsense(&fix, &mut flags);
            assert_eq!((kept.speed_kmh, kept.hdop, kept.accuracy_m), (None, None, None), "{nonsense}");
            assert_eq!(flags.0, FixFlags::FIELD_DROPPED);
        }
        fix.position = LatLon::new(f64::NAN, 112.35);
        assert!(matches!(judged(&fix), Verdict::Quarantine { reason: "position", .. }));
    }

    #[test]
    fn a_plausible_time_is_left_alone() {
        for told in [120.0, 0.0, -600.0, -7.0 * 3600.0, -29.0 * 86_400.0] {
            assert_eq!(kept(NOW.plus_secs_f64(told)), Some((NOW.plus_secs_f64(told), 0)), "{told}");
        }
    }
}
