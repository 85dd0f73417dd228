//! What one moment contributes to the question whether the vehicle is leaving.

use crate::domain::Timestamp;
use crate::guard::state::plane::Point;
use serde::{Deserialize, Serialize};

/// What kind of place a sample gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleKind {
    /// A satellite fix.
    Satellite,
    /// A cell or Wi-Fi position, or a satellite fix that admits to be as coarse.
    Coarse,
    /// No usable position; it still says whether the vehicle was shaken.
    Blind,
}

/// What one moment contributes to the question whether the vehicle is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Event time.
    pub at: Timestamp,
    /// Where, in the vehicle's plane.
    pub place: Point,
    /// Error to reckon with, decimetres.
    error_dm: u16,
    /// Speed over ground, tenths of km/h; `NONE_U16` = not reported.
    speed: u16,
    /// Course over ground in steps of 1.5 degrees; `NONE_U8` = not reported.
    course: u8,
    /// Which kind of place.
    pub kind: SampleKind,
    /// Too few satellites, or spread too badly, to be more than a guess.
    pub is_guess: bool,
    /// What the accelerometer says; `None` without one.
    pub moving: Option<bool>,
}

const NONE_U16: u16 = u16::MAX;
const NONE_U8: u8 = u8::MAX;
const COURSE_STEP_DEG: f32 = 1.5;

impl Sample {
    /// A sample without a place.
    pub fn blind(at: Timestamp, moving: Option<bool>) -> Self {
        Self {
            at,
            place: Point::default(),
            error_dm: 0,
            speed: NONE_U16,
            course: NONE_U8,
            kind: SampleKind::Blind,
            is_guess: false,
            moving,
        }
    }

    /// With speed, km/h, and course, degrees, as reported.
    pub fn with_velocity(mut self, speed_kmh: Option<f32>, course_deg: Option<f32>) -> Self {
        self.speed = speed_kmh.map_or(NONE_U16, |v| (10.0 * v).round() as u16);
        self.course = course_deg.map_or(NONE_U8, |c| ((c / COURSE_STEP_DEG).round() as u16 % 240) as u8);
        self
    }

    /// With a place that has this error, metres.
    pub fn at_place(mut self, place: Point, kind: SampleKind, error_m: f32) -> Self {
        (self.place, self.kind) = (place, kind);
        self.error_dm = (10.0 * error_m).round() as u16;
        self
    }

    /// Error to reckon with, metres.
    pub fn error_m(&self) -> f32 {
        f32::from(self.error_dm) / 10.0
    }

    /// Speed over ground, km/h.
    pub fn speed_kmh(&self) -> Option<f32> {
        (self.speed != NONE_U16).then(|| f32::from(self.speed) / 10.0)
    }

    /// Course over ground, degrees, of a tracker that reports one.
    pub fn course_deg(&self) -> Option<f32> {
        (self.course != NONE_U8).then(|| COURSE_STEP_DEG * f32::from(self.course))
    }
}
