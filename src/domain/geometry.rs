//! Positions on the ground, WGS-84 degrees, and distances in metres.

use serde::{Deserialize, Serialize};

/// Mean Earth radius (IUGG), metres.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A position, WGS-84, degrees. `lat_deg` in -90..=90, `lon_deg` in -180..=180 once judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatLon {
    /// Latitude, degrees north.
    pub lat_deg: f64,
    /// Longitude, degrees east.
    pub lon_deg: f64,
}

impl LatLon {
    /// A position from degrees north and degrees east.
    pub const fn new(lat_deg: f64, lon_deg: f64) -> Self {
        Self { lat_deg, lon_deg }
    }

    /// Whether both axes are finite and in range.
    pub fn is_in_range(self) -> bool {
        (-90.0..=90.0).contains(&self.lat_deg) && (-180.0..=180.0).contains(&self.lon_deg)
    }

    /// Whether this is the "no position" that receivers write as 0°, 0° (within about 10 m).
    pub fn is_null_island(self) -> bool {
        self.lat_deg.abs() < 1e-4 && self.lon_deg.abs() < 1e-4
    }
}

/// Great-circle distance in metres (haversine; error below 0.6 % against the ellipsoid).
pub fn distance_m(a: LatLon, b: LatLon) -> f64 {
    let (lat_a, lat_b) = (a.lat_deg.to_radians(), b.lat_deg.to_radians());
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_lon = (b.lon_deg - a.lon_deg).to_radians() / 2.0;
    let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_latitude_is_about_111_km() {
        let d = distance_m(LatLon::new(28.0, 112.0), LatLon::new(29.0, 112.0));
        assert!((111_000.0..111_400.0).contains(&d), "{d}");
    }

    #[test]
    fn the_antimeridian_is_no_detour() {
        let d = distance_m(LatLon::new(0.0, 179.999), LatLon::new(0.0, -179.999));
        assert!(d < 230.0, "{d}");
    }
}
