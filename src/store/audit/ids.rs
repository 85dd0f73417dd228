//! The rows that a seal names: a set of numbers, as PostgreSQL's `int8multirange` writes it.

use anyhow::{Context, ensure};
use std::fmt;
use std::ops::Range;

/// Numbers in ranges, ascending, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(Vec<Range<i64>>);

impl Ids {
    /// Takes in a number above all that are in.
    pub fn push(&mut self, id: i64) {
        match self.0.last_mut() {
            Some(last) if last.end == id => last.end = id.saturating_add(1),
            _ => self.0.push(id..id.saturating_add(1)),
        }
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.0.iter().fold(0, |sum: i64, r| sum.saturating_add(r.end.saturating_sub(r.start)))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<i64>] {
        &self.0
    }

    /// All numbers of several sets.
    pub fn union<'a>(sets: impl Iterator<Item = &'a Self>) -> Self {
        let mut all: Vec<Range<i64>> = sets.flat_map(|set| set.0.iter().cloned()).collect();
        all.sort_unstable_by_key(|r| r.start);
        let mut merged: Vec<Range<i64>> = Vec::with_capacity(all.len());
        for range in all {
            match merged.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// Reads PostgreSQL's text: `{[1,5),[7,8)}`.
    ///
    /// # Errors
    /// It has another form, or ranges without an end.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let wrong = || format!("the seal's set of rows is {text:?}, which is not a set of ranges that end");
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).with_context(wrong)?;
        let mut ranges = Vec::new();
        for part in inner.split_terminator(')') {
            let part = part.trim_start_matches(',').strip_prefix('[').with_context(wrong)?;
            let (start, end) = part.split_once(',').with_context(wrong)?;
            let range = start.parse().with_context(wrong)?..end.parse().with_context(wrong)?;
            ensure!(range.start < range.end, wrong());
            ranges.push(range);
        }
        Ok(Self(ranges))
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (n, range) in self.0.iter().enumerate() {
            write!(f, "{}[{},{})", if n > 0 { "," } else { "" }, range.start, range.end)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_as_it_is_written_and_neighbours_are_one_range() {
        let mut ids = Ids::default();
        assert_eq!(ids.to_string(), "{}");
        for id in [1, 2, 3, 4, 7] {
            ids.push(id);
        }
        assert_eq!(ids.to_string(), "{[1,5),[7,8)}");
        assert_eq!(ids.count(), 5);
        for text in ["{}", "{[1,5)}", "{[-3,5),[7,8),[9,100)}"] {
            assert_eq!(Ids::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "[1,5)", "{[1,5]}", "{[1,)}", "{(,5)}", "{[5,1)}", "{[x,2)}"] {
            assert!(Ids::parse(wrong).is_err(), "{wrong}");
        }
        let union = Ids::union([Ids::parse("{[1,5),[9,12)}").unwrap(), Ids::parse("{[5,7),[9,10)}").unwrap()].iter());
        assert_eq!(union.to_string(), "{[1,7),[9,12)}");
    }
}
