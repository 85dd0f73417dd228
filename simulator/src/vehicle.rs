//! One vehicle's life: parked, ridden, stolen; and what its tracker says of it.

use crate::city::{Place, gauss, home, turn};
use crate::encode::{Said, Source};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a vehicle is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Stands.
    Parked,
    /// Its owner rides.
    Ridden,
    /// Somebody else does.
    Stolen,
}

/// A vehicle.
pub struct Vehicle {
    rng: ChaCha8Rng,
    /// Where it really is.
    pub place: Place,
    /// What it is doing.
    pub doing: Doing,
    course_deg: f64,
    speed_kmh: f64,
    until_change_s: f64,
    battery: f64,
    noise_m: f64,
    wander: (f64, f64),
    just_shaken: bool,
    /// Main power there.
    pub external_power: bool,
}

impl Vehicle {
    /// Vehicle number `n` of a seeded city; about a third of them rides.
    pub fn new(seed: u64, n: u64, noise_m: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(n));
        let place = home(&mut rng);
        let doing = if rng.random_bool(0.33) { Doing::Ridden } else { Doing::Parked };
        let course_deg = f64::from(rng.random_range(0..4)) * 90.0;
        let battery = rng.random_range(30.0..100.0);
        let until_change_s = rng.random_range(60.0..600.0);
        Self {
            rng,
            place,
            doing,
            course_deg,
            speed_kmh: 0.0,
            until_change_s,
            battery,
            noise_m,
            wander: (0.0, 0.0),
            just_shaken: false,
            external_power: true,
        }
    }

    /// Parks it for good, until it is stolen.
    pub fn park(&mut self) {
        self.doing = Doing::Parked;
        self.until_change_s = f64::INFINITY;
    }

    /// A thief rides it away.
    pub fn steal(&mut self) {
        self.doing = Doing::Stolen;
        self.until_change_s = f64::INFINITY;
        self.just_shaken = true;
    }

    /// Lets `seconds` pass.
    pub fn live(&mut self, seconds: f64) {
        self.until_change_s -= seconds;
        if self.until_change_s <= 0.0 {
            self.doing = if self.doing == Doing::Parked { Doing::Ridden } else { Doing::Parked };
            self.until_change_s = if self.doing == Doing::Ridden {
                self.rng.random_range(120.0..900.0)
            } else {
                self.rng.random_range(300.0..1800.0)
            };
        }
        let wanted_kmh = match self.doing {
            Doing::Parked => 0.0,
            Doing::Ridden if self.rng.random_bool(0.1) => 0.0, // a red light
            Doing::Ridden => 22.0 + gauss(&mut self.rng) * 5.0,
            Doing::Stolen => 25.0,
        };
        self.speed_kmh = if self.doing == Doing::Parked { 0.0 } else { wanted_kmh.clamp(0.0, 45.0) };
        let metres = self.speed_kmh / 3.6 * seconds;
        if metres > 0.0 {
            if self.doing == Doing::Ridden {
                self.course_deg = turn(&mut self.rng, self.course_deg);
            }
            let (sin, cos) = self.course_deg.to_radians().sin_cos();
            self.place = self.place.moved(cos * metres, sin * metres);
        }
    }

    /// What its tracker measures now. The error wanders (a receiver's does) instead of jumping.
    pub fn measure(&mut self, at_ms: i64) -> Said {
        let step = self.noise_m * 0.4;
        self.wander.0 = self.wander.0 * 0.9 + gauss(&mut self.rng) * step;
        self.wander.1 = self.wander.1 * 0.9 + gauss(&mut self.rng) * step;
        let seen = self.place.moved(self.wander.0, self.wander.1);
        self.battery = (self.battery - 0.001).max(5.0);
        Said {
            at_ms,
            lat: seen.lat,
            lon: seen.lon,
            speed_kmh: self.speed_kmh,
            course_deg: self.course_deg,
            satellites: self.rng.random_range(8..=14),
            accuracy_m: self.noise_m.max(2.0),
            battery_percent: self.battery as u8,
            external_power: self.external_power,
            ignition: self.doing == Doing::Ridden,
            moving: Some(self.speed_kmh > 0.0),
            vibration: std::mem::take(&mut self.just_shaken),
            source: Source::Gnss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_lives_the_same_life() {
        let life = |seed| {
            let mut vehicle = Vehicle::new(seed, 3, 5.0);
            (0..50)
                .map(|i| {
                    vehicle.live(10.0);
                    vehicle.measure(i)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(life(1), life(1));
        assert_ne!(life(1), life(2));
    }

    #[test]
    fn a_stolen_vehicle_is_soon_far_away() {
        let mut vehicle = Vehicle::new(1, 1, 5.0);
        vehicle.park();
        let before = vehicle.place;
        vehicle.live(100.0);
        assert_eq!(vehicle.place, before);
        vehicle.steal();
        (0..10).for_each(|_| vehicle.live(5.0));
        assert!(before.distance_m(vehicle.place) > 300.0);
        assert!(vehicle.measure(0).vibration);
    }
}
