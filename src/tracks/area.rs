//! Who was in an area within a window.
//!
//! A fix counts where it was measured; a fix of a dwell counts if the dwell's box touches the area,
//! because its exact place is not kept (25 m at most).

use super::{Body, Damaged, Found, Kind, Piece, Spot};
use crate::domain::{LatLon, Timestamp, TrackerKey, VehicleId};
use geo::{BoundingRect, Contains, Coord, Intersects, MultiPolygon, Rect};
use std::collections::BTreeMap;

/// What is searched.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// Rings of longitude and latitude; the first of each polygon is its outside, the others are holes.
    Polygons(MultiPolygon<f64>),
    /// Everything so near a place.
    Circle {
        /// The middle.
        centre: LatLon,
        /// Metres.
        radius_m: f64,
    },
}

impl Area {
    /// The smallest box around it: south-west and north-east corner; `None` of nothing.
    pub fn bounds(&self) -> Option<(LatLon, LatLon)> {
        match self {
            Self::Polygons(polygons) => {
                polygons.bounding_rect().map(|r| (LatLon::new(r.min().y, r.min().x), LatLon::new(r.max().y, r.max().x)))
            }
            Self::Circle { centre, radius_m } => {
                let north = radius_m / (super::METRES_PER_UNIT * super::PER_DEGREE);
                // A degree of longitude is shortest where the circle is nearest to a pole.
                let east = north / (centre.lat_deg.abs() + north).to_radians().cos().max(0.01);
                Some((
                    LatLon::new(centre.lat_deg - north, centre.lon_deg - east),
                    LatLon::new(centre.lat_deg + north, centre.lon_deg + east),
                ))
            }
        }
    }

    /// Whether a place is inside; the edge is not.
    pub fn holds(&self, spot: Spot) -> bool {
        match self {
            Self::Polygons(polygons) => polygons.contains(&coord(spot)),
            Self::Circle { centre, radius_m } => Spot::of(*centre).distance_m(spot) < *radius_m,
        }
    }

    /// Whether a box touches it.
    pub fn touches(&self, low: Spot, high: Spot) -> bool {
        match self {
            Self::Polygons(polygons) => polygons.intersects(&Rect::new(coord(low), coord(high))),
            Self::Circle { centre, radius_m } => {
                let centre = Spot::of(*centre);
                let nearest =
                    Spot { lon: centre.lon.clamp(low.lon, high.lon), lat: centre.lat.clamp(low.lat, high.lat) };
                centre.distance_m(nearest) < *radius_m
            }
        }
    }
}

/// An area and a box around it, which is asked first: most fixes of what is found lie off both.
struct Sought<'a> {
    area: &'a Area,
    low: Spot,
    high: Spot,
}

impl<'a> Sought<'a> {
    fn of(area: &'a Area) -> Option<Self> {
        let (low, high) = area.bounds()?;
        let (low, high) = (Spot::of(low), Spot::of(high));
        // What was rounded away comes back.
        let (low, high) = (Spot { lon: low.lon - 1, lat: low.lat - 1 }, Spot { lon: high.lon + 1, lat: high.lat + 1 });
        Some(Self { area, low, high })
    }

    fn holds(&self, spot: Spot) -> bool {
        (self.low.lon..=self.high.lon).contains(&spot.lon)
            && (self.low.lat..=self.high.lat).contains(&spot.lat)
            && self.area.holds(spot)
    }
}

fn coord(spot: Spot) -> Coord<f64> {
    let position = spot.position();
    Coord { x: position.lon_deg, y: position.lat_deg }
}

/// A vehicle's time in the area.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// The vehicle.
    pub vehicle: VehicleId,
    /// A tracker it carried.
    pub tracker: TrackerKey,
    /// First fix inside within the window.
    pub first: Timestamp,
    /// Last fix inside within the window.
    pub last: Timestamp,
    /// Fixes inside within the window.
    pub fixes: u32,
    /// Whether it came in within the window.
    pub entered: bool,
    /// Whether it went out within the window.
    pub left: bool,
    /// Longest time between fixes inside without one outside, seconds.
    pub stayed_s: f64,
}

/// Fixes of one vehicle as seen from the area: when, and whether inside.
struct Seen {
    tracker: TrackerKey,
    fixes: Vec<(Timestamp, bool)>,
}

/// A window: from an instant until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First instant.
    pub from: Timestamp,
    /// First instant after.
    pub to: Timestamp,
    /// What is found reaches to here; beyond the window, so that it is known who stayed.
    pub known_to: Timestamp,
}

impl Window {
    fn holds(&self, at: Timestamp) -> bool {
        at >= self.from && at < self.to
    }
}

/// A tracker that was silent for so long after a fix inside is not inside any more, seconds.
pub const SILENT_S: f64 = 900.0;

/// Who was inside within a window, by first fix inside. For `entered` and `left` to be true to life,
/// `found` must reach [`SILENT_S`] beyond the window on both sides.
///
/// # Errors
/// [`Damaged`].
pub fn presences(area: &Area, window: Window, found: &[Found]) -> Result<Vec<Presence>, Damaged> {
    let Some(area) = Sought::of(area) else { return Ok(Vec::new()) };
    let mut vehicles: BTreeMap<VehicleId, Seen> = BTreeMap::new();
    for row in found {
        let Some(vehicle) = row.vehicle() else { continue };
        let seen = vehicles.entry(vehicle).or_insert_with(|| Seen { tracker: row.tracker(), fixes: Vec::new() });
        match row {
            Found::Piece(piece) => look(&area, piece, &mut seen.fixes)?,
            Found::Fix { at, spot, .. } => seen.fixes.push((*at, area.holds(*spot))),
        }
    }
    let mut present: Vec<_> = vehicles.into_iter().filter_map(|(v, seen)| presence(v, seen, window)).collect();
    present.sort_by_key(|p| (p.first, p.vehicle));
    Ok(present)
}

/// A piece's fixes as seen from the area.
fn look(area: &Sought<'_>, piece: &Piece, fixes: &mut Vec<(Timestamp, bool)>) -> Result<(), Damaged> {
    if piece.kind == Kind::Ride {
        fixes.extend(piece.places()?.map(|(at, spot)| (at, area.holds(spot))));
    } else if let Body::Dwell(dwell) = piece.read()? {
        let is_inside = area.area.touches(dwell.low, dwell.high);
        fixes.extend(dwell.times().map(|at| (at, is_inside)));
        fixes.extend(dwell.outliers.iter().map(|o| (o.at, area.holds(o.spot))));
    }
    Ok(())
}

fn presence(vehicle: VehicleId, mut seen: Seen, window: Window) -> Option<Presence> {
    let is_counted = |(at, inside): &(Timestamp, bool)| *inside && window.holds(*at);
    if !seen.fixes.iter().any(is_counted) {
        return None;
    }
    seen.fixes.sort(); // pieces are runs in order, which this one merges
    let counted = || seen.fixes.iter().filter(|f| is_counted(f)).map(|f| f.0);
    let mut presence = Presence {
        vehicle,
        tracker: seen.tracker,
        first: counted().next()?,
        last: counted().next_back()?,
        fixes: counted().count() as u32,
        entered: false,
        left: false,
        stayed_s: 0.0,
    };
    for run in seen.fixes.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1) {
        let inside = || run.iter().map(|f| f.0).filter(|at| window.holds(*at));
        let (Some(first), Some(last)) = (inside().next(), inside().next_back()) else { continue };
        presence.stayed_s = presence.stayed_s.max(last.seconds_since(first));
        // What was not brought does not touch the area's box: before and after the run it was outside.
        presence.entered |= first == run[0].0;
        let is_over =
            run.as_ptr_range().end < seen.fixes.as_ptr_range().end || window.known_to.seconds_since(last) > SILENT_S;
        presence.left |= last == run[run.len() - 1].0 && is_over;
    }
    Some(presence)
}
