//! What both versions share, and what rumqttc's codecs do not check. Nothing here allocates.

use super::{Fault, Version, properties};
use bytes::{BufMut, Bytes, BytesMut};

/// Most bytes of a packet behind its header: what four bytes of length can say.
pub(super) const BODY_BYTES_MAX: usize = 268_435_455;
/// One byte of type and flags, four of length.
pub(super) const HEADER_BYTES_MAX: usize = 5;
/// Bytes of a length: the standard allows no fifth.
const LENGTH_BYTES_MAX: usize = 4;

pub(super) const BEYOND: Fault = Fault::Malformed("a field reaches beyond its packet");
pub(super) const NOT_UTF8: Fault = Fault::Malformed("a text is not UTF-8");
const LEFT_OVER: Fault = Fault::Malformed("bytes are left over at the end of a packet");

/// The type of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
    /// One that we await never.
    Other(&'static str),
}

impl Kind {
    /// By the first byte of a packet, whose flags have to fit.
    fn of(first: u8) -> Result<Self, Fault> {
        let flags = first & 0x0F;
        let (kind, flags_due) = match first >> 4 {
            1 => (Self::Connect, 0),
            2 => (Self::Other("CONNACK"), 0),
            3 => match flags {
                0b0110 | 0b0111 | 0b1110 | 0b1111 => return Err(Fault::Malformed("QoS 3")),
                0b1000 | 0b1001 => return Err(Fault::Malformed("DUP at QoS 0")),
                _ => (Self::Publish, flags),
            },
            4 => (Self::PubAck, 0),
            5 => (Self::PubRec, 0),
            6 => (Self::PubRel, 2),
            7 => (Self::Other("PUBCOMP"), 0),
            8 => (Self::Subscribe, 2),
            9 => (Self::Other("SUBACK"), 0),
            10 => (Self::Unsubscribe, 2),
            11 => (Self::Other("UNSUBACK"), 0),
            12 => (Self::PingReq, 0),
            13 => (Self::Other("PINGRESP"), 0),
            14 => (Self::Disconnect, 0),
            15 => (Self::Other("AUTH"), 0),
            _ => return Err(Fault::Malformed("packet type 0")),
        };
        if flags == flags_due { Ok(kind) } else { Err(Fault::Malformed("reserved flags of a header are set")) }
    }

    /// As the standard writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::PingReq => "PINGREQ",
            Self::Disconnect => "DISCONNECT",
            Self::Other(name) => name,
        }
    }

    /// Whether a client may send it after its CONNECT.
    pub(super) fn is_word(self) -> bool {
        !matches!(self, Self::Connect | Self::Other(_))
    }
}

/// A whole packet, its header with it: so the codecs want it.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) header_bytes: usize,
    pub(super) bytes: Bytes,
}

impl Frame {
    /// What stands behind the header.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(self.header_bytes..).unwrap_or_default()
    }
}

/// Header and whole packet in bytes, once both are known to be there.
struct Head {
    kind: Kind,
    header_bytes: usize,
    packet_bytes: usize,
}

/// Whether a whole packet stands at the beginning. A type that is not awaited is refused by the first byte,
/// too long a packet by its header.
fn check(buffer: &[u8], bytes_max: usize, is_awaited: impl Fn(Kind) -> bool) -> Result<Option<Head>, Fault> {
    let Some((&first, rest)) = buffer.split_first() else { return Ok(None) };
    let kind = Kind::of(first)?;
    if !is_awaited(kind) {
        return Err(Fault::Unexpected(kind.name()));
    }
    let Some((body_bytes, length_bytes)) = length(rest)? else { return Ok(None) };
    let header_bytes = 1 + length_bytes;
    let packet_bytes = header_bytes + body_bytes;
    if packet_bytes > bytes_max {
        return Err(Fault::TooLong { announced: packet_bytes, limit: bytes_max });
    }
    Ok((packet_bytes <= buffer.len()).then_some(Head { kind, header_bytes, packet_bytes }))
}

/// Takes a whole packet from the buffer, or nothing at all.
pub(super) fn take(
    buffer: &mut BytesMut,
    bytes_max: usize,
    is_awaited: impl Fn(Kind) -> bool,
) -> Result<Option<Frame>, Fault> {
    let head = check(buffer, bytes_max, is_awaited)?;
    Ok(head.map(|Head { kind, header_bytes, packet_bytes }| Frame {
        kind,
        header_bytes,
        bytes: buffer.split_to(packet_bytes).freeze(),
    }))
}

/// A number of up to four bytes with seven bits each, and how many bytes it took. Nothing where its end is missing.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        number |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((number, i + 1)));
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(Fault::Malformed("a length of more than four bytes")) }
}

/// Writes what [`length`] reads; beyond [`BODY_BYTES_MAX`] there is no form, and callers stay below.
pub(super) fn write_length(mut number: usize, out: &mut BytesMut) {
    while number > 0x7F {
        out.put_u8((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Goes through the fields of a packet.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn skip(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(BEYOND)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        let (&byte, rest) = self.0.split_first().ok_or(BEYOND)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// Two bytes of length, then as many.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.skip(usize::from(length))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| NOT_UTF8)?;
        if text.contains('\0') { Err(Fault::Malformed("a text holds NUL")) } else { Ok(text) }
    }

    pub(super) fn length(&mut self) -> Result<usize, Fault> {
        let (number, bytes) = length(self.0)?.ok_or(BEYOND)?;
        self.skip(bytes)?;
        Ok(number)
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(LEFT_OVER) }
    }
}

/// Goes through a CONNECT from its flags on.
pub(super) fn check_connect(mut rest: Cursor<'_>, version: Version) -> Result<(), Fault> {
    let flags = rest.u8()?;
    let (has_will, has_user, has_password) = (flags & 0x04 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
    rest.u16()?; // keep-alive
    if flags & 0x01 != 0 {
        return Err(Fault::Malformed("the reserved flag of CONNECT is set"));
    }
    if version == Version::V311 && has_password && !has_user {
        return Err(Fault::Malformed("a password without a user"));
    }
    if version == Version::V5 {
        rest.properties(properties::OF_CONNECT)?;
    }
    rest.text()?; // client id
    if has_will {
        if version == Version::V5 {
            rest.properties(properties::OF_WILL)?;
        }
        check_topic(rest.bytes()?)?;
        rest.bytes()?;
    }
    if has_user {
        rest.text()?;
    }
    if has_password {
        rest.bytes()?;
    }
    rest.end()
}

/// The options behind each filter of a SUBSCRIBE, of which the codecs drop what is reserved.
pub(super) fn check_options(mut filters: Cursor<'_>, reserved: u8) -> Result<(), Fault> {
    while !filters.0.is_empty() {
        filters.bytes()?;
        if filters.u8()? & reserved != 0 {
            return Err(Fault::Malformed("reserved options of a subscription are set"));
        }
    }
    Ok(())
}

/// A topic that messages can have. Whether it is UTF-8, the codecs say or the caller.
pub(super) fn check_topic(topic: &[u8]) -> Result<(), Fault> {
    if topic.is_empty() {
        return Err(Fault::Malformed("an empty topic"));
    }
    match memchr::memchr3(b'+', b'#', 0, topic) {
        None => Ok(()),
        Some(_) => Err(Fault::Malformed("a topic holds a wildcard or NUL")),
    }
}

/// At least one filter, each of a valid form.
pub(super) fn check_filters<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<(), Fault> {
    let mut count = 0;
    for filter in filters {
        count += 1;
        if !rumqttc::mqttbytes::valid_filter(filter) || filter.contains('\0') {
            return Err(Fault::Malformed("a topic filter without a valid form"));
        }
    }
    if count == 0 { Err(Fault::Malformed("no topic filter")) } else { Ok(()) }
}

/// A packet id, which is never zero.
pub(super) fn check_id(id: u16) -> Result<u16, Fault> {
    if id == 0 { Err(Fault::Malformed("packet id 0")) } else { Ok(id) }
}
