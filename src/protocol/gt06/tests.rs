//! Frames built from the vendor's documents.

use super::*;
use crate::domain::{AlarmKind, LatLon};
use crate::protocol::FrameStep;
use crate::protocol::gt06::frame::{build, frame};
use proptest::prelude::*;

/// 2026-06-15 02:57:25 UTC, 28.55 N, 112.35 E, 23 km/h, 181 degrees, valid, ten satellites.
fn gps() -> Vec<u8> {
    let mut block = vec![26, 6, 15, 2, 57, 25, 0xca];
    block.extend((28.55f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
    block.extend((112.35f64 * 1_800_000.0).round().to_string().parse::<u32>().unwrap().to_be_bytes());
    block.push(23);
    block.extend((181u16 | 1 << 12 | 1 << 10).to_be_bytes());
    block
}

const LBS: [u8; 8] = [0x01, 0xcc, 0x00, 0x28, 0x7d, 0x00, 0x1f, 0x71];

fn read(bytes: &[u8]) -> Result<Report, DecodeError> {
    decode(&Profile::of("gt06"), bytes)
}

#[test]
fn a_login_has_its_imei_and_is_answered() {
    let report = read(&build(false, 0x01, &[0x01, 0x23, 0x45, 0x67, 0x89, 0x01, 0x23, 0x45], 1)).unwrap();
    assert_eq!(report.tracker_idents[..], ["123456789012345"]);
    // The vendor's own example of a login's answer.
    assert_eq!(hex::encode(&report.replies[0]), "787805010001d9dc0d0a");
}

#[test]
fn a_location_has_its_place_and_hemispheres() {
    let report = read(&build(false, 0x22, &[gps(), LBS.to_vec(), vec![1, 0, 1]].concat(), 8)).unwrap();
    let moment = &report.moments[0];
    let fix = moment.fix.as_ref().unwrap();
    assert_eq!((fix.position, fix.valid, fix.satellites), (LatLon::new(28.55, 112.35), true, Some(10)));
    assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
    assert_eq!((moment.status.ignition, moment.buffered), (Some(true), true));
    assert_eq!((moment.network.cells[0].mcc, moment.network.cells[0].cell), (460, 0x1f71));
    let mut south_west = gps();
    south_west[16] = 0x18; // valid, west, no north
    let report = read(&build(false, 0x12, &[south_west, LBS.to_vec()].concat(), 8)).unwrap();
    assert_eq!(report.fixes().next().unwrap().position, LatLon::new(-28.55, -112.35));
}

#[test]
fn an_alarm_has_its_word_its_code_and_the_status() {
    let content = [gps(), vec![9], LBS.to_vec(), vec![0b0100_0110, 4, 3, 0x02, 1]].concat();
    let report = read(&build(false, 0x26, &content, 8)).unwrap();
    let moment = &report.moments[0];
    assert_eq!((moment.alarms[0].kind, moment.alarms[0].raw), (AlarmKind::PowerCut, 2));
    let status = &moment.status;
    assert_eq!((status.ignition, status.charging, status.battery_percent), (Some(true), Some(true), Some(66)));
}

#[test]
fn a_heartbeat_is_answered_with_its_serial() {
    let report = read(&build(false, 0x13, &[0x44, 6, 4, 0, 2], 0x1234)).unwrap();
    assert_eq!(report.replies[..], [build(false, 0x13, &[], 0x1234)]);
    assert_eq!(report.moments[0].status.battery_percent, Some(100));
}

#[test]
fn a_heartbeat_that_does_not_charge_says_nothing_of_the_supply() {
    let supply = |information: u8| {
        let report = read(&build(false, 0x13, &[information, 6, 4, 0, 2], 7)).unwrap();
        report.moments[0].status.external_power
    };
    assert_eq!(supply(0x45), Some(true), "charging needs a supply");
    assert_eq!(supply(0x41), None, "a full battery does not charge");
    assert_eq!(supply(0x51), Some(false), "the alarm of its cut says that there is none");
}

#[test]
fn a_wrong_crc_is_refused_unless_the_profile_tolerates_it() {
    let mut bytes = build(false, 0x13, &[0x44, 6, 4, 0, 2], 7);
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    assert!(matches!(read(&bytes), Err(DecodeError::Checksum { field: "CRC", .. })));
    let tolerant = Profile { tolerate_checksum: true, ..Profile::of("gt06") };
    assert!(decode(&tolerant, &bytes).unwrap().is_check_sum_wrong);
    bytes[at] ^= 1;
    assert!(!decode(&tolerant, &bytes).unwrap().is_check_sum_wrong);
}

#[test]
fn a_stream_is_cut_by_length_even_with_stop_bits_inside() {
    let bytes = build(false, 0x13, &[0x0d, 0x0a, 4, 0, 2], 7);
    for cut in 0..bytes.len() {
        assert_eq!(frame(&bytes[..cut]), FrameStep::More, "{cut}");
    }
    assert_eq!(frame(&[&bytes[..], &[0x78]].concat()), FrameStep::Frame(bytes.len()));
    assert_eq!(frame(&[&[1, 2], &bytes[..]].concat()), FrameStep::Skip(2));
}

#[test]
fn a_command_carries_its_text_and_flag() {
    let bytes = encode(&Request::Arm(true), 0x01020304, 9);
    assert_eq!(&bytes[3..5], [0x80, 12]);
    assert!(bytes.windows(8).any(|w| w == b"DEFENSE#"));
}

#[test]
fn a_gt06_frame_cut_anywhere_is_an_error() {
    let bytes = build(false, 0x22, &[gps(), LBS.to_vec(), vec![1, 0, 1]].concat(), 8);
    for cut in 0..bytes.len() - 2 {
        assert!(read(&bytes[..cut]).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_gt06_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(read(&bytes));
        let _ = frame(&bytes);
    }

    #[test]
    fn every_content_is_survived_by_gt06(long in any::<bool>(), number in any::<u8>(), content in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(read(&build(long, number, &content, 1)));
    }
}
