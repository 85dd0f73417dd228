//! Stale position: a guarded vehicle moves, and its receiver repeats one place to the last digit.
//!
//! No fence can be seen to be left then. It may be a defect of the receiver or a receiver that was led to
//! believe in a place, so the owner is notified quietly; cell towers, loss of GNSS and silence wake them.

use crate::guard::params::StaleParams;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::stale_position::Stale;
use crate::guard::state::vehicle::Vehicle;

/// What is to be raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staleness {
    /// For how long it has moved at one place, seconds.
    pub for_s: f64,
    /// Reports that said that it moves.
    pub moving: u16,
}

/// Follows the newest sample of a guarded vehicle; `is_on`: its ignition is. Returns what is to be raised now.
pub fn follow(p: &StaleParams, vehicle: &mut Vehicle, sample: &Sample, is_on: bool) -> Option<Staleness> {
    if sample.kind != SampleKind::Satellite {
        return None; // no GNSS is another matter
    }
    let moves = is_on || sample.moving == Some(true);
    let is_same = |s: &Stale| s.place == sample.place && sample.at.seconds_since(s.moved_at) <= p.rest_s;
    let Some(mut stale) = vehicle.rare.get().stale.filter(is_same) else {
        let (place, at) = (sample.place, sample.at);
        let begun = Stale { place, since: at, moved_at: at, reports: 1, moving: 1, is_raised: false };
        vehicle.rare.set_stale(moves.then_some(begun));
        return None;
    };
    stale.reports = stale.reports.saturating_add(1);
    if moves {
        stale.moving = stale.moving.saturating_add(1);
        stale.moved_at = sample.at;
    }
    let for_s = sample.at.seconds_since(stale.since);
    let is_moved = stale.moving >= p.reports && f32::from(stale.moving) >= p.share * f32::from(stale.reports);
    let is_new = !stale.is_raised && is_moved && for_s >= p.after_s;
    stale.is_raised |= is_new;
    vehicle.rare.set_stale(Some(stale));
    is_new.then_some(Staleness { for_s, moving: stale.moving })
}
