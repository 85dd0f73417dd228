//! Silence: a guarded tracker that says nothing for longer than its own rhythm allows.
//!
//! Harmless outages last up to three quarters of an hour, so the deadline is that plus one rhythm;
//! contact is called lost, quietly, much earlier.

use super::params::SilenceParams;
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// When a tracker was heard, and how often it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SilenceState {
    /// Server time of the last packet, or of arming if that is later.
    heard_at: Option<Timestamp>,
    /// Upper end of its usual intervals, seconds; 0 = not known yet.
    rhythm_s: f32,
    /// Whether lost contact was told for this silence.
    told_lost: bool,
    /// Whether silence was told for this silence.
    told_silent: bool,
    /// Not of silence, but there is room for it here: whether the vehicle holds one of the lane's full windows ...
    #[serde(default)]
    pub has_window: bool,
    /// ... and whether what it told last speaks for a departure.
    #[serde(default)]
    pub is_pressing: bool,
}

/// Where one or two heartbeats were lost, the next interval is such a share of the one that was learned.
const LOST_BEAT_SHARE: std::ops::Range<f32> = 0.3..0.7;

/// A silence deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Contact is lost: told quietly.
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
        self.told_lost = false;
        self.told_silent = false;
    }

    /// A guard session began: its deadlines start now at the earliest.
    pub fn begin_session(&mut self, known_at: Timestamp) {
        self.heard(known_at);
    }

    /// Learns the rhythm from the event times of moments in order: rises at once, falls slowly, so
    /// that ten-second reports of a shake do not shorten the deadline of the heartbeats. After a heartbeat
    /// that was lost the next ones say so: between a third and two thirds of what was believed, it falls fast.
    pub fn learn_rhythm(&mut self, params: &SilenceParams, before: Option<Timestamp>, at: Timestamp) {
        let Some(before) = before else { return };
        let interval = at.seconds_since(before) as f32;
        if interval > 0.0 && interval <= params.rhythm_max_s {
            let had_lost_beats = LOST_BEAT_SHARE.contains(&(interval / self.rhythm_s));
            let gain = if interval > self.rhythm_s {
                1.0
            } else if had_lost_beats {
                params.rhythm_fall_after_lost_beat
            } else {
                params.rhythm_fall
            };
            self.rhythm_s += gain * (interval - self.rhythm_s);
        }
    }

    /// The rhythm, seconds.
    pub fn rhythm_s(&self, params: &SilenceParams) -> f32 {
        if self.rhythm_s > 0.0 { self.rhythm_s } else { params.rhythm_start_s }
    }

    /// The next deadline. `resumed_at`: we ourselves were away until then.
    pub fn due(&self, params: &SilenceParams, resumed_at: Option<Timestamp>) -> Option<(Timestamp, Step)> {
        let heard = self.heard_at?;
        let heard = resumed_at.map_or(heard, |r| r.max(heard));
        let rhythm = self.rhythm_s(params);
        let silent_s = params.tolerated_s + rhythm;
        if !self.told_lost {
            let lost_s = (params.lost_rhythms * rhythm + params.lost_extra_s).min(silent_s);
            return Some((heard.plus_secs_f64(f64::from(lost_s)), Step::Lost));
        }
        (!self.told_silent).then(|| (heard.plus_secs_f64(f64::from(silent_s)), Step::Silent))
    }

    /// When it was last heard, server time.
    pub fn last_heard(&self) -> Option<Timestamp> {
        self.heard_at
    }

    /// Its silence is its neighbourhood's: the deadline starts again, lost contact stays told.
    pub fn excuse(&mut self, at: Timestamp) {
        self.heard_at = self.heard_at.max(Some(at));
    }

    /// A deadline was told.
    pub fn told(&mut self, step: Step) {
        match step {
            Step::Lost => self.told_lost = true,
            Step::Silent => self.told_silent = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rhythm after moments with these intervals, seconds.
    fn rhythm_after(intervals_s: &[i64]) -> f32 {
        let (params, mut state, mut at_s) = (SilenceParams::default(), SilenceState::default(), 0);
        for interval_s in intervals_s {
            let before = Timestamp::from_secs(at_s);
            at_s += interval_s;
            state.learn_rhythm(&params, Some(before), Timestamp::from_secs(at_s));
        }
        state.rhythm_s(&params)
    }

    #[test]
    fn a_lost_heartbeat_lengthens_the_rhythm_for_a_few_intervals_only() {
        assert_eq!(rhythm_after(&[180, 180, 360]), 360.0, "who knows that it was lost?");
        let later_s = rhythm_after(&[180, 180, 360, 180, 180, 180, 180]);
        assert!((180.0..270.0).contains(&later_s), "{later_s}");
        let later_s = rhythm_after(&[[180, 360].as_slice(), &[180; 40]].concat());
        assert!((180.0..230.0).contains(&later_s), "{later_s}");
    }

    #[test]
    fn minutes_of_shaking_do_not_shorten_it() {
        let shaken_s = rhythm_after(&[[300].as_slice(), &[10; 6]].concat());
        assert!(shaken_s > 260.0, "{shaken_s}");
        assert_eq!(rhythm_after(&[[300].as_slice(), &[10; 60], &[300]].concat()), 300.0, "it rises at once");
    }
}
