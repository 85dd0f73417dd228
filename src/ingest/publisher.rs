//! The clients that speak: replies to trackers and the internal live topic; without a broker, the way within this process.
//!
//! Apart from the sessions that listen, because a publisher whose window is full also stops the
//! acknowledgements of its connection. Everything it sends is QoS 0 and may be lost: a tracker
//! asks again, a map gets the next position.
//!
//! Many messages leave as one TLS record. Mosquitto takes one packet from each connection that has something,
//! or all of a record, and then looks at the next connection: when thousands of trackers come back at once, answers that
//! stand by themselves wait behind thousands of packets each, trackers repeat what was not answered, and
//! nothing gets through any more.

use crate::config::Broker;
use crate::ingest::client_options::{client, jittered, options};
use prometheus::IntCounter;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, Outgoing, QoS};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages waiting for a connection, and bytes of them; beyond that they are dropped and counted.
const OUTGOING_MAX: usize = 16_384;
const OUTGOING_BYTES_MAX: usize = 4 << 20;
/// Connections, each with the topics that fall to it: a record of each goes out in one round of the broker's.
const CONNECTIONS: usize = 4;
/// Messages written before a flush; the client's own buffer of 8 KiB flushes earlier.
const BATCH_MAX: usize = 512;

/// A topic and what is published there.
pub type Message = (String, Vec<u8>);

/// Sends and forgets.
#[derive(Clone)]
pub struct Publisher {
    way: Way,
    dropped: IntCounter,
}

/// Where messages go.
#[derive(Clone)]
enum Way {
    Broker(Arc<[Connection]>),
    /// To whoever listens in this process.
    Here(mpsc::Sender<Message>),
    /// To nobody: who is not at the door cannot be reached.
    Nowhere,
}

struct Connection {
    client: AsyncClient,
    waiting: Arc<Mutex<Waiting>>,
}

/// What has not left yet.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<Publish>,
    bytes: usize,
    /// Whether one has been given to the client, which wakes its task; the others follow behind it.
    is_woken: bool,
}

impl Waiting {
    fn push(&mut self, message: Publish) {
        self.bytes += message.payload.len();
        self.messages.push_back(message);
    }

    fn take(&mut self, most: usize) -> Vec<Publish> {
        let taken: Vec<Publish> = self.messages.drain(..self.messages.len().min(most)).collect();
        self.bytes -= taken.iter().map(|message| message.payload.len()).sum::<usize>();
        taken
    }
}

impl Publisher {
    /// Connects in the background and keeps connected; what finds no room is counted in `dropped`.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn start(broker: &Broker, name: &str, dropped: IntCounter) -> anyhow::Result<Self> {
        let connections = (0..CONNECTIONS).map(|n| connect(broker, &format!("{name}-{n}")));
        Ok(Self { way: Way::Broker(connections.collect::<anyhow::Result<_>>()?), dropped })
    }

    /// Without a broker: to whoever listens in this process, or to nobody.
    pub fn without_broker(listener: Option<mpsc::Sender<Message>>, dropped: IntCounter) -> Self {
        Self { way: listener.map_or(Way::Nowhere, Way::Here), dropped }
    }

    /// Sends a message, or drops it if the way out is full. Messages of one topic leave in order.
    pub fn send(&self, topic: String, payload: Vec<u8>) {
        let is_sent = match &self.way {
            Way::Broker(connections) => {
                let place = crc32fast::hash(topic.as_bytes()) as usize % connections.len();
                connections[place].send(Publish::new(topic, QoS::AtMostOnce, payload))
            }
            Way::Here(listener) => listener.try_send((topic, payload)).is_ok(),
            Way::Nowhere => true,
        };
        self.dropped.inc_by(u64::from(!is_sent));
    }
}

impl Connection {
    fn send(&self, message: Publish) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.is_woken {
            let bytes = waiting.bytes + message.payload.len();
            let has_room = waiting.messages.len() < OUTGOING_MAX && bytes <= OUTGOING_BYTES_MAX;
            if has_room {
                waiting.push(message);
            }
            return has_room;
        }
        let first = match waiting.take(1).pop() {
            Some(first) => {
                waiting.push(message);
                first
            }
            None => message,
        };
        let sent = self.client.try_publish(first.topic, QoS::AtMostOnce, false, first.payload).is_ok();
        waiting.is_woken = sent;
        sent
    }
}

fn connect(broker: &Broker, name: &str) -> anyhow::Result<Connection> {
    let mut options = options(broker, &format!("rideguard-{name}-{:08x}", rand::random::<u32>()))?;
    options.set_clean_session(true);
    let (client, mut event_loop) = client(options, BATCH_MAX);
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    let connection = Connection { client, waiting: waiting.clone() };
    tokio::spawn(async move {
        let mut is_connected = false;
        loop {
            let went = match event_loop.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    is_connected = true;
                    Ok(())
                }
                Ok(Event::Outgoing(Outgoing::Publish(_))) => follow(&mut event_loop, &waiting).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = went {
                event_loop.clean();
                // What woke us is lost with the connection; the next message wakes the next one.
                lock(&waiting).is_woken = false;
                if std::mem::take(&mut is_connected) {
                    tracing::warn!(%error, "Publishing connection broke; reconnecting");
                }
                tokio::time::sleep(jittered(Duration::from_secs(1))).await;
            }
        }
    });
    Ok(connection)
}

/// Writes what waits behind the message that has just left, a flush for many.
async fn follow(event_loop: &mut EventLoop, waiting: &Mutex<Waiting>) -> Result<(), ConnectionError> {
    loop {
        let batch: Vec<Publish> = {
            let mut waiting = lock(waiting);
            let batch = waiting.take(BATCH_MAX);
            waiting.is_woken = !batch.is_empty();
            batch
        };
        if batch.is_empty() {
            return Ok(());
        }
        let longest = event_loop.mqtt_options.keep_alive();
        let Some(network) = event_loop.network.as_mut() else { return Err(ConnectionError::NetworkTimeout) };
        let written = async {
            for message in batch {
                network.write(Packet::Publish(message)).await?;
            }
            network.flush().await
        };
        tokio::time::timeout(longest, written).await.map_err(|_| ConnectionError::FlushTimeout)??;
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
