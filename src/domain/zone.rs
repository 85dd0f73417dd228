//! Zones 电子围栏: geofences with their owner and rule.

use super::{LatLon, VehicleId, distance_m};
use geo::{Contains, LineString, Point, Polygon};
use serde::{Deserialize, Serialize};

/// The row number of a zone in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneId(pub i64);

/// Most corners a zone may have; beyond that the exact test would slow every fix.
pub const ZONE_CORNERS_MAX: usize = 200;
/// Largest radius of a circle, metres: a city fits.
pub const ZONE_RADIUS_M_MAX: f64 = 200_000.0;

/// The area of a zone, WGS-84.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ZoneShape {
    /// Everything within a distance of a point.
    Circle {
        /// Its centre.
        centre: LatLon,
        /// Its radius, metres.
        radius_m: f64,
    },
    /// A ring of corners with holes; first and last corner need not be equal.
    Polygon {
        /// The outer ring.
        outer: Vec<LatLon>,
        /// Rings cut out of it.
        #[serde(default)]
        holes: Vec<Vec<LatLon>>,
    },
}

/// Why a shape is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ZoneError {
    /// Too few or too many corners.
    #[error("a zone's ring has 3 to {ZONE_CORNERS_MAX} corners, this one has {0}")]
    Corners(usize),
    /// A corner outside the world.
    #[error("corner {lat_deg}, {lon_deg} is outside -90..=90, -180..=180")]
    OutOfRange {
        /// Its latitude.
        lat_deg: f64,
        /// Its longitude.
        lon_deg: f64,
    },
    /// A radius that is not above zero or too large.
    #[error("a circle's radius is above 0 and at most {ZONE_RADIUS_M_MAX} m, this one is {0}")]
    Radius(f64),
}

impl ZoneShape {
    /// Checks ranges and bounds.
    ///
    /// # Errors
    /// Names the first value outside its limit.
    pub fn check(&self) -> Result<(), ZoneError> {
        let in_range = |p: &LatLon| {
            if p.is_in_range() { Ok(()) } else { Err(ZoneError::OutOfRange { lat_deg: p.lat_deg, lon_deg: p.lon_deg }) }
        };
        match self {
            Self::Circle { centre, radius_m } => {
                in_range(centre)?;
                if *radius_m > 0.0 && *radius_m <= ZONE_RADIUS_M_MAX {
                    Ok(())
                } else {
                    Err(ZoneError::Radius(*radius_m))
                }
            }
            Self::Polygon { outer, holes } => {
                let corners = outer.len() + holes.iter().map(Vec::len).sum::<usize>();
                if outer.len() < 3 || corners > ZONE_CORNERS_MAX || holes.iter().any(|h| h.len() < 3) {
                    return Err(ZoneError::Corners(corners));
                }
                outer.iter().chain(holes.iter().flatten()).try_for_each(in_range)
            }
        }
    }

    /// Whether a position lies inside.
    pub fn contains(&self, at: LatLon) -> bool {
        match self {
            Self::Circle { centre, radius_m } => distance_m(*centre, at) <= *radius_m,
            Self::Polygon { .. } => self.polygon().is_some_and(|p| p.contains(&Point::new(at.lon_deg, at.lat_deg))),
        }
    }

    /// The box around the shape: south-west and north-east corner.
    pub fn bounds(&self) -> (LatLon, LatLon) {
        match self {
            Self::Circle { centre, radius_m } => {
                let lat = radius_m / 111_000.0;
                let lon = lat / centre.lat_deg.to_radians().cos().max(0.01);
                (
                    LatLon::new(centre.lat_deg - lat, centre.lon_deg - lon),
                    LatLon::new(centre.lat_deg + lat, centre.lon_deg + lon),
                )
            }
            Self::Polygon { outer, .. } => {
                outer.iter().fold((LatLon::new(90.0, 180.0), LatLon::new(-90.0, -180.0)), |(sw, ne), p| {
                    (
                        LatLon::new(sw.lat_deg.min(p.lat_deg), sw.lon_deg.min(p.lon_deg)),
                        LatLon::new(ne.lat_deg.max(p.lat_deg), ne.lon_deg.max(p.lon_deg)),
                    )
                })
            }
        }
    }

    fn polygon(&self) -> Option<Polygon<f64>> {
        let ring = |r: &Vec<LatLon>| LineString::from(r.iter().map(|p| (p.lon_deg, p.lat_deg)).collect::<Vec<_>>());
        match self {
            Self::Polygon { outer, holes } => Some(Polygon::new(ring(outer), holes.iter().map(ring).collect())),
            Self::Circle { .. } => None,
        }
    }
}

/// What about a zone is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneRule {
    /// Coming in.
    Enter,
    /// Going out.
    Exit,
    /// Both.
    Both,
}

/// A zone as the guard knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its row.
    pub id: ZoneId,
    /// Its name, for people.
    pub name: String,
    /// Its area.
    pub shape: ZoneShape,
    /// What about it is told.
    pub rule: ZoneRule,
    /// The one vehicle it is for; `None`: every vehicle (a city-wide zone).
    pub vehicle: Option<VehicleId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square_with_hole() -> ZoneShape {
        let ring =
            |lo: f64, hi: f64| vec![LatLon::new(lo, lo), LatLon::new(lo, hi), LatLon::new(hi, hi), LatLon::new(hi, lo)];
        ZoneShape::Polygon { outer: ring(0.0, 10.0), holes: vec![ring(4.0, 6.0)] }
    }

    #[test]
    fn a_hole_is_outside() {
        assert!(square_with_hole().contains(LatLon::new(2.0, 2.0)));
        assert!(!square_with_hole().contains(LatLon::new(5.0, 5.0)));
        assert!(!square_with_hole().contains(LatLon::new(11.0, 5.0)));
    }

    #[test]
    fn two_corners_make_no_zone() {
        let line = ZoneShape::Polygon { outer: vec![LatLon::new(0.0, 0.0), LatLon::new(1.0, 1.0)], holes: vec![] };
        assert_eq!(line.check(), Err(ZoneError::Corners(2)));
        assert_eq!(square_with_hole().check(), Ok(()));
    }

    #[test]
    fn a_radius_has_bounds() {
        let circle = |radius_m| ZoneShape::Circle { centre: LatLon::new(28.55, 112.35), radius_m };
        assert!(circle(f64::NAN).check().is_err());
        assert!(circle(0.0).check().is_err());
        assert!(circle(300.0).check().is_ok());
    }
}
