//! Days of a whole city at once, as a file: what `rideguard import` reads and benches search.
//!
//! Parked most of the day (a heartbeat every 1 to 5 minutes, each tracker at its own pace), to work
//! and back, an errand now and then, along a street grid, a fix every 10 seconds. A tenth of the
//! riders delivers meals from noon to night. Receivers wander while they stand.
//!
//! The file: one line of JSON, then zstd of records of 28 bytes, little endian, in the order in which
//! the server would hear them (docs/tracks.md).

use crate::city::{Place, gauss, home, turn};
use anyhow::Context;
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::path::PathBuf;

/// Seconds between fixes of a ride.
const RIDE_EVERY_S: i64 = 10;
/// What is made at a time, seconds: everybody's fixes of it are sorted together.
const BLOCK_S: i64 = 900;
/// Seconds east of UTC: days begin at midnight in Beijing.
const BEIJING_S: i64 = 8 * 3600;
/// Level of compression: fast, and a third smaller than none.
const ZSTD_LEVEL: i32 = 1;

/// Flags of `tracks`.
#[derive(Parser)]
pub struct Args {
    /// Vehicles.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    vehicles: u32,
    /// Days.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// First midnight, seconds since 1970; by default so that the last day ended this morning (Beijing).
    #[arg(long)]
    from: Option<i64>,
    /// Only so many hours of the first day, in quarters, instead of days: what a larger city is measured by.
    #[arg(long, conflicts_with = "days", value_parser = quarters)]
    hours: Option<i64>,
    /// The hour of the day with which they begin: 7 is before the rush.
    #[arg(long, default_value = "7", requires = "hours", value_parser = quarters)]
    from_hour: i64,
    /// Makes the same city again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write.
    #[arg(long)]
    out: PathBuf,
}

/// Hours in quarters, as seconds.
fn quarters(text: &str) -> Result<i64, String> {
    let hours: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if !(0.0..=24.0).contains(&hours) || (hours * 4.0).fract() != 0.0 {
        return Err(format!("{hours} hours; it must be 0 to 24, in quarters of an hour"));
    }
    Ok((hours * 4.0) as i64 * BLOCK_S)
}

/// Writes the file.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let days_s = i64::from(args.days) * 86_400;
    let from = match args.from {
        Some(from) => from,
        None => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
            (now + BEIJING_S).div_euclid(86_400) * 86_400 - BEIJING_S - days_s
        }
    };
    let (written_from, written_to) = match args.hours {
        Some(hours_s) => (from + args.from_hour, from + args.from_hour + hours_s),
        None => (from, from + days_s),
    };
    let mut file = std::fs::File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let head = serde_json::json!({ "format": "rideguard-tracks", "version": 1, "vehicles": args.vehicles, "from_s": written_from, "to_s": written_to });
    writeln!(file, "{head}")?;
    let mut out = zstd::Encoder::new(file, ZSTD_LEVEL)?;
    let mut riders: Vec<_> = (0..args.vehicles).map(|n| Rider::new(args.seed, n, from)).collect();
    let (mut fixes, mut moving) = (0_u64, 0_u64);
    let mut block = Vec::new();
    for start in (from..written_to).step_by(BLOCK_S as usize) {
        block.clear();
        for rider in &mut riders {
            rider.live_until(start + BLOCK_S, &mut block);
        }
        if start < written_from {
            continue; // lived through, so that everybody is where they would be
        }
        block.sort_unstable_by_key(|r| (r.received_s, r.tracker));
        for record in &block {
            out.write_all(&record.bytes())?;
        }
        fixes += block.len() as u64;
        moving += block.iter().filter(|r| r.speed_tenths > 0).count() as u64;
    }
    out.finish()?.sync_all()?;
    let hours = (written_to - written_from) as f64 / 3600.0;
    println!("{fixes} fixes of {} vehicles in {hours} hours, {moving} of them moving", args.vehicles);
    Ok(())
}

/// One fix as the file has it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    tracker: u32,
    fixed_s: i64,
    received_s: i64,
    lat: f64,
    lon: f64,
    speed_tenths: u16,
    course_deg: u16,
    accuracy_m: u8,
    satellites: u8,
}

impl Record {
    fn bytes(&self) -> [u8; 28] {
        let mut out = [0; 28];
        out[0..4].copy_from_slice(&self.tracker.to_le_bytes());
        out[4..8].copy_from_slice(&(self.fixed_s as u32).to_le_bytes());
        out[8..12].copy_from_slice(&(self.received_s as u32).to_le_bytes());
        out[12..16].copy_from_slice(&((self.lat * 1e6).round() as i32).to_le_bytes());
        out[16..20].copy_from_slice(&((self.lon * 1e6).round() as i32).to_le_bytes());
        out[20..22].copy_from_slice(&self.speed_tenths.to_le_bytes());
        out[22..24].copy_from_slice(&self.course_deg.to_le_bytes());
        out[24] = self.accuracy_m;
        out[25] = self.satellites;
        out
    }
}

/// A tracker's life.
struct Rider {
    rng: ChaCha8Rng,
    tracker: u32,
    delivers: bool,
    heartbeat_s: i64,
    place: Place,
    home: Place,
    work: Place,
    course_deg: f64,
    wander: (f64, f64),
    speed_kmh: f64,
    now_s: i64,
    /// Rides of the day, by when they begin, and where they go.
    plan: Vec<(i64, Place)>,
    planned_to_s: i64,
    goal: Option<Place>,
}

impl Rider {
    fn new(seed: u64, n: u32, from_s: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(n)));
        let home_place = home(&mut rng);
        let away = rng.random_range(800.0..6000.0);
        let bearing: f64 = rng.random_range(0.0..std::f64::consts::TAU);
        let heartbeat_s = rng.random_range(60..=300);
        let offset = rng.random_range(0..heartbeat_s);
        Self {
            delivers: rng.random_bool(0.1),
            tracker: n + 1,
            heartbeat_s,
            place: home_place,
            home: home_place,
            work: home_place.moved(away * bearing.sin(), away * bearing.cos()),
            course_deg: 0.0,
            wander: (0.0, 0.0),
            speed_kmh: 0.0,
            now_s: from_s + offset,
            plan: Vec::new(),
            planned_to_s: from_s,
            goal: None,
            rng,
        }
    }

    /// The rides of the next day.
    fn plan_day(&mut self) {
        let midnight = self.planned_to_s;
        let hour = |rng: &mut ChaCha8Rng, h: f64, spread: f64| midnight + ((h + gauss(rng) * spread) * 3600.0) as i64;
        if self.rng.random_bool(0.8) {
            self.plan.push((hour(&mut self.rng, 7.6, 0.5), self.work));
            self.plan.push((hour(&mut self.rng, 17.8, 0.8), self.home));
        }
        let errands = if self.delivers { 24 } else { self.rng.random_range(0..2) };
        for n in 0..errands {
            let at = if self.delivers { 10.5 + f64::from(n) * 0.45 } else { 19.3 };
            let goal = self.home.moved(gauss(&mut self.rng) * 1500.0, gauss(&mut self.rng) * 1500.0);
            self.plan.push((hour(&mut self.rng, at, 0.15), goal));
            if !self.delivers {
                self.plan.push((hour(&mut self.rng, 20.6, 0.3), self.home));
            }
        }
        self.plan.sort_unstable_by_key(|(at, _)| *at);
        self.planned_to_s += 86_400;
    }

    fn live_until(&mut self, end_s: i64, out: &mut Vec<Record>) {
        while self.now_s < end_s {
            while self.planned_to_s <= self.now_s + 3600 {
                self.plan_day();
            }
            if self.goal.is_none() && self.plan.first().is_some_and(|(at, _)| *at <= self.now_s) {
                self.goal = Some(self.plan.remove(0).1);
            }
            let wait_s = match self.goal {
                Some(goal) => {
                    self.ride(goal);
                    RIDE_EVERY_S
                }
                None => {
                    self.speed_kmh = 0.0;
                    let next_ride = self.plan.first().map_or(i64::MAX, |(at, _)| (at - self.now_s).max(1));
                    (self.heartbeat_s + self.rng.random_range(-2..=2)).min(next_ride)
                }
            };
            out.push(self.measure());
            self.now_s += wait_s;
        }
    }

    /// Ten seconds along the grid, to where the goal is.
    fn ride(&mut self, goal: Place) {
        let left_m = self.place.distance_m(goal);
        if left_m < 80.0 {
            (self.place, self.goal, self.speed_kmh) = (goal, None, 0.0);
            return;
        }
        self.speed_kmh =
            if self.rng.random_bool(0.1) { 0.0 } else { (22.0 + gauss(&mut self.rng) * 4.0).clamp(4.0, 45.0) };
        let metres = (self.speed_kmh / 3.6 * RIDE_EVERY_S as f64).min(left_m);
        let north_m = (goal.lat - self.place.lat) * 111_195.0;
        let east_m = (goal.lon - self.place.lon) * 111_195.0 * goal.lat.to_radians().cos();
        // A street of the grid, the one that leads nearer; kept for a while so that corners are few.
        let is_turning = self.rng.random_bool(0.12);
        let wanted: f64 = if north_m.abs() > east_m.abs() {
            if north_m > 0.0 { 0.0 } else { 180.0 }
        } else if east_m > 0.0 {
            90.0
        } else {
            270.0
        };
        let leads_away = (self.course_deg - wanted).to_radians().cos() < -0.5;
        self.course_deg =
            if is_turning || leads_away || left_m < 400.0 { wanted } else { turn(&mut self.rng, self.course_deg) };
        if left_m < 200.0 {
            self.course_deg = east_m.atan2(north_m).to_degrees().rem_euclid(360.0);
        }
        let (sin, cos) = self.course_deg.to_radians().sin_cos();
        self.place = self.place.moved(cos * metres, sin * metres);
    }

    fn measure(&mut self) -> Record {
        self.wander.0 = self.wander.0 * 0.9 + gauss(&mut self.rng) * 1.6;
        self.wander.1 = self.wander.1 * 0.9 + gauss(&mut self.rng) * 1.6;
        let seen = self.place.moved(self.wander.0, self.wander.1);
        Record {
            tracker: self.tracker,
            fixed_s: self.now_s,
            received_s: self.now_s + i64::from(self.rng.random_bool(0.2)),
            lat: seen.lat,
            lon: seen.lon,
            speed_tenths: (self.speed_kmh * 10.0) as u16,
            course_deg: self.course_deg as u16,
            accuracy_m: self.rng.random_range(3..=6),
            satellites: self.rng.random_range(9..=12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(seed: u64) -> Vec<Record> {
        let mut out = Vec::new();
        Rider::new(seed, 3, 1_800_000_000).live_until(1_800_086_400, &mut out);
        out
    }

    #[test]
    fn the_same_seed_makes_the_same_day_in_time_order() {
        let fixes = day(5);
        assert_eq!(fixes, day(5));
        assert!(fixes.is_sorted_by_key(|f| f.fixed_s));
    }

    #[test]
    fn vehicles_stand_most_of_the_day_and_ride_some_of_it() {
        let moving_s = (0..40).flat_map(day).filter(|f| f.speed_tenths > 0).count() as f64 * RIDE_EVERY_S as f64 / 40.0;
        assert!((600.0..3.0 * 3600.0).contains(&moving_s), "{moving_s} s of riding a day");
    }

    #[test]
    fn hours_are_given_in_quarters() {
        assert_eq!((quarters("1.5"), quarters("24")), (Ok(5400), Ok(86_400)));
        assert!(
            quarters("1.1").is_err() && quarters("25").is_err() && quarters("-1").is_err() && quarters("x").is_err()
        );
    }

    #[test]
    fn no_step_is_faster_than_an_e_bike() {
        for pair in (0..20).flat_map(day).collect::<Vec<_>>().windows(2).filter(|p| p[1].fixed_s > p[0].fixed_s) {
            let place = |r: &Record| Place { lat: r.lat, lon: r.lon };
            let metres = place(&pair[0]).distance_m(place(&pair[1]));
            let seconds = (pair[1].fixed_s - pair[0].fixed_s) as f64;
            assert!(metres < 100.0 + 14.0 * seconds, "{metres} m in {seconds} s");
        }
    }
}
