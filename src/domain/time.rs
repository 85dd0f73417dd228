//! Points in time: UTC microseconds since 1970, as the journal and the database keep them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in time, UTC, in microseconds since 1970-01-01T00:00:00Z. Negative values lie before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// From fractional seconds since 1970, as recordings write them. NaN becomes 1970.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e6).round() as i64)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Fractional seconds since 1970.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds from `earlier` to `self`; negative if `self` lies before it.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0.saturating_sub(earlier.0)) as f64 / 1e6
    }

    /// This point moved by `secs` seconds (either way).
    pub fn plus_secs_f64(self, secs: f64) -> Self {
        Self(self.0.saturating_add((secs * 1e6).round() as i64))
    }

    /// A civil time read from a tracker's clock, `offset_s` seconds east of UTC.
    ///
    /// Returns `None` when the fields name no day or time (month 13, hour 25, 31 February).
    pub fn from_civil(year: i16, month: u8, day: u8, hour: u8, minute: u8, second: u8, offset_s: i32) -> Option<Self> {
        let date = jiff::civil::DateTime::new(
            year,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            0,
        )
        .ok()?;
        let utc = jiff::tz::Offset::UTC.to_timestamp(date).ok()?;
        Some(Self((utc.as_second() - i64::from(offset_s)).saturating_mul(1_000_000)))
    }

    /// Parses RFC 3339 (`2026-11-23T10:00:00Z`, fractions and offsets allowed).
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; a value outside the years ±9999 is shown as its microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beijing_clock_is_eight_hours_ahead_of_utc() {
        let t = Timestamp::from_civil(2026, 6, 15, 10, 57, 25, 8 * 3600);
        assert_eq!(t.map(|t| t.to_string()).as_deref(), Some("2026-06-15T02:57:25Z"));
    }

    #[test]
    fn the_thirtieth_of_february_is_no_time() {
        assert_eq!(Timestamp::from_civil(2026, 2, 30, 0, 0, 0, 0), None);
        assert_eq!(Timestamp::from_civil(2026, 13, 1, 0, 0, 0, 0), None);
    }

    #[test]
    fn rfc3339_goes_there_and_back() {
        let t = Timestamp::parse_rfc3339("2026-11-23T10:00:00.25+08:00");
        assert_eq!(t.map(|t| t.to_string()).as_deref(), Some("2026-11-23T02:00:00.25Z"));
    }
}
