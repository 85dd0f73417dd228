//! Facts of the door's MQTT. What the client's side writes and reads is rumqttc's.

mod answers;
mod faults;

use super::*;
use bytes::BufMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::{QoS as Qos4, v4};
use rumqttc::v5::mqttbytes::{QoS as Qos5, v5};

/// Most bytes of a packet in these tests.
const BYTES_MAX: usize = 4096;
const BOTH: [Version; 2] = [Version::V311, Version::V5];

fn bytes_v4(packet: &v4::Packet) -> BytesMut {
    let mut out = BytesMut::new();
    packet.write(&mut out, BYTES_MAX).expect("written");
    out
}

fn bytes_v5(packet: &v5::Packet) -> BytesMut {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).expect("written");
    out
}

/// The one word of some bytes, of which nothing is left.
fn word(version: Version, mut bytes: BytesMut) -> Word {
    let word = read(version, &mut bytes, BYTES_MAX).expect("no fault").expect("whole");
    assert!(bytes.is_empty());
    word
}

fn hello(mut bytes: BytesMut) -> Hello {
    let hello = read_hello(&mut bytes, BYTES_MAX).expect("no fault").expect("whole");
    assert!(bytes.is_empty());
    hello
}

fn pair(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.to_owned(), value.to_owned())]
}

/// A word of each kind, as a client of that version writes it.
fn samples(version: Version) -> Vec<(Word, BytesMut)> {
    let publish = |qos: u8, id, is_retained| Word::Publish {
        topic: "v1/json/T1/up".to_owned(),
        payload: Bytes::from_static(b"{\"v\":1}"),
        qos,
        id,
        is_retained,
    };
    let subscribe = Word::Subscribe { id: 7, filters: vec![("v1/T1/down".to_owned(), 1), ("a/+/#".to_owned(), 2)] };
    let unsubscribe = Word::Unsubscribe { id: 8, filters: vec!["v1/T1/down".to_owned(), "b".to_owned()] };
    let words = [
        publish(0, 0, false),
        publish(1, 1, true),
        publish(2, u16::MAX, false),
        Word::Acked { id: 5 },
        Word::Received { id: 6 },
        Word::Release { id: 258 },
        subscribe,
        unsubscribe,
        Word::Ping,
        Word::Goodbye { session_expiry_s: None },
    ];
    words
        .into_iter()
        .map(|word| (word.clone(), if version == Version::V311 { of_v4(word) } else { of_v5(word) }))
        .collect()
}

fn of_v4(word: Word) -> BytesMut {
    let qos = |n| rumqttc::mqttbytes::qos(n).expect("a QoS");
    bytes_v4(&match word {
        Word::Publish { topic, payload, qos: n, id, is_retained } => {
            let publish = v4::Publish::from_bytes(topic, qos(n), payload);
            v4::Packet::Publish(v4::Publish { pkid: id, retain: is_retained, dup: n > 0, ..publish })
        }
        Word::Acked { id } => v4::Packet::PubAck(v4::PubAck::new(id)),
        Word::Received { id } => v4::Packet::PubRec(v4::PubRec::new(id)),
        Word::Release { id } => v4::Packet::PubRel(v4::PubRel::new(id)),
        Word::Subscribe { id, filters } => {
            let filters = filters.into_iter().map(|(path, n)| v4::SubscribeFilter::new(path, qos(n)));
            v4::Packet::Subscribe(v4::Subscribe { pkid: id, filters: filters.collect() })
        }
        Word::Unsubscribe { id, filters } => v4::Packet::Unsubscribe(v4::Unsubscribe { pkid: id, topics: filters }),
        Word::Ping => v4::Packet::PingReq,
        Word::Goodbye { .. } => v4::Packet::Disconnect,
    })
}

fn of_v5(word: Word) -> BytesMut {
    let qos = |n| rumqttc::v5::mqttbytes::qos(n).expect("a QoS");
    let user_properties = pair("Größe", "");
    bytes_v5(&match word {
        Word::Publish { topic, payload, qos: n, id, is_retained } => {
            let properties = v5::PublishProperties {
                payload_format_indicator: Some(1),
                message_expiry_interval: Some(60),
                response_topic: Some("r".to_owned()),
                correlation_data: Some(Bytes::from_static(&[0, 255])),
                content_type: Some("json".to_owned()),
                user_properties,
                ..Default::default()
            };
            let publish = v5::Publish::new(topic, qos(n), payload, (n > 0).then_some(properties));
            v5::Packet::Publish(v5::Publish { pkid: id, retain: is_retained, dup: n > 0, ..publish })
        }
        Word::Acked { id } => {
            let properties = v5::PubAckProperties { reason_string: Some("done".to_owned()), user_properties };
            let reason = v5::PubAckReason::NoMatchingSubscribers;
            v5::Packet::PubAck(v5::PubAck { reason, ..v5::PubAck::new(id, Some(properties)) })
        }
        Word::Received { id } => v5::Packet::PubRec(v5::PubRec::new(id, None)),
        Word::Release { id } => {
            let reason = v5::PubRelReason::PacketIdentifierNotFound;
            v5::Packet::PubRel(v5::PubRel { reason, ..v5::PubRel::new(id, None) })
        }
        Word::Subscribe { id, filters } => {
            let filters =
                filters.into_iter().map(|(path, n)| v5::Filter { nolocal: true, ..v5::Filter::new(path, qos(n)) });
            let properties = v5::SubscribeProperties { id: None, user_properties };
            v5::Packet::Subscribe(v5::Subscribe { pkid: id, ..v5::Subscribe::new_many(filters, Some(properties)) })
        }
        Word::Unsubscribe { id, filters } => {
            let properties = Some(v5::UnsubscribeProperties { user_properties });
            v5::Packet::Unsubscribe(v5::Unsubscribe { pkid: id, filters, properties })
        }
        Word::Ping => v5::Packet::PingReq(v5::PingReq),
        Word::Goodbye { .. } => {
            v5::Packet::Disconnect(v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection))
        }
    })
}

fn hello_v4() -> BytesMut {
    let mut connect = v4::Connect::new("T1");
    connect.set_login("T1", "geheim");
    connect.last_will = Some(v4::LastWill::new("will", "gone", Qos4::AtLeastOnce, true));
    bytes_v4(&v4::Packet::Connect(connect))
}

fn hello_v5() -> BytesMut {
    let properties = v5::ConnectProperties {
        session_expiry_interval: Some(86_400),
        receive_maximum: Some(20),
        max_packet_size: Some(1_024),
        topic_alias_max: Some(10),
        request_response_info: Some(1),
        request_problem_info: Some(0),
        user_properties: pair("firmware", "1.2"),
        ..Default::default()
    };
    let will_properties = v5::LastWillProperties {
        delay_interval: Some(5),
        payload_format_indicator: Some(0),
        message_expiry_interval: Some(1),
        content_type: Some("t".to_owned()),
        response_topic: Some("r".to_owned()),
        correlation_data: Some(Bytes::from_static(&[1])),
        user_properties: pair("a", "b"),
    };
    let will = v5::LastWill::new("will", "gone", Qos5::AtMostOnce, false, Some(will_properties));
    let connect =
        v5::Connect { keep_alive: 60, client_id: "T1".into(), clean_start: false, properties: Some(properties) };
    bytes_v5(&v5::Packet::Connect(connect, Some(will), Some(v5::Login::new("T1", "geheim"))))
}

#[test]
fn a_hello_of_either_version_is_read() {
    let v311 = Hello {
        version: Version::V311,
        client_id: "T1".to_owned(),
        user: "T1".to_owned(),
        password: b"geheim".to_vec(),
        keep_alive_s: 10,
        is_clean: true,
        has_will: true,
        receive_max: u16::MAX,
        packet_bytes_max: None,
        session_expiry_s: None,
    };
    assert_eq!(hello(hello_v4()), v311);
    let v5 = Hello {
        version: Version::V5,
        keep_alive_s: 60,
        is_clean: false,
        receive_max: 20,
        packet_bytes_max: Some(1_024),
        session_expiry_s: Some(86_400),
        ..v311
    };
    assert_eq!(hello(hello_v5()), v5);
}

#[test]
fn a_bare_hello_says_nothing_of_a_person() {
    let connect = v5::Connect { keep_alive: 0, client_id: String::new(), clean_start: true, properties: None };
    for bytes in
        [bytes_v4(&v4::Packet::Connect(v4::Connect::new(""))), bytes_v5(&v5::Packet::Connect(connect, None, None))]
    {
        let hello = hello(bytes);
        assert!(hello.client_id.is_empty() && hello.user.is_empty() && hello.password.is_empty());
        assert!(hello.is_clean && !hello.has_will && hello.receive_max == u16::MAX);
    }
}

#[test]
fn each_word_is_read_in_both_versions() {
    for version in BOTH {
        for (expected, bytes) in samples(version) {
            assert_eq!(word(version, bytes), expected, "{version:?}");
        }
    }
}

#[test]
fn a_goodbye_of_mqtt_5_may_say_how_long_the_session_is_kept() {
    let bytes = [0xe0, 7, 0, 5, 17, 0, 0, 1, 44];
    assert_eq!(word(Version::V5, bytes[..].into()), Word::Goodbye { session_expiry_s: Some(300) });
}

#[test]
fn a_goodbye_of_mqtt_5_needs_neither_reason_nor_properties() {
    for bytes in [&[0xE0, 0][..], &[0xE0, 1, 0], &[0xE0, 1, 4], &[0xE0, 2, 0x80, 0]] {
        assert_eq!(word(Version::V5, bytes.into()), Word::Goodbye { session_expiry_s: None }, "{bytes:?}");
    }
}

#[test]
fn a_payload_is_a_part_of_what_was_read() {
    let mut bytes = of_v4(samples(Version::V311).swap_remove(1).0);
    let range = bytes.as_ptr_range();
    let Ok(Some(Word::Publish { payload, .. })) = read(Version::V311, &mut bytes, BYTES_MAX) else {
        panic!("no PUBLISH")
    };
    assert!(range.contains(&payload.as_ptr()), "it was copied");
}

/// What comes of some bytes at last: the words, and the fault that ended them.
type Reading = (Vec<Word>, Option<Fault>);

/// Reads what stands in the buffer. What is not whole stays as it is.
fn drain(version: Version, buffer: &mut BytesMut, reading: &mut Reading) {
    while reading.1.is_none() {
        let before = buffer.clone();
        match read(version, buffer, BYTES_MAX) {
            Ok(Some(word)) => {
                assert!(buffer.len() + 2 <= before.len(), "a word without bytes");
                reading.0.push(word);
            }
            Ok(None) => {
                assert_eq!(*buffer, before, "bytes were taken for no word");
                break;
            }
            Err(fault) => reading.1 = Some(fault),
        }
    }
}

fn at_once(version: Version, bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    drain(version, &mut BytesMut::from(bytes), &mut reading);
    reading
}

fn in_pieces(version: Version, bytes: &[u8], piece_bytes: usize) -> Reading {
    let (mut reading, mut buffer) = (Reading::default(), BytesMut::new());
    for piece in bytes.chunks(piece_bytes) {
        buffer.extend_from_slice(piece);
        drain(version, &mut buffer, &mut reading);
    }
    reading
}

/// Words of all kinds one after the other.
fn stream(version: Version) -> Vec<u8> {
    samples(version).into_iter().flat_map(|(_, bytes)| bytes).collect()
}

#[test]
fn words_do_not_depend_on_how_bytes_arrive() {
    for version in BOTH {
        let stream = stream(version);
        let expected: Vec<Word> = samples(version).into_iter().map(|(word, _)| word).collect();
        assert_eq!(at_once(version, &stream), (expected.clone(), None));
        for piece_bytes in 1..stream.len() {
            assert_eq!(in_pieces(version, &stream, piece_bytes), (expected.clone(), None), "pieces of {piece_bytes}");
        }
    }
}

#[test]
fn a_hello_is_awaited_to_its_last_byte() {
    for whole in [hello_v4(), hello_v5()] {
        for at in 0..whole.len() {
            let mut begun = BytesMut::from(&whole[..at]);
            assert_eq!(read_hello(&mut begun, BYTES_MAX), Ok(None));
            assert_eq!(begun, whole[..at]);
        }
    }
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

/// Panics nowhere, and comes to the same in pieces as at once.
fn holds(version: Version, bytes: &[u8]) {
    let reading = at_once(version, bytes);
    assert_eq!(in_pieces(version, bytes, 1), reading);
    let mut buffer = BytesMut::from(bytes);
    if read_hello(&mut buffer, BYTES_MAX) == Ok(None) {
        assert_eq!(buffer, bytes);
    }
}

proptest! {
    #[test]
    fn noise_is_no_word_and_no_panic(version in any_version(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        holds(version, &bytes);
    }

    #[test]
    fn a_damaged_stream_does_no_harm(
        version in any_version(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = stream(version);
        for (at, byte) in damages {
            *at.get_mut(&mut bytes) = byte;
        }
        holds(version, &bytes[cut.index(bytes.len())..]);
    }

    #[test]
    fn a_damaged_hello_does_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for mut bytes in [hello_v4(), hello_v5()] {
            *at.get_mut(&mut bytes) = byte;
            holds(Version::V5, &bytes);
        }
    }

    #[test]
    fn a_message_of_ours_is_read_as_it_was_meant(
        version in any_version(),
        topic in "[a-zé/]{1,200}",
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        qos in 0_u8..=2,
        id in 1_u16..,
    ) {
        let mut out = BytesMut::new();
        write_message(version, &topic, &payload, qos, id, &mut out);
        let id = if qos == 0 { 0 } else { id };
        let expected = Word::Publish { topic, payload: payload.into(), qos, id, is_retained: false };
        prop_assert_eq!(word(version, out), expected);
    }
}
