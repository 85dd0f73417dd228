//! Whether a fix is plausible, and what is odd about it.

use crate::domain::{Fix, Timestamp};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// How far in the future a tracker's clock may be, seconds.
pub const FUTURE_S_MAX: f64 = 120.0;
/// GPS weeks start again after 1024 of them; receivers that do not know fall back by so many seconds.
const ROLLOVER_S: f64 = 1024.0 * 7.0 * 86_400.0;
/// A repaired rollover must land this close to the arrival, seconds: what was kept for a day.
const ROLLOVER_FIT_S: f64 = 86_400.0;
/// A clock that shows Beijing's time and calls it UTC is ahead by so many seconds.
const BEIJING_S: f64 = 8.0 * 3600.0;
/// A repaired zone must land this close to the arrival, seconds: live, not from a backlog.
const BEIJING_FIT_S: f64 = 600.0;
/// A live report arrives within so many seconds; one that is older by eight hours as well is doubted.
const ZONE_DOUBT_S: f64 = 120.0;
/// No tracker of ours measured anything before this: 2015-01-01.
const EARLIEST: Timestamp = Timestamp::from_secs(1_420_070_400);

/// What a two-wheeler's receiver can say. 255 km/h is how one byte says "unknown".
const SPEED_KMH: RangeInclusive<f32> = 0.0..=250.0;
const COURSE_DEG: RangeInclusive<f32> = 0.0..=360.0;
/// From the Dead Sea to above the highest road.
const ALTITUDE_M: RangeInclusive<f32> = -500.0..=9000.0;
const HDOP: RangeInclusive<f32> = 0.1..=99.9;
const ACCURACY_M: RangeInclusive<f32> = 0.0..=100_000.0;

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

    /// The tracker's clock was wrong in a way that is known and exact; the time is repaired.
    pub const CLOCK_REPAIRED: i16 = 32;
    /// Eight hours old to a minute or two, and not marked as kept: a backlog, or a clock that shows UTC and
    /// calls it Beijing's time. Only its profile can tell, so the time stands as told.
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
    /// The first heard of its tracker in its cell and quarter of an hour ([`super::Footprint`]): how a search by place finds
    /// the tracker while its fixes are hot. Says nothing about the fix.
    pub const FOOTPRINT: i16 = 4096;
    /// With [`Self::FOOTPRINT`]: it stands for a narrow cell, not for a wide one.
    pub const NARROW: i16 = 8192;

    /// Fixes with one of these are kept, but no track shows them: the position is none, or not this one. The
    /// number stands in the schema, too (0006).
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

impl Judgement {
    /// Whether it tells of a time before the newest. A clock that may be eight hours behind does not: it is live.
    pub fn is_history(&self) -> bool {
        matches!(self, Self::Keep { flags, .. } if flags.0 & (FixFlags::LATE | FixFlags::ZONE_DOUBTED) == FixFlags::LATE)
    }
}

/// The time of a clock that is wrong by a known amount: one or two week rollovers, or Beijing's
/// time called UTC. A clock eight hours behind cannot be told from a backlog; its profile says so.
fn repaired(told: Timestamp, received_at: Timestamp) -> Option<Timestamp> {
    let lands = |t: Timestamp, behind_s: f64| (-FUTURE_S_MAX..=behind_s).contains(&received_at.seconds_since(t));
    let rollover =
        [1.0, 2.0].map(|n| told.plus_secs_f64(n * ROLLOVER_S)).into_iter().find(|t| lands(*t, ROLLOVER_FIT_S));
    rollover.or_else(|| Some(told.plus_secs_f64(-BEIJING_S)).filter(|t| lands(*t, BEIJING_FIT_S)))
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
    let fixed_at = match repaired(fixed_at, received_at) {
        Some(repaired) => {
            flags |= FixFlags::CLOCK_REPAIRED;
            repaired
        }
        None => fixed_at,
    };
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
    if !buffered && (age_s - BEIJING_S).abs() <= ZONE_DOUBT_S {
        flags |= FixFlags::ZONE_DOUBTED;
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

    fn judged(fixed_at: Timestamp) -> Judgement {
        judge(&fix(fixed_at), false, NOW, None, 30.0 * 86_400.0)
    }

    fn kept(fixed_at: Timestamp) -> Option<(Timestamp, i16)> {
        match judged(fixed_at) {
            Judgement::Keep { fixed_at, flags } => Some((fixed_at, flags.0)),
            Judgement::SetAside { .. } => None,
        }
    }

    #[test]
    fn a_week_rollover_is_repaired_and_flagged() {
        for weeks in [1024.0, 2048.0] {
            let told = NOW.plus_secs_f64(-20.0 - weeks * 7.0 * 86_400.0);
            assert_eq!(kept(told), Some((NOW.plus_secs_f64(-20.0), FixFlags::CLOCK_REPAIRED)), "{weeks}");
        }
    }

    #[test]
    fn beijing_time_called_utc_is_repaired_and_flagged() {
        let told = NOW.plus_secs_f64(8.0 * 3600.0 - 5.0);
        assert_eq!(kept(told), Some((NOW.plus_secs_f64(-5.0), FixFlags::CLOCK_REPAIRED)));
    }

    #[test]
    fn other_clocks_in_the_future_or_before_2015_are_set_aside() {
        for told in [121.0, 3600.0, 7.0 * 3600.0, 9.0 * 3600.0, 86_400.0, 50.0 * 365.0 * 86_400.0] {
            assert_eq!(kept(NOW.plus_secs_f64(told)), None, "{told}");
        }
        for told in [0, 315_964_800, 946_684_800] {
            assert_eq!(kept(Timestamp::from_secs(told)), None, "{told}");
        }
    }

    #[test]
    fn eight_hours_behind_is_doubted_and_left_alone() {
        let told = NOW.plus_secs_f64(-8.0 * 3600.0 - 20.0);
        assert_eq!(kept(told), Some((told, FixFlags::ZONE_DOUBTED)));
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
        let judged = judge(&fix, false, NOW, None, 30.0 * 86_400.0);
        assert!(matches!(judged, Judgement::SetAside { reason: "position", .. }));
    }

    #[test]
    fn a_plausible_time_is_left_alone() {
        for told in [120.0, 0.0, -600.0, -7.0 * 3600.0, -29.0 * 86_400.0] {
            assert_eq!(kept(NOW.plus_secs_f64(told)), Some((NOW.plus_secs_f64(told), 0)), "{told}");
        }
    }
}
