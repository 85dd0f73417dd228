//! One persistent MQTT session of one lane.
//!
//! rumqttc's traps, and how they are met (`docs/reliability.md`): `poll` runs in its own task and
//! never in a `select!`; an acknowledgement goes by `try_ack` into a queue wider than the broker's
//! window; every publish carries the epoch of its connection, and the epoch is raised on the error
//! (not on the next CONNACK), so that an acknowledgement of an older connection is dropped instead
//! of acknowledging another message under a reused packet id. What was read ahead of an error is
//! delivered all the same: a broker that lost our session does not send it again.

use crate::clock::now;
use crate::config::{Broker, read_secret};
use crate::domain::{Entry, GapCause, Lane, Packet, Timestamp};
use crate::ingest::acks::{Acks, Connection, Receipt, lock};
use crate::ingest::topic;
use anyhow::Context;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing,
    Packet as Mqtt, PubAck, Publish, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    Transport, mqttbytes,
};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Largest packet we take, bytes. Above the broker's `max_packet_size` (64 KiB), or one oversize
/// message would be redelivered for ever.
pub const PACKET_BYTES_MAX: usize = Packet::PAYLOAD_BYTES_MAX;
/// Connections in a row that an oversize packet may end before the next one takes it: it is cut, and
/// set aside by the fold. Were it refused for ever, nothing behind it would ever come.
const OVERSIZE_ENDS_MAX: u32 = 2;
/// Largest packet of the protocol, bytes (MQTT 3.1.1, 2.2.3).
pub(super) const PROTOCOL_BYTES_MAX: usize = 268_435_455;
/// Deliveries waiting for their batch; twice the private broker's in-flight window of 4,000, so
/// that the poll task never waits.
pub(super) const DELIVERIES_MAX: usize = 8192;
/// Requests (acknowledgements) on their way to the socket; as above.
const REQUESTS_MAX: usize = 8192;
/// Gaps waiting for their lane, which takes each at once unless it waits for PostgreSQL.
pub const GAPS_MAX: usize = 16;
/// How long a broker may say nothing, not even to a ping, and how long a flush may take: on this machine, where no way can be lost
/// in between, and elsewhere. One with thousands of trackers to hear reads one of our packets a round, and a connection
/// ended for that costs it everything in flight once more, until nothing else gets through.
const SILENCE_MAX: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30));
/// First and longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A packet and the right to acknowledge it.
pub struct Delivery {
    /// As received.
    pub packet: Packet,
    /// What to acknowledge, and on which connection.
    pub receipt: Receipt,
}

/// A running session.
pub struct Session {
    /// Packets, in order of receipt. Closes when the session ends.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// The way back.
    pub acks: Acks,
    /// Spans in which we heard nothing because the connection was broken: entries for the journal.
    pub gaps: mpsc::Receiver<Entry>,
    connected: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// Which lanes the broker keeps a subscribed session for. Before all do, a tracker's message could
/// be acknowledged by the broker and go to nobody.
#[derive(Clone, Default)]
pub struct Subscribed(Arc<AtomicU64>);

impl Subscribed {
    fn note(&self, lane: Lane) {
        self.0.fetch_or(1 << lane.0, Ordering::Relaxed);
    }

    /// A new broker has none of them.
    pub fn forget_all(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How many lanes have one.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed).count_ones() as usize
    }

    /// Whether every lane has.
    pub fn is_complete(&self) -> bool {
        self.count() == Lane::all().count()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// MQTT options that every client of ours shares: the way there (TLS, or the socket of a broker on this
/// machine), credentials, limits.
///
/// # Errors
/// Names the file that cannot be read or is no certificate.
pub fn options(broker: &Broker, client_id: &str) -> anyhow::Result<MqttOptions> {
    let (host, port, transport) = way(broker)?;
    let mut options = MqttOptions::new(client_id, host, port);
    options.set_transport(transport);
    options.set_credentials(&broker.username, read_secret(&broker.password_file)?);
    options.set_keep_alive(if broker.socket.is_some() { SILENCE_MAX.0 } else { SILENCE_MAX.1 });
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    Ok(options)
}

/// A client with options of ours. A flush, its own or ours, may take as long as a broker may be silent; and a record
/// of acknowledgements does not wait for the one before it to have arrived.
pub(super) fn client(options: MqttOptions, requests_max: usize) -> (AsyncClient, EventLoop) {
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(options.keep_alive().as_secs());
    network.set_tcp_nodelay(true);
    let (client, mut event_loop) = AsyncClient::new(options, requests_max);
    event_loop.set_network_options(network);
    (client, event_loop)
}

/// The way to the broker: host or path, port, and what lies between.
pub(super) fn way(broker: &Broker) -> anyhow::Result<(String, u16, Transport)> {
    Ok(match &broker.socket {
        Some(socket) => (socket.to_string_lossy().into_owned(), 0, Transport::unix()),
        None => {
            let tls = TlsConfiguration::Rustls(Arc::new(tls(broker)?));
            (broker.host.clone(), broker.port, Transport::Tls(tls))
        }
    })
}

/// A lane's client id: the same at every start, so that the broker knows its session again, and with a
/// part that nobody can guess. Whoever connects with it takes the session and what waits in it, and
/// every tracker may connect.
pub fn client_id(lane: Lane, password: &str) -> String {
    let tag = Sha256::digest(format!("session of lane {} {password}", lane.0));
    format!("rideguard-lane-{}-{}", lane.0, hex::encode(&tag[..8]))
}

fn tls(broker: &Broker) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    let file = broker.ca_file.display();
    for certificate in CertificateDer::pem_file_iter(&broker.ca_file)
        .with_context(|| format!("cannot read the certificate in {file}"))?
    {
        roots.add(certificate.with_context(|| format!("{file} holds no certificate"))?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Session {
    /// Starts the session of a lane: a stable client id, not clean, manual acknowledgements. `was_here`:
    /// the lane has heard by it before, so that a broker without it has lost it.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn start(broker: &Broker, lane: Lane, subscribed: Subscribed, was_here: bool) -> anyhow::Result<Self> {
        let mut options = options(broker, &client_id(lane, &read_secret(&broker.password_file)?))?;
        options.set_clean_session(false);
        options.set_manual_acks(true);
        let (client, event_loop) = client(options, REQUESTS_MAX);
        let (to_lane, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let (to_gaps, gaps) = mpsc::channel(GAPS_MAX);
        let connected = Arc::new(AtomicBool::new(false));
        let connection = Arc::new(Mutex::new(Connection::default()));
        let acks = Acks::new(client.clone(), connection.clone());
        let is_connected = connected.clone();
        let poller = Poller {
            lane,
            client,
            connection,
            connected: is_connected,
            subscribed,
            to_lane,
            to_gaps,
            untold: None,
            was_here,
        };
        let task = tokio::spawn(poller.run(event_loop));
        Ok(Self { deliveries, acks, gaps, connected, task })
    }

    /// Whether the broker is there; while it is not, the silence of the trackers means nothing.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

struct Poller {
    lane: Lane,
    client: AsyncClient,
    connection: Arc<Mutex<Connection>>,
    connected: Arc<AtomicBool>,
    subscribed: Subscribed,
    to_lane: mpsc::Sender<Delivery>,
    to_gaps: mpsc::Sender<Entry>,
    /// Gaps that the lane has had no room for, as one.
    untold: Option<(Timestamp, GapCause)>,
    /// Whether the broker had a session of ours before.
    was_here: bool,
}

/// Why a connection is at its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Lost(#[from] ConnectionError),
    #[error("the broker refuses our subscription; its access list must let us read v1/#")]
    Refused,
    #[error("the broker grants our subscription without acknowledgements (QoS 0); it must allow QoS 1")]
    Unacknowledged,
    #[error("the acknowledgements are out of step with the connection")]
    OutOfStep,
}

impl Broken {
    /// Whether nothing was heard for too long, which is noticed late.
    fn is_silence(&self) -> bool {
        use ConnectionError::{FlushTimeout, MqttState, NetworkTimeout};
        matches!(self, Self::Lost(NetworkTimeout | FlushTimeout | MqttState(StateError::AwaitPingResp)))
    }

    fn is_oversize(&self) -> bool {
        matches!(
            self,
            Self::Lost(ConnectionError::MqttState(StateError::Deserialization(
                mqttbytes::Error::PayloadSizeLimitExceeded(_)
            )))
        )
    }
}

/// However it ends: what waits to acknowledge by it is told that its connection is over.
impl Drop for Poller {
    fn drop(&mut self) {
        *lock(&self.connection) = Connection::default();
        self.connected.store(false, Ordering::Relaxed);
    }
}

impl Poller {
    async fn run(mut self, mut event_loop: EventLoop) {
        let mut wait = BACKOFF.0;
        let mut away_since = now();
        let mut heard_at = away_since;
        let mut oversize_ends = 0;
        loop {
            let event = event_loop.poll().await;
            if let Ok(Event::Incoming(_)) = event {
                heard_at = now();
            }
            let happened = match event {
                Ok(Event::Incoming(Mqtt::Publish(publish))) => {
                    let epoch = lock(&self.connection).epoch;
                    if self.to_lane.send(delivery(publish, epoch)).await.is_err() {
                        return; // the lane is gone
                    }
                    Ok(())
                }
                Ok(Event::Outgoing(Outgoing::PubAck(first))) => self.acknowledge_rest(&mut event_loop, first).await,
                Ok(Event::Incoming(Mqtt::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                    let cause = match ack.session_present || !self.was_here {
                        true => GapCause::Connection,
                        false => GapCause::SessionLost,
                    };
                    if cause == GapCause::SessionLost {
                        tracing::warn!(lane = self.lane.0, "The broker has lost our session");
                    }
                    self.was_here = true;
                    self.tell_gap(away_since, cause);
                    self.connected.store(true, Ordering::Relaxed);
                    self.subscribe();
                    Ok(())
                }
                Ok(Event::Incoming(Mqtt::SubAck(ack))) => {
                    let granted = |code| ack.return_codes.contains(&code);
                    if granted(SubscribeReasonCode::Failure) {
                        Err(Broken::Refused)
                    } else if granted(SubscribeReasonCode::Success(QoS::AtMostOnce)) {
                        Err(Broken::Unacknowledged)
                    } else {
                        wait = BACKOFF.0;
                        self.subscribed.note(self.lane);
                        Ok(())
                    }
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = happened {
                for leftover in self.end_epoch(&mut event_loop) {
                    if self.to_lane.send(leftover).await.is_err() {
                        return;
                    }
                }
                if self.connected.swap(false, Ordering::Relaxed) {
                    // Whoever falls silent went then, not when we noticed.
                    away_since = if error.is_silence() { heard_at } else { now() };
                }
                tracing::warn!(lane = self.lane.0, %error, "The broker's connection broke; connecting again");
                oversize_ends = if error.is_oversize() { oversize_ends + 1 } else { 0 };
                self.open_for_oversize(&mut event_loop, oversize_ends >= OVERSIZE_ENDS_MAX);
                tokio::time::sleep(jittered(wait)).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }

    /// Tells the lane of a gap until now; one that takes nothing in is told of several as one later, and hears
    /// nothing between them anyway.
    fn tell_gap(&mut self, from: Timestamp, cause: GapCause) {
        let (from, cause) = match self.untold.take() {
            Some((earlier, GapCause::SessionLost)) => (earlier, GapCause::SessionLost),
            Some((earlier, _)) => (earlier, cause),
            None => (from, cause),
        };
        if self.to_gaps.try_send(Entry::Gap { from, to: now(), cause }).is_err() {
            self.untold = Some((from, cause));
        }
    }

    /// Sets what the next connection takes.
    fn open_for_oversize(&self, event_loop: &mut EventLoop, open: bool) {
        let incoming = if open { PROTOCOL_BYTES_MAX } else { PACKET_BYTES_MAX };
        event_loop.mqtt_options.set_max_packet_size(incoming, PACKET_BYTES_MAX);
        if open {
            tracing::error!(
                lane = self.lane.0,
                limit = PACKET_BYTES_MAX,
                "The broker keeps sending a packet beyond our limit, and nothing comes behind it: taking it once, cut. Set the broker's max_packet_size below the limit"
            );
        }
    }

    /// Writes what follows the first acknowledgement of a batch, and flushes once.
    async fn acknowledge_rest(&self, event_loop: &mut EventLoop, first: u16) -> Result<(), Broken> {
        let rest = {
            let mut connection = lock(&self.connection);
            match connection.rests.pop_front() {
                Some((head, rest)) if head == first => rest,
                // Cannot be: both queues are filled under one lock and emptied together. A new connection
                // is the safe answer, for there nothing is acknowledged that should not be.
                _ => return Err(Broken::OutOfStep),
            }
        };
        let longest = event_loop.mqtt_options.keep_alive();
        let Some(network) = event_loop.network.as_mut() else { return Err(Broken::OutOfStep) };
        let written = async {
            for id in rest {
                network.write(Mqtt::PubAck(PubAck::new(id))).await?;
            }
            network.flush().await
        };
        match tokio::time::timeout(longest, written).await {
            Ok(written) => Ok(written.map_err(ConnectionError::from)?),
            Err(_) => Err(ConnectionError::FlushTimeout.into()),
        }
    }

    /// Nothing of the old connection may be acknowledged from here on. Returns what rumqttc had read of
    /// it and would hand out after the next CONNACK, as if it belonged to the new connection.
    #[must_use]
    fn end_epoch(&self, event_loop: &mut EventLoop) -> Vec<Delivery> {
        let mut connection = lock(&self.connection);
        let leftovers = event_loop.state.events.drain(..).filter_map(|event| match event {
            Event::Incoming(Mqtt::Publish(publish)) => Some(delivery(publish, connection.epoch)),
            _ => None,
        });
        let leftovers = leftovers.collect();
        *connection = Connection::default();
        // Acknowledgements that slipped in after rumqttc's own clean-up would go out with the
        // next connection; this drains them, and it ends the connection if we gave up on it.
        event_loop.clean();
        event_loop.pending.retain(|r| !matches!(r, rumqttc::Request::PubAck(_)));
        leftovers
    }

    fn subscribe(&self) {
        let filters = topic::filters(self.lane).into_iter().map(|f| SubscribeFilter::new(f, QoS::AtLeastOnce));
        if let Err(error) = self.client.try_subscribe_many(filters) {
            tracing::error!(lane = self.lane.0, %error, "Could not subscribe");
        }
    }
}

fn delivery(publish: Publish, epoch: u64) -> Delivery {
    let kept = publish.payload.len().min(Packet::PAYLOAD_BYTES_MAX + 1); // one more says that it was cut
    let packet = Packet {
        topic: publish.topic,
        received_at: now(),
        payload: publish.payload[..kept].to_vec(),
        retained: publish.retain,
    };
    Delivery { packet, receipt: Receipt { epoch, id: publish.pkid } }
}

/// Between half and all of a wait, so that lanes do not come back in step.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..1.0))
}
