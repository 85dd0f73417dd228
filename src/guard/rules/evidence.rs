//! The evidence of one fix: what it adds to, or takes from, the belief that the vehicle is leaving.
//!
//! Every piece is bounded. A thief's fix is far for this receiver, further than the last, reached at
//! a speed that a vehicle has, with a carrier wave (Doppler speed and course) that says the same as
//! the places, while the accelerometer shakes. An error of the place has few of these together.

use crate::guard::params::ExitParams;
use crate::guard::state::plane::Point;
use crate::guard::state::sample::Sample;

/// What the evidence of one fix is reckoned from.
pub struct FixFacts<'a> {
    /// The fix.
    pub sample: &'a Sample,
    /// The satellite fix before it.
    pub before: Option<&'a Sample>,
    /// The guard point.
    pub home: Point,
    /// Distance from the guard point in standard errors.
    pub z: f32,
    /// Further out than the fix before by this, metres.
    pub progress_m: f32,
    /// Reported to be at rest, and not only between two shakes.
    pub is_at_rest: bool,
    /// Shaken up to now, without a pause.
    pub is_shaken_on: bool,
    /// Packets of shaking in a row, and for how long, seconds.
    pub shaking: u32,
    /// See `shaking`.
    pub shaking_s: f32,
    /// Fixes at the guard point since the shaking began: so long shaken and still here.
    pub shaken_at_home: u32,
    /// Doppler speed that this tracker seldom reports at rest, km/h; `None` if it reports no speed.
    pub speed_floor_kmh: Option<f32>,
    /// How often this tracker reports at rest, seconds.
    pub report_interval_s: f32,
}

/// What the course says of the displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Unknown,
    Agrees,
    Unclear,
    Contradicts,
}

impl FixFacts<'_> {
    /// Still near, but shaken and on its way: the course says so, or the speed of a step outward.
    pub fn is_setting_off(&self, p: &ExitParams) -> bool {
        let is_shaken = self.shaking >= 2 && self.sample.moving == Some(true);
        is_shaken
            && match self.course(p) {
                Course::Agrees => true,
                Course::Contradicts => false,
                Course::Unknown | Course::Unclear => self.has_speed() && self.progress_m > 3.0,
            }
    }

    /// Shaken all along, then far off and fast, by a way that fits the speed: one such fix is enough,
    /// as the first after the receiver found satellites again often is.
    pub fn is_ridden(&self, p: &ExitParams) -> bool {
        let (Some(speed), Some(floor)) = (self.sample.speed_kmh(), self.speed_floor_kmh) else { return false };
        let fits = self.moved_kmh().is_none_or(|moved| moved <= p.ridden_fit * speed + 10.0);
        self.shaking >= u32::from(p.ridden_shaking)
            && self.is_shaken_on
            && self.sample.moving == Some(true)
            && speed >= p.ridden_kmh.max(2.0 * floor)
            && !self.sample.is_guess
            && self.course(p) != Course::Contradicts
            && fits
    }

    /// Speed of the step from the fix before, km/h; it cannot have moved before it was shaken.
    fn moved_kmh(&self) -> Option<f32> {
        let before = self.before?;
        let is_shaken = self.shaking > 0 && self.sample.moving == Some(true);
        let moving_s = if is_shaken { self.step_s().min(self.shaking_s + 5.0) } else { self.step_s() };
        Some(self.sample.place.distance_m(before.place) / moving_s * 3.6)
    }

    /// Time since the fix before, seconds; at least one.
    fn step_s(&self) -> f32 {
        self.before.map_or(f32::INFINITY, |b| (self.sample.at.seconds_since(b.at) as f32).max(1.0))
    }

    fn has_speed(&self) -> bool {
        matches!((self.sample.speed_kmh(), self.speed_floor_kmh), (Some(v), Some(floor)) if v >= floor)
    }

    /// A course at rest is noise, so it counts with speed only, or where no speed is ever reported.
    pub fn course(&self, p: &ExitParams) -> Course {
        let is_rolling = match (self.sample.speed_kmh(), self.speed_floor_kmh) {
            (Some(speed), Some(floor)) => speed >= p.course_floor_share * floor,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let Some(course_deg) = self.sample.course_deg().filter(|_| is_rolling) else { return Course::Unknown };
        // A step of seconds has the direction of the course; over minutes only the way from home has.
        let recent = self.before.filter(|b| self.sample.at.seconds_since(b.at) <= f64::from(p.course_step_s));
        let from = recent.map_or(self.home, |b| b.place);
        if from.distance_m(self.sample.place) < p.course_step_m {
            return Course::Unknown;
        }
        let off_deg = turn_deg(from.bearing_deg(self.sample.place), course_deg);
        match off_deg {
            o if o <= p.course_agrees_deg => Course::Agrees,
            o if o >= p.course_contradicts_deg => Course::Contradicts,
            _ => Course::Unclear,
        }
    }

    /// Nats, bounded: distance, velocity, accelerometer.
    pub fn weigh(&self, p: &ExitParams) -> f32 {
        let mut w = (p.per_z * (self.z - p.inside_z) + 0.2).min(p.distance_max);
        let moved_kmh = self.moved_kmh();
        let step_m = self.before.map_or(0.0, |b| self.sample.place.distance_m(b.place));
        let is_jump = moved_kmh.is_some_and(|v| v > p.jump_speed_mps * 3.6);
        let is_creep = moved_kmh.is_some_and(|v| v < p.creep_kmh);
        if is_jump || self.sample.is_guess {
            w = w.min(p.jump);
        } else if !is_creep && step_m > 6.0 && self.progress_m > 3.0 {
            w += p.progress;
            if self.is_far_again(p) {
                w += p.far_again;
            }
        }
        if self.sample.moving == Some(true) {
            let patience = (1.0 - self.shaken_at_home as f32 / p.shaken_at_home).max(0.0);
            w += p.shaking * self.shaking.min(4) as f32 * patience;
        }
        if self.progress_m < -3.0 && self.z < 12.0 {
            // On its way home: an error that fades.
            w = w.min(p.jump);
        }
        if is_creep {
            // Error that creeps or stays is no news: a thief is faster than this.
            w *= p.creep_share;
        }
        w = self.add_velocity(p, w, is_jump);
        if self.is_at_rest {
            w = w.min(0.0) - if self.z < 12.0 { p.at_rest_cost } else { p.at_rest_cost / 3.0 };
        }
        w.min(p.fix_max)
    }

    /// Far off, as the fix before was: errors that large seldom come twice and go on outward.
    fn is_far_again(&self, p: &ExitParams) -> bool {
        let is_far = |s: &Sample| s.place.distance_m(self.home) > p.far_again_m;
        self.before.is_some_and(|b| is_far(b) && !b.is_guess) && is_far(self.sample)
    }

    /// What course and Doppler speed make of the evidence of the place.
    fn add_velocity(&self, p: &ExitParams, mut w: f32, is_jump: bool) -> f32 {
        let course = self.course(p);
        match course {
            Course::Agrees if !is_jump => w += p.course_agrees,
            Course::Contradicts => w = w.min(p.contradicted_max) - p.course_cost,
            _ => {}
        }
        let (Some(speed), Some(floor)) = (self.sample.speed_kmh(), self.speed_floor_kmh) else { return w };
        let (moved, step_s) = (self.moved_kmh().unwrap_or(0.0), self.step_s());
        if speed >= floor && course != Course::Contradicts {
            // A tracker without accelerometer that sees speed reports more often; one that keeps
            // its report interval did not believe the speed itself.
            let is_unhurried = self.sample.moving.is_none() && step_s > 0.5 * self.report_interval_s;
            let share = if is_unhurried { p.unhurried_share } else { 1.0 };
            w += share * if speed >= 2.0 * floor { p.speed_high } else { p.speed_moderate };
            if !is_jump && (moved - speed).abs() < (0.5 * moved).max(4.0) {
                w += share * p.speed_agrees;
            }
        } else if speed < 0.5 * floor {
            // The place moves but the carrier wave does not: an error of the place. Over a long step
            // the speed of its last second says less.
            let share = (p.contradiction_s / step_s).min(1.0);
            let cost = if moved > p.contradiction_kmh { p.contradiction_cost } else { p.speed_none_cost };
            w = w.min(p.contradicted_max + (1.0 - share) * p.far_again) - share * cost;
        }
        w
    }
}

/// The smaller angle between two directions, degrees.
fn turn_deg(a: f32, b: f32) -> f32 {
    let off = (a - b).rem_euclid(360.0);
    off.min(360.0 - off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_compared_across_north() {
        assert_eq!(turn_deg(350.0, 10.0), 20.0);
        assert_eq!(turn_deg(10.0, 350.0), 20.0);
        assert_eq!(turn_deg(0.0, 180.0), 180.0);
    }
}
