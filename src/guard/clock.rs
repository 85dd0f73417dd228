//! Which tracker clocks are believed.
//!
//! A clock that cannot be right costs its fix the place in event time, never its voice: the arrival
//! replaces it. A week rollover is repaired, because the remainder of the date is exact.

use crate::domain::Timestamp;
use crate::guard::params::ClockParams;

/// Seconds after which GPS weeks start again: 1024 weeks.
const ROLLOVER_S: f64 = 1024.0 * 7.0 * 86_400.0;
/// A repaired rollover must land this close to the arrival, seconds.
const ROLLOVER_FIT_S: f64 = 86_400.0;

/// When a moment happened, as far as we believe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventTime {
    /// The time to reckon with.
    pub at: Timestamp,
    /// Whether it is the tracker's own (also when repaired) and not the arrival.
    pub is_trackers_own: bool,
}

/// Judges a tracker's time `told` against the arrival, which is an upper bound.
pub fn event_time(params: &ClockParams, told: Option<Timestamp>, received_at: Timestamp) -> EventTime {
    let arrival = EventTime { at: received_at, is_trackers_own: false };
    let Some(told) = told else { return arrival };
    let ahead_s = told.seconds_since(received_at);
    if ahead_s > params.ahead_s {
        return arrival;
    }
    if ahead_s >= -params.behind_s {
        // A clock a few seconds ahead must not stand after its own arrival.
        return EventTime { at: told.min(received_at), is_trackers_own: true };
    }
    let repaired = told.plus_secs_f64(ROLLOVER_S);
    let off_s = repaired.seconds_since(received_at);
    if off_s <= params.ahead_s && off_s >= -ROLLOVER_FIT_S {
        return EventTime { at: repaired.min(received_at), is_trackers_own: true };
    }
    arrival
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_770_000_000);

    fn judged(told: Timestamp) -> EventTime {
        event_time(&ClockParams::default(), Some(told), NOW)
    }

    #[test]
    fn a_clock_in_1980_2000_or_the_future_gives_way_to_the_arrival() {
        for told in [315_964_800, 946_684_800, 1_770_003_600, i64::MAX / 1_000_000] {
            assert_eq!(judged(Timestamp::from_secs(told)), EventTime { at: NOW, is_trackers_own: false }, "{told}");
        }
        assert_eq!(judged(Timestamp::from_micros(i64::MIN)).at, NOW);
        assert_eq!(event_time(&ClockParams::default(), None, NOW).at, NOW);
    }

    #[test]
    fn a_week_rollover_is_repaired() {
        let told = NOW.plus_secs_f64(-10.0 - 1024.0 * 7.0 * 86_400.0);
        assert_eq!(judged(told), EventTime { at: NOW.plus_secs_f64(-10.0), is_trackers_own: true });
    }

    #[test]
    fn a_buffered_fix_keeps_its_time() {
        let told = NOW.plus_secs_f64(-7_200.0);
        assert_eq!(judged(told).at, told);
    }
}
