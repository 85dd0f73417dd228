//! RideGuard 行车卫士 keeps watch over a city's e-bikes and motorcycles.
pub mod domain;
pub mod guard;
pub mod protocol;
