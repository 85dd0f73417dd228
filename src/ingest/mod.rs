//! MQTT ingest: sessions, epochs and acknowledgements.
//!
//! In: publishes. Out: [`Delivery`]s, each of which is acknowledged once its bytes are in the
//! journal, on the connection it came on or not at all. Never: decoding, SQL.

mod acks;
pub mod broker_limits;
pub mod client_options;
mod connection;
mod on_demand_socket;
pub mod publisher;
pub mod retained;
pub mod session;

pub use acks::{Acks, Receipt};
pub use session::{Delivery, Session};
