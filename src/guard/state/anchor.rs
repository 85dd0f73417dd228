//! The guard point: where a parked vehicle stands, and how far its own fixes stray from there.
//!
//! A robust mean (each fix pulls only so far) with a memory of some hours, and a running 90 %
//! quantile of the distance. Fixes close in time share their error, so they count as one.

use crate::domain::LatLon;
use crate::guard::params::AnchorParams;
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

/// The guard point and the spread around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// The robust centre.
    pub centre: Point,
    /// Independent fixes learned from (grows to the memory).
    pub weight: f32,
    /// Running 90 % quantile of the distance, metres, unclamped.
    quantile_m: f32,
}

impl Anchor {
    /// An anchor from one fix.
    pub fn new(params: &AnchorParams, centre: Point) -> Self {
        Self { centre, weight: 1.0, quantile_m: params.spread_start_m }
    }

    /// Nine in ten fixes of the parked vehicle lie within this, metres.
    pub fn spread_m(&self, params: &AnchorParams) -> f32 {
        self.quantile_m.clamp(params.spread_min_m, params.spread_max_m)
    }

    /// Learns from a fix of the vehicle at rest, `since_s` seconds after the one before.
    pub fn learn(&mut self, params: &AnchorParams, at: Point, since_s: f32) {
        let weight = (since_s / params.independent_s).clamp(0.05, 1.0);
        self.weight = (self.weight + weight).min(params.memory_fixes);
        let gain = weight / self.weight;
        let distance = at.distance_m(self.centre);
        // Huber: beyond half the spread the pull stays the same, so one wild fix moves little.
        let reach = 0.5 * self.spread_m(params);
        let pull = gain * if distance > reach { reach / distance } else { 1.0 };
        self.centre.east_m += pull * (at.east_m - self.centre.east_m);
        self.centre.north_m += pull * (at.north_m - self.centre.north_m);
        // Robbins-Monro on the logarithm: rises by 0.9 steps when outside, falls by 0.1 when inside.
        let step = (2.0 / self.weight).clamp(0.06, 0.3) * weight;
        let toward = if distance > self.quantile_m { 0.9 } else { -0.1 };
        self.quantile_m = (self.quantile_m * (step * toward).exp()).clamp(4.0, 2.0 * params.spread_max_m);
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

    #[test]
    fn one_wild_fix_hardly_moves_the_guard_point() {
        let params = AnchorParams::default();
        let mut anchor = Anchor::new(&params, Point::default());
        for _ in 0..30 {
            anchor.learn(&params, Point { east_m: 3.0, north_m: -2.0 }, 300.0);
        }
        let before = anchor.centre;
        anchor.learn(&params, Point { east_m: 4_000.0, north_m: 0.0 }, 300.0);
        assert!(anchor.centre.distance_m(before) < 1.0);
    }

    #[test]
    fn the_spread_follows_the_receiver() {
        let params = AnchorParams::default();
        let mut anchor = Anchor::new(&params, Point::default());
        for i in 0..400_u32 {
            let angle = i as f32 * 2.4;
            let radius = 60.0 * ((i * 37 % 100) as f32 / 100.0);
            anchor.learn(&params, Point { east_m: radius * angle.cos(), north_m: radius * angle.sin() }, 300.0);
        }
        assert!((40.0..75.0).contains(&anchor.spread_m(&params)), "{}", anchor.spread_m(&params));
    }
}
