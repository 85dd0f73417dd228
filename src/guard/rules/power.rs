//! Power cut: the vehicle's supply is gone while guarded, and it is no flicker.

use crate::domain::{Alarm, AlarmKind, Timestamp};
use crate::guard::params::PowerParams;
use crate::guard::state::vehicle::Vehicle;

/// A known loss is the same one for so long after the last word of it, seconds: a tracker without supply
/// repeats its alarm, and its own battery lasts about a day.
const SAME_LOSS_S: f64 = 86_400.0;

/// What one moment says of the supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is there.
    There,
    /// It is not there: a state, which says nothing of before.
    Away,
    /// The alarm "power cut" is on. `is_new`: it was off in the moment before.
    Cut {
        /// See above.
        is_new: bool,
    },
}

impl Word {
    /// Of a status and the alarms. The status says more than a latched alarm, which many trackers repeat.
    pub fn of(external_power: Option<bool>, alarms: &[Alarm], is_new: bool) -> Option<Self> {
        let is_on = |kind| alarms.iter().any(|a| a.kind == kind);
        match external_power {
            Some(true) => Some(Self::There),
            _ if is_on(AlarmKind::PowerCut) => Some(Self::Cut { is_new }),
            Some(false) => Some(Self::Away),
            None => is_on(AlarmKind::PowerRestored).then_some(Self::There),
        }
    }
}

/// Takes in what the newest moment says. Returns whether this confirms a cut.
pub fn observe(
    params: &PowerParams,
    vehicle: &mut Vehicle,
    word: Word,
    is_armed: bool,
    at: Timestamp,
    received_at: Timestamp,
) -> bool {
    let known = vehicle.rare.get().lost;
    match word {
        Word::There => {
            (vehicle.power.was_there, vehicle.power.raised) = (true, false);
            vehicle.rare.set_lost(None);
            return false;
        }
        _ if !is_armed => {
            // A battery taken out by the owner is no loss later on. Its alarm will be repeated, so it is kept.
            vehicle.power.was_there = false;
            vehicle.rare.set_lost(matches!(word, Word::Cut { .. }).then_some((at, received_at)));
            return false;
        }
        Word::Cut { is_new: true } => {
            // A tracker that reports "cut" says that it was there, but for the repetition of a loss that is known.
            let is_known = vehicle.power.raised && known.is_some_and(|l| at.seconds_since(l.0) < SAME_LOSS_S);
            if vehicle.power.raised && !is_known {
                vehicle.power.raised = false;
                vehicle.rare.set_lost(None);
            }
            vehicle.power.was_there |= !is_known;
        }
        Word::Cut { is_new: false } | Word::Away => {}
    }
    if vehicle.power.raised {
        if matches!(word, Word::Cut { .. }) {
            vehicle.rare.set_lost(Some((at, received_at)));
        }
        return false;
    }
    if !vehicle.power.was_there {
        return false;
    }
    let lost = vehicle.rare.get().lost.unwrap_or((at, received_at));
    vehicle.rare.set_lost(Some(lost));
    vehicle.power.raised = at.seconds_since(lost.0) >= f64::from(params.confirmed_s);
    vehicle.power.raised
}

/// When the loss counts as a cut with no further word. `resumed_at`: we ourselves were away
/// until then and cannot know what was said.
pub fn due(params: &PowerParams, vehicle: &Vehicle, resumed_at: Option<Timestamp>) -> Option<Timestamp> {
    if vehicle.power.raised {
        return None;
    }
    let (_, heard) = vehicle.rare.get().lost?;
    Some(resumed_at.map_or(heard, |r| r.max(heard)).plus_secs_f64(f64::from(params.deadline_s)))
}
