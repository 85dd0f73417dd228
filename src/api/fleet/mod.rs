//! Trackers come on board: registered, with credentials for the broker; and what brokers of one's own ask.

pub(super) mod batches;
pub(super) mod broker_auth;
mod broker_rights;
pub(super) mod credentials;
mod made;
