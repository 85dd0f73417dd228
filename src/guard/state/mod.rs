//! What is remembered of each vehicle. The rules read and change it; it knows none of them.

pub mod alarms;
pub mod anchor;
mod checkpoint;
pub mod incident;
pub mod plane;
pub mod power;
pub mod rare;
pub mod sample;
pub mod session;
pub mod signal_loss;
pub mod silence;
pub mod stale_position;
pub mod vehicle;
