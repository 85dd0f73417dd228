//! One slice of everybody: what is complete, what goes on, and where traffic was. Pure.

use crate::domain::{Timestamp, TrackerKey, VehicleId};
use crate::store::tracks::rollup::CellCount;
use crate::tracks::segmenter::cut;
use crate::tracks::{Dwell, GridPoint, ReceivedFix, Segment};
use std::collections::HashMap;

/// Dwells of trackers that were silent for so long are complete, seconds.
const SILENT_S_MAX: f64 = 86_400.0;
/// Slower is parked, tenths of km/h.
const MOVING_TENTHS_MIN: u16 = 50;
/// Zoom of the web map's grid whose tiles are the cells of the history map.
pub const CELL_ZOOM: u32 = 17;

/// The dwells that go on, by tracker.
pub type Open = HashMap<TrackerKey, Dwell>;

/// What a slice leads to.
#[derive(Debug, Default)]
pub struct Sliced {
    /// Complete segments, neighbours beside each other: a search by area then reads few pages.
    pub closed: Vec<Segment>,
    /// Trackers whose dwell has changed or begun; the dwells are in the map.
    pub going_on: Vec<TrackerKey>,
    /// Trackers that have no dwell any more.
    pub left: Vec<i64>,
    /// Counts of the history map.
    pub traffic: Vec<CellCount>,
}

/// Rolls up a slice that ends at `end`. `heard` is sorted by tracker and time; `open` goes on.
pub fn slice(
    open: &mut Open,
    heard: &[ReceivedFix],
    end: Timestamp,
    organisations: &HashMap<VehicleId, i64>,
) -> Sliced {
    let mut sliced = Sliced { traffic: traffic(heard, organisations), ..Sliced::default() };
    let silent: Vec<_> =
        open.iter().filter(|(_, d)| end.seconds_since(d.until()) > SILENT_S_MAX).map(|(t, _)| *t).collect();
    for tracker in silent {
        sliced.closed.extend(open.remove(&tracker).map(|d| Segment::dwell(tracker, &d)));
        sliced.left.push(tracker.0);
    }
    for fixes in heard.chunk_by(|a, b| a.tracker == b.tracker) {
        let tracker = fixes[0].tracker;
        let before = open.remove(&tracker);
        let was_open = before.is_some();
        let mut cut = cut(tracker, before, fixes, Some(end));
        sliced.closed.append(&mut cut.closed);
        match cut.open {
            Some(dwell) => {
                open.insert(tracker, dwell);
                sliced.going_on.push(tracker);
            }
            None if was_open => sliced.left.push(tracker.0),
            None => {}
        }
    }
    sliced.closed.sort_by_cached_key(|p| neighbourhood(p.first_spot()));
    sliced
}

/// Places near each other have numbers near each other mostly (Z-order).
fn neighbourhood(spot: GridPoint) -> u64 {
    let spread = |v: i32| {
        let mut v = u64::from((v as u32) ^ 0x8000_0000);
        for (shift, mask) in [
            (16, 0x0000_ffff_0000_ffff),
            (8, 0x00ff_00ff_00ff_00ff),
            (4, 0x0f0f_0f0f_0f0f_0f0f),
            (2, 0x3333_3333_3333_3333),
            (1, 0x5555_5555_5555_5555),
        ] {
            v = (v | v << shift) & mask;
        }
        v
    };
    spread(spot.lon) | spread(spot.lat) << 1
}

/// Hour since 1970, column, row, organisation.
type CountedCell = (i64, i32, i32, i64);

/// Counts moving fixes and their vehicles by hour, cell and organisation; `heard` is sorted by tracker.
pub fn traffic(heard: &[ReceivedFix], organisations: &HashMap<VehicleId, i64>) -> Vec<CellCount> {
    let mut cells: HashMap<CountedCell, (i32, i32, TrackerKey)> = HashMap::new();
    for h in heard.iter().filter(|h| h.fix.is_gnss() && h.fix.speed_tenths.is_some_and(|v| v >= MOVING_TENTHS_MIN)) {
        let hour = h.fix.at.micros().div_euclid(3_600_000_000);
        let (x, y) = cell(h.fix.spot);
        let organisation = h.vehicle.and_then(|v| organisations.get(&v)).copied().unwrap_or(0);
        let count = cells.entry((hour, x, y, organisation)).or_insert((0, 1, h.tracker));
        count.0 += 1;
        if count.2 != h.tracker {
            (count.1, count.2) = (count.1 + 1, h.tracker);
        }
    }
    let mut counts: Vec<_> = cells
        .into_iter()
        .map(|((hour, x, y, organisation), (fixes, vehicles, _))| CellCount {
            hour: Timestamp::from_secs(hour * 3600),
            x,
            y,
            organisation,
            fixes,
            vehicles,
        })
        .collect();
    counts.sort_unstable_by_key(|c| (c.hour, c.x, c.y, c.organisation));
    counts
}

/// Column and row of a spot in the web map's grid (Web Mercator).
fn cell(spot: GridPoint) -> (i32, i32) {
    let position = spot.position();
    let across = f64::from(1_u32 << CELL_ZOOM);
    let x = (position.lon_deg + 180.0) / 360.0 * across;
    let lat = position.lat_deg.clamp(-85.0, 85.0).to_radians();
    let y = (1.0 - lat.tan().asinh() / std::f64::consts::PI) / 2.0 * across;
    (x as i32, y as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yiyang_has_the_cell_that_the_web_map_gives_it() {
        // (112.355 + 180) / 360 × 2^17 and the formula of the OpenStreetMap wiki for 28.554.
        assert_eq!(cell(GridPoint { lon: 112_355_000, lat: 28_554_000 }), (106_443, 54_680));
    }

    #[test]
    fn neighbours_are_nearer_in_the_order_than_towns() {
        let home = GridPoint { lon: 112_355_000, lat: 28_554_000 };
        let beside = GridPoint { lon: home.lon + 50, lat: home.lat + 50 };
        let town = GridPoint { lon: home.lon + 200_000, lat: home.lat };
        assert!(
            neighbourhood(home).abs_diff(neighbourhood(beside)) < neighbourhood(home).abs_diff(neighbourhood(town))
        );
    }
}
