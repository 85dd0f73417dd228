//! What lanes publish to the live map: updates on an internal topic, after commit 2.
//!
//! QoS 0 and no queue: the next position makes up for a lost one, alerts are read again from the
//! database by those who need them for sure.

use crate::domain::{Entry, Finding, Lane, Note, Setting, Timestamp};
use crate::store::commit::Applied;
use crate::store::commit::alerts::Written;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most things of each kind in a message: with the longest numbers 46 KB, below what brokers take (64 KiB). One
/// above that costs the connection, and the answers that wait on it.
const EACH_MAX: usize = 200;

/// Filter for the updates of all lanes.
pub const FILTER: &str = "rideguard/live/+";

/// The lane whose updates come by a topic.
pub fn lane_of(topic: &str) -> Option<Lane> {
    topic.strip_prefix("rideguard/live/")?.parse().ok().map(Lane)
}

/// Where a lane's updates go.
pub fn topic(lane: Lane) -> String {
    format!("rideguard/live/{}", lane.0)
}

/// What happened in one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveUpdate {
    /// Trustworthy fixes; as sent, the newest of each vehicle.
    pub fixes: Vec<LiveFix>,
    /// Vehicles whose guard was switched: id, armed.
    pub guards: Vec<(i64, bool)>,
    /// Incidents opened or closed: vehicle, open.
    pub incidents: Vec<(i64, bool)>,
    /// Incidents that were opened, answered, changed, closed or opened again.
    #[serde(default)]
    pub told_incidents: Vec<i64>,
    /// Alerts written: row, vehicle.
    pub alerts: Vec<(i64, i64)>,
    /// Vehicles whose positioning is off from now on.
    #[serde(default)]
    pub off: Vec<i64>,
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

impl LiveUpdate {
    /// The update of a batch. Without any the lane says just that it works: each tick of the clock is a batch.
    pub fn of(applied: &Applied<'_>, written: &[Written]) -> Self {
        let mut update = Self::default();
        for (entry, effects) in &applied.entries {
            if let Entry::Setting { setting: Setting::Positioning { vehicle, off: true, .. }, .. } = entry {
                update.off.push(vehicle.0);
            }
            for row in effects
                .fixes
                .iter()
                .filter(|r| r.flags.is_trustworthy() && r.flags.0 & crate::engine::FixFlags::LATE == 0)
            {
                let Some(vehicle) = row.vehicle else { continue };
                let fix = LiveFix {
                    vehicle: vehicle.0,
                    fixed_at: row.fixed_at,
                    lat: row.fix.position.lat_deg,
                    lon: row.fix.position.lon_deg,
                    speed_kmh: row.fix.speed_kmh,
                };
                update.fixes.push(fix);
            }
            update.guards.extend(effects.guards.iter().map(|guard| (guard.vehicle.0, guard.armed)));
            for finding in &effects.findings {
                let changed = match finding {
                    Finding::IncidentOpened { incident, vehicle, .. }
                    | Finding::IncidentReopened { incident, vehicle, .. } => {
                        update.incidents.push((vehicle.0, true));
                        incident
                    }
                    Finding::IncidentClosed { incident, vehicle, .. } => {
                        update.incidents.push((vehicle.0, false));
                        incident
                    }
                    Finding::IncidentChanged { incident, .. }
                    | Finding::IncidentAnsweredAfterEnd { incident, .. }
                    | Finding::IncidentNoted { incident, note: Note::Answered { .. }, .. } => incident,
                    _ => continue,
                };
                if !update.told_incidents.contains(&changed.as_i64()) {
                    update.told_incidents.push(changed.as_i64());
                }
            }
        }
        // One too many of a storm is kept and listed, and pushed to nobody.
        let pushed = written.iter().filter(|w| !w.alert.held_back);
        update.alerts.extend(pushed.map(|w| (w.alert_id, w.alert.vehicle.0)));
        update
    }

    /// Adds what happened later.
    pub fn add(&mut self, later: Self) {
        self.fixes.extend(later.fixes);
        self.guards.extend(later.guards);
        self.incidents.extend(later.incidents);
        self.told_incidents.extend(later.told_incidents);
        self.alerts.extend(later.alerts);
        self.off.extend(later.off);
    }

    /// Leaves the newest fix of each vehicle, the later one of two at the same time.
    pub fn keep_newest(&mut self) {
        let mut newest = BTreeMap::<i64, LiveFix>::new();
        for fix in self.fixes.drain(..) {
            if newest.get(&fix.vehicle).is_none_or(|known| known.fixed_at <= fix.fixed_at) {
                newest.insert(fix.vehicle, fix);
            }
        }
        self.fixes = newest.into_values().collect();
    }

    /// Whether more happened than that vehicles moved.
    pub fn is_urgent(&self) -> bool {
        !(self.guards.is_empty()
            && self.incidents.is_empty()
            && self.told_incidents.is_empty()
            && self.alerts.is_empty()
            && self.off.is_empty())
    }

    /// As sent: one message, or more if it would be too large for a broker.
    pub fn to_messages(&self) -> Vec<Vec<u8>> {
        let (told, alerts, off) = (self.told_incidents.len(), self.alerts.len(), self.off.len());
        let longest = [self.fixes.len(), self.guards.len(), self.incidents.len(), told, alerts, off].into_iter().max();
        let messages = longest.unwrap_or_default().div_ceil(EACH_MAX).max(1);
        (0..messages)
            .map(|n| {
                let part = Self {
                    fixes: nth_part(&self.fixes, n),
                    guards: nth_part(&self.guards, n),
                    incidents: nth_part(&self.incidents, n),
                    told_incidents: nth_part(&self.told_incidents, n),
                    alerts: nth_part(&self.alerts, n),
                    off: nth_part(&self.off, n),
                };
                serde_json::to_vec(&part).unwrap_or_default()
            })
            .collect()
    }

    /// As received; `None` if it is not ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

fn nth_part<T: Clone>(all: &[T], n: usize) -> Vec<T> {
    all.chunks(EACH_MAX).nth(n).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_the_largest_batch_leave_in_messages_that_a_broker_takes() {
        let fix = |n: i64| LiveFix {
            vehicle: i64::MAX - n,
            fixed_at: Timestamp::from_micros(253_402_300_799_999_999),
            lat: -28.553_219_876_543_21,
            lon: -112.355_123_456_789_01,
            speed_kmh: Some(1.234_567_9e-30),
        };
        let pairs: Vec<_> = (0..2000).map(|n| (i64::MAX - n, i64::MAX)).collect();
        let flags: Vec<_> = (0..2000).map(|n| (i64::MAX - n, false)).collect();
        let told_incidents = (0..2000).map(|n| i64::MAX - n).collect();
        let fixes = (0..2000).map(fix).collect();
        let update = LiveUpdate {
            fixes,
            guards: flags.clone(),
            incidents: flags,
            told_incidents,
            alerts: pairs,
            off: Vec::new(),
        };
        let messages = update.to_messages();
        assert!(messages.iter().all(|m| m.len() < 60_000), "{:?}", messages.iter().map(Vec::len).max());
        let read: Vec<LiveUpdate> = messages.iter().filter_map(|m| LiveUpdate::from_bytes(m)).collect();
        assert_eq!(read.len(), messages.len());
        assert_eq!(read.iter().flat_map(|n| n.fixes.clone()).collect::<Vec<_>>(), update.fixes);
        assert_eq!(read.iter().flat_map(|n| n.alerts.clone()).collect::<Vec<_>>(), update.alerts);
    }

    #[test]
    fn of_two_batches_the_newest_fix_of_each_vehicle_is_told_and_everything_else() {
        let fix = |vehicle: i64, at: i64, lat: f64| LiveFix {
            vehicle,
            fixed_at: Timestamp::from_micros(at),
            lat,
            lon: 112.0,
            speed_kmh: None,
        };
        let mut update = LiveUpdate { fixes: vec![fix(2, 5, 1.0), fix(1, 9, 2.0)], ..LiveUpdate::default() };
        assert!(!update.is_urgent());
        let fixes = vec![fix(1, 8, 3.0), fix(2, 5, 4.0)];
        let told_incidents = vec![5];
        update.add(LiveUpdate {
            fixes,
            guards: vec![(1, true)],
            incidents: vec![(2, true)],
            told_incidents,
            alerts: vec![(7, 2)],
            off: Vec::new(),
        });
        update.keep_newest();
        assert_eq!(update.fixes, [fix(1, 9, 2.0), fix(2, 5, 4.0)]);
        assert!(update.is_urgent());
        assert_eq!((update.guards.len(), update.incidents.len(), update.alerts.len()), (1, 1, 1));
    }

    #[test]
    fn a_batch_without_news_still_says_that_its_lane_works() {
        assert_eq!(LiveUpdate::default().to_messages().len(), 1);
    }
}
