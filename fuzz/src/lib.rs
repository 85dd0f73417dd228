//! What the fuzzer asks of the pure core. The core is compiled here by itself: it imports nothing but its
//! own modules, so the fuzzer needs none of the servers' libraries; of the door, rumqttc's codecs only.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;
#[allow(dead_code, unreachable_pub)] // what the fuzzer does not ask
#[path = "../../src/door/mqtt/mod.rs"]
pub mod mqtt;
#[path = "../../src/domain/topic.rs"]
pub mod topic;
pub mod engine;

use bytes::BytesMut;
use domain::{Profile, Timestamp};
use mqtt::{Fault, Version, Word};
use protocol::FrameStep;

/// Bytes held at most while a packet of one byte is read, and what is held whatever its length.
const HELD_PER_BYTE: u64 = 64;
const HELD_ANYWAY: u64 = 16 * 1024;
/// 2026-11-24.
const NOW: Timestamp = Timestamp::from_secs(1_795_500_000);
const MAX_FIX_AGE_S: f64 = 30.0 * 86_400.0;

/// Reads a packet in every way that a profile can ask for: no panic, bounded memory, and a fix that is
/// kept lies on Earth and in a plausible time.
///
/// # Panics
/// One of that is not so.
pub fn decode(protocol: &str, bytes: &[u8]) {
    let models = ["", "GL100", "JC371", "MV710G", "G10LS", "VL103", "16-byte"];
    for model in models {
        for tolerate_checksum in [false, true] {
            let model = (!model.is_empty()).then(|| model.to_owned());
            let profile = Profile { model, tolerate_checksum, ..Profile::of(protocol) };
            // The table of dialects is made at the first packet and stays.
            let _ = protocol::dialect::of(&profile);
            let mut result = None;
            let held = allocation_counter::measure(|| result = Some(protocol::decode(&profile, bytes)));
            let most = HELD_PER_BYTE * bytes.len() as u64 + HELD_ANYWAY;
            assert!(held.bytes_max <= most, "{} bytes held for {}", held.bytes_max, bytes.len());
            let Some(Ok(report)) = result else { continue };
            for moment in &report.moments {
                let Some(fix) = &moment.fix else { continue };
                if let Some(fixed_at) = engine::accepted_at(moment, &profile, NOW, MAX_FIX_AGE_S) {
                    assert!(fix.position.is_in_range());
                    assert!((-120.0..=MAX_FIX_AGE_S).contains(&NOW.seconds_since(fixed_at)));
                }
            }
        }
    }
}

/// Cuts a stream into frames: every step moves on, a frame is never longer than the stream.
///
/// # Panics
/// One of that is not so.
pub fn frames(stream: &[u8]) {
    for frame in [protocol::jt808::frame, protocol::gt06::frame, protocol::h02::frame, protocol::teltonika::frame] {
        let mut rest = stream;
        loop {
            match frame(rest) {
                FrameStep::More => break,
                FrameStep::Skip(n) | FrameStep::Frame(n) => {
                    assert!(n > 0 && n <= rest.len(), "{n} of {}", rest.len());
                    rest = &rest[n..];
                }
            }
        }
    }
}

/// Hears a stream as a connection of the door does, in each language that trackers speak on a socket: no panic, every step moves
/// on, and answers are short.
///
/// # Panics
/// One of that is not so.
pub fn connected(stream: &[u8]) {
    for spoken in protocol::connected::SPOKEN {
        let mut rest = stream;
        while let FrameStep::Skip(n) | FrameStep::Frame(n) = (spoken.step)(rest) {
            assert!(n > 0 && n <= rest.len(), "{n} of {}", rest.len());
            let frame = &rest[..n];
            rest = &rest[n..];
            let _ = (spoken.name_of)(frame);
            for tolerate_checksum in [false, true] {
                let profile = Profile { tolerate_checksum, ..Profile::of(spoken.name) };
                if let Ok(heard) = (spoken.hear)(&profile, frame, NOW) {
                    assert!(heard.answer.len() <= frame.len() + 64, "an answer of {} bytes", heard.answer.len());
                }
            }
            if spoken.name == "jt808" {
                let _ = (protocol::jt808::registering_terminal(frame), protocol::jt808::shown_codes(frame));
                let _ = (protocol::jt808::registration_answer(frame, Ok("0123456789abcdef")), protocol::jt808::general_answer(frame, 1));
            }
        }
    }
}

/// Reads a stream of MQTT in both versions: no panic, bounded memory, the same words in pieces as at once. Bytes
/// that are no word stay, and a message is the same after it was written again.
///
/// # Panics
/// One of that is not so.
pub fn door_mqtt(stream: &[u8]) {
    let mut hello = BytesMut::from(stream);
    if let Ok(None) = mqtt::read_hello(&mut hello, MQTT_BYTES_MAX) {
        assert_eq!(hello, stream);
    }
    for version in [Version::V311, Version::V5] {
        let mut whole = None;
        let held = allocation_counter::measure(|| whole = Some(words(version, [stream])));
        let most = HELD_PER_BYTE * stream.len() as u64 + HELD_ANYWAY;
        assert!(held.bytes_max <= most, "{} bytes held for {}", held.bytes_max, stream.len());
        let Some((words_at_once, fault)) = whole else { continue };
        let in_pieces = words(version, stream.chunks(1));
        assert!(in_pieces == (words_at_once.clone(), fault), "pieces make a difference");
        words_at_once.into_iter().for_each(|word| said_again(version, word));
    }
}

/// Most bytes of a packet: less than the fuzzer's longest stream.
const MQTT_BYTES_MAX: usize = 1024;

/// The words of a stream up to its end or its first fault.
fn words<'a>(version: Version, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Word>, Option<Fault>) {
    let (mut words, mut buffer) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before_bytes = buffer.len();
            match mqtt::read(version, &mut buffer, MQTT_BYTES_MAX) {
                Ok(Some(word)) => {
                    assert!(buffer.len() + 2 <= before_bytes, "a word without bytes");
                    words.push(word);
                }
                Ok(None) => {
                    assert_eq!(buffer.len(), before_bytes, "bytes were taken for no word");
                    break;
                }
                Err(fault) => return (words, Some(fault)),
            }
        }
    }
    (words, None)
}

fn said_again(version: Version, word: Word) {
    let Word::Publish { topic, payload, qos, id, .. } = word else { return };
    let mut out = BytesMut::new();
    mqtt::write_message(version, &topic, &payload, qos, id, &mut out);
    let again = mqtt::read(version, &mut out, MQTT_BYTES_MAX + 16);
    assert!(again == Ok(Some(Word::Publish { topic, payload, qos, id, is_retained: false })));
}

/// Reads a topic; what is an address says its own topic back.
///
/// # Panics
/// It does not.
pub fn topic(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = topic::Address::parse(text) {
        assert!(text.contains(address.ident.as_str()));
        assert!(topic::Address::parse(&topic::down_topic(&address.ident)).is_err());
    }
}
