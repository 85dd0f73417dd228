//! MQTT 5 through rumqttc's codec.

use super::properties;
use super::wire::{self, Cursor, Frame, Kind};
use super::{Farewell, Fault, Hello, Refusal, Terms, Version, Word};
use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, FixedHeader, PubAck,
    PubRec, PubRel, Publish, Subscribe, Unsubscribe,
};

/// Bits of a subscription's options without a meaning.
const OPTIONS_RESERVED: u8 = 0xC0;
/// What counts where a client does not say it.
const RECEIVE_MAX: u16 = u16::MAX;

impl Frame {
    fn header_v5(&self) -> FixedHeader {
        let first = self.bytes.first().copied().unwrap_or_default();
        FixedHeader::new(first, self.header_bytes - 1, self.body().len())
    }
}

/// A CONNECT whose form has been checked.
pub(super) fn hello(frame: Frame) -> Result<Hello, Fault> {
    let (connect, will, login) = Connect::read(frame.header_v5(), frame.bytes).map_err(fault)?;
    let (user, password) = login.map(|l| (l.username, l.password)).unwrap_or_default();
    let asked = connect.properties.unwrap_or_default();
    Ok(Hello {
        version: Version::V5,
        client_id: connect.client_id,
        user,
        password: password.into_bytes(),
        keep_alive_s: connect.keep_alive,
        is_clean: connect.clean_start,
        has_will: will.is_some(),
        receive_max: asked.receive_maximum.unwrap_or(RECEIVE_MAX),
        packet_bytes_max: asked.max_packet_size,
        session_expiry_s: asked.session_expiry_interval,
    })
}

/// A packet after CONNECT.
pub(super) fn word(frame: Frame) -> Result<Word, Fault> {
    let header = frame.header_v5();
    let mut rest = Cursor(frame.body());
    match frame.kind {
        Kind::Publish => {
            let first = frame.bytes.first().copied().unwrap_or_default();
            rest.bytes()?;
            if first & 0b0110 != 0 {
                rest.u16()?;
            }
            rest.properties(properties::OF_PUBLISH)?;
            let Publish { qos, retain, topic, pkid, payload, .. } =
                Publish::read(header, frame.bytes).map_err(fault)?;
            wire::check_topic(&topic)?;
            let topic = std::str::from_utf8(&topic).map_err(|_| wire::NOT_UTF8)?.to_owned();
            Ok(Word::Publish { topic, payload, qos: qos as u8, id: pkid, is_retained: retain })
        }
        Kind::PubAck => {
            check_ack(rest)?;
            let ack = PubAck::read(header, frame.bytes).map_err(fault)?;
            Ok(Word::Acked { id: wire::check_id(ack.pkid)? })
        }
        Kind::PubRec => {
            check_ack(rest)?;
            let ack = PubRec::read(header, frame.bytes).map_err(fault)?;
            Ok(Word::Received { id: wire::check_id(ack.pkid)? })
        }
        Kind::PubRel => {
            check_ack(rest)?;
            let ack = PubRel::read(header, frame.bytes).map_err(fault)?;
            Ok(Word::Release { id: wire::check_id(ack.pkid)? })
        }
        Kind::Subscribe => {
            rest.u16()?;
            rest.properties(properties::OF_SUBSCRIBE)?;
            wire::check_options(rest, OPTIONS_RESERVED)?;
            let Subscribe { pkid, filters, .. } = Subscribe::read(header, frame.bytes).map_err(fault)?;
            wire::check_filters(filters.iter().map(|f| f.path.as_str()))?;
            let filters = filters.into_iter().map(|f| (f.path, f.qos as u8)).collect();
            Ok(Word::Subscribe { id: wire::check_id(pkid)?, filters })
        }
        Kind::Unsubscribe => {
            rest.u16()?;
            rest.properties(properties::OF_UNSUBSCRIBE)?;
            let Unsubscribe { pkid, filters, .. } = Unsubscribe::read(header, frame.bytes).map_err(fault)?;
            wire::check_filters(filters.iter().map(String::as_str))?;
            Ok(Word::Unsubscribe { id: wire::check_id(pkid)?, filters })
        }
        Kind::PingReq => rest.end().map(|()| Word::Ping),
        Kind::Disconnect => goodbye(frame, header),
        Kind::Connect | Kind::Other(_) => Err(Fault::Unexpected(frame.kind.name())),
    }
}

/// An acknowledgement: id, then perhaps a reason, then perhaps properties.
fn check_ack(mut rest: Cursor<'_>) -> Result<(), Fault> {
    rest.u16()?;
    if !rest.0.is_empty() {
        rest.u8()?;
    }
    if !rest.0.is_empty() {
        rest.properties(properties::OF_ACK)?;
    }
    rest.end()
}

/// DISCONNECT. The codec takes one without properties for a fault, and one without a reason.
fn goodbye(frame: Frame, header: FixedHeader) -> Result<Word, Fault> {
    let properties = match frame.body() {
        [] => None,
        [reason] => {
            DisconnectReasonCode::try_from(*reason).map_err(fault)?;
            None
        }
        [_, told @ ..] => {
            let mut rest = Cursor(told);
            rest.properties(properties::OF_DISCONNECT)?;
            rest.end()?;
            Disconnect::read(header, frame.bytes).map_err(fault)?.properties
        }
    };
    Ok(Word::Goodbye { session_expiry_s: properties.and_then(|p| p.session_expiry_interval) })
}

/// CONNACK with what we offer. Maximum QoS is absent: all three. Retain is not refused, or a client that sets the flag
/// would have to be disconnected; the flag is ignored.
pub(super) fn write_welcome(terms: &Terms, out: &mut BytesMut) {
    let properties = ConnAckProperties {
        session_expiry_interval: terms.session_expiry_s,
        receive_max: Some(terms.receive_max.max(1)), // zero has no meaning
        max_qos: None,
        retain_available: None,
        max_packet_size: Some(terms.packet_bytes_max.max(1)),
        assigned_client_identifier: terms.assigned_client_id.clone(),
        topic_alias_max: Some(0),
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: Some(0),
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(0),
        server_keep_alive: terms.keep_alive_s,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    let code = ConnectReturnCode::Success;
    let connack = ConnAck { session_present: terms.session_present, code, properties: Some(properties) };
    // Fails beyond 256 MiB only; a client id, the one part without a fixed length, has at most 64 KiB.
    let _ = connack.write(out);
}

/// How a CONNACK says it.
pub(super) const fn code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::UnsupportedVersion => 0x84,
        Refusal::IdentifierRejected => 0x85,
        Refusal::BadCredentials => 0x86,
        Refusal::NotAuthorized => 0x87,
        Refusal::ServerBusy => 0x89,
    }
}

/// How a DISCONNECT says it.
pub(super) const fn reason(farewell: Farewell) -> u8 {
    let reason = match farewell {
        Farewell::Malformed => DisconnectReasonCode::MalformedPacket,
        Farewell::ProtocolError => DisconnectReasonCode::ProtocolError,
        Farewell::NotAuthorized => DisconnectReasonCode::NotAuthorized,
        Farewell::UseAgain => DisconnectReasonCode::ServerBusy,
        Farewell::ServerShuttingDown => DisconnectReasonCode::ServerShuttingDown,
        Farewell::KeepAliveTimeout => DisconnectReasonCode::KeepAliveTimeout,
        Farewell::TakenOver => DisconnectReasonCode::SessionTakenOver,
        Farewell::TopicAliasInvalid => DisconnectReasonCode::TopicAliasInvalid,
        Farewell::PacketTooLarge => DisconnectReasonCode::PacketTooLarge,
        Farewell::QuotaExceeded => DisconnectReasonCode::QuotaExceeded,
        Farewell::AdministrativeAction => DisconnectReasonCode::AdministrativeAction,
    };
    reason as u8
}

/// The packet is whole: what the codec misses in it will not come.
fn fault(error: Error) -> Fault {
    match error {
        Error::TopicNotUtf8 | Error::PayloadNotUtf8(_) => wire::NOT_UTF8,
        Error::InvalidQoS(_) => Fault::Malformed("QoS 3"),
        Error::PacketIdZero => Fault::Malformed("packet id 0"),
        Error::EmptySubscription => Fault::Malformed("no topic filter"),
        Error::BoundaryCrossed(_) | Error::InsufficientBytes(_) | Error::MalformedPacket => wire::BEYOND,
        _ => Fault::Malformed("a packet that is not as its type says"),
    }
}
