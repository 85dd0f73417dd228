//! Weekly windows of civil time: when a zone's rule counts, when a guard session begins by itself.
//!
//! The zone of the clock is stated and has a fixed offset, so that folding the journal again never
//! depends on a table of daylight saving times. China has one clock, `Asia/Shanghai`, without them.

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Most windows of a schedule: two a day.
pub const WINDOWS_MAX: usize = 14;
/// Minutes of a day and seconds of a week.
const DAY_MIN: u16 = 1440;
const WEEK_S: i64 = 7 * 86_400;
/// 1970 began on a Thursday; weeks begin on Monday.
const EPOCH_WEEKDAY_S: i64 = 3 * 86_400;

/// A clock with a fixed offset from UTC: `Asia/Shanghai`, `UTC`, or an offset such as `+08:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CivilClock {
    offset_min: i16,
}

impl Default for CivilClock {
    fn default() -> Self {
        Self { offset_min: 480 }
    }
}

impl TryFrom<String> for CivilClock {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        match text.as_str() {
            "Asia/Shanghai" => return Ok(Self::default()),
            "UTC" => return Ok(Self { offset_min: 0 }),
            _ => {}
        }
        let offset = |sign: i16, rest: &str| {
            let (hours, minutes) = rest.split_once(':')?;
            let (h, m) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
            (hours.len() == 2 && minutes.len() == 2 && h <= 14 && m < 60)
                .then(|| sign * (i16::from(h) * 60 + i16::from(m)))
        };
        let read = match text.split_at_checked(1) {
            Some(("+", rest)) => offset(1, rest),
            Some(("-", rest)) => offset(-1, rest),
            _ => None,
        };
        read.map(|offset_min| Self { offset_min }).ok_or_else(|| ScheduleError::Clock(text.chars().take(32).collect()))
    }
}

impl From<CivilClock> for String {
    fn from(clock: CivilClock) -> Self {
        match clock.offset_min {
            480 => "Asia/Shanghai".to_owned(),
            0 => "UTC".to_owned(),
            m => format!("{}{:02}:{:02}", if m < 0 { '-' } else { '+' }, m.abs() / 60, m.abs() % 60),
        }
    }
}

/// A window on some days of the week. One that ends at or before its beginning goes on past midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Days on which it begins: 1 = Monday … 7 = Sunday.
    pub days: Vec<u8>,
    /// First minute, counted from midnight.
    pub from_min: u16,
    /// First minute after it, counted from midnight; 1440 is midnight at the end.
    pub to_min: u16,
}

impl Window {
    fn length_s(&self) -> i64 {
        let length_min = i64::from(self.to_min) - i64::from(self.from_min);
        60 * if length_min > 0 { length_min } else { length_min + i64::from(DAY_MIN) }
    }
}

/// Windows of a week in a stated clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The clock that the minutes are of.
    #[serde(default)]
    pub time_zone: CivilClock,
    /// When it is in force.
    pub windows: Vec<Window>,
}

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A clock whose offset is not fixed, or no clock.
    #[error("time_zone is {0:?}; it must be Asia/Shanghai, UTC or an offset such as +08:00")]
    Clock(String),
    /// None, or too many.
    #[error("a schedule has 1 to {WINDOWS_MAX} windows, this one has {0}")]
    Windows(usize),
    /// No day, or one that is none.
    #[error("the days of a window are 1 (Monday) to 7 (Sunday), each once, at least one; these are {0:?}")]
    Days(Vec<u8>),
    /// Minutes outside a day.
    #[error("a window begins at 0 to 1439 min and ends at 0 to 1440 min; this one has {from_min} and {to_min}")]
    Minutes {
        /// Where it begins.
        from_min: u16,
        /// Where it ends.
        to_min: u16,
    },
}

impl Schedule {
    /// Checks bounds.
    ///
    /// # Errors
    /// Names the first value outside its limit.
    pub fn check(&self) -> Result<(), ScheduleError> {
        if self.windows.is_empty() || self.windows.len() > WINDOWS_MAX {
            return Err(ScheduleError::Windows(self.windows.len()));
        }
        for window in &self.windows {
            let mut days = window.days.clone();
            days.sort_unstable();
            days.dedup();
            if days.is_empty() || days.len() != window.days.len() || days.iter().any(|d| !(1..=7).contains(d)) {
                return Err(ScheduleError::Days(window.days.iter().copied().take(8).collect()));
            }
            if window.from_min >= DAY_MIN || window.to_min > DAY_MIN {
                return Err(ScheduleError::Minutes { from_min: window.from_min, to_min: window.to_min });
            }
        }
        Ok(())
    }

    /// Since when a window is in force at `at`; the earliest beginning if several are. `None`: none is.
    pub fn in_force_since(&self, at: Timestamp) -> Option<Timestamp> {
        let now_s = self.week_s(at);
        let behind_s = self.beginnings().filter_map(|(begin_s, length_s)| {
            let since_s = (now_s - begin_s).rem_euclid(WEEK_S);
            (since_s < length_s).then_some(since_s)
        });
        behind_s.max().map(|s| Timestamp::from_secs(at.micros().div_euclid(1_000_000) - s))
    }

    /// Whether a window is in force.
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.in_force_since(at).is_some()
    }

    /// The next time after `at` at which a window begins or ends.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let now_s = self.week_s(at);
        let ahead_s = self.beginnings().flat_map(|(begin_s, length_s)| [begin_s, begin_s + length_s]).map(|change_s| {
            match (change_s - now_s).rem_euclid(WEEK_S) {
                0 => WEEK_S,
                ahead => ahead,
            }
        });
        ahead_s.min().map(|s| Timestamp::from_secs(at.micros().div_euclid(1_000_000) + s))
    }

    /// Beginning and length of each window, seconds from Monday's midnight.
    fn beginnings(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.windows.iter().flat_map(|w| {
            let day_s = |day: &u8| (i64::from(*day) - 1) * 86_400 + i64::from(w.from_min) * 60;
            w.days.iter().map(move |day| (day_s(day), w.length_s()))
        })
    }

    /// Seconds since Monday's midnight on its clock.
    fn week_s(&self, at: Timestamp) -> i64 {
        let local_s = at.micros().div_euclid(1_000_000) + i64::from(self.time_zone.offset_min) * 60;
        (local_s + EPOCH_WEEKDAY_S).rem_euclid(WEEK_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday to Sunday, ten in the evening to six in the morning, Chinese time.
    fn nights() -> Schedule {
        Schedule {
            time_zone: CivilClock::default(),
            windows: vec![Window { days: vec![5, 6, 7], from_min: 22 * 60, to_min: 6 * 60 }],
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_window_goes_on_past_midnight_and_past_the_end_of_the_week() {
        let in_force = |text| nights().is_in_force(at(text));
        // 2026-11-27 is a Friday.
        assert!(!in_force("2026-11-27T21:59:59+08:00"));
        assert!(in_force("2026-11-27T22:00:00+08:00"));
        assert!(in_force("2026-11-30T05:59:59+08:00"), "Monday morning belongs to Sunday's window");
        assert!(!in_force("2026-11-30T06:00:00+08:00"));
        assert!(!in_force("2026-11-30T23:00:00+08:00"), "a Monday");
    }

    #[test]
    fn a_window_tells_when_it_began_and_what_changes_next() {
        let night = at("2026-11-28T01:30:00+08:00");
        assert_eq!(nights().in_force_since(night), Some(at("2026-11-27T22:00:00+08:00")));
        assert_eq!(nights().next_change(night), Some(at("2026-11-28T06:00:00+08:00")));
        assert_eq!(nights().next_change(at("2026-11-28T06:00:00+08:00")), Some(at("2026-11-28T22:00:00+08:00")));
    }

    #[test]
    fn clocks_without_a_fixed_offset_are_refused_by_name() {
        let read = |text: &str| CivilClock::try_from(text.to_owned()).map(String::from);
        for text in ["Asia/Shanghai", "UTC", "-03:30", "+09:00"] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        assert_eq!(read("+08:00").as_deref(), Ok("Asia/Shanghai"));
        for text in ["Europe/Berlin", "", "+8", "+24:00", "08:00"] {
            assert_eq!(read(text), Err(ScheduleError::Clock(text.to_owned())));
        }
    }

    #[test]
    fn a_window_outside_its_bounds_is_refused() {
        let one = |days: &[u8], from_min, to_min| Schedule {
            time_zone: CivilClock::default(),
            windows: vec![Window { days: days.to_vec(), from_min, to_min }],
        };
        assert_eq!(one(&[1, 7], 0, 1440).check(), Ok(()));
        for bad in [
            one(&[], 0, 1),
            one(&[0], 0, 1),
            one(&[1, 1], 0, 1),
            one(&[8], 0, 1),
            one(&[1], 1440, 1),
            one(&[1], 0, 1441),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert_eq!(Schedule { windows: vec![], ..nights() }.check(), Err(ScheduleError::Windows(0)));
    }
}
