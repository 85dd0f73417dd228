//! What is raised because time passed and nothing came: a loss of power that nobody took back, contact, silence.

use crate::domain::{Alert, AlertKind, Cause, Finding, Timestamp, VehicleId};
use crate::guard::coverage::Resumed;
use crate::guard::incident;
use crate::guard::params::Params;
use crate::guard::rules::power;
use crate::guard::rules::{DEADLINE_VERSION, evidence, threshold};
use crate::guard::state::silence::Step;
use crate::guard::state::vehicle::Vehicle;

/// What a deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Power is lost and nobody said that it is back.
    Power,
    /// Nothing was heard.
    Silence(Step),
}

/// The next deadline of a guarded vehicle.
pub fn next_deadline(params: &Params, vehicle: &Vehicle, resumed: Resumed) -> Option<(Timestamp, Deadline)> {
    vehicle.armed_at?;
    let resumed_at = resumed.of(vehicle);
    let power = power::due(&params.power, vehicle, resumed_at).map(|due| (due, Deadline::Power));
    let silence = vehicle.silence.due(&params.silence, resumed_at).map(|(due, step)| (due, Deadline::Silence(step)));
    match (power, silence) {
        (Some(p), Some(s)) => Some(if p.0 <= s.0 { p } else { s }),
        (p, s) => p.or(s),
    }
}

/// A deadline passed. `is_excused`: its silence is its neighbourhood's.
pub fn meet_deadline(
    params: &Params,
    id: VehicleId,
    vehicle: &mut Vehicle,
    due: Timestamp,
    (deadline, is_excused): (Deadline, bool),
    findings: &mut Vec<Finding>,
) {
    let (kind, rule, thresholds) = match deadline {
        Deadline::Power => {
            vehicle.power.raised = true;
            (AlertKind::PowerCut, "power_cut", vec![threshold("power_deadline_s", params.power.deadline_s)])
        }
        Deadline::Silence(step) => {
            if is_excused {
                vehicle.silence.excuse(due);
            } else {
                vehicle.silence.raised(step);
            }
            let interval = threshold("rhythm_s", vehicle.silence.report_interval_s(&params.silence));
            match step {
                Step::Unheard => (
                    AlertKind::ArmedWithoutContact,
                    "armed_without_contact",
                    vec![threshold("silence_unheard_s", params.silence.unheard_s), interval],
                ),
                Step::Lost => (
                    AlertKind::LostContact,
                    "lost_contact",
                    vec![threshold("silence_lost_rhythms", params.silence.lost_rhythms), interval],
                ),
                Step::Silent => (
                    if is_excused { AlertKind::SilentInOutage } else { AlertKind::Silent },
                    "silence",
                    vec![threshold("silence_tolerated_s", params.silence.tolerated_s), interval],
                ),
            }
        }
    };
    let alert = Alert {
        vehicle: id,
        kind,
        raised_at: due,
        cause: Cause::Deadline,
        incident: None,
        late: false,
        position: vehicle.last_place(),
        held_back: false,
        evidence: evidence(vehicle, rule, DEADLINE_VERSION, thresholds),
    };
    incident::raise(&params.incident, vehicle, alert, findings);
}
