//! The areas of zones: circles, polygons with holes, corridors along a line. WGS-84.
//!
//! One question answers everything: how deep does a position lie inside (negative: how far outside)?
//! Distances are measured in a plane around the position, good to a per mille within a city.

use crate::domain::{Datum, LatLon, distance_m};
use serde::{Deserialize, Serialize};

/// Most corners a zone may have; beyond that the exact test would slow every fix.
pub const ZONE_CORNERS_MAX: usize = 200;
/// Smallest radius of a circle, metres: inside counts from 15 m behind the border on, and a receiver is 5 m off.
pub const ZONE_RADIUS_M_MIN: f64 = 20.0;
/// Largest radius of a circle, metres: a city fits.
pub const ZONE_RADIUS_M_MAX: f64 = 200_000.0;
/// Narrowest corridor, metres: twice the margin that a fix needs to count as inside.
pub const CORRIDOR_WIDTH_M_MIN: f64 = 40.0;
/// Widest corridor, metres.
pub const CORRIDOR_WIDTH_M_MAX: f64 = 10_000.0;
/// Shortest line of a corridor, metres: one of two equal points is none.
pub const CORRIDOR_LENGTH_M_MIN: f64 = 10.0;
/// Farthest north or south that a zone reaches, degrees: nearer to a pole, distances in a plane go wrong.
pub const ZONE_LAT_DEG_MAX: f64 = 85.0;
/// Widest box around a zone, degrees: a province fits, the country does not, the antimeridian is not crossed.
pub const ZONE_EXTENT_DEG_MAX: f64 = 10.0;

const METRES_PER_DEGREE: f64 = 111_195.0;

/// The area of a zone, WGS-84.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ZoneShape {
    /// Everything within a distance of a point.
    Circle {
        /// Its centre.
        centre: LatLon,
        /// Its radius, metres.
        radius_m: f64,
    },
    /// A ring of corners with holes; first and last corner need not be equal.
    Polygon {
        /// The outer ring.
        outer: Vec<LatLon>,
        /// Rings cut out of it.
        #[serde(default)]
        holes: Vec<Vec<LatLon>>,
    },
    /// Everything within half the width of a line: a road, a bus route.
    Corridor {
        /// The line's points in order.
        line: Vec<LatLon>,
        /// Width of the corridor, metres, both sides together.
        width_m: f64,
    },
}

/// Why a shape is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// Too few or too many corners.
    #[error("a zone's rings have 3 to {ZONE_CORNERS_MAX} corners in all, these have {0}")]
    Corners(usize),
    /// Too few or too many points of a line.
    #[error("a corridor's line has 2 to {ZONE_CORNERS_MAX} points, this one has {0}")]
    Points(usize),
    /// A corner outside the world.
    #[error("corner {lat_deg}, {lon_deg} is outside -90..=90, -180..=180")]
    OutOfRange {
        /// Its latitude.
        lat_deg: f64,
        /// Its longitude.
        lon_deg: f64,
    },
    /// A radius that is too small or too large.
    #[error("a circle's radius is {ZONE_RADIUS_M_MIN} to {ZONE_RADIUS_M_MAX} m, this one is {0}")]
    Radius(f64),
    /// A width that is too small or too large.
    #[error("a corridor is {CORRIDOR_WIDTH_M_MIN} to {CORRIDOR_WIDTH_M_MAX} m wide, this one {0} m")]
    Width(f64),
    /// A line that is too short to be one, metres.
    #[error("a corridor's line is at least {CORRIDOR_LENGTH_M_MIN} m long, this one {0:.1} m")]
    Length(f64),
    /// A shape that reaches over the antimeridian or too near to a pole.
    #[error(
        "the zone reaches beyond ±{ZONE_LAT_DEG_MAX}° of latitude or over 180° of longitude at {lat_deg}, {lon_deg}"
    )]
    Edge {
        /// Latitude of the point beside which it does.
        lat_deg: f64,
        /// Its longitude.
        lon_deg: f64,
    },
    /// Too wide, or across the antimeridian.
    #[error(
        "a zone is at most {ZONE_EXTENT_DEG_MAX} degrees high and wide and does not cross 180°; this one spans {0:.1} degrees"
    )]
    Extent(f64),
}

/// Metres east and north of an origin.
type Plane = (f64, f64);

/// Projects around an origin; the antimeridian is no border.
fn plane(origin: LatLon) -> impl Fn(&LatLon) -> Plane {
    let east_per_degree = METRES_PER_DEGREE * origin.lat_deg.to_radians().cos();
    move |p| {
        let mut lon = p.lon_deg - origin.lon_deg;
        if lon > 180.0 {
            lon -= 360.0;
        } else if lon < -180.0 {
            lon += 360.0;
        }
        (lon * east_per_degree, (p.lat_deg - origin.lat_deg) * METRES_PER_DEGREE)
    }
}

/// Distance of the origin from the line a-b.
fn origin_to_line_m(a: Plane, b: Plane) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length2 = dx * dx + dy * dy;
    let t = if length2 > 0.0 { (-(a.0 * dx + a.1 * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (a.0 + t * dx).hypot(a.1 + t * dy)
}

/// Where on the way from the origin to `to` (0..1) the line a-b is crossed.
fn crossed_at(to: Plane, a: Plane, b: Plane) -> Option<f64> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let denominator = to.0 * dy - to.1 * dx;
    if denominator == 0.0 {
        return None; // parallel: it does not lead inside
    }
    let t = (a.0 * dy - a.1 * dx) / denominator;
    let u = (a.0 * to.1 - a.1 * to.0) / denominator;
    ((0.0..=1.0).contains(&t) && (0.0..=1.0).contains(&u)).then_some(t)
}

impl ZoneShape {
    /// Checks ranges and bounds. Whether rings cross themselves or holes lie outside, PostGIS says.
    ///
    /// # Errors
    /// Names the first value outside its limit.
    pub fn check(&self) -> Result<(), ShapeError> {
        match self {
            Self::Circle { radius_m, .. } if !(ZONE_RADIUS_M_MIN..=ZONE_RADIUS_M_MAX).contains(radius_m) => {
                return Err(ShapeError::Radius(*radius_m));
            }
            Self::Polygon { outer, holes } => {
                let corners = outer.len() + holes.iter().map(Vec::len).sum::<usize>();
                if outer.len() < 3 || corners > ZONE_CORNERS_MAX || holes.iter().any(|h| h.len() < 3) {
                    return Err(ShapeError::Corners(corners));
                }
            }
            Self::Corridor { line, width_m } => {
                if line.len() < 2 || line.len() > ZONE_CORNERS_MAX {
                    return Err(ShapeError::Points(line.len()));
                }
                if !(CORRIDOR_WIDTH_M_MIN..=CORRIDOR_WIDTH_M_MAX).contains(width_m) {
                    return Err(ShapeError::Width(*width_m));
                }
            }
            Self::Circle { .. } => {}
        }
        if let Some(p) = self.points().find(|p| !p.is_in_range()) {
            return Err(ShapeError::OutOfRange { lat_deg: p.lat_deg, lon_deg: p.lon_deg });
        }
        let (sw, ne) = self.bounds();
        let extent_deg = (ne.lat_deg - sw.lat_deg).max(ne.lon_deg - sw.lon_deg);
        if extent_deg > ZONE_EXTENT_DEG_MAX && !matches!(self, Self::Circle { .. }) {
            return Err(ShapeError::Extent(extent_deg));
        }
        let is_far = |p: &LatLon| p.lat_deg.abs() > ZONE_LAT_DEG_MAX || p.lon_deg.abs() > 180.0;
        if [sw, ne].iter().any(is_far) {
            let p = self.points().next().copied().unwrap_or(sw);
            return Err(ShapeError::Edge { lat_deg: p.lat_deg, lon_deg: p.lon_deg });
        }
        if let Self::Corridor { line, .. } = self {
            let length_m: f64 = line.windows(2).map(|e| distance_m(e[0], e[1])).sum();
            if length_m < CORRIDOR_LENGTH_M_MIN {
                return Err(ShapeError::Length(length_m));
            }
        }
        Ok(())
    }

    /// Every point that was given.
    fn points(&self) -> Box<dyn Iterator<Item = &LatLon> + '_> {
        match self {
            Self::Circle { centre, .. } => Box::new(std::iter::once(centre)),
            Self::Polygon { outer, holes } => Box::new(outer.iter().chain(holes.iter().flatten())),
            Self::Corridor { line, .. } => Box::new(line.iter()),
        }
    }

    /// The same shape in WGS-84, if its points are of `datum`.
    pub fn to_wgs84(mut self, datum: Datum) -> Self {
        let convert = |p: &mut LatLon| *p = datum.to_wgs84(*p);
        match &mut self {
            Self::Circle { centre, .. } => convert(centre),
            Self::Polygon { outer, holes } => outer.iter_mut().chain(holes.iter_mut().flatten()).for_each(convert),
            Self::Corridor { line, .. } => line.iter_mut().for_each(convert),
        }
        self
    }

    /// How deep a position lies inside, metres; negative: how far outside.
    pub fn depth_m(&self, at: LatLon) -> f64 {
        match self {
            Self::Circle { centre, radius_m } => radius_m - distance_m(*centre, at),
            Self::Polygon { outer, holes } => {
                let project = plane(at);
                let mut nearest_m = f64::INFINITY;
                let mut is_inside = false;
                each_edge(outer, holes, |a, b| {
                    let (a, b) = (project(a), project(b));
                    nearest_m = nearest_m.min(origin_to_line_m(a, b));
                    // Even-odd: a ray to the east crosses the edges of an inside point an odd number of times.
                    is_inside ^= (a.1 > 0.0) != (b.1 > 0.0) && a.0 - a.1 * (b.0 - a.0) / (b.1 - a.1) > 0.0;
                });
                if is_inside { nearest_m } else { -nearest_m }
            }
            Self::Corridor { line, width_m } => width_m / 2.0 - line_distance_m(line, at),
        }
    }

    /// Whether the straight way between two positions that lie outside leads through it, at least
    /// `margin_m` deep.
    pub fn is_passed(&self, from: LatLon, to: LatLon, margin_m: f64) -> bool {
        let project = plane(from);
        let way = project(&to);
        let way_m = way.0.hypot(way.1);
        if way_m < 2.0 * margin_m {
            return false;
        }
        let between = |t: f64| {
            LatLon::new(from.lat_deg + t * (to.lat_deg - from.lat_deg), from.lon_deg + t * (to.lon_deg - from.lon_deg))
        };
        match self {
            Self::Circle { centre, radius_m } => {
                let around = plane(*centre);
                origin_to_line_m(around(&from), around(&to)) <= radius_m - margin_m
            }
            Self::Polygon { outer, holes } => {
                let mut crossings = Vec::new();
                each_edge(outer, holes, |a, b| crossings.extend(crossed_at(way, project(a), project(b))));
                crossings.sort_unstable_by(f64::total_cmp);
                crossings.windows(2).any(|pair| {
                    let is_long = (pair[1] - pair[0]) * way_m >= 2.0 * margin_m;
                    is_long && self.depth_m(between((pair[0] + pair[1]) / 2.0)) > 0.0
                })
            }
            Self::Corridor { line, width_m } => {
                let edges = || line.windows(2);
                let is_crossed = edges().any(|e| crossed_at(way, project(&e[0]), project(&e[1])).is_some());
                // Along its side, or past its end: a corner of one lies near the other.
                let near_m = line.iter().map(|p| {
                    let around = plane(*p);
                    origin_to_line_m(around(&from), around(&to))
                });
                is_crossed || near_m.fold(f64::INFINITY, f64::min) <= width_m / 2.0 - margin_m
            }
        }
    }

    /// The box around the shape: south-west and north-east corner.
    pub fn bounds(&self) -> (LatLon, LatLon) {
        let around = |p: &LatLon, reach_m: f64| {
            let lat = reach_m / 111_000.0;
            let lon = lat / p.lat_deg.to_radians().cos().max(0.01);
            (LatLon::new(p.lat_deg - lat, p.lon_deg - lon), LatLon::new(p.lat_deg + lat, p.lon_deg + lon))
        };
        let reach_m = match self {
            Self::Circle { radius_m, .. } => *radius_m,
            Self::Polygon { .. } => 0.0,
            Self::Corridor { width_m, .. } => width_m / 2.0,
        };
        self.points().map(|p| around(p, reach_m)).fold(
            (LatLon::new(90.0, 360.0), LatLon::new(-90.0, -360.0)),
            |(sw, ne), (a, b)| {
                (
                    LatLon::new(sw.lat_deg.min(a.lat_deg), sw.lon_deg.min(a.lon_deg)),
                    LatLon::new(ne.lat_deg.max(b.lat_deg), ne.lon_deg.max(b.lon_deg)),
                )
            },
        )
    }
}

/// Every edge of every ring, the closing ones too.
fn each_edge(outer: &[LatLon], holes: &[Vec<LatLon>], mut visit: impl FnMut(&LatLon, &LatLon)) {
    for ring in std::iter::once(outer).chain(holes.iter().map(Vec::as_slice)) {
        let mut from = ring.last();
        for corner in ring {
            if let Some(from) = from {
                visit(from, corner);
            }
            from = Some(corner);
        }
    }
}

/// Distance of a position from a line, metres.
fn line_distance_m(line: &[LatLon], at: LatLon) -> f64 {
    let project = plane(at);
    line.windows(2).map(|e| origin_to_line_m(project(&e[0]), project(&e[1]))).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metres east and north of a place in Yiyang.
    fn at(east_m: f64, north_m: f64) -> LatLon {
        LatLon::new(28.55 + north_m / 111_195.0, 112.35 + east_m / 97_671.0)
    }

    fn ring(low: f64, high: f64) -> Vec<LatLon> {
        vec![at(low, low), at(high, low), at(high, high), at(low, high)]
    }

    fn square_with_hole() -> ZoneShape {
        ZoneShape::Polygon { outer: ring(0.0, 1000.0), holes: vec![ring(400.0, 600.0)] }
    }

    fn road() -> ZoneShape {
        ZoneShape::Corridor { line: vec![at(0.0, 0.0), at(1000.0, 0.0), at(1000.0, 1000.0)], width_m: 60.0 }
    }

    #[test]
    fn depth_is_the_distance_from_the_border_and_negative_outside() {
        let near = |depth: f64, want: f64| assert!((depth - want).abs() < 1.0, "{depth} is not {want}");
        near(square_with_hole().depth_m(at(100.0, 500.0)), 100.0);
        near(square_with_hole().depth_m(at(500.0, 500.0)), -100.0);
        near(square_with_hole().depth_m(at(1100.0, 500.0)), -100.0);
        near(road().depth_m(at(500.0, 10.0)), 20.0);
        near(road().depth_m(at(500.0, 130.0)), -100.0);
        near(ZoneShape::Circle { centre: at(0.0, 0.0), radius_m: 300.0 }.depth_m(at(200.0, 0.0)), 100.0);
    }

    #[test]
    fn a_way_through_is_found_between_two_sparse_points_and_a_way_past_is_not() {
        let circle = ZoneShape::Circle { centre: at(0.0, 0.0), radius_m: 300.0 };
        assert!(circle.is_passed(at(-2000.0, 0.0), at(2000.0, 100.0), 15.0));
        assert!(!circle.is_passed(at(-2000.0, 290.0), at(2000.0, 290.0), 15.0), "grazed");
        assert!(square_with_hole().is_passed(at(-2000.0, 200.0), at(3000.0, 200.0), 15.0));
        assert!(!square_with_hole().is_passed(at(-2000.0, 1100.0), at(3000.0, 1100.0), 15.0));
        assert!(!square_with_hole().is_passed(at(450.0, 500.0), at(550.0, 500.0), 15.0), "within the hole");
        assert!(road().is_passed(at(500.0, -400.0), at(500.0, 400.0), 15.0));
        assert!(!road().is_passed(at(-400.0, 100.0), at(900.0, 100.0), 15.0));
    }

    #[test]
    fn zones_that_are_none_are_refused_with_the_limit() {
        let polygon = |outer| ZoneShape::Polygon { outer, holes: vec![] };
        assert_eq!(polygon(vec![at(0.0, 0.0); 2]).check(), Err(ShapeError::Corners(2)));
        assert_eq!(polygon(vec![at(0.0, 0.0); 201]).check(), Err(ShapeError::Corners(201)));
        let corners =
            |west, east| polygon(vec![LatLon::new(20.0, west), LatLon::new(20.0, east), LatLon::new(21.0, east)]);
        assert!(matches!(corners(73.0, 135.0).check(), Err(ShapeError::Extent(_))), "the whole country");
        assert!(matches!(corners(-179.9, 179.9).check(), Err(ShapeError::Extent(_))), "across 180°");
        assert!(matches!(corners(112.0, 181.0).check(), Err(ShapeError::OutOfRange { .. })));
        for radius_m in [f64::NAN, 0.0, -5.0, 1e-9, 19.9, 200_001.0] {
            assert!(ZoneShape::Circle { centre: at(0.0, 0.0), radius_m }.check().is_err(), "{radius_m}");
        }
        let corridor = |points, width_m| ZoneShape::Corridor { line: vec![at(0.0, 0.0); points], width_m };
        assert_eq!(corridor(1, 60.0).check(), Err(ShapeError::Points(1)));
        assert_eq!(corridor(2, 5.0).check(), Err(ShapeError::Width(5.0)));
        assert_eq!(corridor(2, 60.0).check(), Err(ShapeError::Length(0.0)), "two equal points are no line");
        let circle = |lat, lon, radius_m| ZoneShape::Circle { centre: LatLon::new(lat, lon), radius_m };
        for (lat, lon) in [(90.0, 0.0), (-89.0, 112.3), (84.99, 112.3), (28.5, 179.995), (28.5, -179.995)] {
            let refused = circle(lat, lon, 2_000.0).check();
            assert_eq!(refused, Err(ShapeError::Edge { lat_deg: lat, lon_deg: lon }));
        }
        assert_eq!(circle(28.5, 112.3, ZONE_RADIUS_M_MIN).check(), Ok(()));
        for good in [square_with_hole(), road()] {
            assert_eq!(good.check(), Ok(()));
        }
    }

    #[test]
    fn a_shape_drawn_on_a_chinese_map_is_moved_to_where_it_is_meant() {
        let drawn = ZoneShape::Circle { centre: crate::domain::datum::shift(at(0.0, 0.0)), radius_m: 300.0 };
        assert!(drawn.depth_m(at(0.0, 0.0)) < 0.0, "taken as it is, it lies hundreds of metres off");
        assert!((drawn.to_wgs84(Datum::Gcj02).depth_m(at(0.0, 0.0)) - 300.0).abs() < 0.1);
    }
}
