//! Trackers' credentials, as they are shown once.

use super::{Id, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of a tracker's credential; never itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerCredentialState {
    /// Identifier on the wire.
    pub ident: String,
    /// When the one of now was made; none: it has none.
    pub made_at: Option<Time>,
    /// Since when it may not come in.
    pub revoked_at: Option<Time>,
}

/// A new credential. It is shown here and never again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerCredential {
    /// The tracker.
    pub id: Id,
    /// Identifier on the wire, and user name at the broker.
    pub ident: String,
    /// Topic to which it publishes.
    pub topic: String,
    /// Password at the broker.
    pub password: String,
    /// Code on the label, by which an installer shows that the tracker is in their hand.
    pub claim_code: String,
    /// Label.
    pub label: TrackerLabel,
}

/// QR code of a label: `RG1:IDENT:CLAIM`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerLabel {
    /// Modules of a side.
    pub side: u32,
    /// Row by row, one bit a module, dark is 1; hexadecimal, filled up with 0.
    pub modules_hex: String,
}

/// New credentials. They are shown here and never again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackerCredentials {
    /// By identifier.
    pub credentials: Vec<TrackerCredential>,
    /// Whether more of the batch wait for one: ask again.
    pub has_more: bool,
}
