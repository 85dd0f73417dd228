//! How the guard's tables find their rows: numbers are scattered with one multiplication, keyed at random.
//!
//! Every fix looks into a handful of tables by number. The standard hasher is made for keys of any length and
//! costs more than the look itself. Numbers of squares come from places that trackers report, so a key that
//! nobody outside knows keeps anybody from choosing places that fall on each other. No order depends on it.

use std::hash::{BuildHasher, Hasher, RandomState};

/// An odd number without pattern: the golden ratio's digits.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Builds hashers of one table.
#[derive(Clone, Copy, Debug)]
pub struct ByNumber {
    key: u64,
}

impl Default for ByNumber {
    fn default() -> Self {
        Self { key: RandomState::new().hash_one(SCATTER) }
    }
}

impl BuildHasher for ByNumber {
    type Hasher = Scatter;
    fn build_hasher(&self) -> Scatter {
        Scatter(self.key)
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Scatter(u64);

impl Hasher for Scatter {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(padded));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Both halves of the product: its low bits know the low bits of the number only, its high ones all.
        let product = u128::from(self.0 ^ number) * u128::from(SCATTER);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(number as u64);
    }
}

/// A table by number.
pub type Table<K, V> = std::collections::HashMap<K, V, ByNumber>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Most keys that share one of 65,536 places, by the bits that a table takes.
    fn fullest<K: std::hash::Hash>(keys: impl Iterator<Item = K>) -> usize {
        let by = ByNumber::default();
        let mut places = BTreeMap::<u64, usize>::new();
        keys.for_each(|k| *places.entry(by.hash_one(k) & 0xffff).or_default() += 1);
        places.into_values().max().unwrap_or(0)
    }

    #[test]
    fn numbers_in_a_row_and_squares_of_a_city_do_not_fall_on_each_other() {
        assert!(fullest(0..65_536_i64) < 14);
        assert!(fullest((0..65_536_i64).map(|n| n * 65_536)) < 14);
        assert!(
            fullest((0..256_i32).flat_map(|row| (0..256_i32).map(move |column| (14_000 + row, 56_000 + column)))) < 14
        );
    }
}
