//! Zones: what a vehicle's way past their borders raises.

use crate::domain::{Alert, AlertKind, Cause, Finding, VehicleId};
use crate::guard::Arrival;
use crate::guard::params::Params;
use crate::guard::rules::{evidence, threshold};
use crate::guard::state::vehicle::Vehicle;
use crate::guard::zones::Zones;
use crate::guard::zones::presence::{self, Crossing, Sighting, ZoneEvent};

/// Raised whenever the meaning of the zone rules changes.
const ZONE_VERSION: u32 = 2;

/// Raises what a vehicle did at zones: those that it entered, left, stayed in or must not be in.
pub fn raise(
    params: &Params,
    zones: &mut Zones,
    (id, vehicle): (VehicleId, &mut Vehicle),
    sighting: Sighting,
    arrival: &Arrival,
    findings: &mut Vec<Finding>,
) {
    let crossings = presence::observe(&params.zone, zones, (id, vehicle.kind), &mut vehicle.sides, sighting);
    for Crossing { zone, event, since, by_way } in crossings {
        let thresholds = vec![
            threshold("zone_margin_m", params.zone.margin_m),
            threshold("zone_confirm_fixes", params.zone.confirm_fixes),
            threshold("zone_inside_s", sighting.at.seconds_since(since)),
            threshold("zone_passed_between_fixes", by_way),
        ];
        let mut evidence = evidence(vehicle, "zone", ZONE_VERSION, thresholds);
        evidence.zone = Some(zone);
        evidence.zone_name = zones.valid(zone, since).map(|(z, _)| z.name.clone());
        let alert = Alert {
            vehicle: id,
            kind: match event {
                ZoneEvent::Entered => AlertKind::ZoneEnter,
                ZoneEvent::Left => AlertKind::ZoneExit,
                ZoneEvent::Stayed => AlertKind::ZoneDwell,
                ZoneEvent::Forbidden => AlertKind::ZoneForbidden,
            },
            raised_at: arrival.received_at,
            cause: Cause::Packet(arrival.digest),
            incident: None,
            late: arrival.received_at.seconds_since(sighting.at) > params.clock.late_s,
            position: Some(sighting.place),
            held_back: !zones.take_token(&params.zone, zone, arrival.received_at),
            evidence,
        };
        findings.push(Finding::Alert(Box::new(alert)));
    }
}
