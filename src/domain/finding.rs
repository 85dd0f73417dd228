//! What the guard says in answer to one input.

use crate::domain::{
    Alert, Answer, GapCause, IncidentEnd, IncidentId, IncidentState, Note, SessionBy, Timestamp, VehicleId,
};
use serde::{Deserialize, Serialize};

/// What trackers have in common that have gone silent together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageKind {
    /// Everything that a lane hears: the operator's network, or something between.
    Lane,
    /// A firmware version.
    Firmware,
    /// A square of about a kilometre.
    Area,
    /// A mobile cell.
    Cell,
}

impl OutageKind {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Firmware => "firmware",
            Self::Area => "area",
            Self::Cell => "cell",
        }
    }
}

/// Many trackers of one neighbourhood silent together: one alert for operators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// What they have in common.
    pub kind: OutageKind,
    /// Which cell, area, firmware; for people.
    pub name: String,
    /// When the first of them was last heard, server time.
    pub began_at: Timestamp,
    /// How many are lost now.
    pub lost: u32,
    /// Of how many that are guarded there.
    pub members: u32,
    /// Those that are lost, as it begins: it is told to whose they are. Of an end it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicles: Vec<VehicleId>,
}

/// What the guard says in answer to one input, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Finding {
    /// An incident begins; the alert that follows belongs to it.
    IncidentOpened {
        /// Which.
        incident: IncidentId,
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// Its fixes are those of the vehicle from here (event time) to its end.
        fixes_from: Timestamp,
        /// How sure it is, 0..1.
        score: f32,
    },
    /// A fact.
    Alert(Box<Alert>),
    /// An incident became surer, or came to another state.
    IncidentChanged {
        /// Which.
        incident: IncidentId,
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// Its state now.
        state: IncidentState,
        /// How sure it is now, 0..1.
        score: f32,
    },
    /// A line for an incident's timeline.
    IncidentNoted {
        /// Which.
        incident: IncidentId,
        /// When, server time.
        at: Timestamp,
        /// What.
        note: Note,
    },
    /// The owner's word on an incident that is over. The first one counts: whoever answered at the same time has not seen it.
    IncidentAnsweredAfterEnd {
        /// Which.
        incident: IncidentId,
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// What.
        answer: Answer,
    },
    /// An incident that was called a false alarm is a theft after all.
    IncidentReopened {
        /// Which.
        incident: IncidentId,
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// How sure it is now, 0..1.
        score: f32,
    },
    /// An incident is over.
    IncidentClosed {
        /// Which.
        incident: IncidentId,
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// Why.
        end: IncidentEnd,
    },
    /// A guard session began or ended otherwise than by the owner's command.
    Session {
        /// Whose.
        vehicle: VehicleId,
        /// When, server time.
        at: Timestamp,
        /// Begun (true) or ended.
        begun: bool,
        /// By what.
        by: SessionBy,
    },
    /// We were deaf for a while; operators see it.
    CoverageGap {
        /// From, server time.
        from: Timestamp,
        /// To, server time.
        to: Timestamp,
        /// Why.
        cause: GapCause,
    },
    /// A neighbourhood has gone silent.
    OutageBegan {
        /// When it was noticed, server time.
        at: Timestamp,
        /// What and where.
        outage: Outage,
    },
    /// It is heard again.
    OutageEnded {
        /// When, server time.
        at: Timestamp,
        /// What and where.
        outage: Outage,
    },
}
