//! Incidents: one theft episode, from the first suspicion to its end, with what people said of it.

use crate::domain::{AlertKind, Timestamp};
use serde::{Deserialize, Serialize};

/// How far an incident has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// One signal says so.
    #[default]
    Suspected,
    /// Signals agree, or the owner says so.
    Confirmed,
    /// Its fixes show where the vehicle goes.
    Followed,
    /// The vehicle is parked quietly at its guard point again, or the owner has it back.
    Recovered,
    /// Over: disarmed, armed again, the owner's phone is with it, another tracker is in it.
    Closed,
    /// Over: the owner said that it was no theft.
    FalseAlarm,
}

impl IncidentState {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Followed => "followed",
            Self::Recovered => "recovered",
            Self::Closed => "closed",
            Self::FalseAlarm => "false_alarm",
        }
    }
}

/// How grave an incident is, by its score.
pub fn severity(score: f32) -> &'static str {
    match score {
        s if s >= 0.8 => "critical",
        s if s >= 0.5 => "high",
        _ => "low",
    }
}

/// Why an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentEnd {
    /// The owner disarmed the guard.
    Disarmed,
    /// The owner armed it again, at another place.
    Rearmed,
    /// The owner said: it is me.
    FalseAlarm,
    /// It stood at its guard point again, or the owner said that it is back.
    Recovered,
    /// The owner's phone is with it.
    Phone,
    /// It carries another tracker now, whose reports begin again.
    TrackerChanged,
}

impl IncidentEnd {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disarmed => "disarmed",
            Self::Rearmed => "rearmed",
            Self::FalseAlarm => "false_alarm",
            Self::Recovered => "recovered",
            Self::Phone => "phone",
            Self::TrackerChanged => "tracker_changed",
        }
    }

    /// The state it leaves behind.
    pub fn state(self) -> IncidentState {
        match self {
            Self::Disarmed | Self::Rearmed | Self::Phone | Self::TrackerChanged => IncidentState::Closed,
            Self::FalseAlarm => IncidentState::FalseAlarm,
            Self::Recovered => IncidentState::Recovered,
        }
    }
}

/// What the owner says of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is me: no theft; further alarms of this ride are held off.
    Me,
    /// It is stolen: follow it.
    Stolen,
    /// I have it back.
    Recovered,
}

impl Answer {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Stolen => "stolen",
            Self::Recovered => "recovered",
        }
    }
}

/// A line of an incident's timeline beside its alerts. Nothing that was raised is ever withdrawn; what
/// explains it later is noted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The owner answered.
    Answered {
        /// What.
        answer: Answer,
    },
    /// It came to another state.
    Became {
        /// Which.
        state: IncidentState,
    },
    /// The owner had disarmed it before the alert; we heard of that later.
    DisarmedBefore {
        /// When it was disarmed.
        at: Timestamp,
    },
    /// A fix that arrived late shows it at its guard point.
    AtHome {
        /// When it was there.
        at: Timestamp,
        /// The alert that this explains.
        alert: AlertKind,
    },
    /// An alarm of the ride that the owner had claimed was held off.
    HeldOff {
        /// Which.
        alert: AlertKind,
    },
    /// The claimed ride is over; the guard begins again where the vehicle is parked.
    RideOver {
        /// Alarms that were held off.
        held_off: u32,
    },
}

impl Note {
    /// Its name in tables and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::Became { .. } => "became",
            Self::DisarmedBefore { .. } => "disarmed_before",
            Self::AtHome { .. } => "at_home",
            Self::HeldOff { .. } => "held_off",
            Self::RideOver { .. } => "ride_over",
        }
    }
}
