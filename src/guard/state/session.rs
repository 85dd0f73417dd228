//! What a vehicle's guard sessions need beyond "armed since".

use crate::domain::{GuardPolicy, SessionBy, Timestamp};
use crate::guard::state::incident::ClaimedRide;
use serde::{Deserialize, Serialize};

/// What a vehicle's sessions need beyond "armed since": kept only where there is something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// When sessions are to begin by themselves.
    pub policy: GuardPolicy,
    /// What began the one that is on.
    pub by: SessionBy,
    /// The next beginning or end of a window; it is in the guard's list of schedule timers.
    #[serde(rename = "appointment")]
    pub schedule_timer: Option<Timestamp>,
    /// Whether the ignition was on since the last session.
    pub was_on: bool,
    /// Since when it is off and the vehicle is parked, event time.
    pub off_since: Option<Timestamp>,
    /// The ride that the owner has claimed.
    pub ride: Option<ClaimedRide>,
}

impl Session {
    /// A session began or ended; parking counts from the next ride on.
    pub fn settle(&mut self, by: SessionBy) {
        self.by = by;
        self.was_on = false;
        self.off_since = None;
    }
}
