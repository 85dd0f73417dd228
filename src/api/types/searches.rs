//! Tracks, and what the police search for.

use crate::api::types::{Id, Position, Time, Vehicle};
use crate::tracks::summary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The track of a vehicle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Track {
    /// Its vehicle.
    pub vehicle_id: Id,
    /// Oldest first, at most 50,000.
    pub points: Vec<TrackPoint>,
    /// Whether there are more points.
    pub truncated: bool,
    /// Where it stood.
    pub stops: Vec<Stop>,
    /// Where nothing is known.
    pub gaps: Vec<TrackGap>,
    /// When positioning was off by the owner's choice.
    pub off: Vec<TrackGap>,
}

/// Time (ms since 1970), longitude and latitude (degrees), speed (km/h) or null.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TrackPoint(pub i64, pub f64, pub f64, pub Option<f64>);

/// A while without fixes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackGap {
    /// The last fix before it.
    pub from: Time,
    /// The first fix after it.
    pub to: Time,
}

/// A stay at one place.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Where.
    pub place: Position,
}

impl From<&summary::Stop> for Stop {
    fn from(stop: &summary::Stop) -> Self {
        Self { from: stop.from.into(), to: stop.until.into(), place: stop.spot.into() }
    }
}

/// What a vehicle did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trips {
    /// Its vehicle.
    pub vehicle_id: Id,
    /// Where it stood.
    pub stops: Vec<Stop>,
    /// How it moved between.
    pub trips: Vec<Trip>,
}

/// A ride from one place to another.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trip {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Where it began.
    pub start: Position,
    /// Where it ended.
    pub end: Position,
    /// Its length, m.
    #[schema(minimum = 0)]
    pub distance_m: f64,
    /// Its fastest fix, km/h.
    #[schema(minimum = 0)]
    pub max_speed_kmh: f64,
}

impl From<&summary::Trip> for Trip {
    fn from(trip: &summary::Trip) -> Self {
        Self {
            from: trip.from.into(),
            to: trip.until.into(),
            start: trip.start.into(),
            end: trip.end.into(),
            distance_m: trip.metres.round(),
            max_speed_kmh: trip.fastest_kmh,
        }
    }
}

/// A page of vehicles that were in an area.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AreaSearchResult {
    /// In the order in which they were first inside.
    pub vehicles: Vec<AreaPresence>,
    /// Whether there are more.
    pub truncated: bool,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
}

/// A vehicle in an area.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AreaPresence {
    /// The vehicle.
    pub vehicle_id: Id,
    /// Its plate.
    pub plate: String,
    /// Its tracker.
    pub tracker: Option<String>,
    /// First inside.
    pub first_at: Time,
    /// Last inside.
    pub last_at: Time,
    /// Fixes inside.
    pub fixes: u32,
    /// Whether it came in within the window.
    pub entered: bool,
    /// Whether it went out within the window.
    pub left: bool,
    /// Longest time between fixes inside without one outside, s.
    pub stayed_s: f64,
}

/// Vehicles that travelled with one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CoTravelResult {
    /// Longest first.
    pub companions: Vec<Companion>,
    /// Minutes in which the vehicle itself was on the way.
    pub ride_minutes: usize,
    /// Whether there are more.
    pub truncated: bool,
}

/// A vehicle that travelled with another.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Companion {
    /// The vehicle.
    pub vehicle_id: Id,
    /// Its plate.
    pub plate: String,
    /// Its tracker.
    pub tracker: Option<String>,
    /// Minutes together.
    pub minutes: usize,
    /// First together.
    pub first_at: Time,
    /// Last together.
    pub last_at: Time,
}

/// Where vehicles were last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LatestPositions {
    /// Those of a watch list.
    Watched {
        /// The vehicles.
        vehicles: Vec<Vehicle>,
        /// Always false.
        truncated: bool,
    },
    /// Those in a box.
    InBox {
        /// The vehicles, at most 500.
        vehicles: Vec<LatestPosition>,
        /// Whether there are more.
        truncated: bool,
    },
}

/// Where a vehicle was last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LatestPosition {
    /// The vehicle.
    pub vehicle_id: Id,
    /// Its plate.
    pub plate: String,
    /// When.
    pub fixed_at: Option<Time>,
    /// Longitude, degrees.
    pub lon: f64,
    /// Latitude, degrees.
    pub lat: f64,
    /// Speed, km/h.
    pub speed_kmh: Option<f32>,
}
