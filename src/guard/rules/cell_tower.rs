//! Departure by cell positions alone: a van takes the sky away, a jammer drowns the satellites.
//!
//! A cell position is the mast's, not the vehicle's, so each counts against every mast heard while
//! the vehicle stood; and the accelerometer must agree that it is being shaken all along.

use crate::domain::Timestamp;
use crate::guard::params::Params;
use crate::guard::state::anchor::Point;
use crate::guard::state::vehicle::{CELLS_MAX, RareState, Sample, SampleKind, Vehicle};
use serde::{Deserialize, Serialize};

/// Places of masts kept of a time without sky: enough for those of one place and those of a ride.
const MASTS_MAX: usize = 8;
/// Of these the first so many may be those of the place where it stood.
const MASTS_OF_ONE_PLACE: usize = 3;

/// A time of shaking without sky.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GnssLoss {
    /// Since when.
    since: Timestamp,
    /// Whether sky was lost when the shaking began: a cellar has none to lose.
    lost_sky: bool,
    /// Packets since then that told of shaking or rest, and those that told of shaking.
    told: u16,
    shaken: u16,
    /// When it was last shaken.
    shaken_at: Timestamp,
    /// Different places of masts heard since then, in order.
    masts: [Option<Point>; MASTS_MAX],
}

impl GnssLoss {
    fn begin(sample: &Sample, lost_sky: bool) -> Self {
        let (since, shaken_at) = (sample.at, sample.at);
        Self { since, lost_sky, told: 1, shaken: 1, shaken_at, masts: [None; MASTS_MAX] }
    }

    /// Remembers the mast if none is known near it.
    fn hear(&mut self, same_mast_m: f32, sample: &Sample, at_rest: &[Point]) {
        let is_near = |known: &Point| known.distance_m(sample.place) < same_mast_m;
        if sample.kind == SampleKind::Coarse
            && !at_rest.iter().any(is_near)
            && !self.masts.iter().flatten().any(is_near)
            && let Some(slot) = self.masts.iter_mut().find(|m| m.is_none())
        {
            *slot = Some(sample.place);
        }
    }

    /// Whether a mast answers that may have been there all along.
    fn still_hears(&self, same_mast_m: f32, mast: Point, at_rest: &[Point]) -> bool {
        let first = self.masts.iter().take(MASTS_OF_ONE_PLACE).flatten();
        first.chain(at_rest).any(|known| known.distance_m(mast) < same_mast_m)
    }
}

/// Follows shaking and sky, for the newest sample. `sky_at`: the last satellite fix before it.
pub fn follow(params: &Params, vehicle: &mut Vehicle, sample: &Sample, sky_at: Option<Timestamp>) {
    let p = &params.cell;
    if sample.kind == SampleKind::Satellite {
        vehicle.set_dark(None);
        vehicle.rested_at = if sample.moving == Some(true) { vehicle.rested_at } else { Some(sample.at) };
        return;
    }
    let Some(moving) = sample.moving else { return };
    let known = vehicle.apart();
    let dark = if let Some(mut dark) = known.dark {
        dark.told = dark.told.saturating_add(1);
        dark.shaken = dark.shaken.saturating_add(u16::from(moving));
        if moving {
            dark.shaken_at = sample.at;
        }
        dark.hear(p.same_mast_m, sample, &known.cells);
        Some(dark).filter(|d| sample.at.seconds_since(d.shaken_at) <= p.dark_rest_s)
    } else if moving {
        let rhythm_s = f64::from(vehicle.silence.rhythm_s(&params.silence));
        let had_sky = sky_at.is_some_and(|t| sample.at.seconds_since(t) < p.sky_rhythms * rhythm_s + p.sky_extra_s);
        let just_began = sky_at <= vehicle.rested_at.map(|r| r.plus_secs_f64(p.sky_extra_s));
        let mut dark = GnssLoss::begin(sample, had_sky && just_began);
        dark.hear(p.same_mast_m, sample, &known.cells);
        Some(dark)
    } else {
        None
    };
    vehicle.set_dark(dark);
    if !moving {
        vehicle.rested_at = Some(sample.at);
    }
}

/// What the cell positions say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellDeparture {
    /// Distance beyond every mast known from the time at rest, metres.
    pub distance_m: f32,
    /// Cell positions beyond the boundary in a row.
    pub fixes: u32,
    /// How long it has been shaken without sky, seconds.
    pub dark_s: f32,
    /// Whether it is a departure.
    pub is_departure: bool,
}

/// Remembers where cell positions lie while the vehicle stands still.
pub fn learn_at_rest(vehicle: &mut Vehicle, place: Point) {
    let (shaken, told) = vehicle.shaken(6);
    let at_rest = if told > 0 { shaken <= 1 } else { true };
    let cells = &vehicle.apart().cells;
    let known = cells.iter().any(|c| c.distance_m(place) < 150.0);
    let near = vehicle.anchor.is_none_or(|a| a.centre.distance_m(place) < 5_000.0);
    if at_rest && !known && near && cells.len() < CELLS_MAX {
        vehicle.learn_cell(place);
    }
}

/// Weighs the cell positions since the last satellite fix.
pub fn weigh(params: &Params, vehicle: &Vehicle) -> CellDeparture {
    let p = &params.cell;
    let Some(anchor) = vehicle.anchor else { return CellDeparture::default() };
    let RareState { cells, dark, .. } = vehicle.apart();
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
    let dark = dark.as_ref().filter(|d| f32::from(d.shaken) >= p.dark_share * f32::from(d.told));
    let dark_s = match (dark, newest_at) {
        (Some(d), Some(at)) => at.seconds_since(d.since) as f32,
        _ => 0.0,
    };
    let by_masts = fixes >= u32::from(p.fixes_min) && (!has_motion || shaken >= usize::from(p.shaking_min).min(told));
    let last_mast = vehicle.samples.iter().rev().find(|s| s.kind == SampleKind::Coarse);
    let by_dark = dark.filter(|d| d.shaken >= p.dark_packets).is_some_and(|d| {
        let is_long = d.lost_sky && dark_s >= p.dark_s;
        let stands = last_mast.is_some_and(|m| d.still_hears(p.same_mast_m, m.place, cells));
        let passed = d.masts.iter().flatten().count();
        is_long && !stands || passed >= usize::from(p.masts_passed)
    });
    CellDeparture { distance_m, fixes, dark_s, is_departure: by_masts || by_dark }
}
