//! The trackers of a lane, found by their identifiers, which are in the trackers themselves.

use crate::domain::{TrackerIdent, TrackerKey};
use crate::engine::firmware_table::FirmwareTable;
use crate::engine::ident_table::{IdentId, IdentKey, IdentTable};
use crate::engine::tracker::{Tracker, TrackerCheckpoint};
use crate::guard::slots;
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct TrackerTable {
    places: slots::SlotIndex,
    idents: IdentTable,
    trackers: Vec<Tracker>,
    firmwares: FirmwareTable,
}

impl TrackerTable {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The slot of a tracker.
    pub fn place(&self, ident: &TrackerIdent) -> Option<usize> {
        let Self { places, idents, trackers, .. } = self;
        let sought = IdentKey::of(ident);
        places.find(idents.hash(&sought), |place| idents.is(trackers[place].ident, &sought))
    }

    /// A tracker.
    pub fn get(&self, ident: &TrackerIdent) -> Option<&Tracker> {
        self.trackers.get(self.place(ident)?)
    }

    /// The tracker at a place, with the table of its firmware.
    pub fn at(&mut self, place: usize) -> Option<(&mut Tracker, &mut FirmwareTable)> {
        Some((self.trackers.get_mut(place)?, &mut self.firmwares))
    }

    /// The tracker of an identifier, made if it is new.
    pub fn entry(&mut self, ident: &TrackerIdent, key: TrackerKey) -> &mut Tracker {
        let place = self.place(ident).unwrap_or_else(|| {
            let id = self.idents.put(ident);
            self.put(Tracker::new(id, key))
        });
        &mut self.trackers[place]
    }

    /// Removes one; its place is for the next.
    pub fn remove(&mut self, ident: &TrackerIdent) {
        let Self { places, idents, trackers, .. } = self;
        let sought = IdentKey::of(ident);
        if let Some(place) = places.leave(idents.hash(&sought), |place| idents.is(trackers[place].ident, &sought)) {
            idents.give_back(trackers[place].ident);
        }
    }

    /// All, and those whose place is not taken again yet.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tracker> {
        self.trackers.iter_mut()
    }

    fn put(&mut self, tracker: Tracker) -> usize {
        let Self { places, idents, trackers, .. } = self;
        let place =
            places.take(idents.hash_of(tracker.ident), trackers.len(), |place| idents.hash_of(trackers[place].ident));
        match trackers.get_mut(place) {
            Some(free) => *free = tracker,
            None => trackers.push(tracker),
        }
        place
    }

    /// Made again of what a checkpoint kept.
    pub fn of(places: HashMap<TrackerIdent, u32>, kept: Vec<TrackerCheckpoint>) -> Self {
        let mut table = Self::default();
        let mut kept: Vec<Option<TrackerCheckpoint>> = kept.into_iter().map(Some).collect();
        for (ident, place) in places {
            if let Some(kept) = kept.get_mut(place as usize).and_then(Option::take) {
                let id = table.idents.put(&ident);
                let tracker = Tracker::of(id, kept, &mut table.firmwares);
                table.put(tracker);
            }
        }
        table
    }

    /// What a checkpoint keeps: identifiers with their places in the list that [`Self::kept`] gives. One by one, as a
    /// city's would be a second city in memory.
    pub fn places(&self) -> impl Serialize {
        Places(self)
    }

    /// The trackers of a checkpoint, in the order of [`Self::places`].
    pub fn kept(&self) -> impl Serialize {
        AllKept(self)
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &Tracker> {
        self.places.iter().map(|place| &self.trackers[place])
    }
}

struct Places<'r>(&'r TrackerTable);

impl Serialize for Places<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ident = |name: IdentId| self.0.idents.ident(name);
        serializer.collect_map(self.0.iter().map(|tracker| ident(tracker.ident)).zip(0u32..))
    }
}

struct AllKept<'r>(&'r TrackerTable);

impl Serialize for AllKept<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|tracker| tracker.kept(&self.0.firmwares)))
    }
}
