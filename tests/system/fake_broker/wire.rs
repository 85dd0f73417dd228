//! MQTT 3.1.1 on the wire, as much of it as a broker that misbehaves needs (OASIS, sections 2 and 3).
//!
//! By hand, and not the client library's codec: that is what is under test.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A packet from a client.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Its client id.
    Connect(String),
    /// By MQTT 5, as whoever asks for limits does.
    Connect5,
    /// A packet id and how many filters.
    Subscribe(u16, usize),
    /// A packet id.
    PubAck(u16),
    Ping,
    Disconnect,
    /// Whatever else, a publish for example: nothing here depends on it.
    Other,
}

/// A message for a client.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// 0: QoS 0.
    pub id: u16,
    pub dup: bool,
    pub retained: bool,
}

impl Message {
    pub fn new(topic: &str, id: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), id, dup: false, retained: false }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let flags = u8::from(self.dup) << 3 | u8::from(self.id != 0) << 1 | u8::from(self.retained);
        let mut body = text(&self.topic);
        if self.id != 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(&self.payload);
        packet(0x30 | flags, &body)
    }
}

/// "Success", with or without a session that was kept.
pub fn connack(session_present: bool) -> Vec<u8> {
    packet(0x20, &[u8::from(session_present), 0])
}

/// "Success" in MQTT 5, with properties (3.2.2.3) as they stand on the wire, at most 127 bytes.
pub fn connack5(properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, properties.len() as u8];
    body.extend(properties);
    packet(0x20, &body)
}

/// What a broker may answer to a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    #[default]
    Qos1,
    Qos0,
    Nothing,
}

/// Answers for each filter alike.
pub fn suback(id: u16, filters: usize, grant: Grant) -> Vec<u8> {
    let code = match grant {
        Grant::Qos1 => 1,
        Grant::Qos0 => 0,
        Grant::Nothing => 0x80,
    };
    let mut body = id.to_be_bytes().to_vec();
    body.extend(vec![code; filters]);
    packet(0x90, &body)
}

pub fn pong() -> Vec<u8> {
    packet(0xd0, &[])
}

/// A packet of the reserved type 0, which no client may accept.
pub fn malformed() -> Vec<u8> {
    vec![0x00, 0x02, 0xff, 0xff]
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (vec![first], body.len());
    loop {
        let more = rest > 127;
        out.push((rest % 128) as u8 | u8::from(more) << 7);
        rest /= 128;
        if !more {
            break;
        }
    }
    out.extend(body);
    out
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// The next packet; `None` when the client is gone.
pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<FromClient> {
    let first = socket.read_u8().await.ok()?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = socket.read_u8().await.ok()?;
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    let number = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    Some(match first >> 4 {
        // Protocol name (6), level, flags, keep alive (2), then (of level 4) the client id.
        1 if body.get(6) == Some(&5) => FromClient::Connect5,
        1 => {
            let length = usize::from(number(10)?);
            FromClient::Connect(String::from_utf8(body.get(12..12 + length)?.to_vec()).ok()?)
        }
        4 => FromClient::PubAck(number(0)?),
        8 => {
            let (mut at, mut filters) = (2, 0);
            while at < body.len() {
                at += 2 + usize::from(number(at)?) + 1;
                filters += 1;
            }
            FromClient::Subscribe(number(0)?, filters)
        }
        12 => FromClient::Ping,
        14 => FromClient::Disconnect,
        _ => FromClient::Other,
    })
}
