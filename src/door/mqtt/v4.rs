//! MQTT 3.1.1 through rumqttc's codec.

use super::wire::{self, Cursor, Frame, Kind};
use super::{Fault, Hello, Refusal, Version, Word};
use rumqttc::mqttbytes::v4::{Connect, PubAck, Publish, Subscribe, Unsubscribe};
use rumqttc::mqttbytes::{Error, FixedHeader};

/// Bits of a subscription's options without a meaning: all but QoS.
const OPTIONS_RESERVED: u8 = 0xFC;
/// A 3.1.1 client cannot say how much it takes unanswered.
const RECEIVE_MAX: u16 = u16::MAX;

impl Frame {
    fn header_v4(&self) -> FixedHeader {
        let first = self.bytes.first().copied().unwrap_or_default();
        FixedHeader::new(first, self.header_bytes - 1, self.body().len())
    }
}

/// A CONNECT whose form has been checked.
pub(super) fn hello(frame: Frame) -> Result<Hello, Fault> {
    let connect = Connect::read(frame.header_v4(), frame.bytes).map_err(fault)?;
    let (user, password) = connect.login.map(|l| (l.username, l.password)).unwrap_or_default();
    Ok(Hello {
        version: Version::V311,
        client_id: connect.client_id,
        user,
        password: password.into_bytes(),
        keep_alive_s: connect.keep_alive,
        is_clean: connect.clean_session,
        has_will: connect.last_will.is_some(),
        receive_max: RECEIVE_MAX,
        packet_bytes_max: None,
        session_expiry_s: None,
    })
}

/// A packet after CONNECT.
pub(super) fn word(frame: Frame) -> Result<Word, Fault> {
    let header = frame.header_v4();
    match frame.kind {
        Kind::Publish => {
            let Publish { qos, retain, topic, pkid, payload, .. } =
                Publish::read(header, frame.bytes).map_err(fault)?;
            wire::check_topic(topic.as_bytes())?;
            Ok(Word::Publish { topic, payload, qos: qos as u8, id: pkid, is_retained: retain })
        }
        Kind::PubAck => Ok(Word::Acked { id: only_id(frame, header)? }),
        Kind::PubRec => Ok(Word::Received { id: only_id(frame, header)? }),
        Kind::PubRel => Ok(Word::Release { id: only_id(frame, header)? }),
        Kind::Subscribe => {
            let mut rest = Cursor(frame.body());
            rest.u16()?;
            wire::check_options(rest, OPTIONS_RESERVED)?;
            let Subscribe { pkid, filters } = Subscribe::read(header, frame.bytes).map_err(fault)?;
            wire::check_filters(filters.iter().map(|f| f.path.as_str()))?;
            let filters = filters.into_iter().map(|f| (f.path, f.qos as u8)).collect();
            Ok(Word::Subscribe { id: wire::check_id(pkid)?, filters })
        }
        Kind::Unsubscribe => {
            let Unsubscribe { pkid, topics } = Unsubscribe::read(header, frame.bytes).map_err(fault)?;
            wire::check_filters(topics.iter().map(String::as_str))?;
            Ok(Word::Unsubscribe { id: wire::check_id(pkid)?, filters: topics })
        }
        Kind::PingReq => Cursor(frame.body()).end().map(|()| Word::Ping),
        Kind::Disconnect => Cursor(frame.body()).end().map(|()| Word::Goodbye { session_expiry_s: None }),
        Kind::Connect | Kind::Other(_) => Err(Fault::Unexpected(frame.kind.name())),
    }
}

/// PUBACK, PUBREC and PUBREL have the same form: an id.
fn only_id(frame: Frame, header: FixedHeader) -> Result<u16, Fault> {
    let mut rest = Cursor(frame.body());
    rest.u16()?;
    rest.end()?;
    let ack = PubAck::read(header, frame.bytes).map_err(fault)?;
    wire::check_id(ack.pkid)
}

/// How a CONNACK says it.
pub(super) const fn code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::UnsupportedVersion => 1,
        Refusal::IdentifierRejected => 2,
        Refusal::ServerBusy => 3,
        Refusal::BadCredentials => 4,
        Refusal::NotAuthorized => 5,
    }
}

/// The packet is whole: what the codec misses in it will not come.
fn fault(error: Error) -> Fault {
    match error {
        Error::TopicNotUtf8 => wire::NOT_UTF8,
        Error::InvalidQoS(_) => Fault::Malformed("QoS 3"),
        Error::PacketIdZero => Fault::Malformed("packet id 0"),
        Error::EmptySubscription => Fault::Malformed("no topic filter"),
        Error::BoundaryCrossed(_) | Error::InsufficientBytes(_) | Error::MalformedPacket => wire::BEYOND,
        _ => Fault::Malformed("a packet that is not as its type says"),
    }
}
