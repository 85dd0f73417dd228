//! Incidents: signals of one theft become one, and each kind wakes once.

use super::params::IncidentParams;
use super::vehicle::{OpenIncident, Vehicle};
use crate::domain::{Alert, Finding, IncidentEnd, IncidentId, Timestamp, VehicleId};

/// Tells an alert. Kinds that wake the owner open an incident or attach to the open one; a kind
/// that the open incident knows already is not told again, unless calm lay between.
pub fn tell(params: &IncidentParams, vehicle: &mut Vehicle, mut alert: Alert, at: Timestamp, out: &mut Vec<Finding>) {
    if !alert.kind.wakes_owner() {
        out.push(Finding::Alert(Box::new(alert)));
        return;
    }
    match &mut vehicle.incident {
        Some(open) => {
            let was_calm =
                open.calm_since.is_some_and(|c| at.seconds_since(c) >= f64::from(params.repeat_after_calm_s));
            if open.told.iter().any(|(kind, _)| *kind == alert.kind) && !was_calm {
                return;
            }
            open.calm_since = None;
            alert.incident = Some(open.id);
            open.told.retain(|(kind, _)| *kind != alert.kind);
            open.told.push((alert.kind, alert.raised_at));
        }
        None => {
            let id = IncidentId::derive(alert.vehicle, alert.cause, alert.raised_at);
            out.push(Finding::IncidentOpened { incident: id, vehicle: alert.vehicle, at: alert.raised_at });
            alert.incident = Some(id);
            vehicle.incident = Some(OpenIncident { id, told: vec![(alert.kind, alert.raised_at)], calm_since: None });
        }
    }
    out.push(Finding::Alert(Box::new(alert)));
}

/// Notes whether the vehicle stands quietly at its guard point.
pub fn note_calm(vehicle: &mut Vehicle, calm: bool, at: Timestamp) {
    if let Some(open) = &mut vehicle.incident {
        open.calm_since = if calm { open.calm_since.or(Some(at)) } else { None };
    }
}

/// Closes the open incident, if any.
pub fn close(vehicle: &mut Vehicle, id: VehicleId, at: Timestamp, end: IncidentEnd) -> Vec<Finding> {
    let open = vehicle.incident.take();
    open.map(|open| Finding::IncidentClosed { incident: open.id, vehicle: id, at, end }).into_iter().collect()
}
