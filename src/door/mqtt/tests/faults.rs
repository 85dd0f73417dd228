//! What breaks its form is told from what is not whole.

use super::*;

/// A packet with its length.
fn packet(first: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(first);
    wire::write_length(body.len(), &mut out);
    out.put_slice(body);
    out
}

fn malformed(version: Version, first: u8, body: &[u8], reason: &'static str) {
    let fault = read(version, &mut packet(first, body), BYTES_MAX);
    assert_eq!(fault, Err(Fault::Malformed(reason)), "{version:?} {first:02x} {body:02x?}");
}

#[test]
fn too_long_a_packet_is_known_by_its_header() {
    for version in BOTH {
        let mut buffer = BytesMut::from(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F][..]);
        let fault = Fault::TooLong { announced: 268_435_460, limit: BYTES_MAX };
        assert_eq!(read(version, &mut buffer, BYTES_MAX), Err(fault));
        assert_eq!(fault.farewell(), Farewell::PacketTooLarge);
    }
    let mut buffer = BytesMut::from(&[0x10, 100][..]);
    assert_eq!(read_hello(&mut buffer, 101), Err(Fault::TooLong { announced: 102, limit: 101 }));
    assert_eq!(read_hello(&mut buffer, 102), Ok(None));
}

#[test]
fn a_length_has_four_bytes_at_most() {
    for version in BOTH {
        assert_eq!(read(version, &mut BytesMut::from(&[0x30, 0xFF, 0xFF, 0xFF][..]), BYTES_MAX), Ok(None));
        let mut buffer = BytesMut::from(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF][..]);
        let fault = read(version, &mut buffer, BYTES_MAX);
        assert_eq!(fault, Err(Fault::Malformed("a length of more than four bytes")));
    }
}

#[test]
fn reserved_flags_of_a_header_are_faults() {
    for version in BOTH {
        for first in [0x41, 0x52, 0x60, 0x80, 0x8A, 0xA0, 0xC1, 0xE8] {
            malformed(version, first, &[0, 1], "reserved flags of a header are set");
        }
        malformed(version, 0x00, &[], "packet type 0");
        malformed(version, 0x36, &[0, 1, b'a', 0, 1, 0], "QoS 3");
        malformed(version, 0x38, &[0, 1, b'a', 0], "DUP at QoS 0");
    }
}

#[test]
fn what_a_client_does_not_send_is_known_by_its_first_byte() {
    let packets = [
        (0x10, "CONNECT"),
        (0x20, "CONNACK"),
        (0x70, "PUBCOMP"),
        (0x90, "SUBACK"),
        (0xB0, "UNSUBACK"),
        (0xD0, "PINGRESP"),
        (0xF0, "AUTH"),
    ];
    for version in BOTH {
        for (first, name) in packets {
            let fault = read(version, &mut BytesMut::from(&[first][..]), BYTES_MAX);
            assert_eq!(fault, Err(Fault::Unexpected(name)));
        }
    }
    let mut http = BytesMut::from(&b"GET / HTTP/1.1"[..]);
    assert_eq!(read_hello(&mut http, BYTES_MAX), Err(Fault::Malformed("reserved flags of a header are set")));
    assert_eq!(read_hello(&mut BytesMut::from(&[0x30][..]), BYTES_MAX), Err(Fault::Unexpected("PUBLISH")));
}

#[test]
fn a_second_hello_is_unexpected() {
    assert_eq!(read(Version::V311, &mut hello_v4(), BYTES_MAX), Err(Fault::Unexpected("CONNECT")));
    assert_eq!(read(Version::V5, &mut hello_v5(), BYTES_MAX), Err(Fault::Unexpected("CONNECT")));
}

#[test]
fn a_topic_is_a_text_without_wildcards() {
    for (version, tail) in [(Version::V311, &[][..]), (Version::V5, &[0][..])] {
        let publish = |topic: &[u8]| [&[0, topic.len() as u8], topic, tail].concat();
        malformed(version, 0x30, &publish(b""), "an empty topic");
        for topic in ["a/+", "#", "a\0b"] {
            malformed(version, 0x30, &publish(topic.as_bytes()), "a topic holds a wildcard or NUL");
        }
        malformed(version, 0x30, &publish(&[b'a', 0xFF]), "a text is not UTF-8");
        // A surrogate of UTF-16.
        malformed(version, 0x30, &publish(&[0xED, 0xA0, 0x80]), "a text is not UTF-8");
        malformed(version, 0x30, &[0, 9, b'a'], "a field reaches beyond its packet");
        malformed(version, 0x30, &[], "a field reaches beyond its packet");
    }
}

#[test]
fn a_packet_id_is_never_zero() {
    malformed(Version::V311, 0x32, &[0, 1, b'a', 0, 0], "packet id 0");
    malformed(Version::V5, 0x32, &[0, 1, b'a', 0, 0, 0], "packet id 0");
    for version in BOTH {
        for first in [0x40, 0x50, 0x62] {
            malformed(version, first, &[0, 0], "packet id 0");
        }
    }
    malformed(Version::V311, 0x82, &[0, 0, 0, 1, b'a', 0], "packet id 0");
    malformed(Version::V5, 0x82, &[0, 0, 0, 0, 1, b'a', 0], "packet id 0");
    malformed(Version::V311, 0xA2, &[0, 0, 0, 1, b'a'], "packet id 0");
    malformed(Version::V5, 0xA2, &[0, 0, 0, 0, 1, b'a'], "packet id 0");
}

#[test]
fn a_subscription_has_a_filter_of_a_valid_form() {
    for (version, head) in [(Version::V311, &[0, 1][..]), (Version::V5, &[0, 1, 0][..])] {
        let body = |filters: &[u8]| [head, filters].concat();
        malformed(version, 0x82, &body(&[]), "no topic filter");
        malformed(version, 0xA2, &body(&[]), "no topic filter");
        malformed(version, 0x82, &body(&[0, 1, b'a', 3]), "QoS 3");
        malformed(version, 0x82, &body(&[0, 1, b'a', 0xC0]), "reserved options of a subscription are set");
        malformed(version, 0x82, &body(&[0, 1, b'a']), "a field reaches beyond its packet");
        malformed(version, 0xA2, &body(&[0, 2, b'a']), "a field reaches beyond its packet");
        for filter in ["", "a#", "#/a", "a\0"] {
            let filter = [&[0, filter.len() as u8], filter.as_bytes()].concat();
            malformed(version, 0xA2, &body(&filter), "a topic filter without a valid form");
            malformed(version, 0x82, &body(&[&filter[..], &[0]].concat()), "a topic filter without a valid form");
        }
    }
    malformed(Version::V311, 0x82, &[0, 1, 0, 1, b'a', 4], "reserved options of a subscription are set");
}

#[test]
fn nothing_stands_behind_the_end_of_a_packet() {
    for version in BOTH {
        malformed(version, 0xC0, &[0], "bytes are left over at the end of a packet");
    }
    malformed(Version::V311, 0x40, &[0, 1, 0], "bytes are left over at the end of a packet");
    malformed(Version::V311, 0xE0, &[0], "bytes are left over at the end of a packet");
    malformed(Version::V5, 0x40, &[0, 1, 0, 0, 9], "bytes are left over at the end of a packet");
    malformed(Version::V5, 0xE0, &[0, 0, 9], "bytes are left over at the end of a packet");
}

#[test]
fn a_packet_that_ends_early_is_not_waited_for() {
    for version in BOTH {
        for first in [0x40, 0x50, 0x62, 0x82, 0xA2] {
            malformed(version, first, &[0], "a field reaches beyond its packet");
        }
    }
    // The length of the properties is missing.
    malformed(Version::V5, 0x30, &[0, 1, b'a'], "a field reaches beyond its packet");
    malformed(Version::V5, 0x82, &[0, 1], "a field reaches beyond its packet");
}

#[test]
fn properties_keep_to_their_packet_and_length() {
    let with = |properties: &[u8]| [&[0, 1, b'a', properties.len() as u8], properties].concat();
    malformed(Version::V5, 0x30, &with(&[17, 0, 0, 0, 1]), "a property that does not belong to its packet");
    malformed(Version::V5, 0x30, &with(&[11, 1]), "a property that does not belong to its packet");
    malformed(Version::V5, 0x30, &with(&[99]), "a property that does not belong to its packet");
    malformed(Version::V5, 0x30, &with(&[1, 0, 1, 0]), "a property stands twice");
    malformed(Version::V5, 0x30, &with(&[1, 2]), "a property of yes and no is neither");
    malformed(Version::V5, 0x30, &with(&[3, 0, 1, 0]), "a text holds NUL");
    // The property would reach into the payload.
    malformed(Version::V5, 0x30, &[0, 1, b'a', 1, 1, 0], "a field reaches beyond its packet");
    malformed(Version::V5, 0x82, &[0, 1, 2, 11, 1, 0, 1, b'a', 0], "a subscription identifier: not offered");
    malformed(Version::V5, 0x40, &[0, 1, 0x7E, 0], "a packet that is not as its type says");
    malformed(Version::V5, 0xE0, &[0x7E], "a packet that is not as its type says");
}

#[test]
fn a_topic_alias_is_a_fault_of_its_own() {
    for topic in [&[0, 1, b'a'][..], &[0, 0]] {
        let mut buffer = packet(0x30, &[topic, &[3, 35, 0, 1]].concat());
        assert_eq!(read(Version::V5, &mut buffer, BYTES_MAX), Err(Fault::TopicAlias));
    }
    assert_eq!(Fault::TopicAlias.farewell(), Farewell::TopicAliasInvalid);
}

/// A CONNECT with another name, level, flags, and what follows the keep-alive.
fn connect(name: &[u8], level: u8, flags: u8, rest: &[u8]) -> Result<Option<Hello>, Fault> {
    let body = [&[0, name.len() as u8], name, &[level, flags, 0, 60], rest].concat();
    read_hello(&mut packet(0x10, &body), BYTES_MAX)
}

#[test]
fn another_protocol_or_level_is_refused_clearly() {
    let empty_id = &[0, 0];
    assert!(matches!(connect(b"MQTT", 4, 2, empty_id), Ok(Some(_))));
    for (name, level) in [(&b"MQIsdp"[..], 3), (b"MQTT", 3), (b"MQTT", 6), (b"MQTT", 0x84), (b"mqtt", 4), (b"", 4)] {
        assert_eq!(connect(name, level, 2, empty_id), Err(Fault::UnsupportedVersion), "{name:?} {level}");
    }
}

#[test]
fn a_hello_keeps_its_form() {
    let malformed = |level, flags, rest: &[u8], reason| {
        assert_eq!(
            connect(b"MQTT", level, flags, rest),
            Err(Fault::Malformed(reason)),
            "{level} {flags:02x} {rest:02x?}"
        );
    };
    malformed(4, 3, &[0, 0], "the reserved flag of CONNECT is set");
    malformed(5, 3, &[0, 0, 0], "the reserved flag of CONNECT is set");
    malformed(4, 0x42, &[0, 0, 0, 1, b'p'], "a password without a user");
    malformed(4, 2, &[0, 1, 0], "a text holds NUL");
    malformed(4, 2, &[0, 1, 0xFF], "a text is not UTF-8");
    malformed(4, 2, &[0, 5, b'a'], "a field reaches beyond its packet");
    malformed(4, 2, &[0, 0, 9], "bytes are left over at the end of a packet");
    malformed(4, 0x82, &[0, 0], "a field reaches beyond its packet");
    malformed(4, 0x06, &[0, 0, 0, 1, b'#', 0, 0], "a topic holds a wildcard or NUL");
    malformed(4, 0x1E, &[0, 0, 0, 1, b'w', 0, 0], "QoS 3");
    malformed(5, 0x1E, &[0, 0, 0, 0, 0, 1, b'w', 0, 0], "QoS 3");
    // QoS or retain of a will that is not there.
    malformed(4, 0x0A, &[0, 0], "a packet that is not as its type says");
    malformed(5, 0x22, &[0, 0, 0], "a packet that is not as its type says");
    malformed(5, 2, &[3, 33, 0, 0, 0, 0], "a maximum of zero");
    malformed(5, 2, &[5, 39, 0, 0, 0, 0, 0, 0], "a maximum of zero");
    malformed(5, 2, &[2, 1, 0, 0, 0], "a property that does not belong to its packet");
    malformed(5, 2, &[], "a field reaches beyond its packet");
}

#[test]
fn a_password_without_a_user_is_allowed_in_mqtt_5() {
    let hello = connect(b"MQTT", 5, 0x42, &[0, 0, 0, 0, 1, b'p']).expect("no fault").expect("whole");
    assert_eq!((hello.user.as_str(), &hello.password[..]), ("", &b"p"[..]));
}

#[test]
fn another_way_of_logging_in_is_not_expected() {
    let rest = [&[4, 21, 0, 1, b'x'][..], &[0, 0]].concat();
    assert_eq!(connect(b"MQTT", 5, 2, &rest), Err(Fault::Unexpected("AUTH")));
}
