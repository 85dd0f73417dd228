//! What every tracker language promises, whatever bytes come: no panic, memory bounded by the input, fixes
//! on Earth and in a plausible time or set aside, and an error that names the field where a packet is cut.
//! The fuzzer (`scripts/fuzz`) asks the same for longer.

use proptest::prelude::*;
use rideguard::domain::{Entry, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey, Way};
use rideguard::engine::{FoldSettings, LaneState};
use rideguard::protocol::{self, DecodeError, PROTOCOLS};
use serde_json::Value;

/// Bytes held at most for each byte of a packet, and what is held whatever its length (an error's text, a
/// report's first unknown item).
const HELD_PER_BYTE: u64 = 64;
const HELD_ANYWAY: u64 = 4096;
const NOW: Timestamp = Timestamp::from_secs(1_781_492_300);
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

/// The packets of `tests/golden` that are read: language and bytes.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("readable");
    let lines = |text: &str| text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect::<Vec<Value>>();
    let (questions, answers) = (lines(&read("decode.in.jsonl")), lines(&read("decode.out.jsonl")));
    let good = questions.iter().zip(&answers).filter(|(q, a)| a["result"] == "ok" && q["payload"].is_string());
    good.map(|(q, _)| {
        let text = q["payload"].as_str().expect("text");
        let bytes = if q["encoding"] == "hex" { hex::decode(text).expect("hex") } else { text.into() };
        (q["protocol"].as_str().expect("a name").to_owned(), bytes)
    })
    .collect()
}

fn profile(protocol: &str) -> Profile {
    Profile { tolerate_checksum: true, ..Profile::of(protocol) }
}

fn assert_bounded(protocol: &str, bytes: &[u8]) {
    let profile = profile(protocol);
    // The table of dialects is made at the first packet and stays.
    let _ = protocol::dialect::of(&profile);
    let held = allocation_counter::measure(|| drop(protocol::decode(&profile, bytes)));
    let most = HELD_PER_BYTE * bytes.len() as u64 + HELD_ANYWAY;
    assert!(held.bytes_max <= most, "{protocol}: {} bytes held for {}", held.bytes_max, bytes.len());
}

/// Puts a packet through the fold, as the pipeline does.
fn assert_fixes_are_good(protocol: &str, bytes: &[u8]) {
    let mut lane = LaneState::default();
    let ident = TrackerIdent::parse("yy1").expect("an identifier");
    let (tracker, profile) = (TrackerKey(1), profile(protocol));
    lane.apply(
        &Entry::Setting {
            at: NOW,
            setting: Setting::Tracker { tracker, ident, profile, vehicle: None, vehicle_kind: None },
        },
        &SETTINGS,
    );
    let topic = format!("v1/{}/yy1/up", Shard::of("yy1").0);
    let packet = Packet { topic, received_at: NOW, payload: bytes.to_vec(), way: Way::Broker };
    let effects = lane.apply(&Entry::Packet(packet), &SETTINGS);
    for row in &effects.fixes {
        assert!(row.fix.position.is_in_range(), "{protocol}");
        assert!((-120.0..=SETTINGS.max_fix_age_s).contains(&NOW.seconds_since(row.fixed_at)), "{protocol}");
        assert!(row.fix.speed_kmh.is_none_or(|v| (0.0..=250.0).contains(&v)), "{protocol}");
        assert!(row.fix.course_deg.is_none_or(|v| (0.0..=360.0).contains(&v)), "{protocol}");
    }
}

#[test]
fn every_golden_packet_is_read_in_bounded_memory() {
    let packets = golden();
    for protocol in PROTOCOLS {
        assert!(packets.iter().any(|(p, _)| p == protocol.name), "{} has no golden packet", protocol.name);
    }
    for (protocol, bytes) in &packets {
        assert_bounded(protocol, bytes);
        assert_fixes_are_good(protocol, bytes);
    }
}

#[test]
fn a_packet_that_is_cut_at_any_byte_is_an_error_that_names_a_field() {
    for (protocol, bytes) in golden() {
        // Nothing marks the end of a query or of a text in brackets; a keep-alive has one byte.
        if protocol == "osmand" && !bytes.starts_with(b"{") || bytes.len() < 2 {
            continue;
        }
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            // A line break behind the last byte is no loss.
            if bytes[end..].iter().all(u8::is_ascii_whitespace)
                || protocol == "h02" && bytes[end - 1.min(end)..].starts_with(b"#")
            {
                continue;
            }
            match protocol::decode(&Profile::of(&protocol), cut) {
                Err(
                    DecodeError::Truncated { field, .. }
                    | DecodeError::Checksum { field, .. }
                    | DecodeError::Field { field, .. },
                ) => {
                    assert!(!field.is_empty(), "{protocol} at {end}");
                }
                other => panic!("{protocol} cut at {end} of {}: {other:?}", bytes.len()),
            }
        }
    }
}

#[test]
fn lists_that_lie_about_their_length_hold_no_more_memory() {
    let mut compact = vec![0x7e, 0x02, 0x10, 0x03, 0xf8, 1, 2, 3, 4, 5, 6, 0, 1];
    compact.extend([7, 50, 0x26, 0x06, 0x15, 0x10, 0x57, 0x25].repeat(127)); // battery and time, as short as can be
    compact.push(compact[1..].iter().fold(0, |sum, byte| sum ^ byte));
    compact.push(0x7e);
    assert_bounded("jt808", &compact);
    let mut batch = vec![0x7e, 0x07, 0x04, 0x00, 0x03, 1, 2, 3, 4, 5, 6, 0, 1, 0xff, 0xff, 0];
    batch.push(batch[1..].iter().fold(0, |sum, byte| sum ^ byte));
    batch.push(0x7e);
    assert_bounded("jt808", &batch);
    assert_bounded("teltonika", &[&[0, 0, 0, 0, 0, 0, 0, 2, 8, 255][..], &[0; 4]].concat());
    for text in
        ["[".repeat(2000), "{\"a\":".repeat(2000), format!("{{\"v\":1,\"id\":\"a\",\"x\":[{}0]}}", "0,".repeat(30_000))]
    {
        for protocol in ["json", "jt808_json", "owntracks", "osmand"] {
            assert_bounded(protocol, text.as_bytes());
        }
    }
    assert_bounded("h02", format!("*HQ,1,V1{}#", ",".repeat(900)).as_bytes());
    assert_bounded("osmand", format!("/?id=1{}", "&a=1".repeat(2000)).as_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_survived_in_bounded_memory(which in 0..PROTOCOLS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        assert_bounded(PROTOCOLS[which].name, &bytes);
        assert_fixes_are_good(PROTOCOLS[which].name, &bytes);
    }

    #[test]
    fn changed_packets_are_survived_in_bounded_memory(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let packets = golden();
        let (protocol, mut bytes) = packets[which.index(packets.len())].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle, tail);
        assert_bounded(&protocol, &bytes);
        assert_fixes_are_good(&protocol, &bytes);
    }
}
