//! Stale position: a guarded vehicle moves, and its receiver repeats one place to the last digit.
//!
//! No fence can be seen to be left then. It may be a defect of the receiver or a receiver that was led to
//! believe in a place, so the owner is told quietly; cells, darkness and silence wake them.

use crate::domain::Timestamp;
use crate::guard::params::StaleParams;
use crate::guard::state::anchor::Point;
use crate::guard::state::vehicle::{Sample, SampleKind, Vehicle};
use serde::{Deserialize, Serialize};

/// One place told again and again of a vehicle that moves. Few vehicles have one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    place: Point,
    /// When the vehicle first moved at it, event time.
    since: Timestamp,
    /// When it last moved.
    moved_at: Timestamp,
    /// Reports since then, and those that said that it moves.
    reports: u16,
    moving: u16,
    /// Whether it was told.
    is_told: bool,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staleness {
    /// For how long it has moved at one place, seconds.
    pub for_s: f64,
    /// Reports that said that it moves.
    pub moving: u16,
}

/// Follows the newest sample of a guarded vehicle; `is_on`: its ignition is. Returns what is to be told now.
pub fn follow(p: &StaleParams, vehicle: &mut Vehicle, sample: &Sample, is_on: bool) -> Option<Staleness> {
    if sample.kind != SampleKind::Satellite {
        return None; // no sky is another matter
    }
    let moves = is_on || sample.moving == Some(true);
    let is_same = |s: &Stale| s.place == sample.place && sample.at.seconds_since(s.moved_at) <= p.rest_s;
    let Some(mut stale) = vehicle.apart().stale.filter(is_same) else {
        let (place, at) = (sample.place, sample.at);
        let begun = Stale { place, since: at, moved_at: at, reports: 1, moving: 1, is_told: false };
        vehicle.set_stale(moves.then_some(begun));
        return None;
    };
    stale.reports = stale.reports.saturating_add(1);
    if moves {
        stale.moving = stale.moving.saturating_add(1);
        stale.moved_at = sample.at;
    }
    let for_s = sample.at.seconds_since(stale.since);
    let is_moved = stale.moving >= p.reports && f32::from(stale.moving) >= p.share * f32::from(stale.reports);
    let is_news = !stale.is_told && is_moved && for_s >= p.after_s;
    stale.is_told |= is_news;
    vehicle.set_stale(Some(stale));
    is_news.then_some(Staleness { for_s, moving: stale.moving })
}
