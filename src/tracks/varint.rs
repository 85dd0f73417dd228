//! Small numbers in few bytes: LEB128, and zigzag for signed ones (as TWKB has them).

/// Appends an unsigned number.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// Small numbers of either sign as small ones: 0, -1, 1, -2, …
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads numbers from bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next unsigned number; `None` at the end or beyond 64 bits.
    #[inline]
    pub fn unsigned(&mut self) -> Option<u64> {
        match self.rest {
            [first @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Some(u64::from(*first))
            }
            _ => self.long(),
        }
    }

    /// A number of more than one byte, or none.
    fn long(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The next signed number.
    pub fn signed(&mut self) -> Option<i64> {
        self.unsigned().map(unzigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_small_ones_are_small() {
        for value in (0..63).flat_map(|bits| [1 << bits, -(1 << bits), (1 << bits) - 1]).chain([i64::MAX, i64::MIN]) {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(Reader::new(&out).signed(), Some(value));
            assert_eq!(out.len() == 1, (-64..64).contains(&value));
            // The same with others behind it.
            out.extend([0xff; 9]);
            let mut reader = Reader::new(&out);
            assert_eq!((reader.signed(), reader.rest().len()), (Some(value), 9));
        }
    }

    #[test]
    fn a_cut_or_endless_number_is_none() {
        assert_eq!(Reader::new(&[0x80]).unsigned(), None);
        assert_eq!(Reader::new(&[0xff; 12]).unsigned(), None);
    }
}
