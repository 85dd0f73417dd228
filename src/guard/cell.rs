//! Departure by cell positions alone: a van takes the sky away, a jammer drowns the satellites.
//!
//! A cell position is the mast's, not the vehicle's, so each counts against every mast heard while
//! the vehicle stood; and the accelerometer must agree that it is being shaken all along.

use super::anchor::Point;
use super::params::Params;
use super::vehicle::{CELLS_MAX, SampleKind, Vehicle};

/// What the cell positions say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellDeparture {
    /// Distance beyond every mast known from the time at rest, metres.
    pub distance_m: f32,
    /// Cell positions beyond the boundary in a row.
    pub fixes: u32,
    /// Whether it is a departure.
    pub is_departure: bool,
}

/// Remembers where cell positions lie while the vehicle stands still.
pub fn learn_at_rest(vehicle: &mut Vehicle, place: Point) {
    let (shaken, told) = vehicle.shaken(6);
    let at_rest = if told > 0 { shaken <= 1 } else { true };
    let known = vehicle.cells.iter().any(|c| c.distance_m(place) < 150.0);
    let near = vehicle.anchor.is_none_or(|a| a.centre.distance_m(place) < 5_000.0);
    if at_rest && !known && near && vehicle.cells.len() < CELLS_MAX {
        vehicle.cells.push(place);
    }
}

/// Weighs the cell positions since the last satellite fix.
pub fn weigh(params: &Params, vehicle: &Vehicle) -> CellDeparture {
    let p = &params.cell;
    let Some(anchor) = vehicle.anchor else { return CellDeparture::default() };
    let (shaken, told) = vehicle.shaken(8);
    let has_motion = told > 0;
    let boundary = p.distance_min_m * if has_motion { 1.0 } else { p.no_motion_factor };
    let beyond = |place: Point| {
        let from_guard = place.distance_m(anchor.centre);
        vehicle.cells.iter().map(|c| c.distance_m(place) + 800.0).fold(from_guard, f32::min)
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
    let is_departure =
        fixes >= u32::from(p.fixes_min) && (!has_motion || shaken >= usize::from(p.shaking_min).min(told));
    CellDeparture { distance_m, fixes, is_departure }
}
