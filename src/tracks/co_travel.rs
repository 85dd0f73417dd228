//! Who travelled with a vehicle: beside it, minute after minute, while it rode.

use crate::domain::{Timestamp, VehicleId};
use crate::tracks::dwell::DWELL_RADIUS_M;
use crate::tracks::{CorruptSegment, GridPoint, Hit, METRES_PER_UNIT, SegmentKind};
use std::collections::{BTreeMap, BTreeSet};

/// Slowest speed, tenths of km/h, that a receiver at rest does not pretend.
const RIDING_TENTHS: u16 = 50;

/// Where the vehicle was at one minute of its rides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub spot: GridPoint,
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

/// A vehicle's own minutes in what a search for its company found, in time order.
pub fn ride_minutes(vehicle: VehicleId, found: &[Hit]) -> Vec<Sample> {
    let own = found.iter().filter_map(|row| match row {
        Hit::Fix { vehicle: of, at, spot, .. } if *of == Some(vehicle) => Some(Sample { at: *at, spot: *spot }),
        _ => None,
    });
    let mut samples: Vec<_> = own.collect();
    samples.sort_by_key(|s| s.at);
    samples
}

/// Other vehicles than `of` that had a fix of a ride within `within_m` of at least `minutes` samples (in time order), not
/// more than `within_s` before or after each; the longest company first.
///
/// # Errors
/// [`CorruptSegment`].
pub fn companions(
    of: VehicleId,
    samples: &[Sample],
    found: &[Hit],
    (within_m, within_s): (f64, f64),
    minutes: usize,
) -> Result<Vec<Companion>, CorruptSegment> {
    let way = Path { samples, within_m, within_s };
    let mut beside: BTreeMap<VehicleId, BTreeSet<usize>> = BTreeMap::new();
    let mut single: BTreeMap<VehicleId, Vec<Single>> = BTreeMap::new();
    for row in found {
        let Some(vehicle) = row.vehicle().filter(|v| *v != of) else { continue };
        match row {
            Hit::Segment(segment) if segment.kind == SegmentKind::Ride => {
                let mut first = way.first_near(segment.from);
                segment.places(|at, spot| {
                    for n in way.beside(at, spot, &mut first) {
                        beside.entry(vehicle).or_default().insert(n);
                    }
                })?;
            }
            Hit::Segment(_) => {}
            Hit::Fix { at, spot, speed_tenths, .. } => {
                single.entry(vehicle).or_default().push(Single { at: *at, spot: *spot, speed_tenths: *speed_tenths });
            }
        }
    }
    for (vehicle, fixes) in single {
        for fix in on_the_way(fixes) {
            let mut first = way.first_near(fix.at);
            for n in way.beside(fix.at, fix.spot, &mut first) {
                beside.entry(vehicle).or_default().insert(n);
            }
        }
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

/// Where the vehicle was, and what counts as beside it.
struct Path<'s> {
    samples: &'s [Sample],
    within_m: f64,
    within_s: f64,
}

impl Path<'_> {
    /// The first sample that may be near in time.
    fn first_near(&self, at: Timestamp) -> usize {
        let since = at.plus_secs_f64(-self.within_s);
        self.samples.partition_point(|s| s.at < since)
    }

    /// Places of the samples beside a fix. A ride's fixes come in order of time as a rule, so `first`, the first sample that
    /// may be near, moves along with them.
    fn beside(&self, at: Timestamp, spot: GridPoint, first: &mut usize) -> impl Iterator<Item = usize> {
        let (since, until) = (at.plus_secs_f64(-self.within_s), at.plus_secs_f64(self.within_s));
        if *first > 0 && self.samples[*first - 1].at >= since {
            *first = self.first_near(at);
        }
        *first += self.samples[*first..].iter().take_while(|s| s.at < since).count();
        let begin = *first;
        let near = self.samples[begin..].iter().take_while(move |s| s.at <= until).enumerate();
        let is_beside = move |s: &Sample| {
            let north_m = f64::from(s.spot.lat.abs_diff(spot.lat)) * METRES_PER_UNIT;
            north_m <= self.within_m && s.spot.distance_m(spot) <= self.within_m
        };
        near.filter(move |(_, s)| is_beside(s)).map(move |(n, _)| begin + n)
    }
}

/// A fix that is not in a segment yet.
#[derive(Clone, Copy)]
struct Single {
    at: Timestamp,
    spot: GridPoint,
    speed_tenths: Option<u16>,
}

/// Those of one vehicle at which it was on the way: no segment says so yet. What is parked is passed by, too; it is no company.
fn on_the_way(mut fixes: Vec<Single>) -> Vec<Single> {
    fixes.sort_by_key(|f| (f.at, f.spot));
    fixes.dedup_by_key(|f| (f.at, f.spot)); // near two cells of the way
    let left = |a: Option<&Single>, b: &Single| a.is_some_and(|a| a.spot.distance_m(b.spot) > DWELL_RADIUS_M);
    let is_riding = |n: usize| {
        let fix = &fixes[n];
        let before = n.checked_sub(1).and_then(|n| fixes.get(n));
        fix.speed_tenths.is_some_and(|v| v >= RIDING_TENTHS) || left(before, fix) || left(fixes.get(n + 1), fix)
    };
    (0..fixes.len()).filter(|n| is_riding(*n)).map(|n| fixes[n]).collect()
}
