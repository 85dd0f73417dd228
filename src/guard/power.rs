//! Power cut: the vehicle's supply is gone while guarded, and it is no flicker.

use super::params::PowerParams;
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};

/// What we know of the supply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PowerState {
    /// Whether it was there in this guard session: a tracker without supply cannot lose it.
    was_there: bool,
    /// First word of the loss: event time and arrival.
    lost: Option<Box<(Timestamp, Timestamp)>>,
    /// Whether this loss was told.
    told: bool,
    /// Whether the low battery of the tracker itself was told.
    #[serde(default)]
    pub battery_is_low: bool,
}

impl PowerState {
    /// A guard session begins: a loss is judged anew, what was there before still counts.
    pub fn begin_session(&mut self) {
        if self.lost.is_some() {
            // It went away before: no cut of this session.
            self.was_there = false;
        }
        self.lost = None;
        self.told = false;
    }

    /// Takes in what the newest moment says. Returns whether this confirms a cut.
    pub fn observe(
        &mut self,
        params: &PowerParams,
        there: bool,
        is_armed: bool,
        at: Timestamp,
        received_at: Timestamp,
    ) -> bool {
        if there {
            *self = Self { was_there: true, lost: None, told: false, battery_is_low: self.battery_is_low };
            return false;
        }
        if !is_armed {
            // A battery taken out by the owner is no loss later on.
            self.was_there = false;
            self.lost = None;
            return false;
        }
        if !self.was_there {
            return false;
        }
        let (since, _) = **self.lost.get_or_insert_with(|| Box::new((at, received_at)));
        let confirmed = !self.told && at.seconds_since(since) >= f64::from(params.confirmed_s);
        self.told |= confirmed;
        confirmed
    }

    /// When the loss counts as a cut with no further word. `resumed_at`: we ourselves were away
    /// until then and cannot know what was said.
    pub fn due(&self, params: &PowerParams, resumed_at: Option<Timestamp>) -> Option<Timestamp> {
        if self.told {
            return None;
        }
        let (_, heard) = **self.lost.as_ref()?;
        Some(resumed_at.map_or(heard, |r| r.max(heard)).plus_secs_f64(f64::from(params.deadline_s)))
    }

    /// The deadline passed and was told.
    pub fn told(&mut self) {
        self.told = true;
    }
}
