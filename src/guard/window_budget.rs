//! Full windows for suspects, of which a lane has only so many.
//!
//! A parked vehicle keeps one sample, a suspect sixteen. When a city is shaken all at once (an earthquake, a
//! storm, fireworks), everybody is a suspect; then the windows of the lane are shared out. A vehicle that
//! something speaks against (fixes outside, an early sign, an open incident) keeps its own. Such a vehicle that
//! has none takes that of one that is merely not at rest: of these the one with the smallest number, so that the
//! same inputs, restarted anywhere, share out the same windows. A vehicle without one keeps the newest few samples, which is
//! as many as every rule but the sum of the evidence looks at; it asks again with each packet.

use crate::domain::VehicleId;
use crate::guard::params::PoolParams;
use crate::guard::state::vehicle::{Priority, Vehicle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who has a full window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowBudget {
    /// Those that may have to give it away.
    restless: BTreeSet<VehicleId>,
    /// Those that keep it.
    pressing: BTreeSet<VehicleId>,
    /// Moments of suspects that found no window free, since the beginning.
    refused: u64,
}

impl WindowBudget {
    /// Shares out again after a moment of a vehicle. Returns who must give its window away.
    pub fn settle(&mut self, params: &PoolParams, id: VehicleId, vehicle: &mut Vehicle) -> Option<VehicleId> {
        let priority = vehicle.priority();
        if priority == Priority::None {
            if vehicle.silence.has_window {
                vehicle.silence.has_window = false;
                self.leave(id);
            }
            return None;
        }
        if vehicle.silence.has_window {
            let (from, to) = match priority {
                Priority::High => (&mut self.restless, &mut self.pressing),
                _ => (&mut self.pressing, &mut self.restless),
            };
            if from.remove(&id) {
                to.insert(id);
            }
            return None;
        }
        let is_full = self.held() >= params.windows_max as usize;
        let evicted = if is_full && priority == Priority::High { self.restless.pop_first() } else { None };
        if is_full && evicted.is_none() {
            self.refused += 1;
            return None;
        }
        vehicle.silence.has_window = true;
        match priority {
            Priority::High => self.pressing.insert(id),
            _ => self.restless.insert(id),
        };
        evicted
    }

    /// A vehicle is guarded no longer, or forgotten.
    pub fn leave(&mut self, id: VehicleId) {
        if !self.restless.remove(&id) {
            self.pressing.remove(&id);
        }
    }

    /// How many windows are given out.
    pub fn held(&self) -> usize {
        self.restless.len() + self.pressing.len()
    }

    /// Moments of suspects that found none free, since the beginning.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests;
