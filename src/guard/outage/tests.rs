//! Facts about outages, with the whole guard of a lane: many guarded vehicles, time passing.

use crate::domain::{
    AlertKind, Cell, Finding, Fix, FixSource, GapCause, LatLon, Moment, Network, OutageKind, PacketDigest, Status,
    Timestamp, VehicleId, Way,
};
use crate::guard::{Arrival, Guard, Params};

const START: Timestamp = Timestamp::from_secs(1_770_000_000);
/// Heartbeat of every tracker here, seconds.
const EVERY_S: f64 = 300.0;
/// Vehicles of a square.
const OF_A_SQUARE: i64 = 10;

fn after(secs: f64) -> Timestamp {
    START.plus_secs_f64(secs)
}

/// A lane with some squares of ten vehicles each; every square has a cell of its own.
struct City {
    guard: Guard,
    vehicles: i64,
    /// Of each ten vehicles of a square, those at the door.
    by_door: i64,
    is_broker_away: bool,
}

fn square_of(vehicle: i64) -> i64 {
    vehicle / OF_A_SQUARE
}

impl City {
    fn of_squares(squares: i64) -> Self {
        Self::with_door(squares, 0)
    }

    fn with_door(squares: i64, by_door: i64) -> Self {
        let (guard, vehicles) = (Guard::new(Params::default()), squares * OF_A_SQUARE);
        let mut city = Self { guard, vehicles, by_door, is_broker_away: false };
        for vehicle in 0..city.vehicles {
            city.guard.arm(VehicleId(vehicle), after(0.0), after(0.0));
        }
        city.live(0.0, 3600.0, |_| true);
        city
    }

    /// Lets time pass; `speaks` says whose packets arrive.
    fn live(&mut self, from_s: f64, to_s: f64, speaks: impl Fn(i64) -> bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut now_s = from_s;
        while now_s < to_s {
            if self.is_broker_away {
                self.guard.coverage_gap(after(now_s - 10.0), after(now_s), GapCause::WithoutBroker);
            }
            findings.extend(self.guard.tick(after(now_s)));
            for vehicle in 0..self.vehicles {
                // Each has its own second of the five minutes.
                let offset_s = (vehicle * 37 % 300) as f64;
                if (now_s - offset_s).rem_euclid(EVERY_S) < 10.0
                    && speaks(vehicle)
                    && !(self.is_broker_away && self.way(vehicle) == Way::Broker)
                {
                    findings.extend(self.say(vehicle, now_s, 0.0, None));
                }
            }
            now_s += 10.0;
        }
        findings
    }

    fn way(&self, vehicle: i64) -> Way {
        if vehicle % OF_A_SQUARE < self.by_door { Way::Door } else { Way::Broker }
    }

    /// The broker is away from `from_s` to `to_s`.
    fn live_without_broker(&mut self, from_s: f64, to_s: f64, speaks: impl Fn(i64) -> bool) -> Vec<Finding> {
        self.is_broker_away = true;
        let findings = self.live(from_s, to_s, speaks);
        self.is_broker_away = false;
        self.guard.coverage_gap(after(from_s), after(to_s), GapCause::Connection);
        findings
    }

    fn say(&mut self, vehicle: i64, at_s: f64, east_m: f64, speed_kmh: Option<f32>) -> Vec<Finding> {
        let home = LatLon::new(28.505 + 0.02 * square_of(vehicle) as f64, 112.355);
        let fix = Fix {
            fixed_at: Some(after(at_s)),
            valid: true,
            position: LatLon::new(home.lat_deg, home.lon_deg + east_m / 97_670.0),
            altitude_m: None,
            speed_kmh: Some(speed_kmh.unwrap_or(0.3)),
            course_deg: None,
            satellites: Some(9),
            hdop: Some(1.0),
            accuracy_m: None,
            source: FixSource::Gnss,
        };
        let cell = Cell { mcc: 460, mnc: 0, area: 7, cell: square_of(vehicle) as u64, signal_dbm: None };
        let moment = Moment {
            fix: Some(fix),
            status: Status { external_power: Some(true), moving: Some(speed_kmh.is_some()), ..Status::default() },
            network: Network { cells: vec![cell], wifi: Vec::new() },
            ..Moment::default()
        };
        let way = self.way(vehicle);
        let digest = PacketDigest(((vehicle as u64) << 40) | at_s as u64);
        self.guard.consider(
            VehicleId(vehicle),
            &moment,
            &Arrival { received_at: after(at_s + 1.0), digest, report_interval_s: None, way },
        )
    }
}

fn alerts(findings: &[Finding], kind: AlertKind) -> Vec<i64> {
    let of_kind = |f: &Finding| match f {
        Finding::Alert(a) if a.kind == kind => Some(a.vehicle.0),
        _ => None,
    };
    findings.iter().filter_map(of_kind).collect()
}

fn outages(findings: &[Finding]) -> Vec<(bool, OutageKind)> {
    let of = |f: &Finding| match f {
        Finding::OutageBegan { outage, .. } => Some((true, outage.kind)),
        Finding::OutageEnded { outage, .. } => Some((false, outage.kind)),
        _ => None,
    };
    findings.iter().filter_map(of).collect()
}

#[test]
fn a_dead_square_is_one_operator_alert_and_wakes_no_owner() {
    let mut city = City::of_squares(12);
    let mut findings = city.live(3600.0, 3600.0 + 3.0 * 3600.0, |v| square_of(v) != 4);
    assert_eq!(outages(&findings).len(), 1, "{:?}", outages(&findings));
    let took = |f: &Finding| match f {
        Finding::OutageBegan { outage, .. } => outage.vehicles.iter().map(|v| square_of(v.0)).collect(),
        _ => Vec::new(),
    };
    let took: Vec<i64> = findings.iter().flat_map(took).collect();
    assert!(took.len() >= 4 && took.iter().all(|square| *square == 4), "it names whom it took: {took:?}");
    assert!(alerts(&findings, AlertKind::Silent).is_empty());
    assert_eq!(alerts(&findings, AlertKind::LostContact).len(), 10, "each step is told, quietly");
    assert!(!alerts(&findings, AlertKind::SilentInOutage).is_empty());
    findings = city.live(4.0 * 3600.0, 5.0 * 3600.0, |_| true);
    assert_eq!(outages(&findings).len(), 1, "it is over once");
    assert!(alerts(&findings, AlertKind::Silent).is_empty());
}

#[test]
fn a_lane_that_goes_silent_is_one_outage_not_one_per_square() {
    let mut city = City::of_squares(12);
    let findings = city.live(3600.0, 3.0 * 3600.0, |_| false);
    assert_eq!(outages(&findings), [(true, OutageKind::Lane)]);
    assert!(alerts(&findings, AlertKind::Silent).is_empty());
}

#[test]
fn one_silent_vehicle_among_many_that_speak_wakes_its_owner() {
    let mut city = City::of_squares(3);
    let findings = city.live(3600.0, 3600.0 + 3600.0, |v| v != 13);
    assert_eq!(alerts(&findings, AlertKind::Silent), [13]);
    assert!(outages(&findings).is_empty());
}

#[test]
fn vehicles_that_fall_silent_at_different_times_are_no_outage() {
    let mut city = City::of_squares(3);
    // One after the other, every twenty minutes; each is judged by itself.
    let mut findings = Vec::new();
    for n in 0..6_i64 {
        let from_s = 3600.0 + n as f64 * 1200.0;
        findings.extend(city.live(from_s, from_s + 1200.0, |v| square_of(v) != 1 || v - OF_A_SQUARE > n));
    }
    assert!(outages(&findings).is_empty(), "{:?}", outages(&findings));
    assert!(alerts(&findings, AlertKind::Silent).contains(&10));
}

#[test]
fn a_theft_inside_an_outage_is_found_when_its_data_arrives() {
    let mut city = City::of_squares(12);
    city.live(3600.0, 2.0 * 3600.0, |v| square_of(v) != 4);
    let stolen = 4 * OF_A_SQUARE + 2;
    // Ridden off half an hour before; the tracker kept it and sends it when the cell is back.
    let told: Vec<_> = (1..=12)
        .flat_map(|n| city.say(stolen, 5400.0 + f64::from(n) * 10.0, f64::from(n) * 50.0, Some(18.0)))
        .collect();
    assert_eq!(alerts(&told, AlertKind::Moved), [stolen]);
}

#[test]
fn a_vehicle_that_stays_silent_after_the_outage_wakes_its_owner_then() {
    let mut city = City::of_squares(12);
    city.live(3600.0, 2.5 * 3600.0, |v| square_of(v) != 4);
    let findings = city.live(2.5 * 3600.0, 5.0 * 3600.0, |v| v != 41);
    assert_eq!(alerts(&findings, AlertKind::Silent), [41]);
}

#[test]
fn a_checkpoint_in_an_outage_changes_nothing() {
    let mut city = City::of_squares(4);
    city.live(3600.0, 3600.0 + 2400.0, |v| square_of(v) != 2);
    let kept = serde_json::to_string(&city.guard).unwrap();
    assert!(kept.contains(r#""is_told":"#), "the name of 56bfafe");
    let mut restarted =
        City { guard: serde_json::from_str(&kept).unwrap(), vehicles: city.vehicles, ..City::with_door(0, 0) };
    let go_on = |city: &mut City| city.live(6000.0, 10_000.0, |v| square_of(v) != 2 || v == 22);
    assert_eq!(go_on(&mut city), go_on(&mut restarted));
}

fn sorted(mut vehicles: Vec<i64>) -> Vec<i64> {
    vehicles.sort_unstable();
    vehicles
}

/// How many of these alerts are of vehicles that come at the door, and how many of the others.
fn by_way(city: &City, findings: &[Finding], kind: AlertKind) -> (usize, usize) {
    let (door, broker): (Vec<i64>, Vec<i64>) =
        alerts(findings, kind).into_iter().partition(|v| city.way(*v) == Way::Door);
    (door.len(), broker.len())
}

#[test]
fn a_square_that_dies_while_the_broker_is_away_is_seen_by_those_at_the_door_and_explains_the_others_later() {
    let mut city = City::with_door(12, 5);
    let speaks = |v| square_of(v) != 4;
    let away = city.live_without_broker(3600.0, 3.0 * 3600.0, |v| square_of(v) != 4);
    assert_eq!(outages(&away).len(), 1, "five of five: {:?}", outages(&away));
    assert_eq!(by_way(&city, &away, AlertKind::LostContact), (5, 0));
    assert_eq!(by_way(&city, &away, AlertKind::SilentInOutage).1, 0);
    let back = city.live(3.0 * 3600.0, 6.0 * 3600.0, speaks);
    assert_eq!(by_way(&city, &back, AlertKind::LostContact), (0, 5), "counted from when the broker is back");
    assert!(by_way(&city, &back, AlertKind::SilentInOutage).1 >= 5);
    let all: Vec<Finding> = away.into_iter().chain(back).collect();
    assert_eq!(alerts(&all, AlertKind::Silent), [0; 0]);
    assert_eq!(outages(&all).len(), 1);
    let over = city.live(6.0 * 3600.0, 7.0 * 3600.0, |_| true);
    assert_eq!(outages(&over).len(), 1, "it is over once");
}

#[test]
fn few_at_the_door_are_no_square_where_the_others_are_heard() {
    let mut city = City::with_door(12, 4);
    let findings = city.live_without_broker(3600.0, 3.0 * 3600.0, |v| square_of(v) != 4);
    assert_eq!(sorted(alerts(&findings, AlertKind::Silent)), [40, 41, 42, 43], "four are too few to tell");
    let mut city = City::with_door(12, 5);
    let findings = city.live(3600.0, 3.0 * 3600.0, |v| square_of(v) != 4 || v > 43);
    assert_eq!(sorted(alerts(&findings, AlertKind::Silent)), [40, 41, 42, 43]);
}

#[test]
fn a_door_that_fails_alone_is_an_outage_of_its_own() {
    let mut city = City::with_door(12, 2);
    let findings = city.live(3600.0, 3.0 * 3600.0, |v| v % OF_A_SQUARE >= 2);
    let named = |f: &Finding| match f {
        Finding::OutageBegan { outage, .. } => Some((outage.kind, outage.name.clone(), outage.members)),
        _ => None,
    };
    let named: Vec<_> = findings.iter().filter_map(named).collect();
    assert_eq!(named, [(OutageKind::Lane, "door".to_string(), 24)], "a fifth of all, and all of the door");
    assert!(alerts(&findings, AlertKind::Silent).is_empty());
}

#[test]
fn trackers_that_change_their_way_are_counted_once() {
    let (mut moved, mut always) = (City::of_squares(3), City::with_door(3, 5));
    for (by_door, from_s) in [(3, 3600.0), (7, 4200.0), (5, 4800.0)] {
        moved.by_door = by_door;
        for city in [&mut moved, &mut always] {
            city.live(from_s, from_s + 600.0, |_| true);
        }
    }
    let hood = |city: &City| serde_json::to_value(&city.guard).unwrap()["hood"].clone();
    assert_eq!(hood(&moved), hood(&always), "members of each way, and the names of their groups");
    (moved.by_door, always) = (0, City::of_squares(3));
    moved.live(5400.0, 6000.0, |_| true);
    assert_eq!(hood(&moved), hood(&always), "nothing of the door is left");
}

#[test]
fn a_checkpoint_in_an_outage_at_the_door_changes_nothing() {
    let mut city = City::with_door(4, 6);
    city.live_without_broker(3600.0, 3600.0 + 2400.0, |v| square_of(v) != 2);
    let kept = rmp_serde::to_vec_named(&city.guard).unwrap();
    let guard = rmp_serde::from_slice(&kept).unwrap();
    let mut restarted = City { guard, vehicles: city.vehicles, ..City::with_door(0, 6) };
    let go_on = |city: &mut City| {
        let mut findings = city.live_without_broker(6000.0, 8000.0, |v| square_of(v) != 2);
        findings.extend(city.live(8000.0, 13_000.0, |v| square_of(v) != 2 || v == 22));
        findings
    };
    assert_eq!(go_on(&mut city), go_on(&mut restarted));
}
