//! Facts about zones, on tracks along a street that leads east.

use super::*;
use crate::domain::schedule::{CivilClock, Window};
use crate::domain::{Schedule, ZoneShape};

const BIKE: (VehicleId, Option<VehicleKind>) = (VehicleId(7), Some(VehicleKind::Ebike));
/// 2026-11-27 (a Friday), noon in China.
const NOON: Timestamp = Timestamp::from_secs(1_795_752_000);

fn place(east_m: f64) -> LatLon {
    LatLon::new(28.55, 112.35 + east_m / 97_671.0)
}

fn market(rule: ZoneRule) -> Zone {
    Zone {
        id: ZoneId(1),
        name: "market".into(),
        shape: ZoneShape::Circle { centre: place(0.0), radius_m: 300.0 },
        rule,
        vehicle: None,
        dwell_s: 0,
        schedule: None,
        vehicle_kind: None,
    }
}

/// A vehicle on its way, with the zones of its world.
struct Ride {
    zones: Zones,
    sides: ZonePresence,
    who: (VehicleId, Option<VehicleKind>),
}

impl Ride {
    fn through(zone: Zone) -> Self {
        let mut zones = Zones::default();
        zones.put(&ZoneParams::default(), zone, Timestamp::default());
        Self { zones, sides: ZonePresence::default(), who: BIKE }
    }

    fn by(mut self, kind: VehicleKind) -> Self {
        self.who.1 = Some(kind);
        self
    }

    /// What is raised when it is seen so far east, so many seconds after noon.
    fn at(&mut self, after_s: f64, east_m: f64) -> Vec<ZoneEvent> {
        let seen = Sighting { at: NOON.plus_secs_f64(after_s), place: place(east_m) };
        observe(&ZoneParams::default(), &mut self.zones, self.who, &mut self.sides, seen)
            .iter()
            .map(|c| c.event)
            .collect()
    }

    /// The same along a track, a fix every `every_s`.
    fn along(&mut self, every_s: f64, track: &[f64]) -> Vec<ZoneEvent> {
        track.iter().enumerate().flat_map(|(n, east_m)| self.at(n as f64 * every_s, *east_m)).collect()
    }
}

#[test]
fn riding_through_a_zone_tells_in_and_out_once() {
    let track = [500.0, 400.0, 100.0, 0.0, -100.0, -400.0, -500.0];
    assert_eq!(Ride::through(market(ZoneRule::Both)).along(20.0, &track), [ZoneEvent::Entered, ZoneEvent::Left]);
    assert_eq!(Ride::through(market(ZoneRule::Enter)).along(20.0, &track), [ZoneEvent::Entered]);
    assert_eq!(Ride::through(market(ZoneRule::Exit)).along(20.0, &track), [ZoneEvent::Left]);
}

#[test]
fn chatter_at_the_border_is_not_told() {
    let track = [400.0, 295.0, 305.0, 280.0, 320.0, 290.0, 310.0, 270.0, 330.0];
    assert_eq!(Ride::through(market(ZoneRule::Both)).along(20.0, &track), []);
}

#[test]
fn a_vehicle_first_seen_inside_did_not_enter() {
    assert_eq!(Ride::through(market(ZoneRule::Both)).along(20.0, &[0.0, 10.0, 0.0, 10.0]), []);
}

#[test]
fn a_personal_zone_concerns_its_vehicle_only() {
    let zone = Zone { vehicle: Some(VehicleId(8)), ..market(ZoneRule::Both) };
    assert_eq!(Ride::through(zone).along(20.0, &[500.0, 0.0, 0.0, 0.0]), []);
}

#[test]
fn a_zone_ridden_through_between_two_sparse_fixes_is_told_when_the_next_fix_agrees() {
    let mut ride = Ride::through(market(ZoneRule::Both));
    assert_eq!(ride.along(120.0, &[-1500.0, -900.0, 900.0]), []);
    assert_eq!(ride.at(360.0, 1500.0), [ZoneEvent::Entered, ZoneEvent::Left]);
    assert_eq!(ride.at(480.0, 2000.0), []);
}

#[test]
fn a_wrong_fix_beyond_a_zone_and_back_crossed_nothing() {
    // At a speed that a vehicle can have, so only the way back shows it.
    assert_eq!(Ride::through(market(ZoneRule::Both)).along(120.0, &[-900.0, 900.0, -900.0, -900.0]), []);
    // A leap that no vehicle makes.
    assert_eq!(Ride::through(market(ZoneRule::Both)).along(10.0, &[-30_000.0, 9000.0, 9100.0, 9200.0]), []);
}

#[test]
fn a_stay_is_told_once_when_it_is_long_enough() {
    let mut ride = Ride::through(Zone { dwell_s: 900, ..market(ZoneRule::Dwell) });
    assert_eq!(ride.along(300.0, &[500.0, 0.0, 0.0, 5.0]), [], "the first fix inside came at 300 s");
    assert_eq!(ride.at(1200.0, 0.0), [ZoneEvent::Stayed]);
    assert_eq!(ride.at(1500.0, 0.0), []);
    assert_eq!(ride.along(300.0, &[]), []);
    // Out and in again is another stay.
    for (after_s, east_m) in [(1800.0, 500.0), (1830.0, 520.0), (1860.0, 0.0), (1890.0, 0.0)] {
        assert_eq!(ride.at(after_s, east_m), []);
    }
    assert_eq!(ride.at(2770.0, 0.0), [ZoneEvent::Stayed]);
}

#[test]
fn a_ban_for_motorcycles_says_nothing_of_an_electric_bicycle() {
    let ban = || Zone { vehicle_kind: Some(VehicleKind::Motorcycle), ..market(ZoneRule::Forbidden) };
    let track = [500.0, 100.0, 0.0, -100.0, -500.0];
    assert_eq!(Ride::through(ban()).by(VehicleKind::Motorcycle).along(20.0, &track), [ZoneEvent::Forbidden]);
    assert_eq!(Ride::through(ban()).along(20.0, &track), []);
}

#[test]
fn a_ban_by_night_is_told_when_the_night_begins_and_once_a_night() {
    let night = Window { days: vec![1, 2, 3, 4, 5, 6, 7], from_min: 22 * 60, to_min: 6 * 60 };
    let schedule = Schedule { time_zone: CivilClock::default(), windows: vec![night] };
    let mut ride = Ride::through(Zone { schedule: Some(schedule), ..market(ZoneRule::Forbidden) });
    let hours = |h: f64| h * 3600.0;
    assert_eq!(ride.at(0.0, 500.0), []);
    let told: Vec<_> = (1..100)
        .flat_map(|n| {
            let after_h = f64::from(n) * 0.5;
            ride.at(hours(after_h), 0.0).into_iter().map(move |_| after_h)
        })
        .collect();
    assert_eq!(told, [10.0, 34.0], "at ten in the evening of both days");
}

#[test]
fn an_edit_between_two_fixes_counts_for_the_later_one_even_if_the_earlier_comes_after_it() {
    let params = ZoneParams::default();
    let moved =
        || Zone { shape: ZoneShape::Circle { centre: place(5000.0), radius_m: 300.0 }, ..market(ZoneRule::Both) };
    // The edit is known from 60 s on; the fixes of 20 s and 40 s arrive afterwards.
    let mut ride = Ride::through(market(ZoneRule::Both));
    ride.zones.put(&params, moved(), NOON.plus_secs_f64(60.0));
    assert_eq!(ride.along(20.0, &[500.0, 0.0, 0.0]), [ZoneEvent::Entered], "the old area was valid then");
    assert_eq!(ride.at(80.0, 0.0), [], "its presence ends with it");
    assert_eq!(ride.at(100.0, 4000.0), []);
    assert_eq!([ride.at(200.0, 5000.0), ride.at(220.0, 5000.0)].concat(), [ZoneEvent::Entered]);
}

#[test]
fn memory_of_zones_is_bounded() {
    let params = ZoneParams::default();
    let mut ride = Ride::through(market(ZoneRule::Both));
    for id in 2..200 {
        ride.zones.put(&params, Zone { id: ZoneId(id), ..market(ZoneRule::Both) }, Timestamp::default());
    }
    ride.along(20.0, &[500.0, 0.0, 0.0, 0.0]);
    assert!(ride.sides.take().len() <= usize::from(params.inside_max));
}

/// What a checkpoint of an earlier version of this program holds is read as it was.
#[test]
fn a_checkpoint_keeps_what_zones_know_in_the_form_that_it_always_had() {
    let mut ride = Ride::through(market(ZoneRule::Both));
    ride.along(20.0, &[500.0, 250.0, 0.0]);
    let kept = serde_json::to_value(&ride.sides).unwrap();
    assert_eq!(kept["last"]["place"]["lat_deg"], 28.55);
    assert_eq!(kept["presences"][0]["zone"], 1);
    let read: ZonePresence = serde_json::from_value(kept).unwrap();
    assert_eq!(read, ride.sides);
    let nothing: ZonePresence = serde_json::from_str(r#"{"last":null,"presences":[]}"#).unwrap();
    assert_eq!(nothing, ZonePresence::default());
}
