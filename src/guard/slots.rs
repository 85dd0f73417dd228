//! The slots of rows in a list, found by what the rows themselves hold: five bytes a row, where a table with keys and values of its
//! own takes their room twice over. Pure: the list and its hashes are the caller's.

use hashbrown::HashTable;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct SlotIndex {
    index: HashTable<u32>,
    /// Places of rows that were taken out; the next ones stand there.
    free: Vec<u32>,
}

impl SlotIndex {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The slot of a row: one of this hash that `is_it`.
    pub fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.index.find(hash, |place| is_it(*place as usize)).map(|place| *place as usize)
    }

    /// A place for a row of this hash, which is not there yet: one that is free, or else the end of the list.
    /// `hash_at` gives the hashes of the rows that are there.
    pub fn take(&mut self, hash: u64, end: usize, hash_at: impl Fn(usize) -> u64) -> usize {
        let place = self.free.pop().unwrap_or(end as u32);
        self.index.insert_unique(hash, place, |place| hash_at(*place as usize));
        place as usize
    }

    /// Frees the slot of a row; says which it was.
    pub fn leave(&mut self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.index.find_entry(hash, |place| is_it(*place as usize)).ok()?;
        let place = found.remove().0;
        self.free.push(place);
        Some(place as usize)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> {
        self.index.iter().map(|place| *place as usize)
    }
}
