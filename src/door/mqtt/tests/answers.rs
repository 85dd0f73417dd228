//! What we write is what the client's side reads.

use super::*;

const ID: u16 = 0x1234;

fn client_v4(write: impl FnOnce(Version, &mut BytesMut)) -> v4::Packet {
    let mut out = BytesMut::new();
    write(Version::V311, &mut out);
    let packet = v4::Packet::read(&mut out, BYTES_MAX).expect("read");
    assert!(out.is_empty());
    packet
}

fn client_v5(write: impl FnOnce(Version, &mut BytesMut)) -> v5::Packet {
    let mut out = BytesMut::new();
    write(Version::V5, &mut out);
    let packet = v5::Packet::read(&mut out, None).expect("read");
    assert!(out.is_empty());
    packet
}

fn terms() -> Terms {
    Terms {
        session_present: true,
        keep_alive_s: Some(600),
        receive_max: 200,
        packet_bytes_max: 65_536,
        assigned_client_id: Some("given".to_owned()),
        session_expiry_s: Some(3_600),
    }
}

#[test]
fn a_client_of_3_1_1_is_let_in() {
    let ours = client_v4(|version, out| write_welcome(version, &terms(), out));
    assert_eq!(ours, v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::Success, true)));
}

#[test]
fn a_client_of_mqtt_5_learns_the_terms() {
    let v5::Packet::ConnAck(ours) = client_v5(|version, out| write_welcome(version, &terms(), out)) else {
        panic!("no CONNACK")
    };
    assert_eq!((ours.session_present, ours.code), (true, v5::ConnectReturnCode::Success));
    let told = ours.properties.expect("properties");
    assert_eq!((told.receive_max, told.max_packet_size), (Some(200), Some(65_536)));
    assert_eq!((told.server_keep_alive, told.session_expiry_interval), (Some(600), Some(3_600)));
    assert_eq!(told.assigned_client_identifier.as_deref(), Some("given"));
    assert_eq!((told.max_qos, told.retain_available), (None, None));
    assert_eq!(told.topic_alias_max, Some(0));
    let unavailable = [
        told.wildcard_subscription_available,
        told.subscription_identifiers_available,
        told.shared_subscription_available,
    ];
    assert_eq!(unavailable, [Some(0); 3]);
}

#[test]
fn a_maximum_of_zero_is_never_announced() {
    let none = Terms { receive_max: 0, packet_bytes_max: 0, keep_alive_s: None, assigned_client_id: None, ..terms() };
    let v5::Packet::ConnAck(ours) = client_v5(|version, out| write_welcome(version, &none, out)) else {
        panic!("no CONNACK")
    };
    let told = ours.properties.expect("properties");
    assert_eq!((told.receive_max, told.max_packet_size), (Some(1), Some(1)));
    assert_eq!((told.server_keep_alive, told.assigned_client_identifier), (None, None));
}

#[test]
fn each_refusal_is_understood() {
    use v4::ConnectReturnCode as Old;
    use v5::ConnectReturnCode as New;
    let refusals = [
        (Refusal::UnsupportedVersion, Old::RefusedProtocolVersion, New::UnsupportedProtocolVersion),
        (Refusal::IdentifierRejected, Old::BadClientId, New::ClientIdentifierNotValid),
        (Refusal::ServerBusy, Old::ServiceUnavailable, New::ServerBusy),
        (Refusal::BadCredentials, Old::BadUserNamePassword, New::BadUserNamePassword),
        (Refusal::NotAuthorized, Old::NotAuthorized, New::NotAuthorized),
    ];
    for (refusal, old, new) in refusals {
        let ours = client_v4(|version, out| write_refusal(version, refusal, out));
        assert_eq!(ours, v4::Packet::ConnAck(v4::ConnAck::new(old, false)));
        let ours = client_v5(|version, out| write_refusal(version, refusal, out));
        let expected = v5::ConnAck { session_present: false, code: new, properties: None };
        assert_eq!(ours, v5::Packet::ConnAck(expected));
    }
}

#[test]
fn acknowledgements_are_four_bytes_with_the_id() {
    let (mut ack, mut received, mut complete) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    for version in BOTH {
        write_ack(version, ID, &mut ack);
        write_received(version, ID, &mut received);
        write_complete(version, ID, &mut complete);
    }
    assert_eq!(ack[..], [0x40, 2, 0x12, 0x34].repeat(2));
    assert_eq!(received[..], [0x50, 2, 0x12, 0x34].repeat(2));
    assert_eq!(complete[..], [0x70, 2, 0x12, 0x34].repeat(2));
    assert_eq!(client_v4(|v, out| write_ack(v, ID, out)), v4::Packet::PubAck(v4::PubAck::new(ID)));
    assert_eq!(client_v4(|v, out| write_received(v, ID, out)), v4::Packet::PubRec(v4::PubRec::new(ID)));
    assert_eq!(client_v4(|v, out| write_complete(v, ID, out)), v4::Packet::PubComp(v4::PubComp::new(ID)));
    assert_eq!(client_v5(|v, out| write_ack(v, ID, out)), v5::Packet::PubAck(v5::PubAck::new(ID, None)));
    assert_eq!(client_v5(|v, out| write_received(v, ID, out)), v5::Packet::PubRec(v5::PubRec::new(ID, None)));
    assert_eq!(client_v5(|v, out| write_complete(v, ID, out)), v5::Packet::PubComp(v5::PubComp::new(ID, None)));
}

#[test]
fn each_filter_has_its_answer() {
    let codes = [Ok(1), Err(()), Ok(0), Ok(2)];
    let ours = client_v4(|version, out| write_subscribed(version, ID, &codes, out));
    let given = |qos| v4::SubscribeReasonCode::Success(qos);
    let expected = vec![
        given(Qos4::AtLeastOnce),
        v4::SubscribeReasonCode::Failure,
        given(Qos4::AtMostOnce),
        given(Qos4::ExactlyOnce),
    ];
    assert_eq!(ours, v4::Packet::SubAck(v4::SubAck::new(ID, expected)));
    let v5::Packet::SubAck(ours) = client_v5(|version, out| write_subscribed(version, ID, &codes, out)) else {
        panic!("no SUBACK")
    };
    let given = |qos| v5::SubscribeReasonCode::Success(qos);
    let expected = vec![
        given(Qos5::AtLeastOnce),
        v5::SubscribeReasonCode::NotAuthorized,
        given(Qos5::AtMostOnce),
        given(Qos5::ExactlyOnce),
    ];
    assert_eq!((ours.pkid, ours.return_codes), (ID, expected));
}

#[test]
fn many_filters_are_answered_too() {
    // More than a length of one byte can say.
    let codes = [Ok(0); 200];
    let v5::Packet::SubAck(ours) = client_v5(|version, out| write_subscribed(version, ID, &codes, out)) else {
        panic!("no SUBACK")
    };
    assert_eq!(ours.return_codes.len(), 200);
    let v5::Packet::UnsubAck(ours) = client_v5(|version, out| write_unsubscribed(version, ID, 200, out)) else {
        panic!("no UNSUBACK")
    };
    assert_eq!((ours.pkid, ours.reasons), (ID, vec![v5::UnsubAckReason::Success; 200]));
}

#[test]
fn an_unsubscribed_client_of_3_1_1_gets_the_id_only() {
    let ours = client_v4(|version, out| write_unsubscribed(version, ID, 2, out));
    assert_eq!(ours, v4::Packet::UnsubAck(v4::UnsubAck::new(ID)));
}

#[test]
fn a_ping_is_answered() {
    assert_eq!(client_v4(|_, out| write_pong(out)), v4::Packet::PingResp);
    assert_eq!(client_v5(|_, out| write_pong(out)), v5::Packet::PingResp(v5::PingResp));
}

#[test]
fn a_farewell_has_a_reason_in_mqtt_5_and_no_form_before() {
    use v5::DisconnectReasonCode as Reason;
    let farewells = [
        (Farewell::TakenOver, Reason::SessionTakenOver),
        (Farewell::NotAuthorized, Reason::NotAuthorized),
        (Farewell::QuotaExceeded, Reason::QuotaExceeded),
        (Farewell::PacketTooLarge, Reason::PacketTooLarge),
        (Farewell::Malformed, Reason::MalformedPacket),
        (Farewell::ProtocolError, Reason::ProtocolError),
        (Farewell::TopicAliasInvalid, Reason::TopicAliasInvalid),
        (Farewell::KeepAliveTimeout, Reason::KeepAliveTimeout),
        (Farewell::ServerShuttingDown, Reason::ServerShuttingDown),
        (Farewell::AdministrativeAction, Reason::AdministrativeAction),
        (Farewell::UseAgain, Reason::ServerBusy),
    ];
    for (farewell, reason) in farewells {
        let ours = client_v5(|version, out| write_farewell(version, farewell, out));
        assert_eq!(ours, v5::Packet::Disconnect(v5::Disconnect::new(reason)));
        let mut out = BytesMut::new();
        write_farewell(Version::V311, farewell, &mut out);
        assert!(out.is_empty());
    }
}

#[test]
fn a_message_reaches_a_client_of_either_version() {
    let payload = Bytes::from(vec![7; 300]);
    let ours = client_v4(|version, out| write_message(version, "down", &payload, 1, ID, out));
    let expected = v4::Publish { pkid: ID, ..v4::Publish::from_bytes("down", Qos4::AtLeastOnce, payload.clone()) };
    assert_eq!(ours, v4::Packet::Publish(expected));
    let ours = client_v5(|version, out| write_message(version, "down", &payload, 1, ID, out));
    let expected = v5::Publish { pkid: ID, ..v5::Publish::new("down", Qos5::AtLeastOnce, payload, None) };
    assert_eq!(ours, v5::Packet::Publish(expected));
}

#[test]
fn a_topic_that_mqtt_cannot_say_is_not_written() {
    let mut out = BytesMut::new();
    write_message(Version::V5, &"a".repeat(65_536), b"", 0, 0, &mut out);
    assert!(out.is_empty());
}
