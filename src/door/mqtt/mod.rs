//! The door's MQTT: bytes ↔ words, versions 3.1.1 and 5.
//!
//! In: what a tracker has sent so far. Out: one word at a time, or why the bytes are no MQTT that we take.
//! Never: sockets, clocks, logs, limits of a connection. The codecs are rumqttc's; [`wire`] checks what they do not.

mod answers;
mod properties;
#[cfg(test)]
mod tests;
mod v4;
mod v5;
mod wire;

pub use answers::{
    write_ack, write_complete, write_farewell, write_message, write_pong, write_received, write_refusal,
    write_subscribed, write_unsubscribed, write_welcome,
};
use bytes::{Bytes, BytesMut};
use wire::{Cursor, Kind};

/// A version of MQTT that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

impl Version {
    /// As operators know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

/// Who a client says it is: its CONNECT.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))] // not elsewhere: it holds a password
pub struct Hello {
    /// What it speaks.
    pub version: Version,
    /// May be empty. In 3.1.1 that asks for `is_clean`; whoever answers checks it.
    pub client_id: String,
    /// Empty where none was sent.
    pub user: String,
    /// Empty where none was sent. A password that is not UTF-8 is malformed for the codecs.
    pub password: Vec<u8>,
    /// 0: the client asks for no limit.
    pub keep_alive_s: u16,
    /// Clean session in 3.1.1, clean start in 5.
    pub is_clean: bool,
    /// Whether the client has left a will with us.
    pub has_will: bool,
    /// QoS 1 and 2 messages the client takes unanswered; 65,535 unless an MQTT 5 client says less.
    pub receive_max: u16,
    /// Most bytes of a packet that an MQTT 5 client takes; a longer one must not be sent.
    pub packet_bytes_max: Option<u32>,
    /// Seconds the session is to be kept, where an MQTT 5 client says so.
    pub session_expiry_s: Option<u32>,
}

/// What a client says once it is in.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))] // not elsewhere: a payload holds positions
pub enum Word {
    /// PUBLISH.
    Publish {
        /// Has letters, no wildcard and no NUL.
        topic: String,
        /// A part of the read buffer, which lives as long as this does.
        payload: Bytes,
        /// 0, 1 or 2.
        qos: u8,
        /// 0 for QoS 0 and for nothing else.
        id: u16,
        /// The retain flag.
        is_retained: bool,
    },
    /// PUBACK for a message of ours.
    Acked {
        /// The message's packet id.
        id: u16,
    },
    /// PUBREC for a QoS 2 message of ours.
    Received {
        /// The message's packet id.
        id: u16,
    },
    /// PUBREL: a QoS 2 message of the client may be forgotten.
    Release {
        /// The message's packet id.
        id: u16,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// For the answer.
        id: u16,
        /// At least one filter, each with the QoS asked for.
        filters: Vec<(String, u8)>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// For the answer.
        id: u16,
        /// At least one.
        filters: Vec<String>,
    },
    /// PINGREQ.
    Ping,
    /// DISCONNECT, with whatever reason.
    Goodbye {
        /// Another time for which an MQTT 5 client wants its session kept, seconds.
        session_expiry_s: Option<u32>,
    },
}

/// Why the bytes are no MQTT that we take. Says nothing of what a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Known from the header, before the body is there.
    #[error("a packet of {announced} bytes where {limit} are allowed")]
    TooLong {
        /// Bytes of the whole packet, its header with it.
        announced: usize,
        /// Most that are allowed.
        limit: usize,
    },
    /// Breaks the form of its packet.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Another protocol name or level. Refused in the form of 3.1.1, which every client reads.
    #[error("neither MQTT 3.1.1 nor MQTT 5")]
    UnsupportedVersion,
    /// A packet that a client does not send, or not now.
    #[error("{0} is not expected here")]
    Unexpected(&'static str),
    /// A topic alias, although we allow none.
    #[error("a topic alias where none is allowed")]
    TopicAlias,
}

impl Fault {
    /// What an MQTT 5 client is told at the end.
    #[must_use]
    pub const fn farewell(self) -> Farewell {
        match self {
            Self::TooLong { .. } => Farewell::PacketTooLarge,
            Self::Malformed(_) => Farewell::Malformed,
            Self::UnsupportedVersion | Self::Unexpected(_) => Farewell::ProtocolError,
            Self::TopicAlias => Farewell::TopicAliasInvalid,
        }
    }
}

/// Why a CONNECT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// We do not speak it.
    UnsupportedVersion,
    /// Unknown user or wrong password.
    BadCredentials,
    /// Known, and not let in.
    NotAuthorized,
    /// Not now.
    ServerBusy,
    /// The client id is not taken.
    IdentifierRejected,
}

/// On what terms a client is let in. 3.1.1 can be told of the session only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether an earlier session goes on.
    pub session_present: bool,
    /// The keep-alive that counts, where it is not the client's own.
    pub keep_alive_s: Option<u16>,
    /// QoS 1 and 2 messages that may be unanswered.
    pub receive_max: u16,
    /// Most bytes of a packet.
    pub packet_bytes_max: u32,
    /// The client id we gave, where the client had none.
    pub assigned_client_id: Option<String>,
    /// How long the session is kept, where it is not what the client asked for.
    pub session_expiry_s: Option<u32>,
}

/// Why we end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The same identity has connected again.
    TakenOver,
    /// Did what it may not do.
    NotAuthorized,
    /// Sent more than it may.
    QuotaExceeded,
    /// Sent too long a packet.
    PacketTooLarge,
    /// Sent a packet that breaks its form.
    Malformed,
    /// Sent what is not allowed at this point.
    ProtocolError,
    /// Used a topic alias.
    TopicAliasInvalid,
    /// Was silent for too long.
    KeepAliveTimeout,
    /// We stop.
    ServerShuttingDown,
    /// A person wants it so.
    AdministrativeAction,
    /// A receipt was given up: the client is to connect again and repeat.
    UseAgain,
}

/// Reads the first packet. Nothing while bytes are missing, and then nothing is taken from the buffer.
///
/// # Errors
/// It is no CONNECT of a version that we speak, or is longer than `bytes_max` bytes, by its header already.
pub fn read_hello(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Hello>, Fault> {
    let Some(frame) = wire::take(buffer, bytes_max, |kind| kind == Kind::Connect)? else { return Ok(None) };
    let mut rest = Cursor(frame.body());
    let name = rest.bytes()?;
    let version = match (name, rest.u8()?) {
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        _ => return Err(Fault::UnsupportedVersion),
    };
    wire::check_connect(rest, version)?;
    match version {
        Version::V311 => v4::hello(frame),
        Version::V5 => v5::hello(frame),
    }
    .map(Some)
}

/// Reads the next packet. Nothing while bytes are missing, and then nothing is taken from the buffer.
///
/// # Errors
/// The bytes are no MQTT that we take. The connection has to end: what follows cannot be told apart.
pub fn read(version: Version, buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Word>, Fault> {
    let Some(frame) = wire::take(buffer, bytes_max, Kind::is_word)? else { return Ok(None) };
    match version {
        Version::V311 => v4::word(frame),
        Version::V5 => v5::word(frame),
    }
    .map(Some)
}
