//! Areas, and windows of time.
//!
//! A fix counts where it was measured; a fix of a dwell counts if the dwell's box touches the area,
//! because its exact place is not kept (25 m at most).

use crate::domain::{LatLon, Timestamp};
use crate::tracks::GridPoint;
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
