//! Silence: a guarded tracker that sends nothing for longer than its own report interval allows.
//!
//! Harmless outages last up to three quarters of an hour, so the deadline is that plus one report interval;
//! contact is called lost, quietly, much earlier. A session that begins without contact protects nothing, which is raised
//! (quietly) a minute later unless the tracker has spoken by then.

use crate::domain::Timestamp;
use crate::guard::params::SilenceParams;
use serde::{Deserialize, Serialize};

/// When a tracker was heard, and how often it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "SilenceCheckpoint", into = "SilenceCheckpoint")]
pub struct SilenceState {
    /// Server time of the last packet, or of arming if that is later.
    heard_at: Option<Timestamp>,
    /// Upper end of its usual intervals, seconds; 0 = not known yet.
    report_interval_s: f32,
    /// What was raised of this silence.
    raised: Raised,
    /// The session began without contact, and nothing has come since.
    is_unheard: bool,
    /// Not of silence, but there is room for it here: whether the vehicle holds one of the lane's full windows ...
    pub has_window: bool,
    /// ... and whether what it reported last speaks for a departure.
    pub is_pressing: bool,
}

/// How much was raised of a silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Raised {
    #[default]
    Nothing,
    /// That contact is lost, or that there was none when the session began.
    Lost,
    /// That it is silent.
    Silent,
}

/// As a checkpoint keeps it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename = "SilenceState")]
struct SilenceCheckpoint {
    heard_at: Option<Timestamp>,
    #[serde(rename = "rhythm_s")]
    report_interval_s: f32,
    told_lost: bool,
    told_silent: bool,
    #[serde(default)]
    has_window: bool,
    #[serde(default)]
    is_pressing: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_unheard: bool,
}

impl From<SilenceCheckpoint> for SilenceState {
    fn from(kept: SilenceCheckpoint) -> Self {
        let SilenceCheckpoint {
            heard_at,
            report_interval_s,
            told_lost,
            told_silent,
            has_window,
            is_pressing,
            is_unheard,
        } = kept;
        let raised = match (told_lost, told_silent) {
            (_, true) => Raised::Silent,
            (true, false) => Raised::Lost,
            (false, false) => Raised::Nothing,
        };
        Self { heard_at, report_interval_s, raised, is_unheard, has_window, is_pressing }
    }
}

impl From<SilenceState> for SilenceCheckpoint {
    fn from(state: SilenceState) -> Self {
        let SilenceState { heard_at, report_interval_s, raised, is_unheard, has_window, is_pressing } = state;
        let (told_lost, told_silent) = (raised >= Raised::Lost, raised == Raised::Silent);
        Self { heard_at, report_interval_s, told_lost, told_silent, has_window, is_pressing, is_unheard }
    }
}

/// Where one or two heartbeats were lost, the next interval is such a share of the one that was learned.
const LOST_BEAT_SHARE: std::ops::Range<f32> = 0.3..0.7;

/// A silence deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The session began without contact, and there is still none: raised quietly.
    Unheard,
    /// Contact is lost: raised quietly.
    Lost,
    /// Silence: the owner is woken.
    Silent,
}

impl SilenceState {
    /// A packet arrived.
    pub fn heard(&mut self, received_at: Timestamp) {
        if self.heard_at.is_none_or(|h| received_at > h) {
            self.heard_at = Some(received_at);
        }
        self.raised = Raised::Nothing;
        self.is_unheard = false;
    }

    /// A guard session began: its deadlines start now at the earliest. `resumed_at`: we ourselves were away until then.
    pub fn begin_session(&mut self, params: &SilenceParams, known_at: Timestamp, resumed_at: Option<Timestamp>) {
        let is_lost_by = |heard: Timestamp| {
            let heard = resumed_at.map_or(heard, |r| r.max(heard));
            known_at.seconds_since(heard) > f64::from(self.lost_s(params))
        };
        let is_unheard = self.is_unheard || self.raised >= Raised::Lost || self.heard_at.is_none_or(is_lost_by);
        self.heard(known_at);
        self.is_unheard = is_unheard;
    }

    /// Takes over the interval that is known of its tracker, where that is longer than what is learnt here.
    pub fn learn_known_interval(&mut self, params: &SilenceParams, report_interval_s: Option<u16>) {
        let known_s = report_interval_s.map_or(0.0, f32::from);
        if known_s > params.rhythm_max_s {
            self.report_interval_s = self.report_interval_s.max(known_s);
        }
    }

    /// Learns the report interval from the event times of moments in order: rises at once, falls slowly, so
    /// that ten-second reports of a shake do not shorten the deadline of the heartbeats. After a heartbeat
    /// that was lost the next ones say so: between a third and two thirds of what was believed, it falls fast.
    pub fn learn_report_interval(&mut self, params: &SilenceParams, before: Option<Timestamp>, at: Timestamp) {
        let Some(before) = before else { return };
        let interval = at.seconds_since(before) as f32;
        if interval > 0.0 && interval <= params.rhythm_max_s {
            let had_lost_beats = LOST_BEAT_SHARE.contains(&(interval / self.report_interval_s));
            let gain = if interval > self.report_interval_s {
                1.0
            } else if had_lost_beats {
                params.rhythm_fall_after_lost_beat
            } else {
                params.rhythm_fall
            };
            self.report_interval_s += gain * (interval - self.report_interval_s);
        }
    }

    /// How often it reports, seconds.
    pub fn report_interval_s(&self, params: &SilenceParams) -> f32 {
        if self.report_interval_s > 0.0 { self.report_interval_s } else { params.rhythm_start_s }
    }

    /// How long after the last packet contact counts as lost, seconds.
    fn lost_s(&self, params: &SilenceParams) -> f32 {
        (params.lost_rhythms * self.report_interval_s(params) + params.lost_extra_s).min(self.silent_s(params))
    }

    /// How long after the last packet it is silence, seconds.
    fn silent_s(&self, params: &SilenceParams) -> f32 {
        params.tolerated_s + self.report_interval_s(params)
    }

    /// The next deadline. `resumed_at`: we ourselves were away until then.
    pub fn due(&self, params: &SilenceParams, resumed_at: Option<Timestamp>) -> Option<(Timestamp, Step)> {
        let heard = self.heard_at?;
        let heard = resumed_at.map_or(heard, |r| r.max(heard));
        let (after_s, step) = match self.raised {
            Raised::Nothing if self.is_unheard => (params.unheard_s, Step::Unheard),
            Raised::Nothing => (self.lost_s(params), Step::Lost),
            Raised::Lost => (self.silent_s(params), Step::Silent),
            Raised::Silent => return None,
        };
        Some((heard.plus_secs_f64(f64::from(after_s)), step))
    }

    /// When it was last heard, server time.
    pub fn last_heard(&self) -> Option<Timestamp> {
        self.heard_at
    }

    /// Its silence is its peers': the deadline starts again, lost contact stays raised.
    pub fn excuse(&mut self, at: Timestamp) {
        self.heard_at = self.heard_at.max(Some(at));
    }

    /// A deadline was raised.
    pub fn raised(&mut self, step: Step) {
        self.raised = match step {
            Step::Unheard | Step::Lost => Raised::Lost,
            Step::Silent => Raised::Silent,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report interval after moments with these intervals, seconds.
    fn interval_after(intervals_s: &[i64]) -> f32 {
        let (params, mut state, mut at_s) = (SilenceParams::default(), SilenceState::default(), 0);
        for interval_s in intervals_s {
            let before = Timestamp::from_secs(at_s);
            at_s += interval_s;
            state.learn_report_interval(&params, Some(before), Timestamp::from_secs(at_s));
        }
        state.report_interval_s(&params)
    }

    #[test]
    fn a_lost_heartbeat_lengthens_the_rhythm_for_a_few_intervals_only() {
        assert_eq!(interval_after(&[180, 180, 360]), 360.0, "who knows that it was lost?");
        let later_s = interval_after(&[180, 180, 360, 180, 180, 180, 180]);
        assert!((180.0..270.0).contains(&later_s), "{later_s}");
        let later_s = interval_after(&[[180, 360].as_slice(), &[180; 40]].concat());
        assert!((180.0..230.0).contains(&later_s), "{later_s}");
    }

    #[test]
    fn minutes_of_shaking_do_not_shorten_it() {
        let shaken_s = interval_after(&[[300].as_slice(), &[10; 6]].concat());
        assert!(shaken_s > 260.0, "{shaken_s}");
        assert_eq!(interval_after(&[[300].as_slice(), &[10; 60], &[300]].concat()), 300.0, "it rises at once");
    }

    /// What is raised of a vehicle that is armed at `armed_s`, up to `until_s`, where reports came at these times.
    fn raised(reports_s: &[i64], armed_s: i64, until_s: i64, away_until_s: Option<i64>) -> Vec<(i64, Step)> {
        let (params, mut state, at) = (SilenceParams::default(), SilenceState::default(), Timestamp::from_secs);
        let mut raised = Vec::new();
        for now_s in 0..=until_s {
            if reports_s.contains(&now_s) {
                state.heard(at(now_s));
            }
            if now_s == armed_s {
                state.begin_session(&params, at(now_s), away_until_s.map(at));
            }
            let due = state.due(&params, None).filter(|(due, _)| now_s >= armed_s && *due <= at(now_s));
            if let Some((_, step)) = due {
                state.raised(step);
                raised.push((now_s - armed_s, step));
            }
        }
        raised
    }

    #[test]
    fn a_session_without_contact_is_told_of_within_a_minute_and_its_silence_in_its_time() {
        assert_eq!(raised(&[], 10, 4000, None), [(60, Step::Unheard), (3008, Step::Silent)], "never heard");
        assert_eq!(raised(&[1], 3000, 3100, None), [(60, Step::Unheard)], "silent for 50 minutes before");
        assert_eq!(raised(&[1], 3000, 3100, Some(2900)), [], "we were away ourselves");
        assert_eq!(raised(&[1], 900, 2000, None), [], "a quarter of an hour is within three reports");
        assert_eq!(raised(&[40], 10, 1200, None), [], "it spoke within the minute");
    }

    #[test]
    fn arming_again_does_not_make_contact() {
        let (params, mut state) = (SilenceParams::default(), SilenceState::default());
        for armed_s in [0, 100, 200] {
            state.begin_session(&params, Timestamp::from_secs(armed_s), None);
            let due = state.due(&params, None).unwrap();
            assert_eq!(due, (Timestamp::from_secs(armed_s + 60), Step::Unheard));
            if armed_s > 0 {
                state.raised(due.1);
            }
        }
        state.heard(Timestamp::from_secs(300));
        state.begin_session(&params, Timestamp::from_secs(400), None);
        assert_eq!(state.due(&params, None).unwrap().1, Step::Lost);
    }

    #[test]
    fn a_tracker_that_speaks_once_an_hour_is_not_silent_in_between() {
        let (params, mut state) = (SilenceParams::default(), SilenceState::default());
        state.heard(Timestamp::from_secs(0));
        state.learn_known_interval(&params, Some(3600));
        let (due, _) = state.due(&params, None).unwrap();
        assert!(due.seconds_since(Timestamp::from_secs(0)) > 3600.0, "{due}");
        state.learn_known_interval(&params, Some(60));
        assert_eq!(state.report_interval_s(&params), 3600.0, "short ones are learnt by the guard itself");
    }
}
