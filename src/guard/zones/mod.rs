//! All zones, in every version that an event may still ask for, and what each may still push.
//!
//! A change keeps the version before it for a while: an event is judged by the rule that was valid when
//! it happened. Which zones are near a position, `index` finds.

mod index;
pub mod presence;

use crate::domain::{LatLon, Timestamp, VehicleId, Zone, ZoneId};
use crate::guard::hashing::Table;
use crate::guard::params::ZoneParams;
use crate::guard::zones::index::Index;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// Versions kept of one zone; somebody who edits more often within the time asks for it.
const VERSIONS_MAX: usize = 4;
/// Beyond so many buckets, those that are full again are forgotten: a full bucket is as none.
const BUCKETS_KEPT: usize = 1024;

/// What a zone was from a time on; `None`: it was gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Version {
    from: Timestamp,
    zone: Option<Zone>,
}

/// Versions of each zone, oldest first.
type Versions = Table<ZoneId, Vec<Version>>;

/// All zones, with their index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Zones {
    versions: Versions,
    /// When versions were superseded, oldest first: what to forget in time.
    superseded: VecDeque<(Timestamp, ZoneId)>,
    /// What each zone may still push; only those that have pushed lately.
    buckets: BTreeMap<ZoneId, Bucket>,
    /// Derived from `versions`; built once after a restart.
    #[serde(skip)]
    index: Option<Index>,
}

/// A token bucket: a burst, then one token every so often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    tokens: f32,
    at: Timestamp,
}

impl Zones {
    /// Adds or changes a zone, valid from then on.
    pub fn put(&mut self, params: &ZoneParams, zone: Zone, from: Timestamp) {
        self.add(params, zone.id, Some(zone), from);
    }

    /// Removes a zone, from then on.
    pub fn remove(&mut self, params: &ZoneParams, id: ZoneId, from: Timestamp) {
        if self.versions.contains_key(&id) {
            self.add(params, id, None, from);
        }
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// A zone as it was at a time, and since when it had been so.
    pub fn valid(&self, id: ZoneId, at: Timestamp) -> Option<(&Zone, Timestamp)> {
        valid(&self.versions, id, at)
    }

    /// Zones of a vehicle or of the city whose boxes touch the way between two positions, as they
    /// were at a time, by their numbers; at most `near_max`, which bounds what a fix can cost.
    pub fn near(
        &mut self,
        params: &ZoneParams,
        vehicle: VehicleId,
        way: (LatLon, LatLon),
        at: Timestamp,
        mut visit: impl FnMut(&Zone, Timestamp),
    ) {
        let index = self.index.get_or_insert_with(|| Index::build(current_and_past(&self.versions)));
        for (id, from) in index.near(usize::from(params.near_max), vehicle, way) {
            if let Some((zone, from)) = valid(&self.versions, id, at).filter(|(_, valid_from)| *valid_from == from) {
                visit(zone, from);
            }
        }
    }

    /// Looks at what `near` will need of vehicles at places, so that the waits for memory overlap. Changes nothing.
    pub fn prefetch(&self, vehicles: &[(VehicleId, LatLon)]) {
        let Some(index) = &self.index else { return };
        let found = index.prefetch(vehicles);
        let versions: SmallVec<[&Version; 16]> =
            found.iter().filter_map(|(id, _)| self.versions.get(id)?.last()).collect();
        let said = versions.iter().map(|v| v.zone.as_ref().map_or(0, |z| z.dwell_s)).fold(0, u32::wrapping_add);
        std::hint::black_box(said);
    }

    /// Takes a token for an alert of a zone at a server time; `false`: one too many.
    pub fn take_token(&mut self, params: &ZoneParams, id: ZoneId, at: Timestamp) -> bool {
        let refilled = |b: &Bucket| {
            (b.tokens + at.seconds_since(b.at).max(0.0) as f32 / params.storm_every_s).min(params.storm_burst)
        };
        if self.buckets.len() > BUCKETS_KEPT {
            self.buckets.retain(|_, b| refilled(b) < params.storm_burst);
        }
        let bucket = self.buckets.entry(id).or_insert(Bucket { tokens: params.storm_burst, at });
        bucket.tokens = refilled(bucket);
        bucket.at = bucket.at.max(at);
        let is_there = bucket.tokens >= 1.0;
        if is_there {
            bucket.tokens -= 1.0;
        }
        is_there
    }

    fn add(&mut self, params: &ZoneParams, id: ZoneId, zone: Option<Zone>, from: Timestamp) {
        let versions = self.versions.entry(id).or_default();
        // Times of settings are in order but for a hair: each begins when its transaction did.
        let from = versions.last().map_or(from, |last| last.from.max(from));
        if versions.last().is_some_and(|last| last.zone == zone) {
            return; // told again
        }
        if let Some(index) = &mut self.index {
            zone.iter().for_each(|z| index.insert(z, from));
        }
        if !versions.is_empty() {
            self.superseded.push_back((from, id));
        }
        versions.push(Version { from, zone });
        if versions.len() > VERSIONS_MAX {
            self.forget_oldest(id);
        }
        while let Some(&(since, id)) = self.superseded.front()
            && from.seconds_since(since) > params.history_s
        {
            self.superseded.pop_front();
            if self.versions.get(&id).is_some_and(|v| v.get(1).is_some_and(|second| second.from <= since)) {
                self.forget_oldest(id);
            }
        }
    }

    /// Forgets the oldest version of a zone, and the zone with it if it is gone since.
    fn forget_oldest(&mut self, id: ZoneId) {
        let Some(versions) = self.versions.get_mut(&id) else { return };
        let oldest = versions.remove(0);
        if let (Some(index), Some(zone)) = (&mut self.index, &oldest.zone) {
            index.remove(zone, oldest.from);
        }
        if versions.iter().all(|v| v.zone.is_none()) {
            self.versions.remove(&id);
        }
    }
}

fn valid(versions: &Versions, id: ZoneId, at: Timestamp) -> Option<(&Zone, Timestamp)> {
    let version = versions.get(&id)?.iter().rev().find(|v| v.from <= at)?;
    Some((version.zone.as_ref()?, version.from))
}

/// Every version that is an area, and since when it was so.
fn current_and_past(versions: &Versions) -> impl Iterator<Item = (&Zone, Timestamp)> {
    versions.values().flatten().filter_map(|v| Some((v.zone.as_ref()?, v.from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ZoneRule, ZoneShape};

    fn zone(id: i64, east_m: f64, vehicle: Option<i64>) -> Zone {
        Zone {
            id: ZoneId(id),
            name: format!("zone {id}"),
            shape: ZoneShape::Circle { centre: place(east_m), radius_m: 100.0 },
            rule: ZoneRule::Both,
            vehicle: vehicle.map(VehicleId),
            dwell_s: 0,
            schedule: None,
            vehicle_kind: None,
        }
    }

    fn place(east_m: f64) -> LatLon {
        LatLon::new(28.55, 112.35 + east_m / 97_671.0)
    }

    fn near(zones: &mut Zones, vehicle: i64, at_s: i64, east_m: f64) -> Vec<i64> {
        let (mut found, here) = (Vec::new(), place(east_m));
        let params = ZoneParams::default();
        zones.near(&params, VehicleId(vehicle), (here, here), Timestamp::from_secs(at_s), |z, _| found.push(z.id.0));
        found.sort_unstable();
        found
    }

    /// The same zones as if the program had started again.
    fn restarted(zones: &Zones) -> Zones {
        serde_json::from_str(&serde_json::to_string(zones).unwrap()).unwrap()
    }

    #[test]
    fn zones_come_go_and_move_without_a_new_index() {
        let (params, at) = (ZoneParams::default(), Timestamp::from_secs);
        let mut zones = Zones::default();
        assert!(near(&mut zones, 1, 0, 0.0).is_empty(), "the index exists from here on");
        for id in 0..200 {
            zones.put(&params, zone(id, id as f64 * 1000.0, None), at(10));
        }
        assert_eq!(near(&mut zones, 1, 10, 7000.0), [7]);
        zones.put(&params, zone(7, 50_000.0, None), at(20));
        zones.remove(&params, ZoneId(8), at(20));
        for zones in [&mut zones.clone(), &mut restarted(&zones)] {
            assert_eq!(near(zones, 1, 20, 7000.0), [] as [i64; 0]);
            assert_eq!(near(zones, 1, 20, 50_000.0), [7, 50]);
            assert_eq!(near(zones, 1, 20, 8000.0), [] as [i64; 0]);
        }
    }

    #[test]
    fn an_event_meets_the_version_that_was_valid_when_it_happened() {
        let (params, at) = (ZoneParams::default(), Timestamp::from_secs);
        let mut zones = Zones::default();
        zones.put(&params, zone(1, 0.0, None), at(100));
        zones.put(&params, zone(1, 5000.0, None), at(200));
        zones.remove(&params, ZoneId(1), at(300));
        for zones in [&mut zones.clone(), &mut restarted(&zones)] {
            let found = [99, 100, 199, 200, 299, 300].map(|t| (near(zones, 1, t, 0.0), near(zones, 1, t, 5000.0)));
            let (none, one) = (Vec::<i64>::new, || vec![1]);
            let (first, second) = ((one(), none()), (none(), one()));
            assert_eq!(found, [(none(), none()), first.clone(), first, second.clone(), second, (none(), none())]);
        }
    }

    #[test]
    fn old_versions_and_zones_long_gone_are_forgotten() {
        let params = ZoneParams::default();
        let mut zones = Zones::default();
        for day in 0..60_i64 {
            let at = Timestamp::from_secs(day * 86_400);
            zones.put(&params, zone(1, day as f64, None), at);
            zones.put(&params, zone(100 + day, 0.0, Some(3)), at);
            zones.remove(&params, ZoneId(100 + day), at);
        }
        assert!(zones.versions[&ZoneId(1)].len() <= VERSIONS_MAX);
        let kept_days = (params.history_s / 86_400.0) as usize + 2;
        assert!(zones.versions.len() <= kept_days + 1, "{} zones are remembered", zones.versions.len());
    }

    #[test]
    fn somebody_elses_zone_is_not_even_looked_at() {
        let mut zones = Zones::default();
        for id in 0..1000 {
            zones.put(&ZoneParams::default(), zone(id, 0.0, Some(id)), Timestamp::from_secs(0));
        }
        assert_eq!(near(&mut zones, 77, 0, 0.0), [77]);
    }

    #[test]
    fn a_storm_of_one_zone_is_held_back_and_calms_down() {
        let params = ZoneParams::default();
        let mut zones = Zones::default();
        let mut passed = |id, from_s: i64, count: i64| {
            (0..count).filter(|n| zones.take_token(&params, ZoneId(id), Timestamp::from_secs(from_s + n))).count()
        };
        assert_eq!(passed(1, 0, 600), 30 + 29, "a burst, then one every twenty seconds");
        assert_eq!(passed(2, 300, 10), 10, "another zone has its own");
        assert_eq!(passed(1, 10_000, 30), 30, "after calm the burst is there again");
    }

    #[test]
    fn what_a_fix_can_cost_is_bounded_however_many_zones_lie_on_each_other() {
        let params = ZoneParams::default();
        let mut zones = Zones::default();
        for id in (0..1000).rev() {
            zones.put(&params, zone(id, 0.0, None), Timestamp::from_secs(0));
        }
        let first: Vec<i64> = (0..i64::from(params.near_max)).collect();
        assert_eq!(near(&mut zones, 1, 0, 0.0), first, "the same ones, in whatever order they came");
    }
}
