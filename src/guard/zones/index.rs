//! Which zones lie near a way: the few that a fix is compared with, of a hundred thousand.
//!
//! City-wide zones lie in an R-tree of boxes, personal ones in a list of their vehicle, so a zone of
//! somebody else costs nothing. Both follow each change; neither is built again. Most fixes come from
//! vehicles that stand, so what the R-tree said of a square is kept until a zone near it changes: one
//! look at a table instead of a walk down the tree.

use crate::domain::{LatLon, Timestamp, VehicleId, Zone, ZoneId};
use crate::guard::hashing::Table;
use rstar::{AABB, Envelope, RTree, RTreeObject};
use smallvec::SmallVec;

/// Squares per degree: some 200 m, a few zones each even where a city is full of them.
const SQUARES_PER_DEGREE: f64 = 500.0;
/// Squares whose zones are kept; a lane's vehicles stand in fewer. Beyond, all are forgotten.
const SQUARES_KEPT: usize = 65_536;
/// A zone in more squares than this is not looked up in each when it changes: all are forgotten.
const SQUARES_OF_ONE_ZONE: usize = 256;

/// A version of a zone, by its number and its beginning.
pub type Found = (ZoneId, Timestamp);

/// Where all zones lie.
#[derive(Clone, Debug, Default)]
pub struct Index {
    city: RTree<Boxed>,
    personal: Table<VehicleId, Personal>,
    /// Zones of the city whose boxes touch a square, by what the R-tree said.
    squares: Table<Square, Box<[Boxed]>>,
}

/// The zones of one vehicle.
#[derive(Clone, Debug)]
struct Personal {
    /// Around all of them: mostly enough to see that the vehicle is near none.
    envelope: AABB<[f64; 2]>,
    boxes: Vec<Boxed>,
}

/// A square of the grid: row and column.
type Square = (i32, i32);

/// A box around a version of a zone.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Boxed {
    zone: ZoneId,
    from: Timestamp,
    envelope: AABB<[f64; 2]>,
}

impl RTreeObject for Boxed {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

impl Index {
    /// An index of these versions.
    pub fn build<'a>(versions: impl Iterator<Item = (&'a Zone, Timestamp)>) -> Self {
        let mut index = Self::default();
        let mut city = Vec::new();
        for (zone, from) in versions {
            match zone.vehicle {
                Some(_) => index.insert(zone, from),
                None => city.extend(boxes(zone, from)),
            }
        }
        index.city = RTree::bulk_load(city);
        index
    }

    /// Adds a version of a zone.
    pub fn insert(&mut self, zone: &Zone, from: Timestamp) {
        let boxes = boxes(zone, from);
        match zone.vehicle {
            Some(vehicle) => {
                let mine = self.personal.entry(vehicle).or_insert_with(Personal::none);
                boxes.iter().for_each(|b| mine.envelope.merge(&b.envelope));
                mine.boxes.extend(boxes);
            }
            None => {
                for b in boxes {
                    self.forget_squares(&b.envelope);
                    self.city.insert(b);
                }
            }
        }
    }

    /// Removes a version of a zone.
    pub fn remove(&mut self, zone: &Zone, from: Timestamp) {
        let Some(vehicle) = zone.vehicle else {
            for b in boxes(zone, from) {
                self.forget_squares(&b.envelope);
                self.city.remove(&b);
            }
            return;
        };
        if let Some(mine) = self.personal.get_mut(&vehicle) {
            mine.boxes.retain(|b| (b.zone, b.from) != (zone.id, from));
            mine.envelope = AABB::new_empty();
            mine.boxes.iter().for_each(|b| mine.envelope.merge(&b.envelope));
            if mine.boxes.is_empty() {
                self.personal.remove(&vehicle);
            }
        }
    }

    /// Zones of a vehicle or of the city whose boxes touch the way between two positions, in the order of their numbers.
    /// Of more than `max` those of the vehicle go first, and then those with the smallest numbers: whatever the index
    /// looks like after a restart, the same zones speak in the same order.
    pub fn near(&mut self, max: usize, vehicle: VehicleId, way: (LatLon, LatLon)) -> SmallVec<[Found; 4]> {
        let envelope = AABB::from_corners(corner(way.0), corner(way.1));
        let touching = |b: &&Boxed| b.envelope.intersects(&envelope);
        let mut found: SmallVec<[Found; 4]> = SmallVec::new();
        if let Some(mine) = self.personal.get(&vehicle).filter(|mine| mine.envelope.intersects(&envelope)) {
            found.extend(mine.boxes.iter().filter(touching).map(Boxed::found));
            keep_smallest(&mut found, 0, max);
        }
        let of_vehicle = found.len();
        let square = square(way.0);
        if square == self::square(way.1) {
            found.extend(self.square(square).iter().filter(touching).map(Boxed::found));
        } else {
            found.extend(self.city.locate_in_envelope_intersecting(&envelope).map(Boxed::found));
        }
        keep_smallest(&mut found, of_vehicle, max);
        found.sort_unstable();
        found
    }

    /// Looks where a vehicle at a place will look next, one table after the other for all of them, so that the waits for
    /// memory overlap; returns versions that it will be compared with. Of those at the place only.
    pub fn prefetch(&self, vehicles: &[(VehicleId, LatLon)]) -> SmallVec<[Found; 16]> {
        let own = vehicles.iter().filter_map(|(id, _)| self.personal.get(id)).map(|p| p.boxes.len()).sum::<usize>();
        std::hint::black_box(own);
        let squares: SmallVec<[(&[Boxed], LatLon); 16]> =
            vehicles.iter().filter_map(|(_, place)| Some((&**self.squares.get(&square(*place))?, *place))).collect();
        let here = |(boxes, place): &(&[Boxed], LatLon)| {
            let place = AABB::from_point(corner(*place));
            boxes.iter().find(|b| b.envelope.intersects(&place)).map(Boxed::found)
        };
        squares.iter().filter_map(here).collect()
    }

    /// Zones of the city that touch a square.
    fn square(&mut self, square: Square) -> &[Boxed] {
        if self.squares.len() >= SQUARES_KEPT && !self.squares.contains_key(&square) {
            self.squares.clear();
        }
        let look = || self.city.locate_in_envelope_intersecting(&envelope_of(square)).copied().collect();
        self.squares.entry(square).or_insert_with(look)
    }

    /// Forgets what is known of the squares that a box touches.
    fn forget_squares(&mut self, envelope: &AABB<[f64; 2]>) {
        if self.squares.is_empty() {
            return;
        }
        let [west, south] = envelope.lower();
        let [east, north] = envelope.upper();
        let (first, last) = (square(LatLon::new(south, west)), square(LatLon::new(north, east)));
        // One more on each side, whatever rounding does at its border.
        let (rows, columns) = (first.0 - 1..=last.0 + 1, first.1 - 1..=last.1 + 1);
        if rows.clone().count().saturating_mul(columns.clone().count()) > SQUARES_OF_ONE_ZONE {
            return self.squares.clear();
        }
        for row in rows {
            columns.clone().for_each(|column| drop(self.squares.remove(&(row, column))));
        }
    }
}

impl Personal {
    fn none() -> Self {
        Self { envelope: AABB::new_empty(), boxes: Vec::new() }
    }
}

impl Boxed {
    fn found(&self) -> Found {
        (self.zone, self.from)
    }
}

/// Of what was found from `first` on, only the smallest, until there are `max` in all.
fn keep_smallest(found: &mut SmallVec<[Found; 4]>, first: usize, max: usize) {
    if found.len() > max {
        found[first..].sort_unstable();
        found.truncate(max);
    }
}

fn corner(p: LatLon) -> [f64; 2] {
    [p.lon_deg, p.lat_deg]
}

fn square(p: LatLon) -> Square {
    let index = |degrees: f64| (degrees * SQUARES_PER_DEGREE).floor() as i32;
    (index(p.lat_deg), index(p.lon_deg))
}

/// The box of a square, a hair wider: a place that rounding puts into it lies inside.
fn envelope_of((row, column): Square) -> AABB<[f64; 2]> {
    let edge = |index: i32, by: f64| (f64::from(index) + by) / SQUARES_PER_DEGREE;
    AABB::from_corners([edge(column, -1e-6), edge(row, -1e-6)], [edge(column, 1.0 + 1e-6), edge(row, 1.0 + 1e-6)])
}

/// The box around a zone. A circle across the antimeridian has one on both sides of it.
fn boxes(zone: &Zone, from: Timestamp) -> SmallVec<[Boxed; 2]> {
    let (sw, ne) = zone.shape.bounds();
    let one = |west: f64, east: f64| Boxed {
        zone: zone.id,
        from,
        envelope: AABB::from_corners([west, sw.lat_deg], [east, ne.lat_deg]),
    };
    let mut boxes = SmallVec::from_iter([one(sw.lon_deg, ne.lon_deg)]);
    if sw.lon_deg < -180.0 {
        boxes.push(one(sw.lon_deg + 360.0, 180.0));
    }
    if ne.lon_deg > 180.0 {
        boxes.push(one(-180.0, ne.lon_deg - 360.0));
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ZoneRule, ZoneShape};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const ME: VehicleId = VehicleId(1);

    fn circle(id: i64, centre: LatLon, radius_m: f64, vehicle: Option<VehicleId>) -> Zone {
        Zone {
            id: ZoneId(id),
            name: String::new(),
            shape: ZoneShape::Circle { centre, radius_m },
            rule: ZoneRule::Both,
            vehicle,
            dwell_s: 0,
            schedule: None,
            vehicle_kind: None,
        }
    }

    /// What is near by looking at every zone.
    fn all_near(zones: &[(Zone, Timestamp)], way: (LatLon, LatLon)) -> Vec<Found> {
        let envelope = AABB::from_corners(corner(way.0), corner(way.1));
        let mine = zones.iter().filter(|(z, _)| z.vehicle.is_none_or(|v| v == ME));
        let touching = mine.flat_map(|(z, from)| boxes(z, *from)).filter(|b| b.envelope.intersects(&envelope));
        let mut found: Vec<_> = touching.map(|b| b.found()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn zones_that_come_and_go_are_found_as_if_each_was_looked_at() {
        for seed in 0..20 {
            println!("seed {seed}");
            let mut random = StdRng::seed_from_u64(seed);
            // Across the equator and the zero meridian, where squares have negative numbers, and at 180 degrees.
            let origin = if seed % 4 == 0 { LatLon::new(-16.8, 179.999) } else { LatLon::new(0.001, 0.001) };
            let place = |random: &mut StdRng| {
                let mut off = || random.random_range(-0.01..0.01);
                let (lat_deg, lon_deg) = (origin.lat_deg + off(), origin.lon_deg + off());
                LatLon::new(lat_deg, if lon_deg > 180.0 { lon_deg - 360.0 } else { lon_deg })
            };
            let mut zones: Vec<(Zone, Timestamp)> = Vec::new();
            let mut index = Index::default();
            for id in 0..300 {
                if !zones.is_empty() && random.random_bool(0.4) {
                    let (zone, from) = zones.swap_remove(random.random_range(0..zones.len()));
                    index.remove(&zone, from);
                } else {
                    let owner = [None, None, Some(ME), Some(VehicleId(2))][random.random_range(0..4)];
                    let radius_m = if random.random_bool(0.1) { 5_000.0 } else { random.random_range(5.0..200.0) };
                    let added = (circle(id, place(&mut random), radius_m, owner), Timestamp::from_secs(id));
                    index.insert(&added.0, added.1);
                    zones.push(added);
                }
                for _ in 0..5 {
                    let from = place(&mut random);
                    let to = if random.random_bool(0.5) { from } else { place(&mut random) };
                    let found = index.near(usize::MAX, ME, (from, to));
                    assert_eq!(
                        found.to_vec(),
                        all_near(&zones, (from, to)),
                        "seed {seed}, zone {id}, {from:?} to {to:?}"
                    );
                }
            }
            let mut built = Index::build(zones.iter().map(|(zone, from)| (zone, *from)));
            let here = place(&mut random);
            assert_eq!(
                built.near(usize::MAX, ME, (here, here)),
                index.near(usize::MAX, ME, (here, here)),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn squares_that_nobody_looks_at_any_more_are_forgotten_when_they_are_too_many() {
        let mut index = Index::default();
        index.insert(&circle(1, LatLon::new(28.0, 112.0), 100.0, None), Timestamp::from_secs(0));
        for n in 0..SQUARES_KEPT + 10 {
            let place = LatLon::new(
                28.0 + (n / 500) as f64 / SQUARES_PER_DEGREE,
                112.0 + (n % 500) as f64 / SQUARES_PER_DEGREE,
            );
            index.near(64, ME, (place, place));
        }
        assert!(index.squares.len() <= SQUARES_KEPT, "{}", index.squares.len());
        let here = LatLon::new(28.0, 112.0);
        assert_eq!(index.near(64, ME, (here, here)).len(), 1);
    }
}
