//! The old journal: sealed, by key.

pub mod keys;
pub(in crate::store) mod read;
pub(in crate::store) mod segment;
pub(in crate::store) mod shred;
pub mod write;

#[cfg(test)]
mod tests;
