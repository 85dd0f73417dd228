//! A vehicle as a checkpoint keeps it: what few vehicles have lies beside the rest there, as it always did.

use crate::domain::{Timestamp, VehicleKind};
use crate::guard::outage::PeerGroups;
use crate::guard::state::alarms::Alarms;
use crate::guard::state::anchor::Anchor;
use crate::guard::state::incident::OpenIncident;
use crate::guard::state::plane::{Plane, Point};
use crate::guard::state::power::PowerState;
use crate::guard::state::rare::{Rare, RareState};
use crate::guard::state::sample::Sample;
use crate::guard::state::session::Session;
use crate::guard::state::signal_loss::GnssLoss;
use crate::guard::state::silence::SilenceState;
use crate::guard::state::stale_position::Stale;
use crate::guard::state::vehicle::{SAMPLES_AT_REST, SEEN_MAX, Vehicle, second_of};
use crate::guard::zones::presence::ZonePresence;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

impl Serialize for Vehicle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        VehicleCheckpoint::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Vehicle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        VehicleCheckpoint::deserialize(deserializer).map(Self::from)
    }
}

/// See the module; the fields are those of [`Vehicle`].
#[derive(Serialize, Deserialize)]
struct VehicleCheckpoint {
    armed_at: Option<Timestamp>,
    disarmed_at: Option<Timestamp>,
    plane: Option<Plane>,
    anchor: Option<Anchor>,
    samples: SmallVec<[Sample; SAMPLES_AT_REST]>,
    is_calm: bool,
    seen: [u32; SEEN_MAX],
    #[serde(default)]
    beside: Option<Beside>,
    rested_at: Option<Timestamp>,
    tells_speed: bool,
    speed_at_rest_kmh: f32,
    newest_at: Option<Timestamp>,
    alarms: Alarms,
    power: Power,
    silence: SilenceState,
    kind: Option<VehicleKind>,
    sides: ZonePresence,
    suspicion_told: bool,
    incident: Option<Box<OpenIncident>>,
    session: Option<Box<Session>>,
    hood: PeerGroups,
    scheduled: Option<Timestamp>,
}

/// What is known beside satellite fixes.
#[derive(Serialize, Deserialize)]
struct Beside {
    cells: Vec<Point>,
    #[serde(rename = "dark")]
    gnss_loss: Option<GnssLoss>,
    stale: Option<Stale>,
}

/// The supply.
#[derive(Serialize, Deserialize)]
struct Power {
    was_there: bool,
    lost: Option<(Timestamp, Timestamp)>,
    told: bool,
    #[serde(default)]
    battery_is_low: bool,
}

impl From<Vehicle> for VehicleCheckpoint {
    fn from(v: Vehicle) -> Self {
        let RareState { cells, gnss_loss, stale, lost, incident } = v.rare.into_state();
        let is_beside = !cells.is_empty() || gnss_loss.is_some() || stale.is_some();
        let PowerState { was_there, raised, battery_is_low } = v.power;
        Self {
            armed_at: v.armed_at,
            disarmed_at: v.disarmed_at,
            plane: v.plane,
            anchor: v.anchor,
            samples: v.samples,
            is_calm: v.is_calm,
            seen: v.seen,
            beside: is_beside.then_some(Beside { cells, gnss_loss, stale }),
            rested_at: v.rested_at,
            tells_speed: v.tells_speed,
            speed_at_rest_kmh: v.speed_at_rest_kmh,
            newest_at: v.newest_at,
            alarms: v.alarms,
            power: Power { was_there, lost, told: raised, battery_is_low },
            silence: v.silence,
            kind: v.kind,
            sides: v.sides,
            suspicion_told: v.suspicion_raised,
            incident,
            session: v.session,
            hood: v.peers,
            scheduled: v.scheduled.map(|second| Timestamp::from_secs(second.get().into())),
        }
    }
}

impl From<VehicleCheckpoint> for Vehicle {
    fn from(k: VehicleCheckpoint) -> Self {
        let Power { was_there, lost, told: raised, battery_is_low } = k.power;
        let (cells, gnss_loss, stale) = k.beside.map_or_else(Default::default, |b| (b.cells, b.gnss_loss, b.stale));
        let mut vehicle = Self {
            armed_at: k.armed_at,
            disarmed_at: k.disarmed_at,
            plane: k.plane,
            anchor: k.anchor,
            samples: k.samples,
            is_calm: k.is_calm,
            seen: k.seen,
            rare: Rare::default(),
            rested_at: k.rested_at,
            tells_speed: k.tells_speed,
            speed_at_rest_kmh: k.speed_at_rest_kmh,
            newest_at: k.newest_at,
            alarms: k.alarms,
            power: PowerState { was_there, raised, battery_is_low },
            silence: k.silence,
            kind: k.kind,
            sides: k.sides,
            suspicion_raised: k.suspicion_told,
            session: k.session,
            peers: k.hood,
            scheduled: k.scheduled.and_then(second_of),
        };
        vehicle.rare.change(|rare| *rare = RareState { cells, gnss_loss, stale, lost, incident: k.incident });
        vehicle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AlarmKind, IncidentState};

    /// As programs wrote it while the rare things were in the vehicle itself (before 2026-11-28).
    #[test]
    fn what_programs_before_wrote_is_read_and_written_the_same() {
        let before = serde_json::json!({
            "armed_at": 1_770_000_000_000_000i64, "disarmed_at": null, "plane": {"lat_e6": 28_550_000, "lon_e6": 112_350_000},
            "anchor": {"centre": {"east_m": 1.5, "north_m": -2.0}, "weight": 3.0, "quantile_m": 15.0}, "samples": [],
            "is_calm": true, "seen": [1, 2, 3, 4],
            "beside": {"cells": [{"east_m": 100.0, "north_m": 50.0}], "dark": null, "stale": null},
            "rested_at": 1_770_000_100_000_000i64, "tells_speed": true, "speed_at_rest_kmh": 0.5,
            "newest_at": 1_770_000_100_000_000i64, "alarms": 1u64 << AlarmKind::Tamper as u32,
            "power": {"was_there": true, "lost": [1_770_000_050_000_000i64, 1_770_000_051_000_000i64], "told": false,
                "battery_is_low": true},
            "silence": {"heard_at": 1_770_000_101_000_000i64, "rhythm_s": 300.0, "told_lost": false, "told_silent": false,
                "has_window": false, "is_pressing": false},
            "kind": null, "sides": {"last": null, "presences": []}, "suspicion_told": false,
            "incident": {"id": 9, "told": [], "calm_since": null, "calm_again_at": null,
                "state": IncidentState::Confirmed, "score": 0.875, "away": 0, "explained": []},
            "session": null, "hood": {"area": 5, "cell": 0, "firmware": 7, "is_member": true},
            "scheduled": 1_770_000_351_000_000i64
        });
        let vehicle: Vehicle = serde_json::from_value(before.clone()).unwrap();
        assert!(vehicle.alarms.any(&[AlarmKind::Tamper]) && vehicle.rare.incident().is_some());
        assert_eq!((vehicle.rare.get().cells.len(), vehicle.rare.get().lost.is_some()), (1, true));
        assert_eq!(serde_json::to_value(&vehicle).unwrap(), before);
        let bare = serde_json::to_value(Vehicle::default()).unwrap();
        assert_eq!(serde_json::from_value::<Vehicle>(bare).unwrap(), Vehicle::default());
    }

    /// What few vehicles have, in the names of 56bfafe.
    #[test]
    fn what_few_vehicles_have_is_read_and_written_under_its_first_names() {
        let (at, later) = (1_770_000_000_000_000i64, 1_770_000_060_000_000i64);
        let place = serde_json::json!({"east_m": 1.5, "north_m": -2.0});
        let mut before = serde_json::to_value(Vehicle::default()).unwrap();
        before["beside"] = serde_json::json!({
            "cells": [],
            "dark": {"since": at, "lost_sky": true, "told": 5, "shaken": 4, "shaken_at": later,
                "masts": [place, null, null, null, null, null, null, null]},
            "stale": {"place": place, "since": at, "moved_at": later, "reports": 7, "moving": 6, "is_told": true}
        });
        before["incident"] = serde_json::json!({"id": 9, "told": [["moved", at]], "calm_since": at, "calm_again_at": later,
            "state": IncidentState::Confirmed, "score": 0.875, "away": 1, "explained": ["silent"], "answer": "stolen"});
        before["session"] = serde_json::json!({
            "policy": {"schedule": null, "auto_after_s": 300}, "by": "schedule", "appointment": later, "was_on": true,
            "off_since": at, "ride": {"incident": 9, "until": later, "standing": [place, at], "held_off": 2}
        });
        before["sides"]["presences"] = serde_json::json!([{"zone": 5, "side": "Inside", "contrary": 1, "is_news": true,
            "is_stay_told": true, "since": at, "version": at}]);
        before["suspicion_told"] = true.into();
        before["power"]["told"] = true.into();
        before["silence"]["told_lost"] = true.into();
        let vehicle: Vehicle = serde_json::from_value(before.clone()).unwrap();
        assert!(vehicle.rare.get().gnss_loss.is_some_and(|l| l.lost_gnss && l.packets == 5 && l.towers_passed() == 1));
        assert!(
            vehicle.rare.get().stale.is_some_and(|s| s.is_raised) && vehicle.suspicion_raised && vehicle.power.raised
        );
        assert_eq!(vehicle.session.as_ref().and_then(|s| s.schedule_timer), Some(Timestamp::from_micros(later)));
        assert_eq!(serde_json::to_value(&vehicle).unwrap(), before);
        let packed = rmp_serde::to_vec_named(&vehicle).unwrap();
        assert_eq!(rmp_serde::from_slice::<Vehicle>(&packed).unwrap(), vehicle);
    }
}
