//! Bad input ends in quarantine with a reason, good input in rows; the same input twice in nothing new.

use super::*;
use crate::domain::Shard;

const NOW_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

fn lane() -> LaneState {
    let mut lane = LaneState::default();
    let tracker = Setting::Tracker {
        tracker: TrackerKey(1),
        ident: TrackerIdent::parse("yy1").unwrap(),
        profile: Profile::of("json"),
        vehicle: Some(VehicleId(7)),
        vehicle_kind: None,
    };
    lane.fold(&Entry::Setting { at: Timestamp::from_secs(NOW_S), setting: tracker }, &SETTINGS);
    lane
}

fn packet(ident: &str, payload: &str) -> Entry {
    let topic = format!("v1/{}/{ident}/up", Shard::of(ident).0);
    Entry::Packet(Packet {
        topic,
        received_at: Timestamp::from_secs(NOW_S),
        payload: payload.as_bytes().to_vec(),
        retained: false,
    })
}

fn fix(t_s: i64, lat: f64) -> String {
    format!(
        r#"{{"v":1,"id":"yy1","seq":{t_s},"fixes":[{{"t":{},"lat":{lat},"lon":112.35}}],"status":{{"battery":80}}}}"#,
        t_s * 1000
    )
}

#[test]
fn a_good_packet_is_stored_and_answered() {
    let effects = lane().fold(&packet("yy1", &fix(NOW_S - 1, 28.55)), &SETTINGS);
    assert_eq!(effects.outcome, Some(Outcome::Stored));
    assert_eq!((effects.fixes.len(), effects.fixes[0].vehicle), (1, Some(VehicleId(7))));
    assert_eq!((effects.replies[0].ident.as_str(), effects.replies[0].sequence), ("yy1", Some(NOW_S as u64 - 1)));
    assert!(effects.status.is_some());
}

#[test]
fn the_same_packet_twice_changes_nothing_but_is_answered_twice() {
    let mut lane = lane();
    let entry = packet("yy1", &fix(NOW_S - 1, 28.55));
    let first = lane.fold(&entry, &SETTINGS);
    let again = lane.fold(&entry, &SETTINGS);
    let replies = first.replies.clone();
    assert!(!replies.is_empty());
    assert_eq!(again, Effects { outcome: Some(Outcome::Duplicate), replies, ..Effects::default() });
    let Entry::Packet(packet) = &entry else { unreachable!() };
    assert_eq!(lane.replies_to(packet), first.replies);
}

#[test]
fn bad_input_is_set_aside_with_its_reason() {
    let wrong_shard = Entry::Packet(Packet {
        topic: format!("v1/{}/yy1/up", (Shard::of("yy1").0 + 1) % 64),
        received_at: Timestamp::from_secs(NOW_S),
        payload: vec![],
        retained: false,
    });
    let cases: Vec<(Entry, &str, bool)> = vec![
        (packet("yy1", ""), "decode", false),
        (packet("yy1", "x"), "decode", false),
        (packet("yy1", &"garbage ".repeat(8000)), "decode", false),
        (packet("yy1", &" ".repeat(Packet::PAYLOAD_BYTES_MAX + 1)), "size", true),
        (packet("nobody", "{}"), "unknown_tracker", true),
        (packet("yy1", r#"{"v":1,"id":"yy2"}"#), "identity", true),
        (packet("yy1", &fix(NOW_S, 91.0)), "position", false),
        (packet("yy1", &fix(3_471_292_800, 28.55)), "time", false), // 2080
        (packet("yy1", &fix(1, 28.55)), "time", false),
        (wrong_shard, "topic", true),
    ];
    for (entry, reason, security) in cases {
        let effects = lane().fold(&entry, &SETTINGS);
        let aside = effects.quarantined.unwrap_or_else(|| panic!("{reason}: not set aside"));
        assert_eq!((aside.reason, aside.security, effects.outcome), (reason, security, Some(Outcome::Quarantined)));
        assert!(effects.fixes.is_empty());
    }
}

#[test]
fn a_bad_time_does_not_silence_the_rest_of_the_packet() {
    let effects = lane().fold(&packet("yy1", &fix(3_471_292_800, 28.55)), &SETTINGS);
    let (_, _, row) = effects.status.unwrap();
    assert_eq!((row.battery_percent, row.newest), (Some(80), None));
}

#[test]
fn a_late_fix_never_moves_the_newest_back() {
    let mut lane = lane();
    lane.fold(&packet("yy1", &fix(NOW_S, 28.55)), &SETTINGS);
    let late = lane.fold(&packet("yy1", &fix(NOW_S - 3600, 28.50)), &SETTINGS);
    assert_eq!(late.fixes[0].flags.0 & FixFlags::LATE, FixFlags::LATE);
    let (tracker, _) = lane.known(&TrackerIdent::parse("yy1").unwrap()).unwrap();
    assert_eq!(tracker.status.newest.as_ref().unwrap().fixed_at, Timestamp::from_secs(NOW_S));
}

#[test]
fn a_checkpoint_goes_on_where_the_state_was() {
    let mut lane = lane();
    lane.fold(&packet("yy1", &fix(NOW_S, 28.55)), &SETTINGS);
    let bytes = crate::store::journal::pack_any(&lane).unwrap();
    let mut again: LaneState = crate::store::journal::unpack_any(&bytes).unwrap();
    let next = packet("yy1", &fix(NOW_S + 10, 28.56));
    assert_eq!(lane.fold(&next, &SETTINGS), again.fold(&next, &SETTINGS));
}
