//! On which side of each zone a vehicle is: in, out, stayed, forbidden, ridden through unseen.
//!
//! A change of side needs a margin beyond the border and a second fix, so a fix on the border does
//! not chatter. Between two sparse fixes the straight way counts: a zone that it leads through was
//! entered and left, unless the next fix leads back through it (a wrong fix) or it was no way for a
//! vehicle.

use crate::domain::{LatLon, Timestamp, VehicleId, VehicleKind, Zone, ZoneId, ZoneRule, distance_m};
use crate::guard::params::ZoneParams;
use crate::guard::zones::Zones;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// No degree is longer than this, metres.
const METRES_PER_DEGREE_MAX: f64 = 112_000.0;

/// A position at an event time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub place: LatLon,
}

/// What a vehicle's relation to one zone is believed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Presence {
    zone: ZoneId,
    side: Side,
    /// Fixes in a row that say otherwise.
    contrary: u8,
    /// Whether coming in is news (not if it was inside all along unnoticed).
    is_news: bool,
    /// Whether the stay was raised.
    #[serde(rename = "is_stay_told")]
    is_stay_raised: bool,
    /// First fix inside, event time.
    since: Timestamp,
    /// Which version of the zone it is about, by its beginning.
    version: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    /// Outside as far as is believed; fixes inside have begun.
    Arriving,
    Inside,
    /// The way to the newest fix led through.
    Passing,
}

/// What the guard remembers of one vehicle's zones; small, as a city is full of vehicles that are in none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "ZonePresenceCheckpoint", into = "ZonePresenceCheckpoint")]
pub struct ZonePresence {
    /// When zones saw it last, and where, in parts of a degree.
    last_at: Option<Timestamp>,
    last_place: (i32, i32),
    /// Zones that it is in, about to enter, or may have passed; `None`: none.
    presences: Option<Box<Presences>>,
}

type Presences = SmallVec<[Presence; 2]>;

/// Places are kept in such parts of a degree (a centimetre): short decimals survive every format to the bit.
const PARTS_PER_DEGREE: f64 = 1e7;

/// As a checkpoint keeps it.
#[derive(Serialize, Deserialize)]
struct ZonePresenceCheckpoint {
    last: Option<Sighting>,
    presences: Presences,
}

impl From<ZonePresenceCheckpoint> for ZonePresence {
    fn from(kept: ZonePresenceCheckpoint) -> Self {
        let mut sides = Self::default();
        if let Some(last) = kept.last {
            sides.see(last);
        }
        sides.put_back(kept.presences);
        sides
    }
}

impl From<ZonePresence> for ZonePresenceCheckpoint {
    fn from(mut sides: ZonePresence) -> Self {
        Self { last: sides.last(), presences: sides.take() }
    }
}

impl ZonePresence {
    /// When zones saw it last: when it last had a satellite fix, event time.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// Where zones saw it last.
    pub fn last_place(&self) -> Option<LatLon> {
        self.last().map(|last| last.place)
    }

    /// When and where zones saw it last.
    fn last(&self) -> Option<Sighting> {
        let degrees = |parts: i32| f64::from(parts) / PARTS_PER_DEGREE;
        let place = LatLon::new(degrees(self.last_place.0), degrees(self.last_place.1));
        self.last_at.map(|at| Sighting { at, place })
    }

    /// Remembers a sighting, to a centimetre; returns it as it is remembered.
    fn see(&mut self, seen: Sighting) -> Sighting {
        let parts = |degrees: f64| (degrees * PARTS_PER_DEGREE).round() as i32;
        self.last_at = Some(seen.at);
        self.last_place = (parts(seen.place.lat_deg), parts(seen.place.lon_deg));
        self.last().unwrap_or(seen)
    }

    fn take(&mut self) -> Presences {
        self.presences.as_deref_mut().map(std::mem::take).unwrap_or_default()
    }

    fn put_back(&mut self, presences: Presences) {
        if presences.is_empty() {
            self.presences = None;
        } else {
            **self.presences.get_or_insert_default() = presences;
        }
    }
}

/// What happened at a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneEvent {
    /// Came in.
    Entered,
    /// Went out.
    Left,
    /// Has stayed for the time that the rule asks for.
    Stayed,
    /// Is where it must not be.
    Forbidden,
}

/// What happened at one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Which zone.
    pub zone: ZoneId,
    /// What.
    pub event: ZoneEvent,
    /// Since when it is inside, event time.
    pub since: Timestamp,
    /// Whether only the way between two fixes shows it.
    pub by_way: bool,
}

/// Takes in the newest position of a vehicle.
pub fn observe(
    params: &ZoneParams,
    zones: &mut Zones,
    vehicle: (VehicleId, Option<VehicleKind>),
    sides: &mut ZonePresence,
    seen: Sighting,
) -> Vec<Crossing> {
    let last = sides.last();
    let seen = sides.see(seen);
    let mut presences = sides.take();
    let mut crossings = Vec::new();
    if zones.is_empty() {
        sides.presences = None;
        return crossings;
    }
    let way = last.filter(|last| is_way(params, *last, seen));
    let led_back = settle_passings(params, zones, &mut presences, way, seen, &mut crossings);
    let from = way.map_or(seen.place, |w| w.place);
    zones.near(params, vehicle.0, (from, seen.place), seen.at, |zone, version| {
        let is_meant = zone.vehicle_kind.is_none_or(|kind| vehicle.1 == Some(kind));
        let is_known = presences.iter().any(|p| p.zone == zone.id);
        if !is_meant || is_known || presences.len() >= usize::from(params.inside_max) {
            return;
        }
        let side = match is_within(params, zone, seen.place) {
            Some(true) => Side::Arriving,
            // A ring or a road is passed between two fixes that both lie outside.
            Some(false)
                if way.is_some_and(|w| is_passed(params, zone, w.place, seen.place))
                    && !led_back.contains(&zone.id) =>
            {
                Side::Passing
            }
            _ => return,
        };
        // Where it was before decides whether coming in is news.
        let is_news = last.is_some_and(|l| zone.shape.depth_m(l.place) < 0.0);
        let since = seen.at;
        presences.push(Presence { zone: zone.id, side, contrary: 0, is_news, is_stay_raised: false, since, version });
    });
    presences.retain_mut(|presence| match zones.valid(presence.zone, seen.at) {
        Some((zone, version)) if version == presence.version => presence.follow(params, zone, seen, &mut crossings),
        _ => false, // gone, or another area now: no vehicle has left it
    });
    sides.put_back(presences);
    crossings
}

/// Whether a vehicle can have come this way: two fixes not too far apart in time and place, at a speed
/// that vehicles have.
fn is_way(params: &ZoneParams, last: Sighting, seen: Sighting) -> bool {
    let gap_s = seen.at.seconds_since(last.at);
    let way_m_max = params.way_m.min(params.way_speed_mps * gap_s);
    gap_s > 0.0 && gap_s <= params.way_gap_s && is_within_m(last.place, seen.place, way_m_max)
}

/// Whether two places are at most so far apart; those of a parked vehicle are without trigonometry.
fn is_within_m(a: LatLon, b: LatLon, max_m: f64) -> bool {
    let degrees = (a.lat_deg - b.lat_deg).abs() + (a.lon_deg - b.lon_deg).abs();
    degrees * METRES_PER_DEGREE_MAX <= max_m || distance_m(a, b) <= max_m
}

fn is_passed(params: &ZoneParams, zone: &Zone, from: LatLon, to: LatLon) -> bool {
    zone.shape.depth_m(from) < 0.0 && zone.shape.is_passed(from, to, f64::from(params.margin_m))
}

/// Inside, outside, or too near the border to say.
fn is_within(params: &ZoneParams, zone: &Zone, at: LatLon) -> Option<bool> {
    let depth_m = zone.shape.depth_m(at);
    (depth_m.abs() >= f64::from(params.margin_m)).then_some(depth_m > 0.0)
}

fn is_in_force(zone: &Zone, at: Timestamp) -> bool {
    zone.schedule.as_ref().is_none_or(|s| s.is_in_force(at))
}

/// Zones that the last way led through: the newest fix confirms it, unless it leads back the same way.
/// Returns those: neither way led through them.
fn settle_passings(
    params: &ZoneParams,
    zones: &Zones,
    presences: &mut Presences,
    way: Option<Sighting>,
    seen: Sighting,
    crossings: &mut Vec<Crossing>,
) -> Vec<ZoneId> {
    let mut led_back = Vec::new();
    presences.retain(|presence| {
        if presence.side != Side::Passing {
            return true;
        }
        let (Some((zone, _)), Some(way)) = (zones.valid(presence.zone, presence.since), way) else { return false };
        let leads_back = zone.shape.is_passed(way.place, seen.place, f64::from(params.margin_m));
        led_back.extend(leads_back.then_some(zone.id));
        let is_inside = is_within(params, zone, seen.place) == Some(true);
        if !leads_back && !is_inside && is_in_force(zone, presence.since) {
            for (is_wanted, what) in [
                (zone.rule == ZoneRule::Forbidden, ZoneEvent::Forbidden),
                (matches!(zone.rule, ZoneRule::Enter | ZoneRule::Both), ZoneEvent::Entered),
                (matches!(zone.rule, ZoneRule::Exit | ZoneRule::Both), ZoneEvent::Left),
            ] {
                let crossing = Crossing { zone: zone.id, event: what, since: presence.since, by_way: true };
                crossings.extend(is_wanted.then_some(crossing));
            }
        }
        false
    });
    led_back
}

impl Presence {
    /// Follows one zone; returns whether it is still to be remembered.
    fn follow(&mut self, params: &ZoneParams, zone: &Zone, seen: Sighting, crossings: &mut Vec<Crossing>) -> bool {
        if self.side == Side::Passing {
            return true; // the next fix tells
        }
        let mut raise = |what, since| crossings.push(Crossing { zone: zone.id, event: what, since, by_way: false });
        let is_in_force = is_in_force(zone, seen.at);
        let is_inside = self.side == Side::Inside;
        match is_within(params, zone, seen.place) {
            Some(within) if within != is_inside => {
                self.contrary += 1;
                if self.contrary >= params.confirm_fixes {
                    self.contrary = 0;
                    self.side = if within { Side::Inside } else { Side::Arriving };
                    let wanted = match zone.rule {
                        ZoneRule::Both => true,
                        ZoneRule::Enter => within,
                        ZoneRule::Exit => !within,
                        ZoneRule::Dwell | ZoneRule::Forbidden => false,
                    };
                    if wanted && is_in_force && (self.is_news || !within) {
                        raise(if within { ZoneEvent::Entered } else { ZoneEvent::Left }, self.since);
                    }
                }
            }
            Some(_) => self.contrary = 0,
            None => {}
        }
        if self.side == Side::Inside {
            if !is_in_force {
                self.is_stay_raised = false; // the next window raises it again
            } else if !self.is_stay_raised {
                // A stay counts from the window's beginning.
                let window = zone.schedule.as_ref().and_then(|s| s.in_force_since(seen.at));
                let since = window.map_or(self.since, |w| w.max(self.since));
                let what = match zone.rule {
                    ZoneRule::Forbidden => Some(ZoneEvent::Forbidden),
                    ZoneRule::Dwell if seen.at.seconds_since(since) >= f64::from(zone.dwell_s) => {
                        Some(ZoneEvent::Stayed)
                    }
                    _ => None,
                };
                if let Some(what) = what {
                    self.is_stay_raised = true;
                    raise(what, since);
                }
            }
        }
        self.side == Side::Inside || self.contrary > 0
    }
}

#[cfg(test)]
mod tests;
