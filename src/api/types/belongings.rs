//! What belongs to people, for how long, and who may share in it.

use crate::api::types::{Id, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A hand-over of a vehicle to another owner.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Its number.
    pub id: Id,
    /// The vehicle.
    pub vehicle_id: Id,
    /// Not before; none: when it is accepted.
    pub takes_place_at: Option<Time>,
    /// Until when the code is taken; none where the operator hands over.
    pub code_ends_at: Option<Time>,
    /// When the buyer accepted.
    pub accepted_at: Option<Time>,
    /// Since when the vehicle is the buyer's.
    pub done_at: Option<Time>,
}

/// The hand-over that is open, if there is one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenHandOver {
    /// It.
    pub hand_over: Option<HandOver>,
}

/// A hand-over that was offered, with its code.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverOffered {
    /// For the buyer; it is shown once.
    pub code: String,
    /// It.
    pub hand_over: HandOver,
}

/// A hand-over that was accepted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverAccepted {
    /// The plate of the vehicle.
    pub plate: String,
    /// It.
    pub hand_over: HandOver,
}

/// Which side of a hand-over one is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // docs/api.md explains the words
pub enum HandOverSide {
    Seller,
    Buyer,
}

/// A hand-over that has not taken place.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingHandOver {
    /// The plate of the vehicle.
    pub plate: String,
    /// Which side I am on.
    pub side: HandOverSide,
    /// It.
    pub hand_over: HandOver,
}

/// Hand-overs that have not taken place.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingHandOvers {
    /// Soonest first.
    pub hand_overs: Vec<PendingHandOver>,
}

/// Whether positions of a vehicle are collected.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PositioningState {
    /// Since when they are not, by the owner's choice; none: they are.
    pub positioning_off_since: Option<Time>,
}

/// What was agreed to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenConsent {
    /// Version of the text; `unrecorded`: it stands on paper.
    pub version: String,
    /// When.
    pub given_at: Time,
    /// `door`, `page`, `paper` or `import`.
    pub channel: String,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Time>,
    /// By which channel.
    pub withdrawn_channel: Option<String>,
}

/// A person's consents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MyConsent {
    /// Whether every one of them is withdrawn.
    pub is_withdrawn: bool,
    /// Oldest first.
    pub consents: Vec<GivenConsent>,
}

/// What a member of the family may do; each word holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // docs/api.md explains the words
pub enum FamilyRight {
    See,
    Arm,
    Answer,
}

impl FamilyRight {
    /// Its word in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Arm => "arm",
            Self::Answer => "answer",
        }
    }
}

/// Somebody with whom an owner shares a vehicle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyMember {
    /// Its number.
    pub id: Id,
    /// The vehicle.
    pub vehicle_id: Id,
    /// What the owner calls them.
    pub name: String,
    /// What they may do.
    pub may: FamilyRight,
    /// Until when the code is taken; none once it was used.
    pub code_ends_at: Option<Time>,
    /// Since when they share it.
    pub accepted_at: Option<Time>,
    /// Until when, if that was said.
    pub ends_at: Option<Time>,
}

/// Everybody with whom a vehicle is shared.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyMembers {
    /// Oldest invitation first.
    pub members: Vec<FamilyMember>,
}

/// An invitation, with its code.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyInvited {
    /// For the one who is invited; it is shown once.
    pub code: String,
    /// The invitation.
    pub member: FamilyMember,
}

/// A link to the live place of a vehicle during an incident.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareLink {
    /// Its number.
    pub id: Id,
    /// The vehicle.
    pub vehicle_id: Id,
    /// When it was made.
    pub made_at: Time,
    /// Until when at most it shows something.
    pub expires_at: Time,
    /// How often it may be opened.
    pub openings_max: i32,
    /// When the owner ended it.
    pub revoked_at: Option<Time>,
    /// Whether it shows something now.
    pub live: bool,
    /// When it was opened.
    pub openings: Vec<Time>,
}

/// Links of a vehicle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareLinks {
    /// Newest first.
    pub shares: Vec<ShareLink>,
}

/// A link that was made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareMade {
    /// The path of the link on this server; it is shown once.
    pub path: String,
    /// It.
    pub share: ShareLink,
}

/// Where a shared vehicle is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedPlace {
    /// Latitude, degrees, WGS-84.
    pub lat: f64,
    /// Longitude, degrees, WGS-84.
    pub lon: f64,
    /// When it was there.
    pub fixed_at: Time,
    /// How fast, km/h, if it was said.
    pub speed_kmh: Option<f64>,
}

/// What a link shows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedView {
    /// To ask again without a further opening.
    pub visit: String,
    /// Until when at most it shows something.
    pub expires_at: Time,
    /// None since the incident began: no place yet.
    pub place: Option<SharedPlace>,
}

/// A look of an authority at a vehicle of mine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VehicleLook {
    /// When.
    pub at: Time,
    /// `track`, `company`, `newest`, `hold`; `found`: it was in the answer of another question.
    pub what: String,
    /// The vehicle.
    pub vehicle_id: Id,
    /// Its plate now.
    pub plate: String,
    /// Whose officer looked.
    pub organisation: Option<String>,
    /// For which case.
    pub case_number: String,
    /// Why.
    pub purpose: String,
}

/// Looks that may be told by now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VehicleLooks {
    /// Newest first.
    pub looks: Vec<VehicleLook>,
}

/// An account that is being erased.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureReceipt {
    /// Who has it can ask what became of it; it is shown once.
    pub receipt: String,
    /// When it was asked.
    pub asked_at: Time,
}

/// What became of an erasure.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureProof {
    /// When it was asked.
    pub asked_at: Time,
    /// Whether it has happened.
    pub done: bool,
    /// What was erased, what stays and why (docs/retention.md).
    #[schema(value_type = Option<Object>)]
    pub report: Option<serde_json::Value>,
}
