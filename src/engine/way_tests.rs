//! Two sources of one lane: a broker that is away, and a door of our own that is there.

use super::*;
use crate::domain::{AlertKind, GapCause, Shard};
use crate::store::journal::{pack_any, unpack_any};

const START_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
const TICK_S: i64 = 5;
const ARMED_S: i64 = 90;
/// Both trackers are heard until then.
const SILENT_S: i64 = 1800;
/// The broker is away from here ...
const AWAY_S: i64 = 1803;
/// ... to there, longer than any silence is tolerated.
const BACK_S: i64 = 9003;
const END_S: i64 = 14_400;
const DOOR: VehicleId = VehicleId(1);
const BROKER: VehicleId = VehicleId(2);

fn at(after_s: i64) -> Timestamp {
    Timestamp::from_secs(START_S + after_s)
}

fn parked(vehicle: VehicleId, at_s: i64, way: Way) -> Entry {
    let (ident, t_ms) = (format!("yy{}", vehicle.0), (START_S + at_s) * 1000);
    let payload = format!(
        r#"{{"v":1,"id":"{ident}","seq":{at_s},"fixes":[{{"t":{t_ms},"lat":28.5,"lon":112.35,"kmh":0,"sats":11,"acc":5}}],"status":{{"battery":80}}}}"#
    );
    let topic = format!("v1/{}/{ident}/up", Shard::of(&ident).0);
    Entry::Packet(Packet { topic, received_at: at(at_s), payload: payload.into_bytes(), way })
}

/// Parked, guarded, heard each minute up to [`SILENT_S`]; then nothing but the clock. `is_away`: the broker is, for two
/// hours. `is_told`: each tick of them is journaled with the word that it is; else there are none, as it was at first.
fn journal(vehicles: &[(VehicleId, Way)], is_away: bool, is_told: bool) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (vehicle, _) in vehicles {
        let setting = Setting::Tracker {
            tracker: TrackerKey(vehicle.0),
            ident: TrackerIdent::parse(&format!("yy{}", vehicle.0)).unwrap(),
            profile: Profile::of("json"),
            vehicle: Some(*vehicle),
            vehicle_kind: None,
        };
        entries.push(Entry::Setting { at: at(0), setting });
    }
    for now_s in (TICK_S..END_S).step_by(TICK_S as usize) {
        let is_missing = is_away && (AWAY_S..BACK_S).contains(&now_s);
        if is_away && (BACK_S..BACK_S + TICK_S).contains(&now_s) {
            entries.push(Entry::Gap { from: at(AWAY_S), to: at(BACK_S), cause: GapCause::Connection });
        }
        if is_missing && is_told {
            entries.push(Entry::Gap { from: at(now_s - TICK_S), to: at(now_s), cause: GapCause::WithoutBroker });
        }
        if !is_missing || is_told {
            entries.push(Entry::Tick { at: at(now_s) });
        }
        if now_s == ARMED_S {
            let arm = |(vehicle, _): &(VehicleId, Way)| Setting::Arm { vehicle: *vehicle };
            entries.extend(vehicles.iter().map(|v| Entry::Setting { at: at(now_s), setting: arm(v) }));
        }
        if now_s % 60 == 0 && now_s <= SILENT_S {
            entries.extend(vehicles.iter().map(|(vehicle, way)| parked(*vehicle, now_s, *way)));
        }
    }
    entries
}

fn fold(entries: &[Entry]) -> (LaneState, Vec<Effects>) {
    let mut lane = LaneState::default();
    let effects = entries.iter().map(|entry| lane.apply(entry, &SETTINGS)).collect();
    (lane, effects)
}

/// What is raised of a vehicle, and when, seconds after `from_s`.
fn raised(effects: &[Effects], vehicle: VehicleId, from_s: i64) -> Vec<(AlertKind, f64)> {
    let of = |finding: &Finding| match finding {
        Finding::Alert(a) if a.vehicle == vehicle => Some((a.kind, a.raised_at.seconds_since(at(from_s)))),
        _ => None,
    };
    effects.iter().flat_map(|e| &e.findings).filter_map(of).collect()
}

#[test]
fn a_broker_that_is_away_says_nothing_of_the_doors_trackers() {
    let both = [(DOOR, Way::Door), (BROKER, Way::Broker)];
    let (_, undisturbed) = fold(&journal(&both, false, true));
    let (_, effects) = fold(&journal(&both, true, true));
    let in_time = raised(&undisturbed, DOOR, SILENT_S);
    let kinds: Vec<AlertKind> = in_time.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [AlertKind::LostContact, AlertKind::Silent]);
    assert!(in_time.iter().all(|(_, s)| *s < (BACK_S - SILENT_S) as f64), "while the broker is away: {in_time:?}");
    assert_eq!(raised(&effects, DOOR, SILENT_S), in_time);
    assert_eq!(raised(&undisturbed, BROKER, SILENT_S), in_time, "with a broker they are alike");
    assert_eq!(raised(&effects, BROKER, BACK_S), in_time, "its silence counts from when the broker is back");
    let told: Vec<&Finding> =
        effects.iter().flat_map(|e| &e.findings).filter(|f| matches!(f, Finding::CoverageGap { .. })).collect();
    let whole = Finding::CoverageGap { from: at(AWAY_S), to: at(BACK_S), cause: GapCause::Connection };
    assert_eq!(told, [&whole], "operators see one gap");
}

#[test]
fn a_fleet_by_broker_only_is_told_the_same_with_and_without_the_clock_of_an_absence() {
    let fleet = [(DOOR, Way::Broker), (BROKER, Way::Broker)];
    let findings = |is_told| {
        let (lane, effects) = fold(&journal(&fleet, true, is_told));
        let checkpoint = serde_json::to_string(&lane).unwrap();
        assert!(!checkpoint.contains("door"), "nothing of a door is kept: {checkpoint}");
        effects.into_iter().flat_map(|e| e.findings).collect::<Vec<_>>()
    };
    assert_eq!(findings(true), findings(false));
}

#[test]
fn a_restart_anywhere_in_an_absence_of_the_broker_changes_nothing() {
    let entries = journal(&[(DOOR, Way::Door), (BROKER, Way::Broker)], true, true);
    let (end, undisturbed) = fold(&entries);
    let (mut lane, mut checkpoint) = (LaneState::default(), (0, pack_any(&LaneState::default()).unwrap()));
    for (n, entry) in entries.iter().enumerate() {
        if n % 97 == 96 {
            // Killed here: what was known is the checkpoint and the journal behind it.
            lane = unpack_any(&checkpoint.1).unwrap();
            entries[checkpoint.0..n].iter().for_each(|again| drop(lane.apply(again, &SETTINGS)));
            checkpoint = (n, pack_any(&lane).unwrap());
        }
        assert_eq!(lane.apply(entry, &SETTINGS), undisturbed[n], "entry {n}");
    }
    let guard = |lane: &LaneState| serde_json::to_value(&lane.guard).unwrap();
    assert_eq!(guard(&lane), guard(&end));
}

#[test]
fn a_tracker_that_another_replaces_has_its_way_no_longer() {
    let mut entries = journal(&[(DOOR, Way::Door)], true, true);
    let place = entries.iter().position(|e| e.at() > at(SILENT_S)).unwrap();
    let another = Setting::Tracker {
        tracker: TrackerKey(9),
        ident: TrackerIdent::parse("yy9").unwrap(),
        profile: Profile::of("json"),
        vehicle: Some(DOOR),
        vehicle_kind: None,
    };
    entries.insert(place, Entry::Setting { at: at(SILENT_S + 1), setting: another });
    let alerts = raised(&fold(&entries).1, DOOR, BACK_S);
    assert!(!alerts.is_empty() && alerts.iter().all(|(_, s)| *s > 0.0), "none while the broker is away: {alerts:?}");
}
