//! Bad input ends in quarantine with a reason, good input in rows; the same input twice in nothing new.

use super::*;
use crate::domain::{Flood, GapCause, Shard};
use proptest::prelude::*;

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
    lane.apply(&Entry::Setting { at: Timestamp::from_secs(NOW_S), setting: tracker }, &SETTINGS);
    lane
}

fn packet(ident: &str, payload: &str) -> Entry {
    let topic = format!("v1/{}/{ident}/up", Shard::of(ident).0);
    Entry::Packet(Packet {
        topic,
        received_at: Timestamp::from_secs(NOW_S),
        payload: payload.as_bytes().to_vec(),
        way: Way::Broker,
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
    let effects = lane().apply(&packet("yy1", &fix(NOW_S - 1, 28.55)), &SETTINGS);
    assert_eq!(effects.outcome, Some(Outcome::Stored));
    assert_eq!((effects.fixes.len(), effects.fixes[0].vehicle), (1, Some(VehicleId(7))));
    assert_eq!((effects.replies[0].ident.as_str(), effects.replies[0].sequence), ("yy1", Some(NOW_S as u64 - 1)));
    assert!(effects.status.is_some());
}

#[test]
fn the_second_message_of_a_payload_counts_and_what_is_left_over_is_quarantined_beside_it() {
    let mut lane = LaneState::default();
    let tracker = Setting::Tracker {
        tracker: TrackerKey(2),
        ident: TrackerIdent::parse("4210051415").unwrap(),
        profile: Profile::of("h02"),
        vehicle: Some(VehicleId(8)),
        vehicle_kind: None,
    };
    lane.apply(&Entry::Setting { at: Timestamp::from_secs(NOW_S), setting: tracker }, &SETTINGS);
    // 2026-09-21 14:13:20 UTC is NOW_S; bit 1 of the second word is clear: SOS.
    let message = |clock: &str, word: &str| {
        format!("*HQ,4210051415,V1,{clock},A,2833.0000,N,11221.0000,E,000.00,0,210926,{word}#")
    };
    let payload = format!("{}{}noise", message("141300", "FFFFFFFF"), message("141310", "FFFFFFFD"));
    let effects = lane.apply(&packet("4210051415", &payload), &SETTINGS);
    assert_eq!((effects.outcome, effects.fixes.len()), (Some(Outcome::Stored), 2));
    let kinds: Vec<_> =
        effects.findings.iter().filter_map(|f| if let Finding::Alert(a) = f { Some(a.kind) } else { None }).collect();
    assert_eq!(kinds, [crate::domain::AlertKind::Sos]);
    let left = effects.left_over.expect("a row of quarantine");
    assert_eq!((left.reason, effects.quarantined), (LEFT_OVER, None));
}

#[test]
fn the_same_packet_twice_changes_nothing_but_is_answered_twice() {
    let mut lane = lane();
    let entry = packet("yy1", &fix(NOW_S - 1, 28.55));
    let first = lane.apply(&entry, &SETTINGS);
    let again = lane.apply(&entry, &SETTINGS);
    let replies = first.replies.clone();
    assert!(!replies.is_empty());
    assert_eq!(again, Effects { outcome: Some(Outcome::Duplicate), replies, ..Effects::default() });
    let Entry::Packet(packet) = &entry else { unreachable!() };
    assert_eq!(lane.replies_to(packet), Some(first.replies));
}

#[test]
fn packets_beyond_a_quota_are_one_thing_in_quarantine_and_change_nothing() {
    let (mut lane, at) = (lane(), Timestamp::from_secs(NOW_S));
    let before = rmp_serde::to_vec(&lane).unwrap();
    let flood = |topic: &str| {
        Entry::Flood(Flood { topic: topic.into(), packets: 40, bytes: 2_400_000, from: at, to: at.plus_secs_f64(0.3) })
    };
    let own = format!("v1/{}/yy1/up", Shard::of("yy1").0);
    for (topic, ident) in [(own.as_str(), Some("yy1")), ("v1/99/yy1/up", None), ("elsewhere", None)] {
        let effects = lane.apply(&flood(topic), &SETTINGS);
        let aside = effects.quarantined.clone().unwrap();
        assert_eq!((aside.reason, aside.security, aside.ident.as_deref()), (FLOOD, true, ident));
        assert_eq!(aside.tracker.is_some(), ident.is_some());
        assert_eq!(aside.detail, "40 packets of 2400000 bytes beyond the tracker's quota in 300 ms; not kept");
        let quarantined = Some(aside);
        assert_eq!(effects, Effects { outcome: Some(Outcome::Quarantined), quarantined, ..Effects::default() });
        assert_eq!(flood(topic).packets(), 40);
    }
    assert_eq!(rmp_serde::to_vec(&lane).unwrap(), before);
}

#[test]
fn bad_input_is_set_aside_with_its_reason() {
    let wrong_shard = Entry::Packet(Packet {
        topic: format!("v1/{}/yy1/up", (Shard::of("yy1").0 + 1) % 64),
        received_at: Timestamp::from_secs(NOW_S),
        payload: vec![],
        way: Way::Broker,
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
        let effects = lane().apply(&entry, &SETTINGS);
        let aside = effects.quarantined.unwrap_or_else(|| panic!("{reason}: not set aside"));
        assert_eq!((aside.reason, aside.security, effects.outcome), (reason, security, Some(Outcome::Quarantined)));
        assert!(effects.fixes.is_empty());
    }
}

#[test]
fn a_bad_time_does_not_silence_the_rest_of_the_packet() {
    let effects = lane().apply(&packet("yy1", &fix(3_471_292_800, 28.55)), &SETTINGS);
    let (_, _, row) = effects.status.unwrap();
    assert_eq!((row.battery_percent, row.newest), (Some(80), None));
}

#[test]
fn a_late_fix_never_moves_the_newest_back() {
    let mut lane = lane();
    lane.apply(&packet("yy1", &fix(NOW_S, 28.55)), &SETTINGS);
    let late = lane.apply(&packet("yy1", &fix(NOW_S - 3600, 28.50)), &SETTINGS);
    assert_eq!(late.fixes[0].flags.0 & FixFlags::LATE, FixFlags::LATE);
    let (tracker, _) = lane.known(&TrackerIdent::parse("yy1").unwrap()).unwrap();
    assert_eq!(tracker.newest.as_ref().unwrap().fixed_at, Timestamp::from_secs(NOW_S));
}

#[test]
fn what_a_late_packet_says_of_its_tracker_undoes_nothing_newer() {
    let mut lane = lane();
    let mut says = |t_s: i64, status: &str| {
        let said = fix(t_s, 28.55).replace(r#"{"battery":80}"#, status);
        lane.apply(&packet("yy1", &said), &SETTINGS).status.map(|(.., row)| row)
    };
    says(NOW_S - 10, r#"{"battery":90,"external_power":true,"firmware":"1.2"}"#);
    says(NOW_S - 86_400, r#"{"battery":5,"external_power":false,"firmware":"1.1","signal":30}"#);
    let row = says(NOW_S - 5, r#"{"ignition":true}"#).unwrap(); // people see that at once
    assert_eq!((row.battery_percent, row.external_power, row.firmware.as_deref()), (Some(90), Some(true), Some("1.2")));
    assert_eq!(row.signal_percent, Some(30), "nobody has said it since");
}

#[test]
fn a_wrong_check_sum_that_the_profile_tolerates_is_counted_and_flagged_on_its_fix() {
    let at = Timestamp::from_secs(NOW_S);
    // A location of 2026-09-21T14:13:20Z (NOW_S): its last byte but one is the check sum.
    let mut frame = hex::decode(concat!(
        "7e0200001c0138001380000007",
        "000000000000000301b3a35006b24f70002900ea00b5260921221320",
        "007e"
    ))
    .unwrap();
    let end = frame.len() - 2;
    let right = frame[1..end].iter().fold(0, |sum, byte| sum ^ byte);
    let mut counted = |tolerate_checksum: bool, check_sum: u8| {
        let (tracker, vehicle) = (TrackerKey(1), Some(VehicleId(7)));
        let profile = Profile { tolerate_checksum, ..Profile::of("jt808") };
        let ident = TrackerIdent::parse("013800138000").unwrap();
        let mut lane = LaneState::default();
        let setting = Setting::Tracker { tracker, ident, profile, vehicle, vehicle_kind: None };
        lane.apply(&Entry::Setting { at, setting }, &SETTINGS);
        frame[end] = check_sum;
        let topic = format!("v1/{}/013800138000/up", Shard::of("013800138000").0);
        let packet = Packet { topic, received_at: at, payload: frame.clone(), way: Way::Broker };
        let effects = lane.apply(&Entry::Packet(packet), &SETTINGS);
        let flags = effects.fixes.first().map(|f| f.flags.0 & !(FixFlags::CELL_ENTRY | FixFlags::NARROW));
        (effects.outcome, effects.is_check_sum_wrong, flags)
    };
    let stored = Some(Outcome::Stored);
    assert_eq!(counted(true, right), (stored, false, Some(0)));
    assert_eq!(counted(true, right ^ 1), (stored, true, Some(FixFlags::CHECK_SUM_WRONG)));
    assert_eq!(counted(false, right ^ 1), (Some(Outcome::Quarantined), false, None));
}

#[test]
fn a_checkpoint_goes_on_where_the_state_was() {
    let mut lane = lane();
    lane.apply(&packet("yy1", &fix(NOW_S, 28.55)), &SETTINGS);
    let bytes = crate::store::journal::pack_any(&lane).unwrap();
    let mut again: LaneState = crate::store::journal::unpack_any(&bytes).unwrap();
    let next = packet("yy1", &fix(NOW_S + 10, 28.56));
    assert_eq!(lane.apply(&next, &SETTINGS), again.apply(&next, &SETTINGS));
}

#[test]
fn operators_are_told_of_gaps_but_not_of_each_start() {
    let told = |seconds: i64, cause| {
        let (from, to) = (Timestamp::from_secs(NOW_S), Timestamp::from_secs(NOW_S + seconds));
        lane().apply(&Entry::Gap { from, to, cause }, &SETTINGS).findings == [Finding::CoverageGap { from, to, cause }]
    };
    assert!(told(60, GapCause::Connection) && told(60, GapCause::Away));
    assert!(!told(1, GapCause::Connection));
    assert!(told(0, GapCause::SessionLost), "however short: what the broker had kept is gone");
}

proptest! {
    /// In order, late, from anywhere, there and back: who looks for entries finds every tracker.
    #[test]
    fn each_fix_that_is_shown_has_a_footprint_in_its_cell_and_quarter_that_is_not_younger(
        fixes in proptest::collection::vec((0..5400_i64, 0..8_i32, any::<bool>()), 1..60),
        hops in proptest::collection::vec(0..60_usize, 0..4),
    ) {
        let mut lane = lane();
        let (mut shown, mut entries) = (Vec::new(), Vec::new());
        for (n, (ago_s, cell, in_order)) in fixes.iter().enumerate() {
            let t_s = if *in_order { NOW_S - 5400 + n as i64 * 90 } else { NOW_S - ago_s };
            let lat = if hops.contains(&n) { 31.0 } else { 28.5501 + f64::from(*cell) * 0.0015 };
            for row in lane.apply(&packet("yy1", &fix(t_s, lat)), &SETTINGS).fixes {
                let (at, cell_entry) = (row.fixed_at, CellEntry::of(row.fixed_at, row.fix.position));
                match row.flags.0 & (FixFlags::CELL_ENTRY | FixFlags::NARROW) {
                    0 => {}
                    FixFlags::CELL_ENTRY => entries.push((at, cell_entry.span, cell_entry.wide)),
                    FixFlags::NARROW => prop_assert!(false, "narrow, and no cell entry"),
                    _ => entries.push((at, cell_entry.span, -1 - cell_entry.narrow)),
                }
                if row.flags.is_shown() {
                    shown.push((at, cell_entry));
                }
            }
        }
        let is_found = |(at, f): &(Timestamp, CellEntry)| {
            entries.iter().any(|(from, span, cell)| from <= at && *span == f.span && [f.wide, -1 - f.narrow].contains(cell))
        };
        prop_assert!(!shown.is_empty() && shown.iter().all(is_found));
    }
}

#[test]
fn a_tracker_that_stands_still_has_one_footprint_a_quarter() {
    let mut lane = lane();
    let fixes = (0..90).map(|n| fix(NOW_S - 900 + n * 10, 28.5501));
    let rows = fixes.flat_map(|f| lane.apply(&packet("yy1", &f), &SETTINGS).fixes);
    // NOW_S is in the middle of a quarter.
    assert_eq!(rows.filter(|r| r.flags.0 & FixFlags::CELL_ENTRY != 0).count(), 2);
}
