//! Reads bytes in order and names the field that is cut.

use crate::protocol::DecodeError;

/// A position in a packet; all integers big-endian.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// From the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Fewer are there.
    pub fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        if self.rest.len() < count {
            return Err(DecodeError::Truncated { field, at: self.at + self.rest.len() });
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// None is there.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, field)?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// Fewer are there.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        let bytes = self.take(2, field)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// Fewer are there.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let bytes = self.take(4, field)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Three bytes.
    ///
    /// # Errors
    /// Fewer are there.
    pub fn u24(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let bytes = self.take(3, field)?;
        Ok(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// Fewer are there.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(self.take(8, field)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }
}
