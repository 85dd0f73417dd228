//! Which times without hearing anything operators are told of.

use crate::domain::{Finding, GapCause, Timestamp};

/// Shortest broken connection that operators see, seconds: shorter ones are in every start.
const GAP_RAISED_S_MIN: f64 = 2.0;

/// What operators are told of a gap. One that goes on is told of when it is over, by another cause.
pub(super) fn told_of(from: Timestamp, to: Timestamp, cause: GapCause) -> Option<Finding> {
    let is_told = match cause {
        GapCause::SessionLost => true,
        GapCause::Connection | GapCause::Away | GapCause::DoorAway => to.seconds_since(from) >= GAP_RAISED_S_MIN,
        GapCause::WithoutBroker | GapCause::WithoutDoor => false,
    };
    is_told.then_some(Finding::CoverageGap { from, to, cause })
}
