//! GCJ-02 火星坐标, the shifted datum of Chinese maps, at the edges only: inside, all is WGS-84.

use crate::domain::{Datum, LatLon};
use std::f64::consts::PI;

/// Krasovsky's ellipsoid, which the shift is reckoned on: semi-major axis in metres, eccentricity squared.
const AXIS_M: f64 = 6_378_245.0;
const ECCENTRICITY2: f64 = 0.006_693_421_622_965_943;
/// The shift applies within these degrees: south, north, west, east.
const CHINA: (f64, f64, f64, f64) = (0.8293, 55.8271, 72.004, 137.8347);
/// Rounds of the inverse; each brings it about a thousand times nearer, so this ends below a millimetre.
const ROUNDS: usize = 4;

impl Datum {
    /// A position given in this datum, in WGS-84.
    pub fn to_wgs84(self, given: LatLon) -> LatLon {
        match self {
            Self::Wgs84 => given,
            Self::Gcj02 => unshift(given),
        }
    }
}

/// WGS-84 → GCJ-02.
pub fn shift(p: LatLon) -> LatLon {
    let (south, north, west, east) = CHINA;
    if !(south..=north).contains(&p.lat_deg) || !(west..=east).contains(&p.lon_deg) {
        return p;
    }
    let (x, y) = (p.lon_deg - 105.0, p.lat_deg - 35.0);
    let waves = (20.0 * (6.0 * x * PI).sin() + 20.0 * (2.0 * x * PI).sin()) * 2.0 / 3.0;
    let north_m = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves
        + (20.0 * (y * PI).sin() + 40.0 * (y / 3.0 * PI).sin()) * 2.0 / 3.0
        + (160.0 * (y / 12.0 * PI).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let east_m = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves
        + (20.0 * (x * PI).sin() + 40.0 * (x / 3.0 * PI).sin()) * 2.0 / 3.0
        + (150.0 * (x / 12.0 * PI).sin() + 300.0 * (x / 30.0 * PI).sin()) * 2.0 / 3.0;
    let lat = p.lat_deg.to_radians();
    let w2 = 1.0 - ECCENTRICITY2 * lat.sin().powi(2);
    let per_lat_m = AXIS_M * (1.0 - ECCENTRICITY2) / (w2 * w2.sqrt()) * PI / 180.0;
    let per_lon_m = AXIS_M / w2.sqrt() * lat.cos() * PI / 180.0;
    LatLon::new(p.lat_deg + north_m / per_lat_m, p.lon_deg + east_m / per_lon_m)
}

/// GCJ-02 → WGS-84, by coming nearer: the shift has no closed inverse.
fn unshift(given: LatLon) -> LatLon {
    let mut p = given;
    for _ in 0..ROUNDS {
        let there = shift(p);
        p = LatLon::new(p.lat_deg + given.lat_deg - there.lat_deg, p.lon_deg + given.lon_deg - there.lon_deg);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::distance_m;

    #[test]
    fn a_place_in_yiyang_is_shifted_by_hundreds_of_metres_and_comes_back_exactly() {
        let place = LatLon::new(28.554, 112.355);
        let shifted = shift(place);
        assert!((300.0..700.0).contains(&distance_m(place, shifted)), "{shifted:?}");
        assert!(distance_m(place, Datum::Gcj02.to_wgs84(shifted)) < 0.001);
    }

    #[test]
    fn the_pairs_that_public_converters_agree_on_are_met() {
        for (wgs, gcj) in [
            ((31.177_427_6, 121.527_210_6), (31.175_303_983_645_97, 121.531_541_859_215)),
            ((22.543_847, 113.912_316), (22.540_796_131_694_766, 113.917_176_480_836_3)),
            ((39.911_954, 116.377_817), (39.913_345_455_360_69, 116.384_047_224_556_57)),
        ] {
            let off_m = distance_m(shift(LatLon::new(wgs.0, wgs.1)), LatLon::new(gcj.0, gcj.1));
            assert!(off_m < 1.0, "{wgs:?}: {off_m} m");
        }
    }

    #[test]
    fn outside_china_nothing_is_shifted() {
        let lima = LatLon::new(-12.0, -77.0);
        assert_eq!((shift(lima), Datum::Gcj02.to_wgs84(lima)), (lima, lima));
    }
}
