//! How packets come in: sessions at the broker, queues from the door, and the way back to each.
//!
//! In: publishes. Out: [`Delivery`]s, each of which is acknowledged once its bytes are in the
//! journal, on the connection it came on or not at all. Never: decoding, SQL.

mod acks;
pub mod broker_limits;
pub mod client_options;
mod connection;
pub mod door_state;
pub mod lane_queue;
mod on_demand_socket;
pub mod places;
pub mod publisher;
pub mod receipt;
pub mod remote_doors;
pub mod retained;
pub mod session;
pub mod visits;

pub use acks::{Acks, BrokerReceipt};
pub use receipt::Receipt;
pub use session::{Delivery, Session};
