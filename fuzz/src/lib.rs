//! What the fuzzer asks of the pure core. The core is compiled here by itself: it imports nothing but its
//! own modules, so the fuzzer needs none of the servers' libraries.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;
#[path = "../../src/domain/topic.rs"]
pub mod topic;
pub mod engine;

use domain::{Profile, Timestamp};
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
