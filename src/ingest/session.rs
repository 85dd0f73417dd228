//! One persistent MQTT session of one lane, over as many connections as it takes.
//!
//! Every publish carries the epoch of its connection, which ends with it, so that an acknowledgement of
//! an older connection is dropped instead of acknowledging another message under a reused packet id. What was read ahead
//! of an error is delivered all the same: a broker that lost our session does not send it again.

use crate::clock::now;
use crate::config::{Broker, read_secret};
use crate::domain::topic;
use crate::domain::{Entry, GapCause, Lane, Packet, Timestamp, Way};
use crate::ingest::acks::{AckQueue, Acks, BrokerReceipt};
use crate::ingest::client_options::{DELIVERIES_MAX, PACKET_BYTES_MAX, PROTOCOL_BYTES_MAX, client_id, jittered, tls};
use crate::ingest::connection::{ConnectionError, Connector, Reader, Writer};
use crate::ingest::receipt::Receipt;
use rumqttc::mqttbytes::v4::Packet as Mqtt;
use rumqttc::{Publish, QoS, SubscribeFilter};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Connections in a row that an oversize packet may end before the next one takes it: it is cut, and
/// set aside by the fold. Were it refused for ever, nothing behind it would ever come.
const OVERSIZE_ENDS_MAX: u32 = 2;
/// Gaps waiting for their lane, which takes each at once unless it waits for PostgreSQL.
pub const GAPS_MAX: usize = 16;
/// How long what a broken connection still has is read.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// First and longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A packet and the right to acknowledge it.
pub struct Delivery {
    /// As received.
    pub packet: Packet,
    /// What to acknowledge, and on which connection.
    pub receipt: Receipt,
}

/// What a broker sends of retained messages beside the messages themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfRetained {
    /// A copy that the broker had kept, sent because we subscribed. The message itself came without the flag, for our
    /// session was subscribed then (MQTT 3.1.1, 3.3.1.3).
    Copy,
    /// An empty message, by which a copy is taken away from the broker (MQTT 3.1.1, 3.3.1.3). Ours have QoS 0.
    Clearing,
}

impl OfRetained {
    /// Its name in the counter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Clearing => "clearing",
        }
    }
}

impl Delivery {
    /// Whether it is no packet of a tracker's, only something about retained ones. It is acknowledged and nothing else.
    pub fn of_retained(&self) -> Option<OfRetained> {
        if self.packet.way == Way::Retained {
            // A copy has bytes; what a tracker takes away at the door has none.
            Some(if self.packet.payload.is_empty() { OfRetained::Clearing } else { OfRetained::Copy })
        } else if self.packet.payload.is_empty() && matches!(self.receipt, Receipt::Broker(BrokerReceipt { id: 0, .. }))
        {
            Some(OfRetained::Clearing)
        } else {
            None
        }
    }
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
    /// The broker keeps one for this lane, or there is no broker and the lane takes packets of the door.
    pub fn note(&self, lane: Lane) {
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

impl Session {
    /// Starts the session of a lane: a stable client id, not clean. `was_here`: the lane has heard by it before, so that
    /// a broker without it has lost it.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn start(broker: &Broker, lane: Lane, subscribed: Subscribed, was_here: bool) -> anyhow::Result<Self> {
        let password = read_secret(&broker.password_file)?;
        let client_id = client_id(lane, &password);
        let caller = Connector { broker: broker.clone(), password, client_id, tls: Arc::new(tls(broker)?) };
        let (to_lane, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let (to_gaps, gaps) = mpsc::channel(GAPS_MAX);
        let (acks, connected) = (Acks::default(), Arc::<AtomicBool>::default());
        let keeper = Keeper {
            lane,
            caller,
            queue: acks.queue(),
            connected: connected.clone(),
            subscribed,
            to_lane,
            to_gaps,
            untold: None,
            was_here,
            heard_at: now(),
        };
        Ok(Self { deliveries, acks, gaps, connected, task: tokio::spawn(keeper.keep()) })
    }

    /// Whether the broker is there; while it is not, the silence of the trackers means nothing.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Keeps a session connected.
struct Keeper {
    lane: Lane,
    caller: Connector,
    queue: Arc<AckQueue>,
    connected: Arc<AtomicBool>,
    subscribed: Subscribed,
    to_lane: mpsc::Sender<Delivery>,
    to_gaps: mpsc::Sender<Entry>,
    /// Gaps that the lane has had no room for, as one.
    untold: Option<(Timestamp, GapCause)>,
    /// Whether the broker had a session of ours before.
    was_here: bool,
    /// When the broker was last heard.
    heard_at: Timestamp,
}

/// The lane is gone, and with it whoever would read.
struct Gone;

/// However it ends: what waits to acknowledge by it learns that its connection is over.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.queue.end_epoch();
        self.connected.store(false, Ordering::Relaxed);
    }
}

impl Keeper {
    async fn keep(mut self) {
        let (mut wait, mut oversize_ends, mut away_since) = (BACKOFF.0, 0, now());
        loop {
            let packet_bytes_max = self.limit(oversize_ends);
            let error = match self.caller.call(packet_bytes_max).await {
                Ok((reader, writer, is_known)) => {
                    self.begin(away_since, is_known);
                    let Ok(error) = self.converse(reader, writer, &mut wait).await else { return };
                    // Whoever falls silent went then, not when we noticed.
                    away_since = if error.is_silence() { self.heard_at } else { now() };
                    self.connected.store(false, Ordering::Relaxed);
                    self.queue.end_epoch();
                    error
                }
                Err(error) => error,
            };
            let pause = jittered(wait);
            tracing::warn!(lane = self.lane.0, %error, "Broker connection broke; reconnecting in {pause:.1?}");
            oversize_ends = if error.is_oversize() { oversize_ends + 1 } else { 0 };
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// The connection is there.
    fn begin(&mut self, away_since: Timestamp, is_known: bool) {
        let cause = if is_known || !self.was_here { GapCause::Connection } else { GapCause::SessionLost };
        if cause == GapCause::SessionLost {
            tracing::warn!(lane = self.lane.0, "Broker lost our session");
        }
        self.was_here = true;
        self.tell_gap(away_since, cause);
        self.heard_at = now();
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Hears and acknowledges until the connection breaks, and says why it did.
    async fn converse(
        &mut self,
        mut reader: Reader,
        writer: Writer,
        wait: &mut Duration,
    ) -> Result<ConnectionError, Gone> {
        let filters = topic::filters(self.lane).into_iter().map(|f| SubscribeFilter::new(f, QoS::AtLeastOnce));
        let queue = self.queue.clone();
        let broken = {
            let mut hearing = pin!(self.listen(&mut reader, wait));
            tokio::select! {
                end = &mut hearing => end?,
                broken = writer.run(filters.collect(), &queue) => {
                    // The broker may have said more than we have read.
                    match tokio::time::timeout(LAST_WORDS_MAX, hearing).await {
                        Ok(Err(Gone)) => return Err(Gone),
                        _ => broken,
                    }
                }
            }
        };
        while let Ok(Some(packet)) = reader.next_buffered() {
            let room = self.to_lane.reserve().await.map_err(|_| Gone)?;
            if let Mqtt::Publish(publish) = packet {
                room.send(delivery(publish, queue.epoch(), self.heard_at));
            }
        }
        Ok(broken)
    }

    /// Hands every publish to the lane.
    async fn listen(&mut self, reader: &mut Reader, wait: &mut Duration) -> Result<ConnectionError, Gone> {
        let epoch = self.queue.epoch();
        loop {
            self.queue.room().await;
            // Room first: a packet that was taken out of the buffer and has no place would be lost with this future.
            let room = self.to_lane.reserve().await.map_err(|_| Gone)?;
            let packet = match reader.next().await {
                Ok(packet) => packet,
                Err(broken) => return Ok(broken),
            };
            self.heard_at = now();
            match packet {
                Mqtt::Publish(publish) => room.send(delivery(publish, epoch, self.heard_at)),
                Mqtt::SubAck(_) => {
                    *wait = BACKOFF.0;
                    self.subscribed.note(self.lane);
                }
                _ => {}
            }
        }
    }

    /// Reports a gap until now to the lane; one that takes nothing in gets several as one later, and hears
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

    /// What the next connection takes.
    fn limit(&self, oversize_ends: u32) -> usize {
        if oversize_ends < OVERSIZE_ENDS_MAX {
            return PACKET_BYTES_MAX;
        }
        tracing::error!(
            lane = self.lane.0,
            limit = PACKET_BYTES_MAX,
            "Broker repeats a packet beyond the limit and blocks the lane; taking it once, cut. Set the broker's max_packet_size to the limit or less"
        );
        PROTOCOL_BYTES_MAX
    }
}

fn delivery(publish: Publish, epoch: u64, received_at: Timestamp) -> Delivery {
    let kept = publish.payload.len().min(Packet::PAYLOAD_BYTES_MAX + 1); // one more says that it was cut
    let packet = Packet {
        topic: publish.topic,
        received_at,
        payload: publish.payload[..kept].to_vec(),
        way: Way::by_broker(publish.retain),
    };
    Delivery { packet, receipt: Receipt::Broker(BrokerReceipt { epoch, id: publish.pkid }) }
}
