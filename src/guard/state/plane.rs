//! The plane in which a vehicle's places lie, and its points.

use crate::domain::LatLon;
use serde::{Deserialize, Serialize};
use std::num::NonZeroI32;

/// Metres per degree of latitude.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// A plane around an origin, metres east and north. Good to centimetres within kilometres, coarse
/// beyond, which is all that "far away" needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Origin", into = "Origin")]
pub struct Plane {
    /// Its origin's latitude, millionths of a degree, above [`SOUTH_E6`]: never zero, so that no plane takes no more room.
    north_e6: NonZeroI32,
    lon_e6: i32,
}

/// South of every latitude, millionths of a degree.
const SOUTH_E6: i32 = -100_000_000;

/// As a checkpoint keeps it, millionths of a degree: short decimals, so no format changes anything.
#[derive(Serialize, Deserialize)]
struct Origin {
    lat_e6: i32,
    lon_e6: i32,
}

impl From<Origin> for Plane {
    fn from(Origin { lat_e6, lon_e6 }: Origin) -> Self {
        Self { north_e6: NonZeroI32::new(lat_e6.saturating_sub(SOUTH_E6)).unwrap_or(NonZeroI32::MIN), lon_e6 }
    }
}

impl From<Plane> for Origin {
    fn from(Plane { north_e6, lon_e6 }: Plane) -> Self {
        Self { lat_e6: north_e6.get().saturating_add(SOUTH_E6), lon_e6 }
    }
}

impl Plane {
    /// A plane touching the Earth at `origin`.
    pub fn at(origin: LatLon) -> Self {
        let millionths = |degrees: f64| (degrees * 1e6).round() as i32;
        Origin { lat_e6: millionths(origin.lat_deg), lon_e6: millionths(origin.lon_deg) }.into()
    }

    fn origin(&self) -> LatLon {
        let Origin { lat_e6, lon_e6 } = (*self).into();
        LatLon::new(f64::from(lat_e6) / 1e6, f64::from(lon_e6) / 1e6)
    }

    /// Metres east and north of the origin; the antimeridian is no border.
    pub fn project(&self, p: LatLon) -> Point {
        let mut lon = p.lon_deg - self.origin().lon_deg;
        if lon > 180.0 {
            lon -= 360.0;
        } else if lon < -180.0 {
            lon += 360.0;
        }
        let east = lon * METRES_PER_DEGREE * self.origin().lat_deg.to_radians().cos();
        Point { east_m: east as f32, north_m: ((p.lat_deg - self.origin().lat_deg) * METRES_PER_DEGREE) as f32 }
    }

    /// The position of a point of the plane.
    pub fn unproject(&self, p: Point) -> LatLon {
        let per_lon = METRES_PER_DEGREE * self.origin().lat_deg.to_radians().cos().max(1e-6);
        let mut lon = self.origin().lon_deg + f64::from(p.east_m) / per_lon;
        if lon > 180.0 {
            lon -= 360.0;
        } else if lon < -180.0 {
            lon += 360.0;
        }
        LatLon::new((self.origin().lat_deg + f64::from(p.north_m) / METRES_PER_DEGREE).clamp(-90.0, 90.0), lon)
    }
}

/// A point of a [`Plane`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Metres east.
    pub east_m: f32,
    /// Metres north.
    pub north_m: f32,
}

impl Point {
    /// Distance, metres.
    pub fn distance_m(self, other: Point) -> f32 {
        // In double precision, as no place is so far that its square would not fit: faster than `hypot`.
        let (east_m, north_m) = (f64::from(self.east_m - other.east_m), f64::from(self.north_m - other.north_m));
        (east_m * east_m + north_m * north_m).sqrt() as f32
    }

    /// Direction to another point, degrees from north to east.
    pub fn bearing_deg(self, other: Point) -> f32 {
        (other.east_m - self.east_m).atan2(other.north_m - self.north_m).to_degrees().rem_euclid(360.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_crosses_the_antimeridian() {
        let plane = Plane::at(LatLon::new(-16.8, 179.9995));
        assert_eq!(size_of::<Option<Plane>>(), size_of::<Plane>());
        let again: Plane = serde_json::from_str(&serde_json::to_string(&plane).unwrap()).unwrap();
        assert_eq!(again, plane);
        let p = plane.project(LatLon::new(-16.8, -179.9995));
        assert!((100.0..112.0).contains(&p.east_m), "{p:?}");
        assert!((plane.unproject(p).lon_deg + 179.9995).abs() < 1e-6);
    }
}
