//! Packets built from the vendor's documents.

use super::*;
use crate::domain::AlarmKind;
use proptest::prelude::*;

/// One codec 8 record: 2026-06-15 02:57:25 UTC, 28.55 N, 112.35 E, ignition on, unplugged, odometer.
fn packet_of(codec: u8) -> Vec<u8> {
    let mut data = vec![codec, 1];
    data.extend(1_781_492_245_000u64.to_be_bytes());
    data.push(0);
    data.extend(1_123_500_000i32.to_be_bytes());
    data.extend(285_500_000i32.to_be_bytes());
    data.extend((-6i16).to_be_bytes());
    data.extend([0, 181, 9, 0, 23]);
    let id = |n: u8| if codec == 0x08 { vec![n] } else { vec![0, n] };
    let count = |n: u8| if codec == 0x8e { vec![0, n] } else { vec![n] };
    data.extend(id(0));
    if codec == 0x10 {
        data.push(5);
    }
    data.extend(count(4));
    data.extend(count(2));
    data.extend(id(239));
    data.push(1);
    data.extend(id(252));
    data.push(1);
    data.extend(count(1));
    data.extend(id(66));
    data.extend(12_345u16.to_be_bytes());
    data.extend(count(1));
    data.extend(id(16));
    data.extend(4_200u32.to_be_bytes());
    data.extend(count(0));
    if codec == 0x8e {
        data.extend([0, 0]);
    }
    data.push(1);
    let mut out = vec![0, 0, 0, 0];
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(&data);
    out.extend(u32::from(crc16_arc(&data)).to_be_bytes());
    out
}

fn read(bytes: &[u8]) -> Result<Report, DecodeError> {
    decode(&Profile::of("teltonika"), bytes)
}

#[test]
fn the_three_codecs_say_the_same() {
    for codec in [0x08, 0x8e, 0x10] {
        let report = read(&packet_of(codec)).unwrap();
        let moment = &report.moments[0];
        let fix = moment.fix.as_ref().unwrap();
        assert_eq!(fix.position, LatLon::new(28.55, 112.35));
        assert_eq!((fix.altitude_m, fix.speed_kmh, fix.course_deg), (Some(-6.0), Some(23.0), Some(181.0)));
        assert_eq!(fix.fixed_at.unwrap().to_string(), "2026-06-15T02:57:25Z");
        assert_eq!((moment.status.ignition, moment.status.odometer_m), (Some(true), Some(4200.0)));
        assert_eq!(moment.status.external_power, Some(true));
        assert_eq!(moment.alarms[0].kind, AlarmKind::PowerCut);
        assert_eq!(report.replies[..], [ReplyBytes::from_slice(&[0, 0, 0, 1])]);
    }
}

#[test]
fn a_login_is_accepted_with_its_imei() {
    let login = [&[0, 15][..], b"123456789012345"].concat();
    let report = read(&login).unwrap();
    assert_eq!(report.tracker_idents[..], ["123456789012345"]);
    assert_eq!(report.replies[..], [ReplyBytes::from_slice(&[1])]);
}

#[test]
fn a_wrong_crc_is_refused_unless_the_profile_tolerates_it() {
    let mut packet = packet_of(0x08);
    *packet.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&packet), Err(DecodeError::Checksum { field: "CRC", .. })));
    let tolerant = Profile { tolerate_checksum: true, ..Profile::of("teltonika") };
    assert!(decode(&tolerant, &packet).unwrap().is_check_sum_wrong);
    *packet.last_mut().unwrap() ^= 1;
    assert!(!decode(&tolerant, &packet).unwrap().is_check_sum_wrong);
}

#[test]
fn a_datagram_carries_its_imei_and_is_answered_with_its_ids() {
    let tcp = packet_of(0x08);
    let data = &tcp[8..tcp.len() - 4];
    let mut datagram = vec![0, 0, 0xca, 0xfe, 1, 7, 0, 15];
    datagram.extend(b"123456789012345");
    datagram.extend(data);
    let report = read(&datagram).unwrap();
    assert_eq!(report.tracker_idents[..], ["123456789012345"]);
    assert_eq!(report.replies[..], [ReplyBytes::from_slice(&[0, 5, 0xca, 0xfe, 1, 7, 1])]);
}

#[test]
fn the_documented_command_is_encoded() {
    // Teltonika, "Codec 12": getinfo.
    let expected = "000000000000000F0C010500000007676574696E666F0100004312";
    assert_eq!(hex::encode_upper(encode(&Request::Text("getinfo".into()))), expected);
}

#[test]
fn a_stream_cut_anywhere_is_framed() {
    let packet = packet_of(0x08);
    for cut in 0..packet.len() {
        assert_eq!(frame(&packet[..cut]), FrameStep::More, "{cut}");
    }
    assert_eq!(frame(&packet), FrameStep::Frame(packet.len()));
    assert_eq!(frame(&[0xff, 0, 0]), FrameStep::Frame(1));
}

#[test]
fn a_packet_cut_anywhere_names_the_field_in_teltonika() {
    let packet = packet_of(0x8e);
    for cut in 0..packet.len() {
        let error = read(&packet[..cut]).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "{cut}: {error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_teltonika_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let tolerant = Profile { tolerate_checksum: true, ..Profile::of("teltonika") };
        drop(decode(&tolerant, &bytes));
        let _ = frame(&bytes);
    }

    #[test]
    fn every_body_is_survived_by_teltonika(codec in prop::sample::select(vec![0x08u8, 0x8e, 0x10, 0x0c, 0x0d, 0x0e]), body in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut packet = vec![0, 0, 0, 0];
        packet.extend((body.len() as u32 + 1).to_be_bytes());
        packet.push(codec);
        packet.extend(&body);
        packet.extend([0; 4]);
        let tolerant = Profile { tolerate_checksum: true, ..Profile::of("teltonika") };
        drop(decode(&tolerant, &packet));
    }
}
