//! Silence judged against the neighbourhood: a dead cell is one operator alert, not a thousand thefts.
//!
//! A lane sees its own shards only, a sixteenth of the city. Shards are hashes of identifiers, so a
//! lane's trackers of a cell, a square or a firmware are a fair sample of all of them, and a share
//! of the sample is a share of the whole. What a lane cannot see are neighbourhoods that have fewer
//! than `lost_min` guarded vehicles in it, about 16 × as many in the city; there, each vehicle is
//! judged by itself, as without this module.
//!
//! A guarded vehicle belongs to its cell, its square, its firmware and the lane. It counts as lost
//! from its "lost contact" deadline until it is heard. An outage is noticed when enough of a group
//! were last heard within the same minutes; operators see it a report interval later, of the whole lane if all of
//! it is silent. Vehicles that
//! are lost with it wait until it is over before their silence wakes anybody.

mod peers;

pub use peers::PeerGroups;

use crate::domain::{Cell, Finding, LatLon, Moment, Outage, OutageKind, Timestamp, VehicleId, Way};
use crate::guard::coverage::Resumed;
use crate::guard::params::HoodParams;
use crate::guard::state::vehicle::Vehicle;
use peers::{Key, LANE, LANE_BY_DOOR, is_no};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Squares of the grid per degree: about a kilometre of the city.
const SQUARES_PER_DEGREE: f64 = 100.0;

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What people read of [`LANE_BY_DOOR`].
const DOOR: &str = "door";

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    /// For people; empty where the number says it.
    name: String,
    members: u32,
    /// Members that come at our own door.
    #[serde(default, skip_serializing_if = "is_none")]
    members_by_door: u32,
    /// Members that are lost, by when they were last heard.
    lost: BTreeSet<(Timestamp, VehicleId)>,
    outage: Option<Noticed>,
}

/// An outage of a group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Noticed {
    /// When its first lost member was last heard.
    began_at: Timestamp,
    /// When enough were lost.
    noticed_at: Timestamp,
    /// Most that were lost at a time.
    worst: u32,
    /// When enough of them were heard again.
    ended_at: Option<Timestamp>,
    /// Whether operators see it.
    #[serde(rename = "is_told")]
    is_raised: bool,
    /// Whether those at the door alone showed it, as nobody could hear the others.
    #[serde(default, skip_serializing_if = "is_no")]
    by_door: bool,
}

/// All groups of a lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "OutageCheckpoint", into = "OutageCheckpoint")]
pub struct OutageDetector {
    groups: BTreeMap<Key, Group>,
    /// When lost vehicles were last heard.
    lost: BTreeMap<VehicleId, Timestamp>,
    /// Those of them that come at our own door.
    lost_by_door: BTreeSet<VehicleId>,
    /// Groups with an outage, until it is past.
    watched: BTreeSet<Key>,
}

/// As a checkpoint keeps it: text formats have no maps with such keys.
#[derive(Serialize, Deserialize)]
struct OutageCheckpoint {
    groups: Vec<(Key, Group)>,
    lost: BTreeMap<VehicleId, Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    lost_by_door: BTreeSet<VehicleId>,
    watched: BTreeSet<Key>,
}

impl From<OutageCheckpoint> for OutageDetector {
    fn from(kept: OutageCheckpoint) -> Self {
        let OutageCheckpoint { groups, lost, lost_by_door, watched } = kept;
        Self { groups: groups.into_iter().collect(), lost, lost_by_door, watched }
    }
}

impl From<OutageDetector> for OutageCheckpoint {
    fn from(detector: OutageDetector) -> Self {
        let OutageDetector { groups, lost, lost_by_door, watched } = detector;
        Self { groups: groups.into_iter().collect(), lost, lost_by_door, watched }
    }
}

impl OutageDetector {
    /// Follows where a vehicle belongs, by a moment it sent and its newest place; a vehicle that is not
    /// guarded belongs nowhere. Returns what it now belongs to.
    pub fn follow(
        &mut self,
        vehicle: VehicleId,
        before: PeerGroups,
        is_guarded: bool,
        place: Option<LatLon>,
        moment: &Moment,
    ) -> PeerGroups {
        let mut peers = before;
        if let Some(place) = place {
            peers.area = square(place);
        }
        let cell = moment.network.cells.first();
        if let Some(c) = cell {
            let mut key = [0; 16];
            key[..2].copy_from_slice(&c.mcc.to_be_bytes());
            key[2..4].copy_from_slice(&c.mnc.to_be_bytes());
            key[4..8].copy_from_slice(&c.area.to_be_bytes());
            key[8..].copy_from_slice(&c.cell.to_be_bytes());
            peers.cell = number(&key);
        }
        let firmware = moment.status.firmware.as_deref();
        if let Some(name) = firmware {
            peers.firmware = number(name.as_bytes());
        }
        peers.is_member = is_guarded;
        if peers != before {
            self.leave(vehicle, before);
            if is_guarded {
                self.join(peers, cell, firmware);
            }
        }
        peers
    }

    /// A vehicle's tracker comes by this way from now on. What was paused until now has not been due meanwhile.
    pub fn come_by(&mut self, id: VehicleId, vehicle: &mut Vehicle, way: Way, resumed: Resumed) {
        let before = vehicle.peers;
        if before.by_door == way.is_door() {
            return;
        }
        if let Some((at, heard)) = vehicle.rare.get().lost {
            vehicle.rare.set_lost(Some((at, resumed.of(vehicle).map_or(heard, |r| r.max(heard)))));
        }
        vehicle.peers.by_door = way.is_door();
        if before.is_member {
            self.join(vehicle.peers, None, None); // first, so that its groups keep their names
            self.leave(id, before);
        }
    }

    /// A vehicle is guarded no longer, or forgotten. Returns what is left to know of it.
    pub fn leave(&mut self, vehicle: VehicleId, peers: PeerGroups) -> PeerGroups {
        self.find(vehicle, peers);
        for key in peers.groups().filter(|_| peers.is_member) {
            if let Some(group) = self.groups.get_mut(&key) {
                group.members = group.members.saturating_sub(1);
                group.members_by_door = group.members_by_door.saturating_sub(peers.by_door.into());
                if group.members == 0 && group.outage.is_none() {
                    self.groups.remove(&key);
                }
            }
        }
        PeerGroups { by_door: peers.by_door, ..PeerGroups::default() }
    }

    fn join(&mut self, peers: PeerGroups, cell: Option<&Cell>, firmware: Option<&str>) {
        for key in peers.groups() {
            let group = self.groups.entry(key).or_default();
            group.members += 1;
            group.members_by_door += u32::from(peers.by_door);
            match key.0 {
                OutageKind::Cell if group.name.is_empty() => {
                    let name = cell.map(|c| format!("{}-{}-{}-{}", c.mcc, c.mnc, c.area, c.cell));
                    group.name = name.unwrap_or_default();
                }
                OutageKind::Firmware if group.name.is_empty() => {
                    group.name = firmware.unwrap_or_default().chars().take(64).collect();
                }
                _ => {}
            }
        }
    }

    /// A vehicle has lost contact; that may show an outage of its peers, raised by `tick`. While those behind the broker
    /// cannot be missed (`is_broker_unheard`), those at the door may show it alone.
    pub fn lose(
        &mut self,
        params: &HoodParams,
        (vehicle, peers): (VehicleId, PeerGroups),
        is_broker_unheard: bool,
        heard_at: Timestamp,
        at: Timestamp,
    ) {
        if !peers.is_member || self.lost.insert(vehicle, heard_at).is_some() {
            return;
        }
        if peers.by_door {
            self.lost_by_door.insert(vehicle);
        }
        let (mut is_behind, all, at_door) =
            (false, |_: VehicleId| true, |vehicle: VehicleId| self.lost_by_door.contains(&vehicle));
        let is_alone = peers.by_door && is_broker_unheard;
        for key in peers.groups() {
            let Some(group) = self.groups.get_mut(&key) else { continue };
            group.lost.insert((heard_at, vehicle));
            if let Some(outage) = &mut group.outage
                && outage.ended_at.is_none()
            {
                outage.worst = outage.worst.max(group.lost.len() as u32);
                is_behind = true;
                continue;
            }
            if is_behind {
                continue;
            }
            let of_all = group.together_since(params, key.0, (group.members, &all), heard_at);
            let of_door = || group.together_since(params, key.0, (group.members_by_door, &at_door), heard_at);
            if let Some(began_at) = of_all.or_else(|| of_door().filter(|_| is_alone)) {
                let (worst, by_door) = (group.lost.len() as u32, of_all.is_none());
                let noticed = Noticed { began_at, noticed_at: at, worst, ended_at: None, is_raised: false, by_door };
                group.outage = Some(noticed);
                self.watched.insert(key);
                is_behind = true;
            }
        }
    }

    /// A vehicle is heard (again).
    pub fn hear(&mut self, vehicle: VehicleId, peers: PeerGroups) {
        self.find(vehicle, peers);
    }

    /// Lets time pass: raises outages that were noticed a while ago, unless all of the lane is
    /// silent by now (that is one outage, not one for each of its squares); reports those that are over.
    pub fn tick(&mut self, params: &HoodParams, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        let is_out = |key| self.groups.get(key).and_then(|g| g.outage).is_some_and(|o| o.ended_at.is_none());
        let is_lane_out = [LANE, LANE_BY_DOOR].iter().any(is_out);
        self.watched.retain(|key| {
            let Some(group) = self.groups.get_mut(key) else { return false };
            let lost = group.lost.len() as f32;
            let Some(mut outage) = group.outage else { return false };
            let is_due = now.seconds_since(outage.noticed_at) >= params.tell_after_s;
            if !outage.is_raised && is_due && outage.ended_at.is_none() && (!is_lane_out || key.0 == OutageKind::Lane) {
                outage.is_raised = true;
                let vehicles = group.lost.iter().map(|(_, vehicle)| *vehicle).collect();
                let began = Outage { vehicles, ..group.outage_of(*key, outage.began_at) };
                findings.push(Finding::OutageBegan { at: now, outage: began });
            }
            if outage.ended_at.is_none() && lost <= params.over_share * outage.worst as f32 {
                outage.ended_at = Some(now);
                let end = Finding::OutageEnded { at: now, outage: group.outage_of(*key, outage.began_at) };
                findings.extend(outage.is_raised.then_some(end));
            }
            let is_past = outage.ended_at.is_some_and(|ended| now.seconds_since(ended) > params.grace_s);
            group.outage = (!is_past).then_some(outage);
            if is_past && group.members == 0 {
                self.groups.remove(key);
            }
            !is_past
        });
        findings
    }

    /// Whether the silence of a lost vehicle is its neighbourhood's: it began with an outage that goes on,
    /// or has just ended. Until `resumed_at` nobody heard those behind the broker: they fell silent some time before.
    pub fn is_behind(
        &self,
        params: &HoodParams,
        vehicle: VehicleId,
        peers: PeerGroups,
        resumed_at: Option<Timestamp>,
        at: Timestamp,
    ) -> bool {
        let Some(heard_at) = self.lost.get(&vehicle) else { return false };
        let silent_by = resumed_at.filter(|_| !peers.by_door).map_or(*heard_at, |r| r.max(*heard_at));
        let explains = |outage: Noticed| {
            let after_s = heard_at.seconds_since(outage.began_at);
            let is_over = outage.ended_at.is_some_and(|ended| at.seconds_since(ended) > params.grace_s);
            let latest_after_s = if outage.by_door { silent_by.seconds_since(outage.began_at) } else { after_s };
            // The slowest reporter is heard last a while after the fastest.
            latest_after_s >= -params.together_s && after_s <= 2.0 * params.together_s && !is_over
        };
        // A dead cell does not end at the border of a square: those around count, too.
        let around = around(peers.area).map(|number| (OutageKind::Area, number));
        peers.groups().chain(around).any(|key| self.groups.get(&key).and_then(|g| g.outage).is_some_and(explains))
    }

    /// The vehicle counts as lost no longer.
    fn find(&mut self, vehicle: VehicleId, peers: PeerGroups) {
        let Some(heard_at) = self.lost.remove(&vehicle) else { return };
        self.lost_by_door.remove(&vehicle);
        for key in peers.groups() {
            if let Some(group) = self.groups.get_mut(&key) {
                group.lost.remove(&(heard_at, vehicle));
            }
        }
    }
}

impl Group {
    /// When the first was last heard, if enough of some members were last heard within the same minutes: how many there are,
    /// and which.
    fn together_since(
        &self,
        params: &HoodParams,
        kind: OutageKind,
        (members, is_one): (u32, &impl Fn(VehicleId) -> bool),
        heard_at: Timestamp,
    ) -> Option<Timestamp> {
        let share = match kind {
            OutageKind::Cell | OutageKind::Area => params.place_share,
            OutageKind::Lane | OutageKind::Firmware => params.wide_share,
        };
        let needed = (share * members as f32).ceil().max(f32::from(params.lost_min)) as usize;
        if self.lost.len() < needed {
            return None; // seldom more: looking further costs only while an outage begins
        }
        let from = heard_at.plus_secs_f64(-params.together_s);
        let to = heard_at.plus_secs_f64(params.together_s);
        let among = self.lost.range((from, VehicleId(i64::MIN))..=(to, VehicleId(i64::MAX)));
        let mut together = among.filter(|(_, vehicle)| is_one(*vehicle));
        let first = together.next()?.0;
        (together.take(needed).count() + 1 >= needed).then_some(first)
    }

    fn outage_of(&self, (kind, number): Key, began_at: Timestamp) -> Outage {
        let name = match kind {
            OutageKind::Lane => if number == LANE_BY_DOOR.1 { DOOR } else { "" }.into(),
            OutageKind::Area => {
                let corner = |n: u32| f64::from(n) / SQUARES_PER_DEGREE;
                let (lat, lon) = ((number - 1) / 36_001, (number - 1) % 36_001);
                format!("{:.2}, {:.2}", corner(lat) - 90.0, corner(lon) - 180.0)
            }
            OutageKind::Cell | OutageKind::Firmware => self.name.clone(),
        };
        let (lost, vehicles) = (self.lost.len() as u32, Vec::new());
        Outage { kind, name, began_at, lost, members: self.members, vehicles }
    }
}

/// The number of the square that holds a place, from 1.
fn square(place: LatLon) -> u32 {
    let index = |degrees: f64| (degrees * SQUARES_PER_DEGREE) as u32;
    index(place.lat_deg + 90.0) * 36_001 + index(place.lon_deg + 180.0) + 1
}

/// The squares around a square; none around the unknown one.
fn around(area: u32) -> impl Iterator<Item = u32> {
    let rows = [area.saturating_sub(36_001), area, area.saturating_add(36_001)];
    let columns = move |row: u32| [row.saturating_sub(1), row, row.saturating_add(1)];
    rows.into_iter().flat_map(columns).filter(move |number| area != 0 && *number != 0)
}

/// A number for a name; never 0, which says unknown.
fn number(name: &[u8]) -> u32 {
    crc32fast::hash(name).max(1)
}

#[cfg(test)]
mod tests;
