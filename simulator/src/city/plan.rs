//! What happens to a city: when each vehicle is ridden, parked, guarded, stolen; which cells go silent.
//!
//! Everything follows from the seed, vehicle by vehicle, so any part of a city can be made alone.

use super::{Place, gauss, home};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Side of a mobile cell, metres; all trackers in it are silent together.
const CELL_M: f64 = 1500.0;
/// Seconds of a day, and of Beijing ahead of UTC.
const DAY_S: f64 = 86_400.0;
const BEIJING_S: f64 = 8.0 * 3600.0;
/// A theft comes at least so long after arming, seconds: the guard has seen the vehicle stand.
const THEFT_AFTER_ARMING_S: f64 = 3600.0;
/// A stolen vehicle is watched for so long, seconds; a silent one longer (score.py waits two hours).
const WATCHED_S: f64 = 3600.0;
const WATCHED_SILENT_S: f64 = 3.0 * 3600.0;

/// Which city is played.
#[derive(Clone, Copy, Debug)]
pub struct City {
    /// The same seed plays the same city.
    pub seed: u64,
    /// Vehicles in it.
    pub vehicles: u32,
    /// How many are stolen.
    pub thefts: u32,
    /// Cells that go silent.
    pub outages: u32,
    /// First second, and how many are played.
    pub from_s: f64,
    pub played_s: f64,
}

/// How a vehicle is stolen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theft {
    /// Ridden off.
    Ride,
    /// Pushed off at walking pace.
    WalkPush,
    /// Carried off in a van, without sky.
    Van,
    /// Its power is cut; it stays.
    PowerCut,
    /// Its tracker falls silent for good.
    Silent,
}

impl Theft {
    /// As the truth names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ride => "ride",
            Self::WalkPush => "walk_push",
            Self::Van => "van_lbs",
            Self::PowerCut => "power_cut",
            Self::Silent => "silent",
        }
    }

    /// Speed at which it leaves, m/s.
    fn speed_mps(self) -> f64 {
        match self {
            Self::Ride => 6.0,
            Self::WalkPush => 1.3,
            Self::Van => 9.0,
            Self::PowerCut | Self::Silent => 0.0,
        }
    }
}

/// Who moves a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nobody: it stands.
    Parked,
    /// Its owner.
    Ridden,
    /// A thief.
    Stolen(Theft),
}

/// A stretch of a vehicle's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg {
    /// What.
    pub doing: Doing,
    /// From when to when, seconds since 1970.
    pub from_s: f64,
    pub to_s: f64,
    /// Where it begins and ends.
    pub from: Place,
    pub to: Place,
    /// A stretch of it without sky: from when to when.
    pub tunnel_s: Option<(f64, f64)>,
}

/// A vehicle's life as planned.
#[derive(Clone, Debug)]
pub struct Life {
    /// In order, without gaps.
    pub legs: Vec<Leg>,
    /// Guarded from when to when.
    pub armed: Vec<(f64, f64)>,
    /// The theft, and when it begins.
    pub theft: Option<(Theft, f64)>,
}

/// A cell without network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    cell: (i64, i64),
    /// From when to when.
    pub from_s: f64,
    pub to_s: f64,
}

impl City {
    /// A stream of randomness for one purpose of one vehicle.
    pub fn rng(&self, vehicle: u32, purpose: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(vehicle));
        rng.set_stream(purpose);
        rng
    }

    /// Vehicles that are stolen are spread over the numbers.
    fn is_stolen(&self, vehicle: u32) -> bool {
        let (n, thefts, all) = (u64::from(vehicle), u64::from(self.thefts), u64::from(self.vehicles));
        (n + 1) * thefts / all > n * thefts / all
    }

    /// The cells that go silent: each is somebody's home, so that somebody is in it.
    pub fn outages(&self) -> Vec<Outage> {
        let mut rng = self.rng(u32::MAX, 9);
        (0..self.outages)
            .map(|_| {
                let somebody = rng.random_range(0..self.vehicles);
                let place = home(&mut self.rng(somebody, 0));
                let from_s = self.from_s + rng.random_range(0.3..0.6) * self.played_s;
                Outage { cell: cell_of(place), from_s, to_s: from_s + rng.random_range(1.2..2.5) * 3600.0 }
            })
            .collect()
    }

    /// A vehicle's life.
    pub fn life(&self, vehicle: u32) -> Life {
        let mut rng = self.rng(vehicle, 0);
        let home = home(&mut rng);
        let work = home.moved(gauss(&mut rng) * 2500.0, gauss(&mut rng) * 2500.0);
        let mut life = Life { legs: Vec::new(), armed: Vec::new(), theft: None };
        let end_s = self.from_s + self.played_s;
        let midnight_s = ((self.from_s + BEIJING_S) / DAY_S).floor() * DAY_S - BEIJING_S;
        let (mut at_s, mut place) = (self.from_s, home);
        let mut day_s = midnight_s;
        while at_s < end_s {
            for (hour, to) in trips(&mut rng, home, work) {
                let leave_s = day_s + hour * 3600.0;
                if leave_s > at_s && leave_s < end_s {
                    life.park(place, at_s, leave_s);
                    let ride_s = place.street_m(to) / rng.random_range(4.5..7.5) + 60.0;
                    let tunnel_s = rng.random_bool(0.1).then(|| {
                        let from_s = leave_s + rng.random_range(0.2..0.5) * ride_s;
                        (from_s, from_s + rng.random_range(60.0..180.0))
                    });
                    let to_s = leave_s + ride_s;
                    life.legs.push(Leg { doing: Doing::Ridden, from_s: leave_s, to_s, from: place, to, tunnel_s });
                    (at_s, place) = (to_s, to);
                }
            }
            day_s += DAY_S;
            if day_s >= end_s && at_s < end_s {
                life.park(place, at_s, end_s);
                at_s = end_s;
            }
        }
        life.guard(&mut rng);
        if self.is_stolen(vehicle) {
            life.steal(&mut self.rng(vehicle, 1));
        }
        life
    }
}

/// The day's rides: hour and goal, in order.
fn trips(rng: &mut ChaCha8Rng, home: Place, work: Place) -> Vec<(f64, Place)> {
    let mut trips = vec![(7.6 + gauss(rng) * 0.6, work), (17.8 + gauss(rng) * 0.7, home)];
    if rng.random_bool(0.4) {
        let shop = home.moved(gauss(rng) * 900.0, gauss(rng) * 900.0);
        let hour = rng.random_range(19.3..20.5);
        trips.extend([(hour, shop), (hour + rng.random_range(0.6..1.5), home)]);
    }
    trips
}

impl Life {
    fn park(&mut self, place: Place, from_s: f64, to_s: f64) {
        self.legs.push(Leg { doing: Doing::Parked, from_s, to_s, from: place, to: place, tunnel_s: None });
    }

    /// Nine of ten times its owner arms it a minute after parking, and disarms before riding.
    fn guard(&mut self, rng: &mut ChaCha8Rng) {
        for leg in self.legs.iter().filter(|l| l.doing == Doing::Parked && l.to_s - l.from_s > 600.0) {
            if rng.random_bool(0.9) {
                self.armed.push((leg.from_s + 60.0, leg.to_s - 20.0));
            }
        }
    }

    /// Somewhere in a guarded time a thief comes; what was planned after is void.
    fn steal(&mut self, rng: &mut ChaCha8Rng) {
        let long: Vec<_> =
            self.armed.iter().copied().filter(|(a, b)| b - a > THEFT_AFTER_ARMING_S + WATCHED_SILENT_S).collect();
        let Some(&(from_s, to_s)) = long.choose(rng) else { return };
        let at_s = rng.random_range(from_s + THEFT_AFTER_ARMING_S..to_s - WATCHED_SILENT_S);
        let theft = match rng.random_range(0..20) {
            0..10 => Theft::Ride,
            10..13 => Theft::WalkPush,
            13..16 => Theft::Van,
            16..18 => Theft::PowerCut,
            _ => Theft::Silent,
        };
        self.theft = Some((theft, at_s));
        let Some(n) = self.legs.iter().position(|l| l.from_s <= at_s && at_s < l.to_s) else { return };
        self.legs.truncate(n + 1);
        let parked = &mut self.legs[n];
        parked.to_s = at_s;
        let place = parked.to;
        let watched_s = if theft == Theft::Silent { WATCHED_SILENT_S } else { WATCHED_S };
        let course = rng.random_range(0.0..std::f64::consts::TAU);
        let away_m = theft.speed_mps() * 900.0;
        let to = place.moved(away_m * course.cos(), away_m * course.sin());
        let away_s = if away_m > 0.0 { place.street_m(to) / theft.speed_mps() } else { watched_s };
        let to_s = at_s + away_s.min(watched_s);
        self.legs.push(Leg { doing: Doing::Stolen(theft), from_s: at_s, to_s, from: place, to, tunnel_s: None });
        if to_s < at_s + watched_s {
            self.park(to, to_s, at_s + watched_s);
        }
        self.armed.retain(|(a, _)| *a < at_s);
        if let Some(last) = self.armed.last_mut() {
            last.1 = at_s + watched_s; // nobody disarms it
        }
    }

    /// When it is watched no longer.
    pub fn end_s(&self) -> f64 {
        self.legs.last().map_or(0.0, |l| l.to_s)
    }
}

impl Leg {
    /// Where it is, how fast (km/h) and where to (degrees) at a time, along the streets: north or south
    /// first, then east or west.
    pub fn at(&self, s: f64) -> (Place, f64, f64) {
        let way_m = self.from.street_m(self.to);
        if way_m < 1.0 {
            return (self.from, 0.0, 0.0);
        }
        let speed_mps = way_m / (self.to_s - self.from_s);
        let done_m = ((s - self.from_s) * speed_mps).clamp(0.0, way_m);
        let corner = Place { lat: self.to.lat, lon: self.from.lon };
        let first_m = self.from.distance_m(corner);
        let (a, b, share) = if done_m < first_m {
            (self.from, corner, done_m / first_m)
        } else {
            (corner, self.to, (done_m - first_m) / (way_m - first_m).max(1e-9))
        };
        let place = Place { lat: a.lat + share * (b.lat - a.lat), lon: a.lon + share * (b.lon - a.lon) };
        let course_deg = (b.lon - a.lon).atan2(b.lat - a.lat).to_degrees().rem_euclid(360.0);
        (place, speed_mps * 3.6, course_deg)
    }
}

impl Outage {
    /// Whether a tracker at a place is without network; until when.
    pub fn holds(&self, place: Place, s: f64) -> Option<f64> {
        (self.from_s..self.to_s).contains(&s).then_some(self.to_s).filter(|_| cell_of(place) == self.cell)
    }
}

fn cell_of(place: Place) -> (i64, i64) {
    let origin = Place { lat: 28.0, lon: 111.0 };
    let (north_m, east_m) = place.north_east_m(origin);
    ((north_m / CELL_M).floor() as i64, (east_m / CELL_M).floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city() -> City {
        City { seed: 7, vehicles: 400, thefts: 20, outages: 3, from_s: 1_780_000_000.0, played_s: 86_400.0 }
    }

    #[test]
    fn a_life_has_no_gaps_and_as_many_are_stolen_as_asked_for() {
        let mut stolen = 0;
        for vehicle in 0..400 {
            let life = city().life(vehicle);
            assert!(life.legs.windows(2).all(|w| w[0].to_s == w[1].from_s && w[0].to == w[1].from), "{vehicle}");
            assert!(life.armed.iter().all(|(a, b)| a < b && *b <= life.end_s()), "{vehicle}");
            stolen += usize::from(life.theft.is_some());
        }
        assert!((18..=20).contains(&stolen), "{stolen}"); // somebody's day may have no long guarded time
    }

    #[test]
    fn a_ride_ends_where_it_leads() {
        let life = city().life(3);
        for leg in &life.legs {
            assert!(leg.at(leg.from_s).0.distance_m(leg.from) < 1.0 && leg.at(leg.to_s).0.distance_m(leg.to) < 1.0);
        }
    }

    #[test]
    fn an_outage_has_vehicles_in_it() {
        let city = city();
        for outage in city.outages() {
            let middle_s = (outage.from_s + outage.to_s) / 2.0;
            let behind = (0..400).filter(|v| outage.holds(home(&mut city.rng(*v, 0)), middle_s).is_some()).count();
            assert!(behind >= 1);
            assert_eq!(outage.holds(home(&mut city.rng(0, 0)), outage.to_s), None);
        }
    }
}
