//! Data faults that real trackers send: how each is kept, flagged and shown, that none raises an alert by
//! itself, and that a theft behind it is noticed all the same.

use super::*;
use crate::domain::LatLon;
use crate::domain::Shard;

const START_S: i64 = 1_795_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
/// Where the bike is parked.
const HOME: (f64, f64) = (28.55, 112.35);
/// Metres to a degree of latitude.
const DEGREE_M: f64 = 111_195.0;
const DAY_S: i64 = 86_400;

/// A parked and armed bike, and the clock on the wall.
struct Scene {
    lane: LaneState,
    now_s: i64,
    sequence: u32,
    woken: bool,
}

impl Scene {
    fn parked_and_armed() -> Self {
        let mut scene = Self { lane: LaneState::default(), now_s: START_S, sequence: 0, woken: false };
        let (tracker, vehicle) = (TrackerKey(1), VehicleId(7));
        let (ident, profile) = (TrackerIdent::parse("yy1").unwrap(), Profile::of("json"));
        scene.set(Setting::Tracker { tracker, ident, profile, vehicle: Some(vehicle), vehicle_kind: None });
        for n in 0..30 {
            if n == 10 {
                scene.set(Setting::Arm { vehicle });
            }
            scene.says(60, 0, (HOME.0 + f64::from(n % 3) * 1e-5, HOME.1), "");
        }
        scene
    }

    fn set(&mut self, setting: Setting) {
        let at = Timestamp::from_secs(self.now_s);
        self.lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
    }

    /// The next packet: after so many seconds, its clock off by so many.
    fn says(&mut self, after_s: i64, off_s: i64, (lat, lon): (f64, f64), more: &str) -> Effects {
        self.now_s += after_s;
        self.sequence += 1;
        let told_ms = (self.now_s + off_s) * 1000;
        let payload = format!(
            r#"{{"v":1,"id":"yy1","seq":{},"fixes":[{{"t":{told_ms},"lat":{lat},"lon":{lon}{more}}}],"status":{{"battery":80,"ignition":true}}}}"#,
            self.sequence
        );
        let topic = format!("v1/{}/yy1/up", Shard::of("yy1").0);
        let received_at = Timestamp::from_secs(self.now_s);
        let packet = Packet { topic, received_at, payload: payload.into_bytes(), way: Way::Broker };
        let effects = self.lane.apply(&Entry::Packet(packet), &SETTINGS);
        let opened = |f: &Finding| matches!(f, Finding::IncidentOpened { .. });
        self.woken |= effects.findings.iter().any(opened);
        effects
    }

    fn newest(&self) -> NewestFix {
        let (tracker, _) = self.lane.known(&TrackerIdent::parse("yy1").unwrap()).unwrap();
        tracker.newest.as_ref().unwrap().row()
    }

    /// Whether it is noticed that the bike is ridden away, with clocks and places that are right.
    fn notices_a_theft(&mut self) -> bool {
        for n in 1..=60 {
            self.says(5, 0, (HOME.0 + f64::from(n) * 40.0 / DEGREE_M, HOME.1), r#","kmh":29,"deg":0,"sats":11"#);
        }
        self.woken
    }
}

/// What becomes of the fix of a fault.
enum Kept {
    /// A row with exactly these flags; whether it becomes the newest place.
    Row(i16, bool),
    /// Set aside for this reason; what else the packet says counts.
    Aside(&'static str),
}

/// What was noticed about the first fix; that it is a cell entry says nothing about it.
fn oddities(effects: &Effects) -> i16 {
    effects.fixes[0].flags.0 & !(FixFlags::CELL_ENTRY | FixFlags::NARROW)
}

#[test]
fn each_data_fault_is_kept_flagged_and_shown_and_neither_wakes_nor_silences() {
    use FixFlags as F;
    let north = |m: f64| (HOME.0 + m / DEGREE_M, HOME.1);
    let repaired = Kept::Row(F::CLOCK_REPAIRED, true);
    let faults = [
        ("week rollover", -7168 * DAY_S, HOME, "", repaired),
        ("two week rollovers", -2 * 7168 * DAY_S, HOME, "", Kept::Row(F::CLOCK_REPAIRED, true)),
        ("eight hours ahead", 8 * 3600, HOME, "", Kept::Row(F::CLOCK_REPAIRED, true)),
        ("eight hours behind", -8 * 3600, HOME, "", Kept::Row(F::ZONE_DOUBTED | F::LATE, false)),
        ("a day ahead", 23 * 3600, HOME, "", Kept::Aside("time")),
        ("1970", -START_S - 3600, HOME, "", Kept::Aside("time")),
        ("1980, the GPS epoch", 315_964_800 - START_S, HOME, "", Kept::Aside("time")),
        ("2080", 3_471_292_800 - START_S, HOME, "", Kept::Aside("time")),
        ("no position, 0 and 0", 0, (0.0, 0.0), "", Kept::Row(F::NULL_ISLAND, false)),
        ("negative zero", 0, (-0.0, -0.0), "", Kept::Row(F::NULL_ISLAND, false)),
        ("latitude above 90", 0, (90.000_000_1, 112.35), "", Kept::Aside("position")),
        ("longitude above 180", 0, (28.55, 181.0), "", Kept::Aside("position")),
        ("a number beyond all", 0, (1e308, 112.35), "", Kept::Aside("position")),
        ("axes swapped", 0, (HOME.1, HOME.0), "", Kept::Aside("position")),
        ("north lost", 0, (-HOME.0, HOME.1), "", Kept::Row(F::AXES_DOUBTED, false)),
        ("east lost", 0, (HOME.0, -HOME.1), "", Kept::Row(F::AXES_DOUBTED, false)),
        ("thirty kilometres away, once", 0, north(30_000.0), "", Kept::Row(F::JUMP, false)),
        ("no fix by its own word", 0, north(400.0), r#","valid":false"#, Kept::Row(F::NOT_VALID, false)),
        ("a cell mast", 0, north(900.0), r#","src":"cell","acc":1500"#, Kept::Row(0, true)),
        ("255 km/h", 0, HOME, r#","kmh":255"#, Kept::Row(F::FIELD_DROPPED, true)),
        ("course 400", 0, HOME, r#","deg":400"#, Kept::Row(F::FIELD_DROPPED, true)),
    ];
    for (name, off_s, place, more, kept) in faults {
        let mut scene = Scene::parked_and_armed();
        let before = scene.newest();
        let effects = scene.says(60, off_s, place, more);
        match kept {
            Kept::Row(flags, is_newest) => {
                assert_eq!(effects.fixes.len(), 1, "{name}");
                assert_eq!(oddities(&effects), flags, "{name}");
                assert_eq!(scene.newest().received_at > before.received_at, is_newest, "{name}");
            }
            Kept::Aside(reason) => {
                assert_eq!(effects.quarantined.as_ref().map(|q| q.reason), Some(reason), "{name}");
                assert_eq!((effects.fixes.len(), scene.newest()), (0, before), "{name}");
            }
        }
        let heard = scene.lane.known(&TrackerIdent::parse("yy1").unwrap()).unwrap().0.last_heard_at;
        assert_eq!(heard, Timestamp::from_secs(scene.now_s), "{name}: it is alive");
        assert!(!scene.woken, "{name}: woken for nothing");
        assert!(scene.notices_a_theft(), "{name}: the theft behind it is not noticed");
    }
}

#[test]
fn a_jump_is_believed_when_others_agree_with_it() {
    let mut scene = Scene::parked_and_armed();
    let away = |m: f64| (HOME.0 + (30_000.0 + m) / DEGREE_M, HOME.1);
    let flags: Vec<i16> = (0..4).map(|n| oddities(&scene.says(10, 0, away(f64::from(n) * 50.0), ""))).collect();
    assert_eq!(flags, [FixFlags::JUMP, FixFlags::JUMP, 0, 0]);
    assert!((scene.newest().position.lat_deg - away(150.0).0).abs() < 1e-9);
}

#[test]
fn a_receiver_that_repeats_itself_while_the_bike_moves_is_frozen() {
    let mut scene = Scene::parked_and_armed();
    let flags: Vec<i16> = (0..12).map(|_| oddities(&scene.says(10, 0, (28.55, 112.350_001), ""))).collect();
    assert_eq!(flags[..10], [0; 10]);
    assert_eq!(flags[10..], [FixFlags::FROZEN; 2]);
}

#[test]
fn a_message_in_parts_counts_when_its_last_part_is_there() {
    let mut lane = LaneState::default();
    let ident = TrackerIdent::parse("013800138000").unwrap();
    let (tracker, profile) = (TrackerKey(1), Profile::of("jt808"));
    let at = Timestamp::from_secs(1_781_492_300);
    let setting = Setting::Tracker { tracker, ident: ident.clone(), profile, vehicle: None, vehicle_kind: None };
    lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
    // A 0x0704 of one location: 28.55 N, 112.35 E, 2026-06-15 10:57:25 Beijing; cut in the middle.
    let whole = hex::decode("000100001c000000000000000301b3a37006b25330002900ea00b5260615105725").unwrap();
    let part = |number: u8, body: &[u8]| {
        let mut inner = vec![0x07, 0x04, 0x20, body.len() as u8, 0x01, 0x38, 0x00, 0x13, 0x80, 0x00, 0x00, 6 + number];
        inner.extend([0, 2, 0, number]);
        inner.extend(body);
        inner.push(inner.iter().fold(0, |sum, byte| sum ^ byte));
        let payload = protocol::jt808::escape_frame(&[&[0x7e], &inner[..], &[0x7e]].concat());
        let topic = format!("v1/{}/{ident}/up", Shard::of(ident.as_str()).0);
        Entry::Packet(Packet { topic, received_at: at, payload, way: Way::Broker })
    };
    let first = lane.apply(&part(1, &whole[..20]), &SETTINGS);
    assert_eq!((first.fixes.len(), first.replies.len(), first.outcome), (0, 1, Some(Outcome::Stored)));
    let second = lane.apply(&part(2, &whole[20..]), &SETTINGS);
    assert_eq!(second.fixes[0].fix.position, LatLon::new(28.55, 112.35));
}

#[test]
fn a_tracker_that_shows_chinas_datum_is_put_where_it_is() {
    let mut lane = LaneState::default();
    let place = LatLon::new(28.55, 112.35);
    let profile = Profile { datum: crate::domain::Datum::Gcj02, ..Profile::of("json") };
    let ident = TrackerIdent::parse("yy1").unwrap();
    let at = Timestamp::from_secs(START_S);
    let setting = Setting::Tracker { tracker: TrackerKey(1), ident, profile, vehicle: None, vehicle_kind: None };
    lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
    let shown = crate::domain::datum::shift(place);
    let payload = format!(
        r#"{{"v":1,"id":"yy1","fixes":[{{"t":{},"lat":{},"lon":{}}}]}}"#,
        START_S * 1000,
        shown.lat_deg,
        shown.lon_deg
    );
    let topic = format!("v1/{}/yy1/up", Shard::of("yy1").0);
    let packet = Packet { topic, received_at: at, payload: payload.into_bytes(), way: Way::Broker };
    let effects = lane.apply(&Entry::Packet(packet), &SETTINGS);
    assert!(crate::domain::distance_m(effects.fixes[0].fix.position, place) < 0.01);
}
