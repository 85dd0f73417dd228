//! Departure by cell positions alone: a van shields the satellites, a jammer drowns them.
//!
//! A cell position is the tower's, not the vehicle's. So each counts against every tower heard while
//! the vehicle was parked; and the accelerometer must agree that it is being shaken all along.

use crate::domain::Timestamp;
use crate::guard::params::Params;
use crate::guard::state::plane::Point;
use crate::guard::state::rare::RareState;
use crate::guard::state::sample::{Sample, SampleKind};
use crate::guard::state::signal_loss::GnssLoss;
use crate::guard::state::vehicle::{CELLS_MAX, Vehicle};

/// Follows shaking and GNSS, for the newest sample. `fixed_at`: the last satellite fix before it.
pub fn follow(params: &Params, vehicle: &mut Vehicle, sample: &Sample, fixed_at: Option<Timestamp>) {
    let p = &params.cell;
    if sample.kind == SampleKind::Satellite {
        vehicle.rare.set_gnss_loss(None);
        vehicle.rested_at = if sample.moving == Some(true) { vehicle.rested_at } else { Some(sample.at) };
        return;
    }
    let Some(moving) = sample.moving else { return };
    let known = vehicle.rare.get();
    let loss = if let Some(mut loss) = known.gnss_loss {
        loss.packets = loss.packets.saturating_add(1);
        loss.shaken = loss.shaken.saturating_add(u16::from(moving));
        if moving {
            loss.shaken_at = sample.at;
        }
        loss.hear(p.same_mast_m, sample, &known.cells);
        Some(loss).filter(|l| sample.at.seconds_since(l.shaken_at) <= p.dark_rest_s)
    } else if moving {
        let interval_s = f64::from(vehicle.silence.report_interval_s(&params.silence));
        let had_fix = fixed_at.is_some_and(|t| sample.at.seconds_since(t) < p.sky_rhythms * interval_s + p.sky_extra_s);
        let just_began = fixed_at <= vehicle.rested_at.map(|r| r.plus_secs_f64(p.sky_extra_s));
        let mut loss = GnssLoss::begin(sample, had_fix && just_began);
        loss.hear(p.same_mast_m, sample, &known.cells);
        Some(loss)
    } else {
        None
    };
    vehicle.rare.set_gnss_loss(loss);
    if !moving {
        vehicle.rested_at = Some(sample.at);
    }
}

/// What the cell positions say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellDeparture {
    /// Distance beyond every tower known from the time at rest, metres.
    pub distance_m: f32,
    /// Cell positions beyond the boundary in a row.
    pub fixes: u32,
    /// How long it has been shaken without GNSS, seconds.
    pub without_gnss_s: f32,
    /// Whether it is a departure.
    pub is_departure: bool,
}

/// Remembers where cell positions lie while the vehicle is parked.
pub fn learn_at_rest(vehicle: &mut Vehicle, place: Point) {
    let (shaken, told) = vehicle.shaken(6);
    let at_rest = if told > 0 { shaken <= 1 } else { true };
    let cells = &vehicle.rare.get().cells;
    let known = cells.iter().any(|c| c.distance_m(place) < 150.0);
    let near = vehicle.anchor.is_none_or(|a| a.centre.distance_m(place) < 5_000.0);
    if at_rest && !known && near && cells.len() < CELLS_MAX {
        vehicle.rare.learn_cell(place);
    }
}

/// Weighs the cell positions since the last satellite fix.
pub fn weigh(params: &Params, vehicle: &Vehicle) -> CellDeparture {
    let p = &params.cell;
    let Some(anchor) = vehicle.anchor else { return CellDeparture::default() };
    let RareState { cells, gnss_loss, .. } = vehicle.rare.get();
    let (shaken, told) = vehicle.shaken(8);
    let has_motion = told > 0;
    let boundary = p.distance_min_m * if has_motion { 1.0 } else { p.no_motion_factor };
    let beyond = |place: Point| {
        let from_guard = place.distance_m(anchor.centre);
        cells.iter().map(|c| c.distance_m(place) + 800.0).fold(from_guard, f32::min)
    };
    let mut fixes = 0;
    let mut distance_m = 0.0_f32;
    for sample in vehicle.samples.iter().rev() {
        match sample.kind {
            SampleKind::Satellite => break,
            SampleKind::Coarse => {
                let d = beyond(sample.place);
                if d < boundary {
                    break;
                }
                distance_m = distance_m.max(d);
                fixes += 1;
            }
            SampleKind::Blind => {}
        }
    }
    let newest_at = vehicle.samples.last().map(|s| s.at);
    let loss = gnss_loss.as_ref().filter(|l| f32::from(l.shaken) >= p.dark_share * f32::from(l.packets));
    let without_gnss_s = match (loss, newest_at) {
        (Some(l), Some(at)) => at.seconds_since(l.since) as f32,
        _ => 0.0,
    };
    let by_towers = fixes >= u32::from(p.fixes_min) && (!has_motion || shaken >= usize::from(p.shaking_min).min(told));
    let last_tower = vehicle.samples.iter().rev().find(|s| s.kind == SampleKind::Coarse);
    let by_loss = loss.filter(|l| l.shaken >= p.dark_packets).is_some_and(|l| {
        let is_long = l.lost_gnss && without_gnss_s >= p.dark_s;
        let stays = last_tower.is_some_and(|t| l.still_hears(p.same_mast_m, t.place, cells));
        is_long && !stays || l.towers_passed() >= usize::from(p.masts_passed)
    });
    CellDeparture { distance_m, fixes, without_gnss_s, is_departure: by_towers || by_loss }
}
