//! The nouns of RideGuard, with their units and valid ranges.
//!
//! Types that cross stages live here and nowhere else. Nothing here reads a clock, does I/O or
//! knows how a tracker spells a position. Words are those of `docs/glossary.md`.

pub mod alert;
pub mod credential;
pub mod datum;
pub mod enrolment;
pub mod finding;
pub mod geometry;
pub mod incident;
pub mod journal;
pub mod phone;
pub mod plate;
pub mod report;
pub mod schedule;
pub mod setting;
pub mod shape;
pub mod shard;
pub mod time;
pub mod topic;
pub mod tracker;
pub mod way;
pub mod zone;

pub use alert::{
    Alert, AlertKind, Cause, Evidence, EvidenceFix, IncidentId, PacketDigest, Threshold, Weight, alert_level,
};
pub use finding::{Finding, Outage, OutageKind};
pub use geometry::{LatLon, distance_m};
pub use incident::{Answer, IncidentEnd, IncidentState, Note, severity};
pub use journal::{Entry, Flood, GapCause, Outcome, Packet, Withheld};
pub use phone::Phone;
pub use plate::{Plate, PlateError};
pub use report::{Alarm, AlarmKind, Cell, Fix, FixSource, Moment, Network, ReplyBytes, Report, Status};
pub use schedule::Schedule;
pub use setting::{GuardPolicy, SeenAnswer, SessionBy, Setting};
pub use shape::ZoneShape;
pub use shard::{LANES, Lane, SHARDS, Shard};
pub use time::Timestamp;
pub use tracker::{
    ClockZone, Datum, Profile, ProtocolName, TrackerIdent, TrackerKey, Transport, VehicleId, VehicleKind,
};
pub use way::Way;
pub use zone::{Zone, ZoneId, ZoneRule};
