//! The registry and its imports.

use crate::api::types::{Id, Time};
use crate::domain::enrolment::Field;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What the registry keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistryKind {
    /// Owners and their families.
    People,
    /// E-bikes and motorcycles.
    Vehicles,
    /// What sends positions.
    Trackers,
}

impl RegistryKind {
    /// Its name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Vehicles => "vehicles",
            Self::Trackers => "trackers",
        }
    }

    /// Whether a thing of this kind has a fact; some are there from its beginning and stay.
    pub fn has(self, field: Field, is_new: bool) -> bool {
        use Field::*;
        match self {
            Self::People => matches!(field, Name | Phone | IdNumber),
            Self::Vehicles => matches!(field, Plate | Kind | Make | Model | Colour | FrameNumber | MotorNumber),
            Self::Trackers => {
                matches!(field, Protocol | Transport | TrackerModel | Iccid | SimNumber | Batch)
                    || field == Ident && is_new
            }
        }
    }

    /// What a new one must have.
    pub fn needs(self) -> &'static [Field] {
        match self {
            Self::People => &[Field::Name, Field::Phone],
            Self::Vehicles => &[Field::Plate, Field::Kind],
            Self::Trackers => &[Field::Ident, Field::Protocol],
        }
    }

    /// Whether a fact may be taken away. A person whom nobody can reach cannot log in either.
    pub fn may_lack(self, field: Field) -> bool {
        !self.needs().contains(&field) && field != Field::Transport
    }

    /// Whether a fact that is not there is an empty text, and not null.
    pub fn is_text(self, field: Field) -> bool {
        use Field::*;
        matches!(field, Make | Model | Colour | TrackerModel | Batch)
    }
}

/// A row of a list: what it has depends on the kind, see docs/api.md.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegistryRow {
    /// Its number.
    pub id: Id,
    /// The rest.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub more: Map<String, Value>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegistryRows {
    /// In the order of their numbers.
    pub rows: Vec<RegistryRow>,
    /// Where the next page begins; null: this is the last.
    pub next_cursor: Option<Id>,
}

/// A person, vehicle or tracker, whole: what it has depends on the kind, see docs/api.md.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegistryRecord {
    /// Its number.
    pub id: Id,
    /// Grows with each change; the ETag has it, too.
    pub version: i32,
    /// The rest.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub more: Map<String, Value>,
}

/// An import and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// Its number.
    pub id: Id,
    /// As it was called.
    pub file_name: String,
    /// `new`, `filling`, `checked`, `running`, `done` or `cancelled`.
    pub state: String,
    /// The headings of the file.
    pub headers: Vec<String>,
    /// The fact of each column; null: it is left out.
    pub mapping: Vec<Option<String>>,
    /// Whether bad rows are left out; null: it has not been started.
    pub only_good: Option<bool>,
    /// Why.
    pub reason: String,
    /// Rows of the file.
    pub rows: i32,
    /// Of them those that the check found bad.
    pub bad: i32,
    /// Rows done.
    pub gone_through: i32,
    /// Of them those that were left out.
    pub refused: i32,
    /// People that it made.
    pub people_made: i32,
    /// Vehicles that it made.
    pub vehicles_made: i32,
    /// Trackers that it made.
    pub trackers_made: i32,
    /// When it was made.
    pub made_at: Time,
    /// When it was started.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// Imports, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Imports {
    /// The last 50 of the organisation.
    pub imports: Vec<Import>,
}

/// A row of the report: what is wrong, where, and what may stand there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportProblem {
    /// Line of the file, from 1.
    pub line: i32,
    /// The fact.
    pub field: String,
    /// What stands there, its beginning.
    pub value: String,
    /// A word for programs.
    pub code: String,
    /// What may stand there; of `repeated` the line that has it first.
    pub allowed: String,
}

/// A page of a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportProblems {
    /// In the order of lines.
    pub problems: Vec<ImportProblem>,
    /// The line after which the next page begins; null: this is the last.
    pub next_line: Option<i32>,
}
