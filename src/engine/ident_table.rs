//! Identifiers of a lane's trackers in eight bytes each. Nearly all are numbers (an IMEI, a phone number) and are in the
//! id itself; those that are not are in a table.

use crate::domain::TrackerIdent;
use std::hash::{BuildHasher, RandomState};

/// An identifier, as one lane's [`IdentTable`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdentId(u64);

/// Set where the rest is a place in the table; else the rest is a number below its count of digits.
const IN_TABLE: u64 = 1 << 63;
/// Above it is how many digits there are, which leading zeros need: at most 32, so six bits.
const DIGITS_SHIFT: u32 = 57;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct IdentTable {
    hasher: RandomState,
    table: Vec<TrackerIdent>,
    /// Places of the table whose tracker was removed; the next ones stand there.
    free: Vec<u64>,
}

impl IdentId {
    /// Of digits whose number is small enough: all of 17, and longer ones that begin with zeros.
    fn of_digits(ident: &TrackerIdent) -> Option<Self> {
        let text = ident.as_str();
        let number: u64 = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??;
        (number < 1 << DIGITS_SHIFT).then_some(Self((text.len() as u64) << DIGITS_SHIFT | number))
    }
}

/// An identifier that is looked for.
pub(super) enum IdentKey<'i> {
    /// It is its own id.
    Id(IdentId),
    /// It would stand in the table.
    Text(&'i TrackerIdent),
}

impl<'i> IdentKey<'i> {
    /// Of an identifier.
    pub fn of(ident: &'i TrackerIdent) -> Self {
        IdentId::of_digits(ident).map_or(Self::Text(ident), Self::Id)
    }
}

impl IdentTable {
    /// The id of an identifier, made; it is for one tracker.
    pub fn put(&mut self, ident: &TrackerIdent) -> IdentId {
        IdentId::of_digits(ident).unwrap_or_else(|| {
            let place = self.free.pop().unwrap_or(self.table.len() as u64);
            match self.table.get_mut(place as usize) {
                Some(free) => *free = ident.clone(),
                None => self.table.push(ident.clone()),
            }
            IdentId(IN_TABLE | place)
        })
    }

    /// The id is nobody's any more.
    pub fn give_back(&mut self, id: IdentId) {
        if id.0 & IN_TABLE != 0 {
            self.free.push(id.0 & !IN_TABLE);
        }
    }

    /// Whether this is the id of what is looked for.
    pub fn is(&self, id: IdentId, sought: &IdentKey<'_>) -> bool {
        match sought {
            IdentKey::Id(sought) => id == *sought,
            IdentKey::Text(ident) => self.in_table(id) == Some(ident),
        }
    }

    /// A number for a table of names.
    pub fn hash(&self, sought: &IdentKey<'_>) -> u64 {
        match sought {
            IdentKey::Id(id) => self.hasher.hash_one(id.0),
            IdentKey::Text(ident) => self.hasher.hash_one(ident),
        }
    }

    /// The same of an id.
    pub fn hash_of(&self, id: IdentId) -> u64 {
        self.in_table(id).map_or_else(|| self.hasher.hash_one(id.0), |ident| self.hasher.hash_one(ident))
    }

    /// The identifier; none of an id that another lane made.
    pub fn ident(&self, id: IdentId) -> Option<TrackerIdent> {
        if id.0 & IN_TABLE != 0 {
            return self.in_table(id).cloned();
        }
        let (digits, number) = ((id.0 >> DIGITS_SHIFT) as usize, id.0 & ((1 << DIGITS_SHIFT) - 1));
        TrackerIdent::parse(&format!("{number:0digits$}")).ok()
    }

    fn in_table(&self, id: IdentId) -> Option<&TrackerIdent> {
        self.table.get(id.0.checked_sub(IN_TABLE)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ident(text: &str) -> TrackerIdent {
        TrackerIdent::parse(text).unwrap()
    }

    #[test]
    fn numbers_of_trackers_need_no_table_and_leading_zeros_count() {
        let mut table = IdentTable::default();
        let numbers =
            ["860000000000001", "013800000001", "13800000001", "00000000013800000001", "0", "00", "99999999999999999"];
        for text in numbers {
            let id = table.put(&ident(text));
            assert_eq!(table.ident(id), Some(ident(text)));
        }
        assert!(table.table.is_empty());
        for text in ["99999999999999999999", "yy1", "8600000000 00001x".replace(' ', "").as_str()] {
            let id = table.put(&ident(text));
            assert_eq!(table.ident(id), Some(ident(text)));
        }
        assert_eq!(table.table.len(), 3);
    }

    proptest! {
        #[test]
        fn a_name_is_that_of_its_identifier_only_whatever_comes_and_goes(
            steps in proptest::collection::vec(("[0a]{1,3}|[0-9]{14,20}|[0-9a-zA-Z_-]{1,32}", any::<bool>()), 0..60)
        ) {
            let (mut table, mut known) = (IdentTable::default(), BTreeMap::<String, IdentId>::new());
            for (text, comes) in steps {
                match (known.get(&text), comes) {
                    (None, true) => {
                        known.insert(text.clone(), table.put(&ident(&text)));
                    }
                    (Some(id), false) => {
                        table.give_back(*id);
                        known.remove(&text);
                    }
                    _ => {}
                }
                for (text, id) in &known {
                    let its = ident(text);
                    prop_assert_eq!(table.ident(*id), Some(its.clone()));
                    prop_assert_eq!(table.hash_of(*id), table.hash(&IdentKey::of(&its)));
                    for other in known.keys() {
                        prop_assert_eq!(table.is(*id, &IdentKey::of(&ident(other))), other == text);
                    }
                }
                prop_assert!(table.table.len() - table.free.len() <= known.len());
            }
        }
    }
}
