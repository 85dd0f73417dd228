//! Zones and their shapes.

use crate::api::types::{Crs, Id, Position, Time, VehicleKind, WeekSchedule, ZoneRule};
use crate::domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of zones.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// In the order of their numbers.
    pub zones: Vec<Zone>,
    /// The cursor of the next page.
    pub next_cursor: Option<Id>,
}

/// A zone and its rule.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its number.
    pub id: Id,
    /// For people.
    pub name: String,
    /// What about it raises an alert.
    pub rule: ZoneRule,
    /// Its area.
    pub shape: ZoneShape,
    /// What the positions of its shape are: always `wgs84`.
    pub crs: Crs,
    /// What they were when it was drawn.
    pub source_crs: Crs,
    /// The vehicle it is for; none: the city.
    pub vehicle_id: Option<Id>,
    /// The stay that a dwell rule asks for, s; 0 for other rules.
    #[schema(minimum = 0, maximum = 604_800)]
    pub dwell_s: i32,
    /// When the rule counts; none: always.
    pub schedule: Option<WeekSchedule>,
    /// The kind of vehicle it is for; none: every kind.
    pub vehicle_kind: Option<VehicleKind>,
    /// When it was made.
    pub created_at: Time,
    /// Whether the asker made it, and so may change and delete it.
    pub editable: bool,
}

/// An area.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ZoneShape {
    /// Everything within a distance of a point.
    Circle {
        /// Its centre.
        centre: Position,
        /// Its radius, metres.
        #[schema(minimum = 20, maximum = 200_000)]
        radius_m: f64,
    },
    /// A ring of corners with holes.
    Polygon {
        /// The outer ring.
        outer: Vec<Position>,
        /// Rings cut out of it.
        #[serde(default)]
        holes: Vec<Vec<Position>>,
    },
    /// Everything within half the width of a line.
    Corridor {
        /// The line's points in order.
        line: Vec<Position>,
        /// Its width, metres, both sides together.
        #[schema(minimum = 40, maximum = 10_000)]
        width_m: f64,
    },
}

impl From<ZoneShape> for domain::ZoneShape {
    fn from(shape: ZoneShape) -> Self {
        let at = |p: Position| domain::LatLon::new(p.lat, p.lon);
        let ring = |ring: Vec<Position>| ring.into_iter().map(at).collect();
        match shape {
            ZoneShape::Circle { centre, radius_m } => Self::Circle { centre: at(centre), radius_m },
            ZoneShape::Polygon { outer, holes } => {
                Self::Polygon { outer: ring(outer), holes: holes.into_iter().map(ring).collect() }
            }
            ZoneShape::Corridor { line, width_m } => Self::Corridor { line: ring(line), width_m },
        }
    }
}
