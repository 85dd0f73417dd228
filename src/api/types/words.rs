//! The words that fields hold, each list a schema of its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident: $($word:ident)+;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)] // docs/api.md explains the words
        pub enum $name { $($word,)+ }
    )+};
}

words! {
    /// What an account may do.
    Role: Owner Family Installer Operator Police Approver Auditor Admin;
    /// What a vehicle is.
    VehicleKind: Ebike Motorcycle;
    /// What one may do with a vehicle: it is one's own, or each word holds those before it.
    VehicleRight: See Arm Answer Own;
    /// `no_contact`: it is guarded, but its tracker is silent or never spoke, so nobody watches.
    Protection: Off Protected NoContact;
    /// How a tracker is heard, by its own interval: `late` misses one report, `silent` three. `off`: positioning is off by choice.
    ContactState: Online Late Silent Never Off;
    /// Which trackers are listed: all, or those that are heard so.
    TrackerFilter: All Online Late Silent Never Off;
    /// Where a fix comes from.
    FixSource: Gnss Cell Wifi;
    /// Who began or ended a guard session.
    ArmedBy: Owner Schedule Parked Phone;
    /// `alarm`: it wakes the owner. `notice`: it informs.
    AlertLevel: Alarm Notice;
    /// How far an incident has come.
    IncidentState: Suspected Confirmed Followed Recovered Closed FalseAlarm;
    /// How grave an incident is, by its score.
    Severity: Low High Critical;
    /// Why an incident ended.
    CloseReason: Disarmed Rearmed FalseAlarm Recovered Phone TrackerChanged;
    /// What an owner says of an incident.
    Answer: Me Stolen Recovered;
    /// What about a zone raises an alert.
    ZoneRule: Enter Exit Both Dwell Forbidden;
    /// A coordinate reference system; `gcj02` is the datum of Chinese maps.
    Crs: Wgs84 Gcj02;
    /// What the trackers of an outage have in common.
    OutageKind: Lane Firmware Area Cell;
    /// `connection`: to the broker, which kept what came. `session_lost`: it has lost what it had kept for us.
    /// `away`: nobody worked on the lane; broker, door or trackers kept what came. `door_away`: no door was linked.
    CoverageGapCause: Connection SessionLost Away DoorAway;
}

/// What an alert states: docs/alerts.md. Kinds that begin with `pre_` inform; the others wake the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertKind(pub String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain;
    use serde_json::json;

    #[test]
    fn the_words_of_the_domain_are_those_of_the_document() {
        let reads = |state: &str| serde_json::from_value::<IncidentState>(json!(state)).is_ok();
        for end in ["disarmed", "rearmed", "false_alarm", "recovered", "phone", "tracker_changed"] {
            let reason: CloseReason = serde_json::from_value(json!(end)).unwrap();
            let domain: domain::IncidentEnd = serde_json::from_value(json!(reason)).unwrap();
            assert_eq!(domain.name(), end);
            assert!(reads(domain.state().name()));
        }
        for state in ["suspected", "confirmed", "followed"] {
            assert!(reads(serde_json::from_value::<domain::IncidentState>(json!(state)).unwrap().name()));
        }
        for answer in [domain::Answer::Me, domain::Answer::Stolen, domain::Answer::Recovered] {
            assert!(serde_json::from_value::<Answer>(json!(answer)).is_ok());
        }
        for tenth in 0..=10u8 {
            let severity = domain::severity(f32::from(tenth) / 10.0);
            assert!(serde_json::from_value::<Severity>(json!(severity)).is_ok(), "{severity}");
        }
    }
}
