//! Who was in an area within a window.
//!
//! A fix counts where it was measured; a fix of a dwell counts if the dwell's box touches the area,
//! because its exact place is not kept (25 m at most).

use crate::domain::{LatLon, Timestamp, TrackerKey, VehicleId};
use crate::tracks::runs::{Run, stretches};
use crate::tracks::{CorruptSegment, GridPoint, Hit};
use geo::{BoundingRect, Contains, Coord, Intersects, MultiPolygon, Rect};

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
                let north = radius_m / (crate::tracks::METRES_PER_UNIT * crate::tracks::PER_DEGREE);
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
    pub fn holds(&self, spot: GridPoint) -> bool {
        match self {
            Self::Polygons(polygons) => polygons.contains(&coord(spot)),
            Self::Circle { centre, radius_m } => GridPoint::of(*centre).distance_m(spot) < *radius_m,
        }
    }

    /// Whether a box touches it.
    pub fn touches(&self, low: GridPoint, high: GridPoint) -> bool {
        match self {
            Self::Polygons(polygons) => polygons.intersects(&Rect::new(coord(low), coord(high))),
            Self::Circle { centre, radius_m } => {
                let centre = GridPoint::of(*centre);
                let nearest =
                    GridPoint { lon: centre.lon.clamp(low.lon, high.lon), lat: centre.lat.clamp(low.lat, high.lat) };
                centre.distance_m(nearest) < *radius_m
            }
        }
    }
}

/// An area with a box around it and one within it, which are asked first: most fixes of what is found lie off the one, most
/// of the others in the other.
pub(super) struct PreparedArea<'a> {
    area: &'a Area,
    low: GridPoint,
    high: GridPoint,
    /// Half the sides of a box around a circle's middle that lies in the circle, millionths of a degree: east, north.
    within: Option<(GridPoint, [i64; 2])>,
}

impl<'a> PreparedArea<'a> {
    pub(super) fn of(area: &'a Area) -> Option<Self> {
        let (low, high) = area.bounds()?;
        let (low, high) = (GridPoint::of(low), GridPoint::of(high));
        // What was rounded away comes back.
        let (low, high) =
            (GridPoint { lon: low.lon - 1, lat: low.lat - 1 }, GridPoint { lon: high.lon + 1, lat: high.lat + 1 });
        let within = match area {
            Area::Polygons(_) => None,
            // 0.7 is below the square root of a half by more than a degree's length changes within two kilometres, up to
            // the latitude of 85 degrees: 0.7² + (0.7 × 1.01)² < 1.
            Area::Circle { centre, radius_m } if *radius_m <= 2_000.0 && centre.lat_deg.abs() <= 85.0 => {
                let half = [high.lon, high.lat].map(i64::from);
                let centre = GridPoint::of(*centre);
                Some((
                    centre,
                    [half[0] - i64::from(centre.lon), half[1] - i64::from(centre.lat)].map(|h| (h - 1) * 7 / 10 - 2),
                ))
            }
            Area::Circle { .. } => None,
        };
        Some(Self { area, low, high, within })
    }

    #[inline]
    pub(super) fn holds(&self, spot: GridPoint) -> bool {
        (self.low.lon..=self.high.lon).contains(&spot.lon)
            && (self.low.lat..=self.high.lat).contains(&spot.lat)
            && (self.is_well_within(spot) || self.area.holds(spot))
    }

    fn is_well_within(&self, spot: GridPoint) -> bool {
        self.within.is_some_and(|(centre, [east, north])| {
            (i64::from(spot.lon) - i64::from(centre.lon)).abs() <= east
                && (i64::from(spot.lat) - i64::from(centre.lat)).abs() <= north
        })
    }

    pub(super) fn touches(&self, low: GridPoint, high: GridPoint) -> bool {
        self.area.touches(low, high)
    }
}

fn coord(spot: GridPoint) -> Coord<f64> {
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
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        at >= self.from && at < self.to
    }
}

/// A tracker that was silent for so long after a fix inside is not inside any more, seconds.
pub const SILENT_S: f64 = 900.0;

/// Who was inside within a window, by first fix inside. For `entered` and `left` to be true to life,
/// `found` must reach [`SILENT_S`] beyond the window on both sides.
///
/// # Errors
/// [`CorruptSegment`].
pub fn presences(area: &Area, window: Window, found: &[Hit]) -> Result<Vec<Presence>, CorruptSegment> {
    let Some(area) = PreparedArea::of(area) else { return Ok(Vec::new()) };
    let mut rows: Vec<_> = found.iter().filter_map(|row| Some((row.vehicle()?, row))).collect();
    rows.sort_by_key(|(vehicle, _)| *vehicle);
    let mut present = Vec::new();
    for rows in rows.chunk_by(|a, b| a.0 == b.0) {
        let (vehicle, first) = rows[0];
        let stretches = stretches(&area, window, rows.iter().map(|(_, row)| *row))?;
        present.extend(presence(vehicle, first.tracker(), &stretches, window));
    }
    present.sort_by_key(|p| (p.first, p.vehicle));
    Ok(present)
}

/// What a vehicle's stretches, in order, say of it; `None` if it was not inside within the window.
pub(super) fn presence(vehicle: VehicleId, tracker: TrackerKey, stretches: &[Run], window: Window) -> Option<Presence> {
    let counted = || stretches.iter().filter(|s| s.is_inside).filter_map(|s| s.counted);
    let mut presence = Presence {
        vehicle,
        tracker,
        first: counted().next()?.0,
        last: counted().next_back()?.1,
        fixes: stretches.iter().filter(|s| s.is_inside).map(|s| s.fixes).sum(),
        entered: false,
        left: false,
        stayed_s: 0.0,
    };
    for run in stretches.chunk_by(|a, b| a.is_inside == b.is_inside).filter(|run| run[0].is_inside) {
        let inside = || run.iter().filter_map(|s| s.counted);
        let (Some((first, _)), Some((_, last))) = (inside().next(), inside().next_back()) else { continue };
        presence.stayed_s = presence.stayed_s.max(last.seconds_since(first));
        // What was not brought does not touch the area's box: before and after the run it was outside.
        presence.entered |= first == run[0].first;
        let is_over =
            run.as_ptr_range().end < stretches.as_ptr_range().end || window.known_to.seconds_since(last) > SILENT_S;
        presence.left |= last == run[run.len() - 1].last && is_over;
    }
    Some(presence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_within_a_circle_lies_in_the_circle_at_every_latitude() {
        for lat_deg in [-85.0, -60.0, 0.0, 28.5, 60.0, 84.9] {
            for radius_m in [5.0, 500.0, 2_000.0] {
                let circle = Area::Circle { centre: LatLon::new(lat_deg, 112.3), radius_m };
                let sought = PreparedArea::of(&circle).unwrap();
                let (centre, half) = sought.within.unwrap();
                let [east, north] = half.map(|h| i32::try_from(h).unwrap());
                for (x, y) in [(east, north), (-east, north), (east, -north), (-east, -north)] {
                    let corner = GridPoint { lon: centre.lon + x, lat: centre.lat + y };
                    assert!(sought.is_well_within(corner) && circle.holds(corner), "{lat_deg} {radius_m} {corner:?}");
                }
                assert!(!sought.is_well_within(GridPoint { lon: centre.lon + east + 1, lat: centre.lat }));
            }
        }
        let wide = Area::Circle { centre: LatLon::new(28.5, 112.3), radius_m: 2_001.0 };
        assert!(PreparedArea::of(&wide).unwrap().within.is_none());
    }
}
