//! What a row of a recording does to the guard.

use crate::domain::{Finding, Moment, Timestamp, VehicleId};
use crate::guard::{Arrival, Guard};

/// What a row says to the guard.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A report.
    Report(Box<Moment>, Arrival),
    /// The owner arms: from when, and when we learned it.
    Arm(Timestamp, Timestamp),
    /// The owner disarms: from when, and when we learned it.
    Disarm(Timestamp, Timestamp),
    /// The observation of the vehicle ends.
    End(Timestamp),
}

impl Event {
    /// Lets a guard handle it, after the vehicle's timers that are due by then.
    pub fn play(&self, guard: &mut Guard, vehicle: VehicleId) -> Vec<Finding> {
        let mut findings = guard.advance(vehicle, self.at());
        match self {
            Self::Report(moment, seen) => findings.extend(guard.consider(vehicle, moment, seen)),
            Self::Arm(at, known_at) => findings.extend(guard.arm(vehicle, *at, *known_at)),
            Self::Disarm(at, known_at) => findings.extend(guard.disarm(vehicle, *at, *known_at)),
            Self::End(_) => guard.remove(vehicle),
        }
        findings
    }

    /// When it reached us.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Report(_, seen) => seen.received_at,
            Self::Arm(_, at) | Self::Disarm(_, at) | Self::End(at) => *at,
        }
    }
}
