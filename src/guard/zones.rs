//! Zones: who came in, who went out. An R-tree of boxes finds the few zones near a fix; an exact
//! test with a margin and a confirmation by the next fix keeps a fix on the border from chattering.

use super::params::ZoneParams;
use crate::domain::{LatLon, VehicleId, Zone, ZoneId, ZoneRule, ZoneShape, distance_m};
use rstar::{AABB, RTree, RTreeObject};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a vehicle's relation to one zone is believed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Which zone.
    pub zone: ZoneId,
    /// Believed to be inside.
    is_inside: bool,
    /// Fixes in a row that say otherwise.
    contrary: u8,
    /// Whether the change, once believed, is told (not if it was inside all along unnoticed).
    tell: bool,
}

/// A change of side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Which zone.
    pub zone: ZoneId,
    /// In (true) or out.
    pub entered: bool,
}

/// All zones, with their index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Zones {
    zones: BTreeMap<ZoneId, Zone>,
    /// Derived from `zones`; rebuilt when they change and after a restart.
    #[serde(skip)]
    index: Option<RTree<Boxed>>,
}

#[derive(Clone, Debug)]
struct Boxed {
    zone: ZoneId,
    vehicle: Option<VehicleId>,
    envelope: AABB<[f64; 2]>,
}

impl RTreeObject for Boxed {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

impl Zones {
    /// Adds or replaces a zone.
    pub fn put(&mut self, zone: Zone) {
        self.zones.insert(zone.id, zone);
        self.index = None;
    }

    /// Removes a zone.
    pub fn remove(&mut self, id: ZoneId) {
        if self.zones.remove(&id).is_some() {
            self.index = None;
        }
    }

    /// A zone.
    pub fn get(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(&id)
    }

    /// Takes in a position. `presences` and `last` are the vehicle's memory.
    pub fn observe(
        &mut self,
        params: &ZoneParams,
        vehicle: VehicleId,
        presences: &mut Vec<Presence>,
        last: &mut Option<LatLon>,
        at: LatLon,
    ) -> Vec<Crossing> {
        // Short decimals (a centimetre) survive every text format to the bit.
        let short = |degrees: f64| (degrees * 1e7).round() / 1e7;
        let at = LatLon::new(short(at.lat_deg), short(at.lon_deg));
        let mut crossings = Vec::new();
        if self.zones.is_empty() {
            presences.clear();
            *last = Some(at);
            return crossings;
        }
        let index = self.index.get_or_insert_with(|| build(&self.zones));
        for near in index.locate_in_envelope_intersecting(&AABB::from_point([at.lon_deg, at.lat_deg])) {
            let is_mine = near.vehicle.is_none_or(|v| v == vehicle);
            let is_known = presences.iter().any(|p| p.zone == near.zone);
            let Some(zone) = self.zones.get(&near.zone) else { continue };
            if is_mine
                && !is_known
                && presences.len() < usize::from(params.inside_max)
                && is_within(params, zone, at) == Some(true)
            {
                // Where it was before decides whether coming in is news.
                let tell = last.is_some_and(|l| !zone.shape.contains(l));
                presences.push(Presence { zone: near.zone, is_inside: false, contrary: 0, tell });
            }
        }
        presences.retain_mut(|presence| {
            let Some(zone) = self.zones.get(&presence.zone) else { return false };
            let Some(within) = is_within(params, zone, at) else { return true };
            if within == presence.is_inside {
                presence.contrary = 0;
                return presence.is_inside;
            }
            presence.contrary += 1;
            if presence.contrary >= params.confirm_fixes {
                presence.is_inside = within;
                presence.contrary = 0;
                let wanted = match zone.rule {
                    ZoneRule::Both => true,
                    ZoneRule::Enter => within,
                    ZoneRule::Exit => !within,
                };
                if wanted && (presence.tell || !within) {
                    crossings.push(Crossing { zone: zone.id, entered: within });
                }
            }
            presence.is_inside || presence.contrary > 0
        });
        *last = Some(at);
        crossings
    }
}

fn build(zones: &BTreeMap<ZoneId, Zone>) -> RTree<Boxed> {
    let boxed = zones.values().flat_map(|zone| {
        let (sw, ne) = zone.shape.bounds();
        let one = |west: f64, east: f64| Boxed {
            zone: zone.id,
            vehicle: zone.vehicle,
            envelope: AABB::from_corners([west, sw.lat_deg], [east, ne.lat_deg]),
        };
        // A circle across the antimeridian has a box on both sides of it.
        let mut boxes = vec![one(sw.lon_deg, ne.lon_deg)];
        if sw.lon_deg < -180.0 {
            boxes.push(one(sw.lon_deg + 360.0, 180.0));
        }
        if ne.lon_deg > 180.0 {
            boxes.push(one(-180.0, ne.lon_deg - 360.0));
        }
        boxes
    });
    RTree::bulk_load(boxed.collect())
}

/// Inside, outside, or too near the border to say.
fn is_within(params: &ZoneParams, zone: &Zone, at: LatLon) -> Option<bool> {
    let border_m = match &zone.shape {
        ZoneShape::Circle { centre, radius_m } => (distance_m(*centre, at) - radius_m).abs(),
        ZoneShape::Polygon { outer, holes } => {
            std::iter::once(outer).chain(holes).map(|ring| ring_distance_m(ring, at)).fold(f64::INFINITY, f64::min)
        }
    };
    (border_m >= f64::from(params.margin_m)).then(|| zone.shape.contains(at))
}

/// Distance from a point to a ring of corners, metres.
fn ring_distance_m(ring: &[LatLon], at: LatLon) -> f64 {
    const METRES_PER_DEGREE: f64 = 111_195.0;
    let east_per_degree = METRES_PER_DEGREE * at.lat_deg.to_radians().cos();
    let local = |p: &LatLon| ((p.lon_deg - at.lon_deg) * east_per_degree, (p.lat_deg - at.lat_deg) * METRES_PER_DEGREE);
    let mut nearest = f64::INFINITY;
    let mut from = match ring.last() {
        Some(p) => local(p),
        None => return nearest,
    };
    for corner in ring {
        let to = local(corner);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length2 = dx * dx + dy * dy;
        let t = if length2 > 0.0 { (-(from.0 * dx + from.1 * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
        nearest = nearest.min((from.0 + t * dx).hypot(from.1 + t * dy));
        from = to;
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let mut zones = Zones::default();
        let centre = LatLon::new(28.55, 112.35);
        zones.put(Zone {
            id: ZoneId(1),
            name: "market".into(),
            shape: ZoneShape::Circle { centre, radius_m: 300.0 },
            rule: ZoneRule::Both,
            vehicle: None,
        });
        zones.put(Zone {
            id: ZoneId(2),
            name: "home of vehicle 8".into(),
            shape: ZoneShape::Circle { centre, radius_m: 300.0 },
            rule: ZoneRule::Both,
            vehicle: Some(VehicleId(8)),
        });
        zones
    }

    fn told(track: &[f64]) -> Vec<(i64, bool)> {
        let (mut zones, mut presences, mut last) = (zones(), Vec::new(), None);
        let params = ZoneParams::default();
        let mut out = Vec::new();
        for metres_east in track {
            let at = LatLon::new(28.55, 112.35 + metres_east / 97_670.0);
            out.extend(zones.observe(&params, VehicleId(7), &mut presences, &mut last, at));
        }
        out.iter().map(|c| (c.zone.0, c.entered)).collect()
    }

    #[test]
    fn riding_through_a_zone_tells_in_and_out_once() {
        assert_eq!(told(&[500.0, 400.0, 100.0, 0.0, -100.0, -400.0, -500.0]), [(1, true), (1, false)]);
    }

    #[test]
    fn chatter_at_the_border_is_not_told() {
        assert_eq!(told(&[400.0, 295.0, 305.0, 280.0, 320.0, 290.0, 310.0, 270.0, 330.0]), []);
    }

    #[test]
    fn a_vehicle_first_seen_inside_did_not_enter() {
        assert_eq!(told(&[0.0, 10.0, 0.0, 10.0]), []);
    }

    #[test]
    fn a_personal_zone_concerns_its_vehicle_only() {
        assert!(told(&[500.0, 0.0, 0.0, 0.0]).iter().all(|(zone, _)| *zone == 1));
    }
}
