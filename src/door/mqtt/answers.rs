//! What we say to a client.

use super::{Farewell, Refusal, Terms, Version, v4, v5, wire};
use bytes::{BufMut, BytesMut};

/// Byte of a QoS 1 acknowledgement and of its kin; two bytes of packet id follow.
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBCOMP: u8 = 0x70;
const PUBLISH: u8 = 0x30;

/// CONNACK: let in.
pub fn write_welcome(version: Version, terms: &Terms, out: &mut BytesMut) {
    match version {
        Version::V311 => out.put_slice(&[0x20, 2, u8::from(terms.session_present), 0]),
        Version::V5 => v5::write_welcome(terms, out),
    }
}

/// CONNACK: refused.
pub fn write_refusal(version: Version, refusal: Refusal, out: &mut BytesMut) {
    match version {
        Version::V311 => out.put_slice(&[0x20, 2, 0, v4::code(refusal)]),
        Version::V5 => out.put_slice(&[0x20, 3, 0, v5::code(refusal), 0]),
    }
}

/// PUBACK.
pub fn write_ack(_: Version, id: u16, out: &mut BytesMut) {
    write_short(PUBACK, id, out);
}

/// PUBREC.
pub fn write_received(_: Version, id: u16, out: &mut BytesMut) {
    write_short(PUBREC, id, out);
}

/// PUBCOMP. Success for any PUBREL: what we do not know any more is done.
pub fn write_complete(_: Version, id: u16, out: &mut BytesMut) {
    write_short(PUBCOMP, id, out);
}

/// SUBACK: the QoS given for each filter, or that it is not given.
pub fn write_subscribed(version: Version, id: u16, codes: &[Result<u8, ()>], out: &mut BytesMut) {
    let refused = match version {
        Version::V311 => 0x80,
        Version::V5 => 0x87, // not authorized
    };
    write_answers(0x90, version, id, codes.len(), out);
    out.extend(codes.iter().map(|code| code.unwrap_or(refused)));
}

/// UNSUBACK. MQTT 5 has an answer for each of the `count` filters: success.
pub fn write_unsubscribed(version: Version, id: u16, count: usize, out: &mut BytesMut) {
    let answers = if version == Version::V5 { count } else { 0 };
    write_answers(0xB0, version, id, answers, out);
    out.put_bytes(0, answers);
}

/// PINGRESP.
pub fn write_pong(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}

/// DISCONNECT with a reason; 3.1.1 has none, so nothing is written there.
pub fn write_farewell(version: Version, farewell: Farewell, out: &mut BytesMut) {
    if version == Version::V5 {
        out.put_slice(&[0xE0, 2, v5::reason(farewell), 0]);
    }
}

/// PUBLISH of ours. `id` counts for QoS 1 and 2 only.
/// What MQTT cannot say (a topic beyond 65,535 bytes, a packet beyond 256 MiB) is not written.
pub fn write_message(version: Version, topic: &str, payload: &[u8], qos: u8, id: u16, out: &mut BytesMut) {
    let Ok(topic_bytes) = u16::try_from(topic.len()) else { return };
    let id_bytes = if qos > 0 { 2 } else { 0 };
    let properties_bytes = usize::from(version == Version::V5);
    let body_bytes = 2 + topic.len() + id_bytes + properties_bytes + payload.len();
    if body_bytes > wire::BODY_BYTES_MAX {
        return;
    }
    out.reserve(wire::HEADER_BYTES_MAX + body_bytes);
    out.put_u8(PUBLISH | (qos.min(2) << 1));
    wire::write_length(body_bytes, out);
    out.put_u16(topic_bytes);
    out.put_slice(topic.as_bytes());
    if qos > 0 {
        out.put_u16(id);
    }
    out.put_bytes(0, properties_bytes);
    out.put_slice(payload);
}

/// A packet that is its id.
fn write_short(first: u8, id: u16, out: &mut BytesMut) {
    let [high, low] = id.to_be_bytes();
    out.put_slice(&[first, 2, high, low]);
}

/// The beginning of a packet with its id and `answers` bytes more, before which MQTT 5 has no properties.
fn write_answers(first: u8, version: Version, id: u16, answers: usize, out: &mut BytesMut) {
    let properties_bytes = usize::from(version == Version::V5);
    out.put_u8(first);
    wire::write_length(2 + properties_bytes + answers, out);
    out.put_u16(id);
    out.put_bytes(0, properties_bytes);
}
