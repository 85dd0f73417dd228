//! MQTT ingest: sessions, epochs and acknowledgements.
//!
//! In: publishes. Out: [`Delivery`]s, each of which is acknowledged once its bytes are in the
//! journal, on the connection it came on or not at all. Never: decoding, SQL.

mod acks;
pub mod limits;
pub mod mqtt;
pub mod publisher;
mod quiet;
pub mod retained;
pub mod session;
pub mod topic;
mod wire;

pub use acks::{Acks, Receipt};
pub use session::{Delivery, Session};
