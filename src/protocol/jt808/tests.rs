//! Frames built by hand from the standard.

use super::*;
use crate::domain::{AlarmKind, LatLon};
use crate::protocol::jt808::frame::check_sum;
use proptest::prelude::*;

fn build(message: u16, body: &[u8], is_2019: bool) -> Vec<u8> {
    let mut inner = message.to_be_bytes().to_vec();
    inner.extend((body.len() as u16 | if is_2019 { 0x4000 } else { 0 }).to_be_bytes());
    if is_2019 {
        inner.push(1);
        inner.extend([0, 0, 0, 0]);
    }
    inner.extend([0x01, 0x38, 0x00, 0x13, 0x80, 0x00, 0x00, 0x07]);
    inner.extend(body);
    inner.push(check_sum(&inner));
    let mut frame = vec![0x7e];
    frame.extend(inner);
    frame.push(0x7e);
    frame
}

/// 28.55 N, 112.35 E, 41 m, 23.4 km/h, 181°, 2026-06-15 10:57:25 Beijing; ignition on, fix valid.
fn location(alarm_bits: u32) -> Vec<u8> {
    let mut body = alarm_bits.to_be_bytes().to_vec();
    body.extend(0b11u32.to_be_bytes());
    body.extend(28_550_000u32.to_be_bytes());
    body.extend(112_350_000u32.to_be_bytes());
    body.extend(41u16.to_be_bytes());
    body.extend(234u16.to_be_bytes());
    body.extend(181u16.to_be_bytes());
    body.extend([0x26, 0x06, 0x15, 0x10, 0x57, 0x25]);
    body.extend([0x01, 4, 0, 0, 0, 100, 0x31, 1, 12, 0xd4, 1, 87]);
    body
}

fn read(frame: &[u8]) -> Report {
    decode(&Profile::of("jt808"), frame).unwrap()
}

#[test]
fn a_location_is_read_with_its_items() {
    let report = read(&build(0x0200, &location(0), false));
    let moment = &report.moments[0];
    let fix = moment.fix.as_ref().unwrap();
    assert_eq!(fix.position, LatLon::new(28.55, 112.35));
    assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
    assert_eq!((fix.speed_kmh, fix.course_deg, fix.satellites, fix.valid), (Some(23.4), Some(181.0), Some(12), true));
    assert_eq!((moment.status.odometer_m, moment.status.battery_percent), (Some(10_000.0), Some(87)));
    assert_eq!(report.tracker_idents[..], ["013800138000"]);
}

#[test]
fn the_reply_answers_number_and_message() {
    let reply = &read(&build(0x0200, &location(0), false)).replies[0];
    assert_eq!(hex::encode(&reply[1..3]), "8001");
    assert_eq!(hex::encode(&reply[13..18]), "0007020000");
}

#[test]
fn escaped_and_unescaped_frames_are_the_same() {
    let mut body = location(0);
    body.extend([0xe9, 1, 0x7e, 0xe9, 1, 0x7d]);
    let frame = build(0x0200, &body, false);
    assert_eq!(read(&frame), read(&escape_frame(&frame)));
}

#[test]
fn a_2019_header_has_ten_bytes_of_phone_number() {
    let report = read(&build(0x0002, &[], true));
    assert_eq!(report.tracker_idents[..], ["00000000013800138000"]);
    assert!(report.moments.is_empty());
}

#[test]
fn a_batch_of_backfill_is_buffered() {
    let item = location(0);
    let mut body = vec![0, 2, 1];
    for _ in 0..2 {
        body.extend((item.len() as u16).to_be_bytes());
        body.extend(&item);
    }
    let report = read(&build(0x0704, &body, false));
    assert_eq!(report.moments.len(), 2);
    assert!(report.moments.iter().all(|m| m.buffered));
}

#[test]
fn reserved_alarm_bits_mean_what_the_model_says() {
    let frame = build(0x0200, &location(1 << 15 | 1 << 8), false);
    let kinds = |model: Option<&str>| {
        let profile = Profile { model: model.map(Into::into), ..Profile::of("jt808") };
        decode(&profile, &frame).unwrap().moments[0].alarms.iter().map(|a| a.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(None), [AlarmKind::PowerCut, AlarmKind::Vibration]);
    assert_eq!(kinds(Some("G10LS")), [AlarmKind::PowerCut, AlarmKind::LowBattery]);
}

#[test]
fn a_wrong_check_sum_is_refused_unless_the_profile_tolerates_it() {
    let mut frame = build(0x0200, &location(0), false);
    let last = frame.len() - 2;
    frame[last] ^= 1;
    assert!(decode(&Profile::of("jt808"), &frame).unwrap_err().to_string().contains("check sum"));
    let tolerant = Profile { tolerate_checksum: true, ..Profile::of("jt808") };
    assert!(decode(&tolerant, &frame).unwrap().is_check_sum_wrong);
    frame[last] ^= 1;
    assert!(!decode(&tolerant, &frame).unwrap().is_check_sum_wrong);
}

#[test]
fn a_packet_cut_anywhere_names_the_field() {
    let frame = build(0x0200, &location(0), false);
    for end in 1..frame.len() - 2 {
        let mut cut = frame[..end].to_vec();
        cut.push(0x7e);
        assert!(decode(&Profile::of("jt808"), &cut).is_err(), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(inner in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut frame = vec![0x7e];
        frame.extend(inner);
        frame.push(0x7e);
        let _ = decode(&Profile { tolerate_checksum: true, ..Profile::of("jt808") }, &frame);
    }

    #[test]
    fn every_body_is_survived(message in prop::sample::select(vec![0x0200u16, 0x0704, 0x0210, 0x0102, 0x0201]), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&Profile::of("jt808"), &build(message, &body, message == 0x0102));
    }
}
