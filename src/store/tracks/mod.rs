//! Tracks in the database: segments of closed days, hot fixes, the questions about both.

pub mod clustering;
pub mod import;
pub mod partitions;
pub mod queries;
pub mod rollup;
pub(in crate::store) mod segments;
