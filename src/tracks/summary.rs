//! A track as people look at it: a line of not too many points, stops, trips, silences.

use crate::domain::Timestamp;
use crate::tracks::{GridPoint, SegmentBody};
use geo::{LineString, SimplifyIdx};

/// Silence that is shown as a gap, seconds: twice the slowest heartbeat.
const GAP_S_MIN: f64 = 600.0;
/// Dwells so near each other, without a ride between them, are one stop.
const SAME_STOP_M: f64 = 60.0;
/// A stop lasts at least this long, seconds.
const STOP_S_MIN: f64 = 300.0;
/// First tolerance tried for a point budget, metres, and by how much each next one is wider.
const TOLERANCE: (f64, f64) = (2.0, 1.7);
/// Nothing in a city is simplified beyond this, metres.
const TOLERANCE_M_MAX: f64 = 5000.0;

/// A point of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub spot: GridPoint,
    /// Tenths of km/h, if it was said.
    pub speed_tenths: Option<u16>,
}

/// A stay in one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// Its first fix.
    pub from: Timestamp,
    /// Its last.
    pub until: Timestamp,
    /// Where.
    pub spot: GridPoint,
}

/// A ride between stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trip {
    /// Its first fix.
    pub from: Timestamp,
    /// Its last.
    pub until: Timestamp,
    /// From where.
    pub start: GridPoint,
    /// To where.
    pub end: GridPoint,
    /// Along its fixes.
    pub metres: f64,
    /// Fastest fix, km/h.
    pub fastest_kmh: f64,
}

/// A silence: from the fix before it to the fix after.
pub type Gap = (Timestamp, Timestamp);

/// How a line is thinned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Simplify {
    /// Every fix.
    Not,
    /// No left-out point is farther off the line than so many metres.
    Within(f64),
    /// So many points at most.
    Points(usize),
}

/// Every fix in time order; those within a dwell's radius stand at its centre.
pub fn points(bodies: &[SegmentBody]) -> Vec<Point> {
    let mut points = Vec::new();
    for body in bodies {
        match body {
            SegmentBody::Ride(fixes) => {
                points.extend(fixes.iter().map(|f| Point { at: f.at, spot: f.spot, speed_tenths: f.speed_tenths }));
            }
            SegmentBody::Dwell(dwell) => {
                points.extend(dwell.times().map(|at| Point { at, spot: dwell.centre, speed_tenths: None }));
                points.extend(dwell.outliers.iter().map(|f| Point {
                    at: f.at,
                    spot: f.spot,
                    speed_tenths: f.speed_tenths,
                }));
            }
        }
    }
    points.sort_by_key(|p| (p.at, p.spot));
    points
}

/// Thins a line out (Ramer, Douglas, Peucker); its ends stay.
pub fn simplify(points: Vec<Point>, how: Simplify) -> Vec<Point> {
    let Some(first) = points.first() else { return points };
    let wide = first.spot.position().lat_deg.to_radians().cos();
    let metre = crate::tracks::METRES_PER_UNIT * crate::tracks::PER_DEGREE;
    let line: LineString<f64> = points
        .iter()
        .map(|p| {
            let at = p.spot.position();
            (at.lon_deg * metre * wide, at.lat_deg * metre)
        })
        .collect();
    let kept = match how {
        Simplify::Not => return points,
        Simplify::Within(metres) => line.simplify_idx(metres),
        Simplify::Points(most) => {
            let mut tolerance = TOLERANCE.0;
            let mut kept: Vec<usize> = (0..points.len()).collect();
            while kept.len() > most && tolerance < TOLERANCE_M_MAX {
                kept = line.simplify_idx(tolerance);
                tolerance *= TOLERANCE.1;
            }
            // A line that wanders over the whole province: every so-manieth, so that the budget holds.
            let every = kept.len().div_ceil(most.max(1));
            kept.into_iter().step_by(every.max(1)).collect()
        }
    };
    kept.into_iter().map(|n| points[n]).collect()
}

/// Silences between points.
pub fn gaps(points: &[Point]) -> Vec<Gap> {
    points.windows(2).filter(|p| p[1].at.seconds_since(p[0].at) >= GAP_S_MIN).map(|p| (p[0].at, p[1].at)).collect()
}

/// Stops and the trips between them.
pub fn stops_and_trips(bodies: &[SegmentBody]) -> (Vec<Stop>, Vec<Trip>) {
    let (mut stops, mut trips): (Vec<Stop>, Vec<Trip>) = (Vec::new(), Vec::new());
    let mut ride = Vec::new();
    let mut end_trip = |ride: &mut Vec<Point>| trips.extend(trip(&std::mem::take(ride)));
    for body in bodies {
        match body {
            SegmentBody::Dwell(dwell) if dwell.stands_until().seconds_since(dwell.stands_since()) >= STOP_S_MIN => {
                let (from, until) = (dwell.stands_since(), dwell.stands_until());
                match stops.last_mut().filter(|s| ride.len() < 2 && s.spot.distance_m(dwell.centre) <= SAME_STOP_M) {
                    Some(stop) => stop.until = stop.until.max(until),
                    None => stops.push(Stop { from, until, spot: dwell.centre }),
                }
                end_trip(&mut ride);
            }
            body => ride.extend(points(std::slice::from_ref(body))),
        }
    }
    end_trip(&mut ride);
    (stops, trips)
}

/// A trip of at least two fixes.
fn trip(ride: &[Point]) -> Option<Trip> {
    let [first, .., last] = ride else { return None };
    Some(Trip {
        from: first.at,
        until: last.at,
        start: first.spot,
        end: last.spot,
        metres: ride.windows(2).map(|p| p[0].spot.distance_m(p[1].spot)).sum(),
        fastest_kmh: f64::from(ride.iter().filter_map(|p| p.speed_tenths).max().unwrap_or(0)) / 10.0,
    })
}
