//! What answers look like: the schemas of the OpenAPI document.
//!
//! Most answers are made by the database and passed on as they are; a test reads them into these types
//! and finds nothing missing and nothing unsaid (`tests/system/support/shapes.rs`).

mod accounts;
mod belongings;
mod door;
mod fleet;
mod guarding;
mod holds;
mod listeners;
mod live;
mod people;
mod registry;
mod searches;
pub(super) mod stored;
mod vehicles;
mod words;
mod zones;

pub use accounts::{
    AccountState, AccountWithLink, CodeLink, Enrolment, LoginSet, ManagedAccount, ManagedAccounts, NewRecoveryCodes,
    Organisation, OrganisationKind, Organisations, OwnAccount, OwnSession, OwnSessions, SessionsEnded, Welcome,
};
pub use belongings::{
    ErasureProof, ErasureReceipt, FamilyInvited, FamilyMember, FamilyMembers, FamilyRight, GivenConsent, HandOver,
    HandOverAccepted, HandOverOffered, HandOverSide, MyConsent, OpenHandOver, PendingHandOver, PendingHandOvers,
    PositioningState, ShareLink, ShareLinks, ShareMade, SharedPlace, SharedView, VehicleLook, VehicleLooks,
};
pub use door::{
    DoorCheck, DoorCheckName, DoorCheckState, DoorDay, DoorHandedOver, DoorJob, DoorStep, DoorVisit, DoorVisitChecked,
    DoorVisits,
};
pub use fleet::{TrackerCredential, TrackerCredentialState, TrackerCredentials, TrackerLabel};
pub use guarding::{
    GuardPolicy, GuardSessionEnded, GuardState, Incident, IncidentSummary, Incidents, TimelineEntry, WeekSchedule,
    WeekWindow,
};
pub use holds::{LegalHold, LegalHolds};
pub use listeners::{DoorListener, TrackerConnection, TrackerDoor, TrackerDoors};
pub use live::{IncidentChange, LiveMessage, LiveVehicle};
pub use people::{
    Account, CoverageGap, CoverageGaps, CurrentAccount, ErrorBody, Grant, Grants, LiveTicket, Outage, Outages,
    PhoneToken, SessionCreated, TrackerCounts, TrackerHealth, Trackers,
};
pub use registry::{
    Import, ImportProblem, ImportProblems, Imports, RegistryKind, RegistryRecord, RegistryRow, RegistryRows,
};
pub use searches::{
    AreaPresence, AreaSearchResult, CoTravelResult, Companion, LatestPosition, LatestPositions, Stop, Track, TrackGap,
    TrackPoint, Trip, Trips,
};
pub use vehicles::{Alert, Alerts, Fix, Position, Vehicle, Vehicles};
pub use words::*;
pub use zones::{Zone, ZoneShape, Zones};

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A number of ours as decimal text: JavaScript's numbers end at 2⁵³.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = "42", pattern = "^[0-9]{1,19}$")]
pub struct Id(pub String);

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

/// A time, RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-23T10:00:00Z")]
pub struct Time(pub String);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at.to_string())
    }
}

/// It was handed on, and will be in force when the guard has taken it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePending {
    /// Always true.
    pub pending: bool,
}
