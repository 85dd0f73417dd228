//! Who travelled with a vehicle: beside it, minute after minute, while it rode.

use super::{Damaged, Found, Kind, METRES_PER_UNIT, Spot};
use crate::domain::{Timestamp, VehicleId};
use std::collections::{BTreeMap, BTreeSet};

/// Where the vehicle was at one minute of its rides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub spot: Spot,
}

/// Somebody beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The other vehicle.
    pub vehicle: VehicleId,
    /// Samples at which it was beside: minutes.
    pub minutes: usize,
    /// The first of them.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// Vehicles with a fix within `within_m` of at least `minutes` samples (in time order), not more than
/// `within_s` before or after each; the longest company first.
///
/// # Errors
/// [`Damaged`].
pub fn companions(
    samples: &[Sample],
    found: &[Found],
    within_m: f64,
    within_s: f64,
    minutes: usize,
) -> Result<Vec<Companion>, Damaged> {
    let mut beside: BTreeMap<VehicleId, BTreeSet<usize>> = BTreeMap::new();
    for row in found {
        let (Found::Piece(piece), Some(vehicle)) = (row, row.vehicle()) else { continue };
        if piece.kind != Kind::Ride {
            continue;
        }
        // A ride's fixes come in order of time as a rule, so the first sample that may be near moves along with them.
        let mut first = samples.partition_point(|s| s.at < piece.from.plus_secs_f64(-within_s));
        piece.places(|at, spot| {
            let (since, until) = (at.plus_secs_f64(-within_s), at.plus_secs_f64(within_s));
            if first > 0 && samples[first - 1].at >= since {
                first = samples.partition_point(|s| s.at < since);
            }
            first += samples[first..].iter().take_while(|s| s.at < since).count();
            let near = samples[first..].iter().take_while(|s| s.at <= until).enumerate();
            let is_beside = |s: &Sample| {
                let north_m = f64::from(s.spot.lat.abs_diff(spot.lat)) * METRES_PER_UNIT;
                north_m <= within_m && s.spot.distance_m(spot) <= within_m
            };
            for (n, _) in near.filter(|(_, s)| is_beside(s)) {
                beside.entry(vehicle).or_default().insert(first + n);
            }
        })?;
    }
    let long_enough = beside.into_iter().filter(|(_, at)| at.len() >= minutes.max(1));
    let mut companions: Vec<_> = long_enough
        .filter_map(|(vehicle, at)| {
            let (first, last) = (samples[*at.first()?].at, samples[*at.last()?].at);
            Some(Companion { vehicle, minutes: at.len(), first, last })
        })
        .collect();
    companions.sort_by_key(|c| (std::cmp::Reverse(c.minutes), c.vehicle));
    Ok(companions)
}
