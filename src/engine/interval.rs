//! How often a tracker reports, learnt from when its packets arrive: what "late" and "silent" are measured by.
//!
//! A tracker has several report intervals: seconds while riding, minutes at rest, an hour asleep. The longest of the lately usual
//! ones counts. One long gap is an outage or a cellar; two in a row are an interval.

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Packets that come closer together than this are one report in pieces, or a backlog; seconds.
const BURST_S: f64 = 5.0;
/// Longest interval that is believed, seconds: a gap of more than half a day is an absence.
const INTERVAL_S_MAX: f64 = 43_200.0;
/// What is left of the interval an hour later: after eleven hours half of it is forgotten.
const LEFT_AFTER_HOUR: f64 = 15.0 / 16.0;

/// Unit of the long gap that is remembered, seconds: in a byte it reaches beyond [`INTERVAL_S_MAX`].
const LONG_UNIT_S: u16 = 180;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportInterval {
    /// The usual interval, seconds; 0 = not known.
    pub usual_s: u16,
    /// The gap before, if it was longer than usual, in units of three minutes, rounded up; else 0.
    pub long: u8,
}

impl ReportInterval {
    /// The usual interval, seconds; `None` before two reports have come.
    pub fn usual_s(self) -> Option<u16> {
        (self.usual_s > 0).then_some(self.usual_s)
    }

    /// A report came at `now`, the one before at `before`, by our clock.
    pub fn hear(&mut self, before: Timestamp, now: Timestamp) {
        let gap_s = now.seconds_since(before);
        if !(BURST_S..=INTERVAL_S_MAX).contains(&gap_s) {
            return;
        }
        let gap_s = gap_s.round() as u16;
        // Rounded down, or a short interval would never fall.
        let usual_s = (f64::from(self.usual_s) * LEFT_AFTER_HOUR.powi(hours_begun(before, now))) as u16;
        let long_s = u16::from(self.long) * LONG_UNIT_S;
        *self = match usual_s {
            0 => Self { usual_s: gap_s, long: 0 },
            _ if gap_s > usual_s => {
                Self { usual_s: usual_s.max(long_s.min(gap_s)), long: gap_s.div_ceil(LONG_UNIT_S) as u8 }
            }
            _ => Self { usual_s, long: 0 },
        };
    }
}

/// Hours of the day that began after `before`, up to `now`.
fn hours_begun(before: Timestamp, now: Timestamp) -> i32 {
    let hour = |at: Timestamp| at.micros().div_euclid(3_600_000_000);
    (hour(now) - hour(before)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval after reports with these gaps, seconds.
    fn after(gaps_s: impl IntoIterator<Item = u32>) -> Option<u16> {
        let (mut interval, mut at) = (ReportInterval::default(), Timestamp::from_secs(1_790_000_000));
        for gap_s in gaps_s {
            let before = at;
            at = at.plus_secs_f64(gap_s.into());
            interval.hear(before, at);
        }
        interval.usual_s()
    }

    #[test]
    fn it_is_learnt_from_the_first_two_reports_and_followed() {
        assert_eq!(after([]), None);
        assert_eq!(after([10]), Some(10));
        assert_eq!(after([3600; 4]), Some(3600), "a tracker that speaks once an hour");
        assert_eq!(after([10; 30].into_iter().chain([300; 2])), Some(300), "parked after a ride");
    }

    #[test]
    fn one_long_gap_is_no_rhythm() {
        assert_eq!(
            after([300, 300, 10_800, 300, 300]),
            Some(300),
            "three hours in a cellar; fewer than four whole hours' fall"
        );
        assert_eq!(after([60, 60, 600, 50, 60]), Some(60));
    }

    #[test]
    fn a_burst_and_an_absence_teach_nothing() {
        assert_eq!(after([1, 1, 2]), None, "a backlog");
        assert_eq!(after([3600, 1, 3600, 2, 3600]), Some(3600), "two packets an hour, one after the other");
        assert_eq!(after([300, 86_400 * 3, 86_400]), Some(300), "switched off for days");
    }

    #[test]
    fn it_falls_within_a_day_where_a_tracker_reports_more_often() {
        let gaps = |hours: usize| after([3600; 3].into_iter().chain(std::iter::repeat_n(60, hours * 60)));
        assert!(gaps(2).unwrap() > 3000, "{:?}", gaps(2));
        assert!(gaps(24).unwrap() < 900, "{:?}", gaps(24));
        assert_eq!(gaps(24 * 7), Some(60));
    }
}
