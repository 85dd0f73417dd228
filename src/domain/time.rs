//! Points in time: UTC microseconds since 1970, as the journal and the database keep them.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroI64;

/// A point in time, UTC, in microseconds since 1970-01-01T00:00:00Z. Negative values lie before.
///
/// The microseconds are kept with the sign bit turned over, which leaves no zero (`i64::MIN` itself is
/// rounded up by one): so an `Option<Timestamp>` takes eight bytes, and a city has many of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(NonZeroI64);

impl From<i64> for Timestamp {
    fn from(micros: i64) -> Self {
        Self::from_micros(micros)
    }
}

impl From<Timestamp> for i64 {
    fn from(t: Timestamp) -> Self {
        t.micros()
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_micros(0)
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.micros().cmp(&other.micros())
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.micros())
    }
}

/// The earliest point in time, as it is kept.
const EARLIEST: NonZeroI64 = match NonZeroI64::new(1) {
    Some(one) => one,
    None => NonZeroI64::MAX,
};

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        match NonZeroI64::new(micros ^ i64::MIN) {
            Some(kept) => Self(kept),
            None => Self(EARLIEST),
        }
    }

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// From fractional seconds since 1970, as recordings write them. NaN becomes 1970.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self::from_micros((secs * 1e6).round() as i64)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0.get() ^ i64::MIN
    }

    /// Fractional seconds since 1970.
    pub fn secs_f64(self) -> f64 {
        self.micros() as f64 / 1e6
    }

    /// Seconds from `earlier` to `self`; negative if `self` lies before it.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.micros().saturating_sub(earlier.micros())) as f64 / 1e6
    }

    /// This point moved by `secs` seconds (either way).
    pub fn plus_secs_f64(self, secs: f64) -> Self {
        Self::from_micros(self.micros().saturating_add((secs * 1e6).round() as i64))
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
        Some(Self::from_secs(utc.as_second() - i64::from(offset_s)))
    }

    /// Year, month, day, hour, minute and second in UTC, as platforms tell trackers the time; `None` outside the years ±9999.
    pub fn civil_utc(self) -> Option<(i16, [u8; 5])> {
        let at = jiff::Timestamp::from_microsecond(self.micros()).ok()?;
        let at = jiff::tz::Offset::UTC.to_datetime(at);
        let rest = [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|part| part.unsigned_abs());
        Some((at.year(), rest))
    }

    /// Parses RFC 3339 (`2026-11-23T10:00:00Z`, fractions and offsets allowed).
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self::from_micros(t.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; a value outside the years ±9999 is shown as its microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.micros()) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}us", self.micros()),
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
    fn points_keep_their_order_and_an_option_of_one_takes_no_more() {
        let micros = [i64::MIN + 1, -1, 0, 1, 1_770_000_000_000_000, i64::MAX];
        let points = micros.map(Timestamp::from_micros);
        assert!(points.is_sorted() && points.map(Timestamp::micros) == micros);
        assert_eq!(Timestamp::from_micros(i64::MIN).micros(), i64::MIN + 1);
        assert_eq!(serde_json::to_string(&points[4]).ok().as_deref(), Some("1770000000000000"));
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
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
