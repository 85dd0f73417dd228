//! Payloads of several frames.

use crate::domain::{Profile, Report};
use crate::protocol::{DecodeError, FrameStep, PROTOCOLS, decode};
use proptest::prelude::*;

/// One frame of each framed language, with a place or a status and with replies where the language owes some.
const FRAMES: [(&str, &str); 4] = [
    ("gt06", "78780a1345f10302010181856d0d0a"),
    ("h02", "2a48512c343231303035313431352c485442542c383823"),
    ("jt808", "7e0002000001390000123400010d7e"),
    ("teltonika", "000f313233343536373839303132333435"),
];

fn bytes(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).unwrap()
}

proptest! {
    #[test]
    fn frames_one_behind_the_other_say_what_each_says_in_order(which in 0..FRAMES.len(), count in 1..6usize, has_noise in any::<bool>()) {
        let (language, frame) = FRAMES[which];
        let profile = Profile { tolerate_checksum: true, ..Profile::of(language) };
        let one = decode(&profile, &bytes(frame)).unwrap();
        let noise: &[u8] = if has_noise { &[0x11, 0x22, 0x33] } else { &[] };
        let all = decode(&profile, &[bytes(frame).repeat(count).as_slice(), noise].concat()).unwrap();
        prop_assert_eq!(all.moments.len(), one.moments.len() * count);
        prop_assert!(all.moments.iter().all(|m| *m == one.moments[0]));
        prop_assert_eq!(all.replies.len(), one.replies.len() * count);
        prop_assert!(all.replies.iter().all(|r| *r == one.replies[0]));
        prop_assert_eq!(all.left_over.is_some(), has_noise, "{:?}", all.left_over);
    }
}

/// Every golden packet of a language that is one frame and can be read.
fn golden_frames(language: &str) -> Vec<Vec<u8>> {
    let framing = PROTOCOLS.iter().find(|p| p.name == language).and_then(|p| p.framing.as_ref()).unwrap();
    let lines = include_str!("../../../tests/golden/decode.in.jsonl").lines();
    let questions = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_language = questions.filter(|q| q["protocol"] == language);
    let payloads = of_language.filter_map(|q| {
        let payload = q["payload"].as_str()?;
        if q["encoding"] == "hex" { hex::decode(payload).ok() } else { Some(payload.as_bytes().to_vec()) }
    });
    payloads
        .filter(|p| (framing.step)(p) == FrameStep::Frame(p.len()) && decode(&Profile::of(language), p).is_ok())
        .collect()
}

proptest! {
    /// Whatever frames of one language stand in a payload, in any order and with a line's end between them or not: what
    /// each says by itself is said, in order, and nothing else.
    #[test]
    fn mixed_frames_in_one_payload_say_what_each_says_by_itself(
        which in 0..FRAMES.len(),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..9),
    ) {
        let language = FRAMES[which].0;
        let (profile, pool) = (Profile::of(language), golden_frames(language));
        prop_assert!(pool.len() >= 4, "{language}: {} frames are no mixture", pool.len());
        let frames: Vec<&Vec<u8>> = picks.iter().map(|(pick, _)| pick.get(&pool)).collect();
        let payload: Vec<u8> = frames.iter().zip(&picks).flat_map(|(frame, (_, has_line_end))| {
            frame.iter().copied().chain(has_line_end.then_some(*b"\r\n").into_iter().flatten())
        }).collect();
        let each: Vec<Report> = frames.iter().map(|frame| decode(&profile, frame).unwrap()).collect();
        let all = decode(&profile, &payload).unwrap();
        let shown = hex::encode(&payload);
        let moments: Vec<_> = each.iter().flat_map(|r| r.moments.iter().cloned()).collect();
        prop_assert_eq!(all.moments.to_vec(), moments, "{}", shown);
        let replies: Vec<_> = each.iter().flat_map(|r| r.replies.iter().cloned()).collect();
        prop_assert_eq!(all.replies.to_vec(), replies, "{}", shown);
        let mut idents: Vec<_> = each.iter().flat_map(|r| r.tracker_idents.iter().cloned()).collect();
        let mut seen = std::collections::HashSet::new();
        idents.retain(|ident| seen.insert(ident.clone()));
        prop_assert_eq!(all.tracker_idents.to_vec(), idents, "{}", shown);
        let zone_s = each.iter().rev().find_map(|r| r.announced_zone_s);
        prop_assert_eq!((all.left_over, all.announced_zone_s), (None, zone_s), "{}", shown);
        prop_assert_eq!(all.is_part, each.iter().any(|r| r.is_part));
    }
}

/// A heartbeat without its delimiters, of one of both framings.
fn heartbeat(serial: u8, phone_bytes: usize) -> Vec<u8> {
    let mut inner = [&[0, 2, 0, 0], &[0x13; 7][..phone_bytes], &[0, serial]].concat();
    inner.push(inner.iter().fold(0, |sum, byte| sum ^ byte));
    inner
}

#[test]
fn one_delimiter_ends_a_frame_of_jt808_and_begins_the_next() {
    for (delimiter, phone_bytes) in [(0x7e, 6), (0xe7, 7)] {
        let profile = Profile::of("jt808");
        let shared = |serials: &[u8]| {
            let mut payload = vec![delimiter];
            for serial in serials {
                payload.extend(heartbeat(*serial, phone_bytes));
                payload.push(delimiter);
            }
            payload
        };
        let one = decode(&profile, &shared(&[1])).unwrap();
        assert_eq!(one.replies.len(), 1);
        let several = decode(&profile, &shared(&[1, 2, 3, 4])).unwrap();
        assert_eq!((several.replies.len(), several.left_over.as_deref()), (4, None), "{delimiter:#x}");
        assert_eq!(several.replies[0], one.replies[0]);
        // What stands between two frames without being one is left over, and hides neither.
        let noise = decode(&profile, &[&shared(&[1])[..], &[0x11, 0x22, 0x33], &shared(&[2])].concat()).unwrap();
        assert_eq!((noise.replies.len(), noise.left_over.is_some()), (2, true), "{delimiter:#x}");
        // Both ways in one payload.
        let mixed = decode(&profile, &[shared(&[1, 2]), shared(&[3]), shared(&[4, 5])].concat()).unwrap();
        assert_eq!((mixed.replies.len(), mixed.left_over.as_deref()), (5, None), "{delimiter:#x}");
    }
}

/// A packet of Codec 8 with so many records, a second apart.
fn codec8(records: u8) -> Vec<u8> {
    let mut data = vec![0x08, records];
    for n in 0..records {
        data.extend((1_790_000_000_000 + u64::from(n) * 1000).to_be_bytes());
        data.push(0);
        data.extend(1_123_500_000_i32.to_be_bytes());
        data.extend(285_500_000_i32.to_be_bytes());
        data.extend([0, 40, 0, 0, 9, 0, 0, 0, 1, 1, 239, 1, 0, 0, 0]);
    }
    data.push(records);
    let mut crc = 0u16;
    for byte in &data {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xa001 };
        }
    }
    [&[0; 4][..], &(data.len() as u32).to_be_bytes(), &data, &[0, 0], &crc.to_be_bytes()].concat()
}

#[test]
fn each_packet_of_teltonika_in_a_payload_is_acknowledged_with_its_own_count() {
    let report = decode(&Profile::of("teltonika"), &[codec8(2), codec8(3)].concat()).unwrap();
    assert_eq!((report.moments.len(), report.left_over.as_deref()), (5, None));
    let replies: Vec<&[u8]> = report.replies.iter().map(|reply| &reply[..]).collect();
    assert_eq!(replies, [[0, 0, 0, 2], [0, 0, 0, 3]]);
}

#[test]
fn noise_alone_is_refused_in_every_framed_language() {
    for (language, _) in FRAMES {
        let refused: Result<_, DecodeError> = decode(&Profile::of(language), &[0x11; 40]);
        assert!(refused.is_err(), "{language}");
    }
}

#[test]
fn a_heartbeat_of_a_named_model_has_no_alarm_in_its_byte_4() {
    let profile = Profile { model: Some("EV02".into()), ..Profile::of("gt06") };
    let report = decode(&profile, &bytes(FRAMES[0].1)).unwrap();
    assert!(report.moments[0].alarms.is_empty());
    assert_eq!(report.moments[0].status.external_power, Some(true));
}
