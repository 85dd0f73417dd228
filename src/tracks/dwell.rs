//! A parked stretch: where, the times it was heard of, and whatever lay off.

use crate::domain::{Timestamp, VehicleId};
use crate::tracks::interval_codec;
use crate::tracks::twkb::{self, Shape, Vertex};
use crate::tracks::varint::{Reader, put, put_signed};
use crate::tracks::{GridPoint, TrackFix, attributes};

/// Fixes this near the centre belong to the dwell and keep their time only. Receivers of parked
/// vehicles wander by about 10 m.
pub const DWELL_RADIUS_M: f64 = 25.0;

/// Added to the places of a second where times are written as [`interval_codec`] has them; before, they were differences of
/// differences, a number each.
const PACED: u64 = 16;

/// A vehicle is parked. Fixes within [`DWELL_RADIUS_M`] widen the box and leave their time; fixes off
/// it are kept whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Dwell {
    /// In which vehicle the tracker was.
    pub vehicle: Option<VehicleId>,
    /// The first fix: what others are measured against.
    pub centre: GridPoint,
    /// South-west corner of all fixes within the radius.
    pub low: GridPoint,
    /// North-east corner.
    pub high: GridPoint,
    /// Fixes off it, in time order.
    pub outliers: Vec<TrackFix>,
    times: Times,
}

/// Times in order, appended to without unpacking: differences of differences, about a byte each.
#[derive(Clone, Debug, PartialEq)]
struct Times {
    first: Timestamp,
    last: Timestamp,
    last_step: i64,
    /// Decimal places of a second: 0, 3 or 6.
    places: u8,
    count: usize,
    bytes: Vec<u8>,
}

impl Times {
    fn of(at: Timestamp) -> Self {
        let places = twkb::time_places(Timestamp::default(), [at].into_iter());
        Self { first: at, last: at, last_step: 0, places, count: 1, bytes: Vec::new() }
    }

    fn push(&mut self, at: Timestamp) {
        let needed = twkb::time_places(self.first, [at].into_iter());
        if needed > self.places {
            let all: Vec<_> = self.iter().chain([at]).collect();
            *self = Self::from_all(&all, needed);
            return;
        }
        let step = (at.micros() - self.last.micros()) / twkb::micros_per_step(self.places);
        put_signed(&mut self.bytes, step - self.last_step);
        (self.last, self.last_step) = (at, step);
        self.count += 1;
    }

    /// Appends what is so many units later; `None` beyond the end of time.
    fn step(&mut self, step: i64) -> Option<()> {
        let micros = step.checked_mul(twkb::micros_per_step(self.places))?;
        self.last = Timestamp::from_micros(self.last.micros().checked_add(micros)?);
        put_signed(&mut self.bytes, step.checked_sub(self.last_step)?);
        self.last_step = step;
        self.count += 1;
        Some(())
    }

    /// From each to the next, in units.
    fn steps(&self) -> Vec<i64> {
        let mut reader = Reader::new(&self.bytes);
        let mut step = 0;
        std::iter::from_fn(|| {
            step += reader.signed()?;
            Some(step)
        })
        .collect()
    }

    /// From times in order, at least one.
    fn from_all(all: &[Timestamp], places: u8) -> Self {
        let mut times = Self::of(all[0]);
        times.places = times.places.max(places);
        all[1..].iter().for_each(|t| times.push(*t));
        times
    }

    fn iter(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let mut reader = Reader::new(&self.bytes);
        let (mut at, mut step) = (self.first.micros(), 0_i64);
        let unit = twkb::micros_per_step(self.places);
        let later = std::iter::from_fn(move || {
            step = step.checked_add(reader.signed()?)?;
            at = at.checked_add(step.checked_mul(unit)?)?;
            Some(Timestamp::from_micros(at))
        });
        std::iter::once(self.first).chain(later)
    }
}

impl Dwell {
    /// Begins with a fix.
    pub fn at(vehicle: Option<VehicleId>, fix: &TrackFix) -> Self {
        let spot = fix.spot;
        Self { vehicle, centre: spot, low: spot, high: spot, outliers: Vec::new(), times: Times::of(fix.at) }
    }

    /// Whether a fix belongs to it.
    pub fn holds(&self, fix: &TrackFix) -> bool {
        fix.is_gnss() && self.centre.distance_m(fix.spot) <= DWELL_RADIUS_M
    }

    /// Takes a fix within the radius, not older than the last.
    pub fn push(&mut self, fix: &TrackFix) {
        self.widen(fix.spot);
        self.times.push(fix.at);
    }

    fn widen(&mut self, spot: GridPoint) {
        self.low = GridPoint { lon: self.low.lon.min(spot.lon), lat: self.low.lat.min(spot.lat) };
        self.high = GridPoint { lon: self.high.lon.max(spot.lon), lat: self.high.lat.max(spot.lat) };
    }

    /// Takes a late fix; says whether it was new. Within the radius one time is one fix.
    pub fn insert(&mut self, fix: &TrackFix) -> bool {
        if !self.holds(fix) {
            let place = self.outliers.partition_point(|o| o.at <= fix.at);
            let is_new = !self.outliers[..place].iter().rev().take_while(|o| o.at == fix.at).any(|o| o.is_same_as(fix));
            if is_new {
                self.outliers.insert(place, *fix);
            }
            return is_new;
        }
        let mut all: Vec<_> = self.times().collect();
        let Err(place) = all.binary_search(&fix.at) else { return false };
        all.insert(place, fix.at);
        self.times = Times::from_all(&all, self.times.places);
        self.widen(fix.spot);
        true
    }

    /// Times of the fixes within the radius, in order.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.times.iter()
    }

    /// Fixes within the radius.
    pub fn heartbeats(&self) -> usize {
        self.times.count
    }

    /// All its fixes.
    pub fn fixes(&self) -> usize {
        self.times.count + self.outliers.len()
    }

    /// First fix within the radius.
    pub fn stands_since(&self) -> Timestamp {
        self.times.first
    }

    /// Last fix within the radius.
    pub fn stands_until(&self) -> Timestamp {
        self.times.last
    }

    /// First fix of all.
    pub fn from(&self) -> Timestamp {
        self.outliers.first().map_or(self.times.first, |o| o.at.min(self.times.first))
    }

    /// Last fix of all.
    pub fn until(&self) -> Timestamp {
        self.outliers.last().map_or(self.times.last, |o| o.at.max(self.times.last))
    }

    /// The corners of the box and the outliers; times count from `from`. It changes only when one of
    /// these does, so that an open dwell can be updated without touching its index.
    pub(super) fn path(&self, from: Timestamp) -> Vec<u8> {
        let corner = |spot| Vertex { spot, speed_tenths: None, at: from };
        let corners = [self.low, self.high].map(corner);
        let vertices: Vec<_> = corners.into_iter().chain(self.outliers.iter().map(Vertex::of)).collect();
        twkb::write(Shape::Points, from, &vertices)
    }

    /// Centre, times, and what the outliers say beside place and time.
    pub(super) fn more(&self, from: Timestamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.times.count / 2);
        put(&mut out, u64::from(self.times.places) + PACED);
        put_signed(&mut out, i64::from(self.centre.lon) - i64::from(self.low.lon));
        put_signed(&mut out, i64::from(self.centre.lat) - i64::from(self.low.lat));
        put_signed(&mut out, self.times.first.micros() - from.micros());
        put(&mut out, self.times.count as u64);
        interval_codec::write(&mut out, &self.times.steps());
        attributes::write(&mut out, &self.outliers);
        out
    }

    /// From what [`Self::path`] and [`Self::more`] wrote.
    pub(super) fn read(vehicle: Option<VehicleId>, from: Timestamp, vertices: &[Vertex], more: &[u8]) -> Option<Self> {
        let [low, high, off @ ..] = vertices else { return None };
        let mut reader = Reader::new(more);
        let form = reader.unsigned()?;
        let places = u8::try_from(form % PACED).ok()?;
        let near = |corner: i32, distance: i64| i32::try_from(i64::from(corner).checked_add(distance)?).ok();
        let lon = near(low.spot.lon, reader.signed()?)?;
        let lat = near(low.spot.lat, reader.signed()?)?;
        let first = Timestamp::from_micros(from.micros().checked_add(reader.signed()?)?);
        let count = usize::try_from(reader.unsigned()?).ok()?;
        let mut times = Times { places, ..Times::of(first) };
        let later = count.checked_sub(1)?;
        if form >= PACED {
            interval_codec::read(&mut reader, later, |step| times.step(step))?;
        } else {
            for _ in 0..later {
                let step = times.last_step.checked_add(reader.signed()?)?;
                times.step(step)?;
            }
        }
        let mut outliers: Vec<_> = off.iter().map(attributes::bare).collect();
        attributes::read(reader.rest(), &mut outliers)?;
        Some(Self { vehicle, centre: GridPoint { lon, lat }, low: low.spot, high: high.spot, outliers, times })
    }
}
