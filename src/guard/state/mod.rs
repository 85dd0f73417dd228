//! What is remembered of each vehicle.

pub mod anchor;
pub mod vehicle;
