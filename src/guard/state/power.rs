//! What is known of a vehicle's supply.

/// What we know of the supply, but for its loss, which few have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerState {
    /// Whether it was there in this guard session: a tracker without supply cannot lose it.
    pub was_there: bool,
    /// Whether this loss was raised, or known before the session began.
    pub raised: bool,
    /// Whether the low battery of the tracker itself was raised.
    pub battery_is_low: bool,
}

impl PowerState {
    /// A guard session begins: what was there before still counts. `is_lost`: a loss from before is none of this session,
    /// and a tracker that repeats it reports nothing new.
    pub fn begin_session(&mut self, is_lost: bool) {
        self.was_there &= !is_lost;
        self.raised = is_lost;
    }
}
