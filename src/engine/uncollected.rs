//! What is acknowledged and not kept: packets beyond a quota, those of vehicles whose positioning is off by choice
//! (`docs/decisions/0036-off-by-choice.md`), and what comes late of a person who was erased.

use super::clock::Reading;
use super::{LaneState, Quarantined, Reply, Tracker};
use crate::domain::topic::Address;
use crate::domain::{
    Entry, Finding, Flood, IncidentEnd, Moment, Packet, Report, Setting, Timestamp, TrackerIdent, TrackerKey,
    VehicleId, Withheld,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};

/// Reason of packets that were cut.
pub const FLOOD: &str = "flood";

/// Vehicles whose positioning was switched by settings that the lane has not applied yet: whether it is off.
pub type Switched = BTreeMap<VehicleId, bool>;

/// Times of a vehicle without positioning, or of a tracker with persons who were erased, that are remembered one by one.
/// Of more the two oldest become one, and what was measured between them and comes this late is not kept either.
const PAST_MAX: usize = 8;

/// Times of which nothing is kept: from, before.
type Times = Vec<(Timestamp, Timestamp)>;

fn remember(times: &mut Times, time: (Timestamp, Timestamp)) {
    times.push(time);
    times.sort_unstable();
    if times.len() > PAST_MAX {
        let (from, to) = times.remove(0);
        (times[0].0, times[0].1) = (from, times[0].1.max(to));
    }
}

fn covers(times: &Times, at: Timestamp) -> bool {
    times.iter().any(|(from, to)| (*from..*to).contains(&at))
}

/// Whether a vehicle's positioning is off, and when it was: what was measured then is not kept, whenever it comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Positioning {
    off_since: Option<Timestamp>,
    past: Times,
}

impl Positioning {
    fn switch(&mut self, off: bool, at: Timestamp) {
        match (off, self.off_since) {
            (true, None) => self.off_since = Some(at),
            (false, Some(since)) => {
                self.off_since = None;
                remember(&mut self.past, (since, at));
            }
            _ => {}
        }
    }
}

/// The vehicles whose owners ever switched positioning off, and the trackers of people who were erased.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PositioningTable {
    vehicles: BTreeMap<VehicleId, Positioning>,
    erased: BTreeMap<TrackerKey, Times>,
}

impl PositioningTable {
    fn is_empty(&self) -> bool {
        self.vehicles.is_empty() && self.erased.is_empty()
    }

    fn is_off(&self, vehicle: VehicleId) -> bool {
        self.vehicles.get(&vehicle).is_some_and(|p| p.off_since.is_some())
    }

    /// What the tracker measured in a time is to be kept no more.
    pub fn erase(&mut self, tracker: TrackerKey, time: (Timestamp, Timestamp)) {
        remember(self.erased.entry(tracker).or_default(), time);
    }

    /// Whether what was measured at a time is known to be unwanted, now that positioning is on.
    fn covers(&self, vehicle: Option<VehicleId>, tracker: Option<TrackerKey>, at: Timestamp) -> bool {
        let known = vehicle.and_then(|v| self.vehicles.get(&v));
        known.is_some_and(|p| covers(&p.past, at) || p.off_since.is_some_and(|since| at >= since))
            || tracker.and_then(|t| self.erased.get(&t)).is_some_and(|times| covers(times, at))
    }

    /// Whether there is any such time; else nothing has to be decoded for it.
    fn has_times(&self, vehicle: Option<VehicleId>, tracker: Option<TrackerKey>) -> bool {
        vehicle.is_some_and(|v| self.vehicles.contains_key(&v)) || tracker.is_some_and(|t| self.erased.contains_key(&t))
    }

    /// Whether a setting asks for a guard that nothing can be seen for.
    pub fn is_in_vain(&self, setting: &Setting) -> bool {
        match setting {
            Setting::Arm { vehicle } | Setting::Guarding { vehicle, .. } | Setting::Phone { vehicle } => {
                self.is_off(*vehicle)
            }
            _ => false,
        }
    }

    /// Takes out of a report what is of a time that nobody wants kept, by the clock as it was read.
    pub fn drop_uncollected(&self, tracker: &Tracker, report: &mut Report, readings: &mut SmallVec<[Reading; 1]>) {
        let (vehicle, tracker) = (tracker.vehicle(), Some(tracker.key));
        if !self.has_times(vehicle, tracker) {
            return;
        }
        let is_wanted = |m: &Moment| !times(m).any(|at| self.covers(vehicle, tracker, at));
        let wanted: Vec<bool> = report.moments.iter().map(is_wanted).collect();
        let (mut of_moments, mut of_readings) = (wanted.iter(), wanted.iter());
        report.moments.retain(|_| of_moments.next().is_none_or(|wanted| *wanted));
        readings.retain(|_| of_readings.next().is_none_or(|wanted| *wanted));
    }
}

/// The times that a moment says.
fn times(moment: &Moment) -> impl Iterator<Item = Timestamp> {
    moment.at.into_iter().chain(moment.fix.as_ref().and_then(|fix| fix.fixed_at))
}

/// What will be believed once the settings among the entries before are applied.
struct Ahead<'s> {
    state: &'s LaneState,
    switched: Switched,
    carried: HashMap<&'s TrackerIdent, Option<VehicleId>>,
}

impl<'s> Ahead<'s> {
    fn learn(&mut self, setting: &'s Setting) {
        match setting {
            Setting::Positioning { vehicle, off, .. } => drop(self.switched.insert(*vehicle, *off)),
            Setting::Tracker { ident, vehicle, .. } => drop(self.carried.insert(ident, *vehicle)),
            Setting::TrackerRemoved { ident } => drop(self.carried.insert(ident, None)),
            _ => {}
        }
    }

    fn is_unwanted(&self, packet: &Packet) -> bool {
        let Some(ident) = packet.tracker() else { return false };
        let (known, positioning) = (self.state.table.get(&ident), &self.state.positioning);
        let vehicle = self.carried.get(&ident).copied().unwrap_or_else(|| known.and_then(Tracker::vehicle));
        let is_off = |v: VehicleId| self.switched.get(&v).copied().unwrap_or_else(|| positioning.is_off(v));
        if vehicle.is_some_and(is_off) {
            return true;
        }
        // It is on, by now: what the tracker kept of other times goes as a whole, with what else lies in the packet.
        let tracker = known.map(|t| t.key);
        positioning.has_times(vehicle, tracker)
            && self.state.decode(packet).is_ok_and(|(_, report)| {
                report.moments.iter().flat_map(times).any(|at| positioning.covers(vehicle, tracker, at))
            })
    }
}

impl LaneState {
    /// Replaces packets that nobody wants kept by counts of them; returns what is owed to their senders, who would send
    /// them again. `switched`: what settings say that come later than the packets in order, and are in force already.
    pub fn withhold(&self, entries: &mut Vec<Entry>, switched: &Switched) -> Vec<Reply> {
        let is_switch = |e: &Entry| matches!(e, Entry::Setting { setting: Setting::Positioning { .. }, .. });
        if self.positioning.is_empty() && switched.is_empty() && !entries.iter().any(is_switch) {
            return Vec::new();
        }
        let mut ahead = Ahead { state: self, switched: switched.clone(), carried: HashMap::new() };
        let unwanted: Vec<bool> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Setting { setting, .. } => {
                    ahead.learn(setting);
                    false
                }
                Entry::Packet(packet) => ahead.is_unwanted(packet),
                _ => false,
            })
            .collect();
        let (mut replies, mut counted) = (Vec::new(), HashMap::<String, usize>::new());
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for (entry, unwanted) in entries.drain(..).zip(unwanted) {
            match entry {
                Entry::Packet(packet) if unwanted => {
                    replies.extend(self.replies_to(&packet).into_iter().flatten());
                    let (topic, at) = (packet.topic, packet.received_at);
                    match counted.get(&topic).and_then(|place| kept.get_mut(*place)) {
                        Some(Entry::Withheld(count)) => {
                            count.packets += 1;
                            (count.from, count.to) = (count.from.min(at), count.to.max(at));
                        }
                        _ => {
                            counted.insert(topic.clone(), kept.len());
                            kept.push(Entry::Withheld(Withheld { topic, packets: 1, from: at, to: at }));
                        }
                    }
                }
                entry => kept.push(entry),
            }
        }
        *entries = kept;
        replies
    }

    /// From now on nothing of a vehicle is collected, and nobody guards it; or it is collected again.
    pub(super) fn switch_positioning(&mut self, vehicle: VehicleId, off: bool, at: Timestamp) -> Vec<Finding> {
        self.positioning.vehicles.entry(vehicle).or_default().switch(off, at);
        if off { self.guard.release(vehicle, at, IncidentEnd::Disarmed) } else { Vec::new() }
    }

    /// Packets that were cut, as one thing in quarantine.
    pub(super) fn flood(&self, flood: &Flood) -> Quarantined {
        let ident = Address::parse(&flood.topic).ok().map(|address| address.ident);
        let Flood { packets, bytes, from, to, .. } = flood;
        Quarantined {
            tracker: ident.as_ref().and_then(|ident| self.known(ident)).map(|(tracker, _)| tracker.key),
            ident: ident.map(|ident| ident.to_string()),
            reason: FLOOD,
            detail: format!(
                "{packets} packets of {bytes} bytes beyond the tracker's quota in {:.0} ms; not kept",
                to.seconds_since(*from) * 1000.0
            ),
            security: true,
        }
    }
}

#[cfg(test)]
mod tests;
