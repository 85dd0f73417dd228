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
}

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
    /// that ten-second reports of a shake do not shorten the deadline of the heartbeats.
    pub fn learn_rhythm(&mut self, params: &SilenceParams, before: Option<Timestamp>, at: Timestamp) {
        let Some(before) = before else { return };
        let interval = at.seconds_since(before) as f32;
        if interval > 0.0 && interval <= params.rhythm_max_s {
            self.rhythm_s =
                if interval > self.rhythm_s { interval } else { self.rhythm_s + 0.02 * (interval - self.rhythm_s) };
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
