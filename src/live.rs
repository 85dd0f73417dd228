//! What lanes tell the live map: compact news on an internal topic, after commit 2.
//!
//! QoS 0 and no queue: the next position makes up for a lost one, alerts are read again from the
//! database by those who need them for sure.

use crate::domain::{Finding, Lane, Timestamp};
use crate::store::alerts::Written;
use crate::store::effects::Applied;
use serde::{Deserialize, Serialize};

/// Filter for the news of all lanes.
pub const FILTER: &str = "rideguard/live/+";

/// The lane whose news come by a topic.
pub fn lane_of(topic: &str) -> Option<Lane> {
    topic.strip_prefix("rideguard/live/")?.parse().ok().map(Lane)
}

/// Where a lane's news go.
pub fn topic(lane: Lane) -> String {
    format!("rideguard/live/{}", lane.0)
}

/// What happened in one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// The newest trustworthy fix of each vehicle in the batch.
    pub fixes: Vec<LiveFix>,
    /// Vehicles whose guard was switched: id, armed.
    pub guards: Vec<(i64, bool)>,
    /// Incidents opened or closed: vehicle, open.
    pub incidents: Vec<(i64, bool)>,
    /// Alerts written: row, vehicle.
    pub alerts: Vec<(i64, i64)>,
}

/// A vehicle's place, as live maps need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveFix {
    /// Which vehicle.
    pub vehicle: i64,
    /// When, by its tracker.
    pub fixed_at: Timestamp,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// km/h.
    pub speed_kmh: Option<f32>,
}

impl News {
    /// The news of a batch. Without any the lane says just that it works: each tick of the clock is a batch.
    pub fn of(applied: &Applied<'_>, written: &[Written]) -> Self {
        let mut news = Self::default();
        for (_, effects) in &applied.entries {
            for row in effects
                .fixes
                .iter()
                .filter(|r| r.flags.is_trustworthy() && r.flags.0 & crate::fold::FixFlags::LATE == 0)
            {
                let Some(vehicle) = row.vehicle else { continue };
                let (at, fix) = (row.fixed_at, &row.fix);
                news.fixes.push(LiveFix {
                    vehicle: vehicle.0,
                    fixed_at: at,
                    lat: fix.position.lat_deg,
                    lon: fix.position.lon_deg,
                    speed_kmh: fix.speed_kmh,
                });
            }
            news.guards.extend(effects.guards.iter().map(|guard| (guard.vehicle.0, guard.armed)));
            for finding in &effects.findings {
                match finding {
                    Finding::IncidentOpened { vehicle, .. } => news.incidents.push((vehicle.0, true)),
                    Finding::IncidentClosed { vehicle, .. } => news.incidents.push((vehicle.0, false)),
                    _ => {}
                }
            }
        }
        // One too many of a storm is kept and listed, and pushed to nobody.
        let pushed = written.iter().filter(|w| !w.alert.held_back);
        news.alerts.extend(pushed.map(|w| (w.alert_id, w.alert.vehicle.0)));
        news
    }

    /// As sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As received; `None` if it is not ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
