//! The vehicles of a lane, one after the other, and found by their numbers: a table of boxes takes more for each, half of
//! it for room that a table keeps free.

use crate::domain::VehicleId;
use crate::guard::hashing::ByNumber;
use crate::guard::slots::SlotIndex;
use crate::guard::state::vehicle::Vehicle;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::BuildHasher;

/// See the module. A checkpoint keeps it as a map.
#[derive(Clone, Debug, Default)]
pub struct VehicleTable {
    places: SlotIndex,
    by: ByNumber,
    vehicles: Vec<(VehicleId, Vehicle)>,
}

impl VehicleTable {
    fn place(&self, id: VehicleId) -> Option<usize> {
        self.places.find(self.by.hash_one(id), |place| self.vehicles[place].0 == id)
    }

    /// A vehicle, if it is known.
    pub fn get(&self, id: VehicleId) -> Option<&Vehicle> {
        self.place(id).map(|place| &self.vehicles[place].1)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: VehicleId) -> Option<&mut Vehicle> {
        self.place(id).map(|place| &mut self.vehicles[place].1)
    }

    /// A vehicle, made if it is new.
    pub fn entry(&mut self, id: VehicleId) -> &mut Vehicle {
        self.placed(id).1
    }

    /// A vehicle, made if it is new, and its place, which is its as long as it is among them.
    pub fn placed(&mut self, id: VehicleId) -> (u32, &mut Vehicle) {
        let place = self.place(id).unwrap_or_else(|| self.put(id));
        (place as u32, &mut self.vehicles[place].1)
    }

    /// A vehicle that is known, and its place.
    pub fn find(&mut self, id: VehicleId) -> Option<(u32, &mut Vehicle)> {
        let place = self.place(id)?;
        Some((place as u32, &mut self.vehicles[place].1))
    }

    /// What is at a place: a vehicle, or what one that was taken out left, of which nothing is known.
    pub fn at(&mut self, place: u32) -> Option<(VehicleId, &mut Vehicle)> {
        self.vehicles.get_mut(place as usize).map(|(id, vehicle)| (*id, vehicle))
    }

    /// All of them by their places, in no order.
    pub fn places(&self) -> impl Iterator<Item = (u32, &Vehicle)> {
        self.places.iter().map(|place| (place as u32, &self.vehicles[place].1))
    }

    /// Takes a vehicle out; its place is for the next.
    pub fn remove(&mut self, id: VehicleId) -> Option<Vehicle> {
        let place = self.places.leave(self.by.hash_one(id), |place| self.vehicles[place].0 == id)?;
        Some(std::mem::take(&mut self.vehicles[place].1))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (VehicleId, &Vehicle)> {
        self.places.iter().map(|place| {
            let (id, vehicle) = &self.vehicles[place];
            (*id, vehicle)
        })
    }

    /// One that is not among them.
    fn put(&mut self, id: VehicleId) -> usize {
        let Self { places, by, vehicles } = self;
        let place = places.take(by.hash_one(id), vehicles.len(), |place| by.hash_one(vehicles[place].0));
        match vehicles.get_mut(place) {
            Some(free) => *free = (id, Vehicle::default()),
            None => vehicles.push((id, Vehicle::default())),
        }
        place
    }
}

impl Serialize for VehicleTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for VehicleTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneByOne)
    }
}

/// Reads a checkpoint's vehicles: all at once would be a second city in memory.
struct OneByOne;

impl<'de> Visitor<'de> for OneByOne {
    type Value = VehicleTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vehicles by their numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VehicleTable, A::Error> {
        let mut table = VehicleTable::default();
        while let Some((id, vehicle)) = map.next_entry()? {
            *table.entry(id) = vehicle;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::guard::Params;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn armed(at_s: i64) -> Vehicle {
        let mut vehicle = Vehicle::default();
        vehicle.begin_session(&Params::default(), Timestamp::from_secs(at_s));
        vehicle
    }

    proptest! {
        /// (vehicle, what becomes of it): 0 taken out, else armed at that second.
        #[test]
        fn a_fleet_is_a_map_whatever_comes_and_goes_and_a_checkpoint_keeps_it(
            steps in proptest::collection::vec((0i64..12, 0i64..4), 0..80)
        ) {
            let (mut table, mut map) = (VehicleTable::default(), BTreeMap::new());
            for (id, at_s) in steps {
                let id = VehicleId(id);
                if at_s == 0 {
                    prop_assert_eq!(table.remove(id), map.remove(&id));
                } else {
                    *table.entry(id) = armed(at_s);
                    map.insert(id, armed(at_s));
                }
                prop_assert_eq!(table.get(VehicleId(7)), map.get(&VehicleId(7)));
                prop_assert_eq!(table.get_mut(VehicleId(3)), map.get_mut(&VehicleId(3)));
                prop_assert!(table.vehicles.len() <= 12, "places of those that went are taken again");
            }
            let kept = serde_json::to_string(&table).unwrap();
            prop_assert_eq!(&serde_json::from_str::<BTreeMap<VehicleId, Vehicle>>(&kept).unwrap(), &map);
            let again: VehicleTable = serde_json::from_str(&serde_json::to_string(&map).unwrap()).unwrap();
            prop_assert_eq!(again.iter().collect::<BTreeMap<_, _>>(), map.iter().map(|(id, v)| (*id, v)).collect());
        }
    }

    #[test]
    fn a_new_vehicle_is_one_of_which_nothing_is_known() {
        let mut table = VehicleTable::default();
        assert_eq!(table.get(VehicleId(1)), None);
        assert_eq!(*table.entry(VehicleId(1)), Vehicle::default());
        table.entry(VehicleId(1)).is_calm = true;
        assert!(table.entry(VehicleId(1)).is_calm, "and then the same");
        table.remove(VehicleId(1));
        assert_eq!(*table.entry(VehicleId(1)), Vehicle::default(), "not what stood in its place");
    }
}
