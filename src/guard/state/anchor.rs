//! The guard point: where a vehicle is parked, and how far its own fixes stray from there.
//!
//! A robust mean (each fix pulls only so far) with a memory of some hours, and a running 90 %
//! quantile of the distance. Fixes close in time share their error, so they count as one.

use crate::guard::params::AnchorParams;
use crate::guard::state::plane::Point;
use serde::{Deserialize, Serialize};

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
