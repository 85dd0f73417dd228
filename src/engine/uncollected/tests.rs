//! Off by choice: nothing is kept, nobody is missed, and the same journal says the same again.

use crate::domain::{
    Entry, Outcome, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey, VehicleId, Way, Withheld,
};
use crate::engine::uncollected::Switched;
use crate::engine::{FoldSettings, LaneState};

const NOW_S: i64 = 1_790_000_000;
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };
const VEHICLE: VehicleId = VehicleId(7);

fn at(after_s: i64) -> Timestamp {
    Timestamp::from_secs(NOW_S + after_s)
}

fn setting(after_s: i64, setting: Setting) -> Entry {
    Entry::Setting { at: at(after_s), setting }
}

fn tracker(ident: &str, vehicle: VehicleId) -> Setting {
    Setting::Tracker {
        tracker: TrackerKey(1),
        ident: TrackerIdent::parse(ident).unwrap(),
        profile: Profile::of("json"),
        vehicle: Some(vehicle),
        vehicle_kind: None,
    }
}

fn switch(after_s: i64, off: bool) -> Entry {
    setting(after_s, Setting::Positioning { vehicle: VEHICLE, off })
}

/// A fix of a time, received at another.
fn fix(ident: &str, fixed_s: i64, received_s: i64) -> Entry {
    let t = (NOW_S + fixed_s) * 1000;
    let payload = format!(
        r#"{{"v":1,"id":"{ident}","seq":{fixed_s},"fixes":[{{"t":{t},"lat":28.55,"lon":112.35}}],"status":{{"battery":80}}}}"#
    );
    let topic = format!("v1/{}/{ident}/up", Shard::of(ident).0);
    Entry::Packet(Packet { topic, received_at: at(received_s), payload: payload.into_bytes(), way: Way::Broker })
}

fn lane() -> LaneState {
    let mut lane = LaneState::default();
    lane.apply(&setting(-100, tracker("yy1", VEHICLE)), &SETTINGS);
    let Setting::Tracker { ident, profile, .. } = tracker("yy2", VehicleId(8)) else { unreachable!() };
    let other =
        Setting::Tracker { tracker: TrackerKey(2), ident, profile, vehicle: Some(VehicleId(8)), vehicle_kind: None };
    lane.apply(&setting(-100, other), &SETTINGS);
    lane
}

/// What the journal gets of entries: whether each is withheld (so many), kept, or something else.
fn kept(lane: &LaneState, mut entries: Vec<Entry>, switched: &Switched) -> (String, usize) {
    let replies = lane.withhold(&mut entries, switched).len();
    let words = entries.iter().map(|entry| match entry {
        Entry::Packet(_) => "kept ".to_owned(),
        Entry::Withheld(withheld) => format!("{} ", withheld.packets),
        _ => "setting ".to_owned(),
    });
    (words.collect::<String>().trim_end().to_owned(), replies)
}

#[test]
fn from_its_place_among_the_entries_on_packets_are_counted_answered_and_not_kept() {
    let (lane, none) = (lane(), Switched::new());
    let batch = || {
        vec![fix("yy1", 1, 1), switch(2, true), fix("yy1", 3, 3), fix("yy2", 3, 3), fix("yy1", 5, 5), fix("yy1", 6, 4)]
    };
    assert_eq!(kept(&lane, batch(), &none), ("kept setting 3 kept".into(), 3));
    let mut entries = batch();
    lane.withhold(&mut entries, &none);
    let topic = format!("v1/{}/yy1/up", Shard::of("yy1").0);
    assert_eq!(entries[2], Entry::Withheld(Withheld { topic, packets: 3, from: at(3), to: at(5) }));
    assert_eq!(entries[2].packets(), 3);
    // On again in the same batch; what settings say that are read after the spool.
    let on_again = vec![switch(2, true), fix("yy1", 3, 3), switch(4, false), fix("yy1", 5, 5)];
    assert_eq!(kept(&lane, on_again, &none), ("setting 1 setting kept".into(), 1));
    let ahead = Switched::from([(VEHICLE, true)]);
    assert_eq!(kept(&lane, vec![fix("yy1", 1, 1), fix("yy2", 1, 1)], &ahead), ("1 kept".into(), 1));
    // Another tracker in the vehicle, and the tracker in another vehicle.
    let changed = vec![switch(2, true), setting(3, tracker("yy2", VEHICLE)), fix("yy2", 4, 4)];
    assert_eq!(kept(&lane, changed, &none).0, "setting setting 1");
    let moved = vec![switch(2, true), setting(3, tracker("yy1", VehicleId(9))), fix("yy1", 4, 4)];
    assert_eq!(kept(&lane, moved, &none).0, "setting setting kept");
}

#[test]
fn a_guarded_vehicle_that_goes_off_is_guarded_and_missed_no_more_and_comes_back_on() {
    let mut lane = lane();
    for entry in [setting(0, Setting::Arm { vehicle: VEHICLE }), fix("yy1", 1, 1)] {
        lane.apply(&entry, &SETTINGS);
    }
    let effects = lane.apply(&switch(10, true), &SETTINGS);
    assert!(effects.guards.len() == 1 && !effects.guards[0].armed, "{effects:?}");
    let withheld = Entry::Withheld(Withheld { topic: "v1/1/yy1/up".into(), packets: 9, from: at(11), to: at(20) });
    let effects = lane.apply(&withheld, &SETTINGS);
    assert_eq!((effects.outcome, effects.fixes.len(), effects.status), (Some(Outcome::Withheld), 0, None));
    // Nobody can guard it meanwhile, neither by hand nor by parking.
    let policy = crate::domain::GuardPolicy { schedule: None, auto_after_s: Some(60) };
    for in_vain in [Setting::Arm { vehicle: VEHICLE }, Setting::Guarding { vehicle: VEHICLE, policy }] {
        assert_eq!(lane.apply(&setting(30, in_vain), &SETTINGS), crate::engine::Effects::default());
    }
    for hour in 1..24 {
        let ticked = lane.apply(&Entry::Tick { at: at(hour * 3600) }, &SETTINGS);
        assert!(ticked.findings.is_empty(), "{hour} h: {ticked:?}");
    }
    lane.apply(&switch(90_000, false), &SETTINGS);
    lane.apply(&setting(90_000, tracker("yy1", VEHICLE)), &SETTINGS); // as the database tells it again
    lane.apply(&setting(90_001, Setting::Arm { vehicle: VEHICLE }), &SETTINGS);
    let fixes = lane.apply(&fix("yy1", 90_002, 90_003), &SETTINGS).fixes;
    assert_eq!((fixes.len(), fixes[0].vehicle), (1, Some(VEHICLE)));
    let silent =
        (0..12).any(|hour| !lane.apply(&Entry::Tick { at: at(90_010 + hour * 3600) }, &SETTINGS).findings.is_empty());
    assert!(silent, "guarded again, it is missed");
}

#[test]
fn what_was_measured_while_it_was_off_is_not_kept_whenever_it_comes() {
    let mut lane = lane();
    for entry in [switch(100, true), switch(200, false), switch(300, true), switch(400, false)] {
        lane.apply(&entry, &SETTINGS);
    }
    let none = Switched::new();
    for (fixed_s, is_kept) in
        [(99, true), (100, false), (199, false), (200, true), (299, true), (350, false), (400, true)]
    {
        let (words, _) = kept(&lane, vec![fix("yy1", fixed_s, 500)], &none);
        assert_eq!(words == "kept", is_kept, "measured at {fixed_s}");
        // The second wall: one that came into the journal all the same makes no position.
        let mut folded = lane.clone();
        assert_eq!(folded.apply(&fix("yy1", fixed_s, 500), &SETTINGS).fixes.len(), usize::from(is_kept), "{fixed_s}");
    }
    // However often it is switched, little is remembered, and nothing of an off time becomes visible by that.
    for n in 5..60 {
        lane.apply(&switch(n * 100, n % 2 == 1), &SETTINGS);
    }
    assert!(rmp_serde::to_vec(&lane.positioning).unwrap().len() < 400);
    for n in 1..60 {
        let (words, _) = kept(&lane, vec![fix("yy1", n * 100 + 50, 7_000)], &none);
        assert!(n % 2 == 0 || words == "1", "measured at {}", n * 100 + 50);
    }
}

#[test]
fn a_checkpoint_keeps_it_and_one_of_before_reads_as_on() {
    let mut lane = lane();
    lane.apply(&switch(100, true), &SETTINGS);
    let again: LaneState = rmp_serde::from_slice(&rmp_serde::to_vec_named(&lane).unwrap()).unwrap();
    assert_eq!(again.positioning, lane.positioning);
    assert_eq!(kept(&again, vec![fix("yy1", 101, 101)], &Switched::new()).0, "1");
}

#[test]
fn what_comes_late_of_somebody_who_was_erased_is_not_kept_and_what_others_measured_is() {
    let mut lane = lane();
    let erased = Setting::Erased { tracker: TrackerKey(1), from: at(100), to: at(200) };
    lane.apply(&setting(300, erased), &SETTINGS);
    for (fixed_s, is_kept) in [(99, true), (100, false), (199, false), (200, true)] {
        let (words, replies) = kept(&lane, vec![fix("yy1", fixed_s, 500)], &Switched::new());
        assert_eq!((words == "kept", replies), (is_kept, usize::from(!is_kept)), "measured at {fixed_s}");
        assert_eq!(
            lane.clone().apply(&fix("yy1", fixed_s, 500), &SETTINGS).fixes.len(),
            usize::from(is_kept),
            "{fixed_s}"
        );
    }
}
