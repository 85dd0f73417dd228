//! One connection of a lane's session: MQTT 3.1.1 by rumqttc's codec, through TLS, both directions at a time.
//!
//! rumqttc's own loop does not read while it writes, writes one acknowledgement at a time and takes a broker for
//! dead that speaks but has not come to answering a ping. Under load Mosquitto makes all three fatal: of each
//! connection that has something to say it takes one packet a round, or all of one TLS record. So
//! acknowledgements leave by the record, and only when the broker has read the one before: each ends with a ping, whose
//! answer says so. What is acknowledged meanwhile goes with the next. TLS frames them so on a Unix socket, too.

use crate::config::Broker;
use crate::ingest::acks::AckQueue;
use crate::ingest::client_options::PROTOCOL_BYTES_MAX;
use crate::ingest::on_demand_socket::{QuietSocket, Wakes};
use bytes::BytesMut;
use rumqttc::mqttbytes::{self, v4::Packet};
use rumqttc::{Connect, ConnectReturnCode, PingReq, PubAck, QoS, Subscribe, SubscribeFilter, SubscribeReasonCode};
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a broker may say nothing, not even to a ping, and how long one record may take on its way out: on this machine, where
/// no way can be lost in between, and elsewhere. Mosquitto saves its queues in its only thread.
const SILENCE_MAX: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30));
/// After so long the next record goes although the answer to the ping is not there: it waits behind what the broker has for us.
const PONG_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of acknowledgements that go as one record: 2,048 of them. TLS ends at 16 KiB.
const RECORD_BYTES_MAX: usize = 8192;
/// Bytes that are read at a time, unless a packet is longer.
const READ_BYTES: usize = 32 * 1024;
/// Reads follow each other no sooner, so that many packets come with one: waking us for each would cost the broker and us more than
/// to write and to read it. All sessions of a process read at the same moments.
const READ_EVERY: Duration = Duration::from_millis(10);
/// Bytes of a turn after which nobody waits for the next: each read brings many packets anyway, or a part of a large one. By the
/// turn a lane would read 10 MB a second at most, what a socket holds each time, and everybody would wait behind that.
const BUSY_BYTES: usize = 64 * 1024;
/// Packet id of our subscription, the only packet of ours that needs one.
const SUBSCRIPTION: u16 = 1;

/// Why a connection is at its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no TLS with the broker: {0}{1}")]
    Tls(io::Error, &'static str),
    #[error("the broker ended the connection")]
    Ended,
    #[error("the broker said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the broker took none of our acknowledgements for {} s", .0.as_secs())]
    Deaf(Duration),
    #[error("the broker sent invalid MQTT, or more than the limit: {0}")]
    Malformed(mqttbytes::Error),
    #[error("the broker refuses us: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker refuses our subscription; its access list must let us read v1/#")]
    NotSubscribed,
    #[error("the broker grants our subscription without acknowledgements (QoS 0); it must allow QoS 1")]
    Unacknowledged,
}

impl ConnectionError {
    /// Whether nothing was heard for too long, which is noticed late.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Deaf(_))
    }

    pub fn is_oversize(&self) -> bool {
        matches!(self, Self::Malformed(mqttbytes::Error::PayloadSizeLimitExceeded(_)))
    }
}

/// Who connects, where, and how.
pub(super) struct Connector {
    pub broker: Broker,
    pub password: String,
    pub client_id: String,
    pub tls: Arc<rustls::ClientConfig>,
}

type Stream = TlsStream<QuietSocket>;

/// The next moment at which sessions read.
fn turn_after(read_at: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let every = READ_EVERY.as_millis() as u64;
    let turns = read_at.duration_since(*FIRST).as_millis() as u64 / every + 1;
    *FIRST + Duration::from_millis(turns * every)
}

/// What hears the broker.
pub(super) struct Reader {
    stream: ReadHalf<Stream>,
    buffer: BytesMut,
    /// When this turn ends, and what it has brought.
    turn: Option<(Instant, usize)>,
    wakes: Wakes,
    packet_bytes_max: usize,
    silence_max: Duration,
    pong: Arc<Notify>,
}

/// What speaks to it.
pub(super) struct Writer {
    stream: WriteHalf<Stream>,
    silence_max: Duration,
    pong: Arc<Notify>,
}

impl Connector {
    fn silence_max(&self) -> Duration {
        if self.broker.socket.is_some() { SILENCE_MAX.0 } else { SILENCE_MAX.1 }
    }

    /// Connects with a session that is kept. Also says whether the broker had one of ours.
    pub async fn call(&self, packet_bytes_max: usize) -> Result<(Reader, Writer, bool), ConnectionError> {
        let silence_max = self.silence_max();
        timeout(silence_max, self.introduce(packet_bytes_max))
            .await
            .map_err(|_| ConnectionError::Silent(silence_max))?
    }

    async fn introduce(&self, packet_bytes_max: usize) -> Result<(Reader, Writer, bool), ConnectionError> {
        let (socket, wakes) = match &self.broker.socket {
            Some(path) => QuietSocket::new(UnixStream::connect(path).await?.into_std()?),
            None => {
                let stream = TcpStream::connect((self.broker.host.as_str(), self.broker.port)).await?;
                stream.set_nodelay(true)?;
                QuietSocket::new(stream.into_std()?)
            }
        };
        let name = ServerName::try_from(self.broker.host.clone()).map_err(io::Error::other)?;
        let hint = match self.broker.socket {
            Some(_) => "; its Unix socket must be a listener with a certificate, too",
            None => "",
        };
        let encrypted = TlsConnector::from(self.tls.clone()).connect(name, socket).await;
        let stream = encrypted.map_err(|error| ConnectionError::Tls(error, hint))?;
        let (read, write) = tokio::io::split(stream);
        let (silence_max, pong) = (self.silence_max(), Arc::<Notify>::default());
        let buffer = BytesMut::with_capacity(READ_BYTES);
        let mut reader =
            Reader { stream: read, buffer, turn: None, wakes, packet_bytes_max, silence_max, pong: pong.clone() };
        let mut writer = Writer { stream: write, silence_max, pong };
        let mut hello = Connect::new(&self.client_id);
        hello.set_login(&self.broker.username, &self.password);
        hello.clean_session = false;
        hello.keep_alive = silence_max.as_secs() as u16;
        writer.send(&Packet::Connect(hello)).await?;
        match reader.next().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => Ok((reader, writer, ack.session_present)),
            Packet::ConnAck(ack) => Err(ConnectionError::Refused(ack.code)),
            _ => Err(ConnectionError::Malformed(mqttbytes::Error::InvalidProtocol)),
        }
    }
}

impl Reader {
    /// The next packet, which nothing that is cancelled takes away. An answer to a ping is passed on.
    pub async fn next(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            if let Some(packet) = self.next_buffered()? {
                return Ok(packet);
            }
            let read = self.read().await?;
            if read == 0 {
                return Err(ConnectionError::Ended);
            }
            let now = Instant::now();
            let before = self.turn.filter(|(ends, _)| now < *ends).map_or(0, |(_, bytes)| bytes);
            self.turn = Some((turn_after(now), before + read));
        }
    }

    /// Reads what is there; waits if there is nothing. The rest of a packet that has begun does not wait for a turn.
    async fn read(&mut self) -> Result<usize, ConnectionError> {
        let is_whole = self.buffer.is_empty();
        self.buffer.reserve(READ_BYTES);
        if let Some((ends, _)) = self.turn.filter(|(_, bytes)| is_whole && *bytes < BUSY_BYTES) {
            sleep_until(ends).await;
            self.wakes.set(false);
            let mut reading = pin!(self.stream.read_buf(&mut self.buffer));
            if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
                return Ok(read?);
            }
        }
        self.wakes.set(true);
        let reading = timeout(self.silence_max, self.stream.read_buf(&mut self.buffer));
        Ok(reading.await.map_err(|_| ConnectionError::Silent(self.silence_max))??)
    }

    /// The next packet of what was read.
    pub fn next_buffered(&mut self) -> Result<Option<Packet>, ConnectionError> {
        loop {
            match Packet::read(&mut self.buffer, self.packet_bytes_max) {
                Ok(Packet::PingResp) => self.pong.notify_one(),
                Ok(Packet::SubAck(ack)) => {
                    let granted = |code| ack.return_codes.contains(&code);
                    if granted(SubscribeReasonCode::Failure) {
                        return Err(ConnectionError::NotSubscribed);
                    } else if granted(SubscribeReasonCode::Success(QoS::AtMostOnce)) {
                        return Err(ConnectionError::Unacknowledged);
                    }
                    return Ok(Some(Packet::SubAck(ack)));
                }
                Ok(packet) => return Ok(Some(packet)),
                Err(mqttbytes::Error::InsufficientBytes(_)) => return Ok(None),
                Err(error) => return Err(ConnectionError::Malformed(error)),
            }
        }
    }
}

impl Writer {
    /// Subscribes, and writes acknowledgements, by the record, until the connection breaks.
    pub async fn run(mut self, filters: Vec<SubscribeFilter>, queue: &AckQueue) -> ConnectionError {
        match self.subscribe_and_acknowledge(filters, queue).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn subscribe_and_acknowledge(
        &mut self,
        filters: Vec<SubscribeFilter>,
        queue: &AckQueue,
    ) -> Result<std::convert::Infallible, ConnectionError> {
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = SUBSCRIPTION;
        self.send(&Packet::Subscribe(subscribe)).await?;
        let mut record = BytesMut::with_capacity(RECORD_BYTES_MAX);
        loop {
            // Nothing to acknowledge: a ping alone, so that a broker that lives says so in time.
            let ids = timeout(self.silence_max / 2, queue.take()).await.unwrap_or_default();
            for id in ids {
                PubAck::new(id).write(&mut record).map_err(ConnectionError::Malformed)?;
                if record.len() + 4 > RECORD_BYTES_MAX {
                    self.write(&mut record).await?;
                }
            }
            PingReq.write(&mut record).map_err(ConnectionError::Malformed)?;
            self.write(&mut record).await?;
            let _ = timeout(PONG_WAIT_MAX, self.pong.notified()).await;
        }
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, PROTOCOL_BYTES_MAX).map_err(ConnectionError::Malformed)?;
        self.write(&mut bytes).await
    }

    /// Writes a record and empties it.
    async fn write(&mut self, record: &mut BytesMut) -> Result<(), ConnectionError> {
        let written = async {
            self.stream.write_all(record).await?;
            self.stream.flush().await
        };
        timeout(self.silence_max, written).await.map_err(|_| ConnectionError::Deaf(self.silence_max))??;
        record.clear();
        Ok(())
    }
}
