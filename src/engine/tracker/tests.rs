use super::*;
use crate::engine::ident_table::IdentTable;

fn name() -> IdentId {
    IdentTable::default().put(&TrackerIdent::parse("860000000000001").unwrap())
}

#[test]
fn a_known_tracker_takes_128_bytes() {
    assert_eq!(size_of::<Tracker>(), 128);
}

#[test]
fn a_checkpoint_keeps_all_that_is_known_of_a_tracker() {
    let place = Place { position: crate::domain::LatLon::new(28.5, 112.3), at: Timestamp::from_secs(1_790_000_000) };
    let mut firmwares = FirmwareTable::default();
    let mut tracker = Tracker { profile: 3, equal: 7, ..Tracker::new(name(), TrackerKey(5)) };
    tracker.digests.add(crate::domain::PacketDigest(9));
    tracker.set_vehicle(Some(VehicleId(0)));
    tracker.set_consistency(ConsistencyCheck { jumped: Some((place, 1)), equal: 7 });
    tracker.set_firmware(Some(&"2.1.0".into()), &mut firmwares);
    let kept = serde_json::to_value(tracker.kept(&firmwares)).unwrap();
    let again = Tracker::of(name(), serde_json::from_value(kept.clone()).unwrap(), &mut firmwares);
    assert_eq!(serde_json::to_value(again.kept(&firmwares)).unwrap(), kept);
    assert_eq!((&kept["status"]["firmware"], &kept["vehicle"]), (&"2.1.0".into(), &0.into()));
}

#[test]
fn a_firmware_beyond_the_table_s_room_is_told_all_the_same_and_room_comes_back() {
    let mut firmwares = FirmwareTable::default();
    for n in 0..2000 {
        firmwares.number(&compact_str::format_compact!("{n}"));
    }
    let mut tracker = Tracker::new(name(), TrackerKey(5));
    for (name, is_apart) in [("another", true), ("1", false), ("none of them", true)] {
        tracker.set_firmware(Some(&name.into()), &mut firmwares);
        assert_eq!(tracker.firmware(&firmwares).unwrap(), name);
        assert_eq!(tracker.rare.is_some(), is_apart, "{name}");
    }
}
