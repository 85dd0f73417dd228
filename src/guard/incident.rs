//! Incidents: signals of one theft become one, and each kind wakes once.

use super::params::IncidentParams;
use super::vehicle::{OpenIncident, Vehicle};
use crate::domain::{Alert, Finding, IncidentEnd, IncidentId, Timestamp, VehicleId};

/// Tells an alert. Kinds that wake the owner open an incident or attach to the open one; a kind
/// that the open incident knows already is not told again, unless calm lay between.
pub fn tell(vehicle: &mut Vehicle, mut alert: Alert, out: &mut Vec<Finding>) {
    if !alert.kind.wakes_owner() {
        out.push(Finding::Alert(Box::new(alert)));
        return;
    }
    match &mut vehicle.incident {
        Some(open) => {
            let told_at = open.told.iter().find(|(kind, _)| *kind == alert.kind).map(|(_, at)| *at);
            if told_at.is_some_and(|told| open.calm_again_at.is_none_or(|calm| calm <= told)) {
                return;
            }
            alert.incident = Some(open.id);
            open.told.retain(|(kind, _)| *kind != alert.kind);
            open.told.push((alert.kind, alert.raised_at));
        }
        None => {
            let id = IncidentId::derive(alert.vehicle, alert.cause, alert.raised_at);
            out.push(Finding::IncidentOpened { incident: id, vehicle: alert.vehicle, at: alert.raised_at });
            alert.incident = Some(id);
            vehicle.incident = Some(OpenIncident {
                id,
                told: vec![(alert.kind, alert.raised_at)],
                calm_since: None,
                calm_again_at: None,
            });
        }
    }
    out.push(Finding::Alert(Box::new(alert)));
}

/// Notes whether the vehicle stands quietly at its guard point, as a moment that arrived at
/// `received_at` says.
pub fn note_calm(params: &IncidentParams, vehicle: &mut Vehicle, is_calm: bool, received_at: Timestamp) {
    let Some(open) = &mut vehicle.incident else { return };
    if !is_calm {
        open.calm_since = None;
        return;
    }
    let since = *open.calm_since.get_or_insert(received_at);
    if received_at.seconds_since(since) >= f64::from(params.repeat_after_calm_s) {
        open.calm_again_at = Some(received_at);
    }
}

/// Closes the open incident, if any.
pub fn close(vehicle: &mut Vehicle, id: VehicleId, at: Timestamp, end: IncidentEnd) -> Vec<Finding> {
    let open = vehicle.incident.take();
    open.map(|open| Finding::IncidentClosed { incident: open.id, vehicle: id, at, end }).into_iter().collect()
}
