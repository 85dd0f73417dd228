//! Where things are: towns around Yiyang, and paths that look like roads; and a whole city's days.

pub mod command;
mod plan;
mod play;
mod receiver;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Metres per degree of latitude.
const M_PER_DEG: f64 = 111_195.0;

/// A place, WGS-84 degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
}

impl Place {
    /// This place moved by metres north and east.
    pub fn moved(self, north_m: f64, east_m: f64) -> Self {
        let lat = self.lat + north_m / M_PER_DEG;
        Self { lat, lon: self.lon + east_m / (M_PER_DEG * self.lat.to_radians().cos()) }
    }

    /// Distance in metres; exact enough for a city.
    pub fn distance_m(self, other: Self) -> f64 {
        let (north, east) = other.north_east_m(self);
        north.hypot(east)
    }

    /// Metres north and east of another place.
    pub fn north_east_m(self, other: Self) -> (f64, f64) {
        let north = (self.lat - other.lat) * M_PER_DEG;
        (north, (self.lon - other.lon) * M_PER_DEG * other.lat.to_radians().cos())
    }

    /// Distance along streets that lead north and east, metres.
    pub fn street_m(self, other: Self) -> f64 {
        let (north, east) = other.north_east_m(self);
        north.abs() + east.abs()
    }
}

/// Towns: latitude, longitude, spread in metres, share of the vehicles.
const TOWNS: &[(f64, f64, f64, f64)] = &[
    (28.554, 112.355, 3000.0, 0.5),  // Yiyang: Heshan and Ziyang
    (28.84, 112.374, 1500.0, 0.15),  // Yuanjiang
    (28.524, 112.125, 1500.0, 0.15), // Taojiang
    (29.37, 112.41, 1500.0, 0.1),    // Nan County
    (28.374, 111.213, 1500.0, 0.1),  // Anhua
];

/// A home in one of the towns.
pub fn home(rng: &mut ChaCha8Rng) -> Place {
    let mut pick: f64 = rng.random();
    let town = TOWNS.iter().find(|t| {
        pick -= t.3;
        pick < 0.0
    });
    let (lat, lon, spread, _) = town.unwrap_or(&TOWNS[0]);
    Place { lat: *lat, lon: *lon }.moved(gauss(rng) * spread / 2.0, gauss(rng) * spread / 2.0)
}

/// A normal deviate, mean 0, standard deviation 1 (sum of twelve).
pub fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// The next course on a street grid: mostly straight on, sometimes a turn of 90°, a little winding.
pub fn turn(rng: &mut ChaCha8Rng, course_deg: f64) -> f64 {
    let turn = match rng.random_range(0..20) {
        0 => 90.0,
        1 => -90.0,
        _ => gauss(rng) * 2.0,
    };
    (course_deg + turn).rem_euclid(360.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_place_moved_is_as_far_away_as_it_was_moved() {
        let place = Place { lat: 28.55, lon: 112.35 };
        assert!((place.distance_m(place.moved(300.0, 400.0)) - 500.0).abs() < 0.5);
    }

    #[test]
    fn the_same_seed_gives_the_same_home() {
        let home = |seed| super::home(&mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(home(7), home(7));
        assert_ne!(home(7), home(8));
    }
}
