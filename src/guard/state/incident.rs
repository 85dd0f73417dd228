//! The incident that is open, and the ride that its owner claims.

use crate::domain::{AlertKind, Answer, Finding, IncidentId, IncidentState, Note, Timestamp, VehicleId};
use crate::guard::params::IncidentParams;
use crate::guard::state::plane::Point;
use serde::{Deserialize, Serialize};

/// The incident that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenIncident {
    /// Which.
    pub id: IncidentId,
    /// Which kinds were raised in it, and when (server time).
    #[serde(rename = "told")]
    pub raised: Vec<(AlertKind, Timestamp)>,
    /// Since when the vehicle has been parked quietly at its guard point again, server time.
    pub calm_since: Option<Timestamp>,
    /// When it had last been parked so for long enough that the next alarm is news, server time.
    pub calm_again_at: Option<Timestamp>,
    /// How far it has come.
    pub state: IncidentState,
    /// How sure it is, 0..1.
    pub score: f32,
    /// Fixes in a row far from the guard point.
    pub away: u8,
    /// Kinds that late fixes have explained.
    pub explained: Vec<AlertKind>,
    /// What its owner said of it; checkpoints of before this field do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// The ride that the owner claimed ("it is me"): its alarms are held off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimedRide {
    /// The incident that was answered.
    pub incident: IncidentId,
    /// It ends here at the latest, event time.
    pub until: Timestamp,
    /// Where it seems to be parked, and since when.
    pub standing: Option<(Point, Timestamp)>,
    /// Alarms held off.
    pub held_off: u32,
}

impl OpenIncident {
    /// Another signal of this weight: independent signals leave room for doubt only together.
    pub fn become_surer(
        &mut self,
        params: &IncidentParams,
        id: VehicleId,
        at: Timestamp,
        weight: f32,
        out: &mut Vec<Finding>,
    ) {
        self.score = 1.0 - (1.0 - self.score) * (1.0 - weight);
        if self.state == IncidentState::Suspected && self.score >= params.confirmed_score {
            self.become_state(id, at, IncidentState::Confirmed, out);
        } else if weight > 0.0 {
            out.push(self.changed(id, at));
        }
    }

    /// It has come as far as this.
    pub fn become_state(&mut self, id: VehicleId, at: Timestamp, state: IncidentState, out: &mut Vec<Finding>) {
        self.state = state;
        out.push(self.changed(id, at));
        out.push(self.noted(at, Note::Became { state }));
    }

    /// That it has changed.
    pub fn changed(&self, vehicle: VehicleId, at: Timestamp) -> Finding {
        Finding::IncidentChanged { incident: self.id, vehicle, at, state: self.state, score: self.score }
    }

    /// A note on it.
    pub fn noted(&self, at: Timestamp, note: Note) -> Finding {
        Finding::IncidentNoted { incident: self.id, at, note }
    }

    /// A fix that arrived late shows the vehicle at home: within the silence that was raised, or after
    /// the movement that was raised.
    pub fn explain(&mut self, happened_at: Timestamp, received_at: Timestamp, out: &mut Vec<Finding>) {
        let explains = |(kind, raised): &&(AlertKind, Timestamp)| match kind {
            AlertKind::Silent => happened_at < *raised,
            AlertKind::Moved | AlertKind::MovedByCell => happened_at > *raised,
            _ => false,
        };
        let kinds: Vec<_> = self.raised.iter().filter(explains).map(|(kind, _)| *kind).collect();
        for alert in kinds {
            if !self.explained.contains(&alert) {
                self.explained.push(alert);
                out.push(self.noted(received_at, Note::AtHome { at: happened_at, alert }));
            }
        }
    }
}
