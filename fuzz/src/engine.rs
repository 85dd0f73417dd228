//! What the engine makes of a time and a fix.

#![allow(dead_code, private_interfaces)] // what of the engine the fuzzer does not ask
#[path = "../../src/engine/clock/mod.rs"]
pub mod clock;
#[path = "../../src/engine/fix_flags.rs"]
pub mod fix_flags;
#[path = "../../src/engine/validation.rs"]
pub mod validation;

use crate::domain::{Moment, Profile, Timestamp};
use clock::{Arrival, Clock, Note, Reading};
use validation::{Verdict, validate};

/// When the fix of a moment counts as measured, if it is accepted.
pub fn accepted_at(moment: &Moment, profile: &Profile, now: Timestamp, max_fix_age_s: f64) -> Option<Timestamp> {
    let fix = moment.fix.as_ref()?;
    let arrival = Arrival { received_at: now, max_fix_age_s, profile, right_at: None };
    let read = |told| Clock::default().read(told, moment.buffered, &arrival, Note::default());
    let reading = fix.fixed_at.map_or(Reading::of_arrival(now), read);
    match validate(fix, &reading, moment.buffered, now, None, max_fix_age_s) {
        Verdict::Accept { fixed_at, .. } => Some(fixed_at),
        Verdict::Quarantine { .. } => None,
    }
}
