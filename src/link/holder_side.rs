//! The side of the lanes: `ingest` listens, and takes what doors send for the lanes that it holds.

use crate::domain::{Lane, Packet};
use crate::ingest::lane_queue::LaneQueues;
use crate::ingest::publisher::Message;
use crate::ingest::receipt::{DoorReceipt, Letter, Mailbox, Owed, Place, Word};
use crate::ingest::remote_doors::{Linked, RemoteDoors};
use crate::ingest::{Delivery, Receipt};
use crate::link::greeting::{Purpose, Secret, WrongSecret, receive};
use crate::link::wire::{Frame, Line};
use crate::link::{GREETING_MAX, PING_EVERY, SILENCE_MAX, UNKEPT_MAX};
use anyhow::{Context, bail, ensure};
use futures_util::FutureExt;
use serde_bytes::ByteBuf;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};

/// Connections at once: some doors and APIs, each with one for a lane.
const CONNECTIONS_MAX: usize = 512;
/// News that wait for a live map that is slow; it gets the next ones.
const NEWS_MAX: usize = 1024;
/// Pause after accepting failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How often somebody without the secret is told of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Frames read before what is owed is written.
const FRAMES_MAX: usize = 256;

/// See the module.
pub struct HolderSide {
    listener: TcpListener,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    secret: Secret,
    queues: LaneQueues,
    doors: RemoteDoors,
    news: broadcast::Sender<Arc<Message>>,
    complained_at: Arc<Mutex<Option<Instant>>>,
}

/// The number of a packet, where a connection of a door of this process would be.
fn place_of(number: u64) -> Place {
    Place { slot: number as u32, generation: (number >> 32) as u32 }
}

fn number_of(place: Place) -> u64 {
    u64::from(place.generation) << 32 | u64::from(place.slot)
}

impl HolderSide {
    /// Listens.
    ///
    /// # Errors
    /// Names the address that is busy.
    pub async fn open(
        listen: SocketAddr,
        secret: Secret,
        queues: LaneQueues,
        doors: RemoteDoors,
    ) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (link.listen)"))?;
        let (news, _) = broadcast::channel(NEWS_MAX);
        Ok(Self { listener, shared: Shared { secret, queues, doors, news, complained_at: Arc::default() } })
    }

    /// Takes connections until `stop`; `news` are what lanes publish.
    pub async fn run(self, mut news: mpsc::Receiver<Message>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while !*stop.borrow() {
            tokio::select! {
                Some(message) = news.recv() => drop(self.shared.news.send(Arc::new(message))), // perhaps to nobody
                accepted = self.listener.accept() => {
                    let Ok((stream, peer)) = accepted else {
                        tokio::time::sleep(ACCEPT_AGAIN).await; // no descriptors
                        continue;
                    };
                    // Without room it is closed: whoever comes tries again.
                    let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
                    let (shared, mut stop) = (self.shared.clone(), stop.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        tokio::select! {
                            ended = shared.serve(stream, peer) => if let Err(error) = ended {
                                tracing::debug!(%peer, error = %format!("{error:#}"), "A link ended");
                            },
                            _ = stop.wait_for(|s| *s) => {}
                        }
                    });
                }
                _ = stop.changed() => {}
            }
        }
    }
}

impl Shared {
    async fn serve(self, stream: TcpStream, peer: SocketAddr) -> anyhow::Result<()> {
        let mut line = Line::new(stream)?;
        let greeting = receive(&mut line, &self.secret, |lane| self.queues.is_held(lane));
        let greeted = tokio::time::timeout(GREETING_MAX, greeting).await.context("no greeting in time")?;
        if greeted.as_ref().is_err_and(|error| error.is::<WrongSecret>()) {
            let mut complained_at = self.complained_at.lock().unwrap_or_else(PoisonError::into_inner);
            if complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                tracing::warn!(%peer, "Somebody was refused at the link, who does not have the secret of link.secret_file");
                *complained_at = Some(Instant::now());
            }
        }
        match greeted? {
            Some(Purpose::Lane(lane)) => self.take_packets(line, Lane(lane)).await,
            Some(Purpose::News) => self.tell_news(line).await,
            None => Ok(()),
        }
    }

    async fn tell_news(self, mut line: Line) -> anyhow::Result<()> {
        let mut news = self.news.subscribe();
        loop {
            match tokio::time::timeout(PING_EVERY, news.recv()).await {
                Ok(Ok(message)) => {
                    let (topic, bytes) = &*message;
                    line.send(&Frame::News(topic.clone(), ByteBuf::from(bytes.clone()))).await?;
                }
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) => return Ok(()),
                Err(_) => line.send(&Frame::Ping).await?,
            }
        }
    }

    /// Packets to the lane, and back what became of them. The end of the lane here is the end of this. It always reads: a door that
    /// could not write would hear no answers either. The door bounds what is on its way, and this holds it to that.
    async fn take_packets(self, mut line: Line, lane: Lane) -> anyhow::Result<()> {
        let written = Arc::new(Notify::new());
        let wake = written.clone();
        let mailbox = Mailbox::new(move || wake.notify_one());
        let mut linked = self.doors.enter(lane);
        let mut ping = tokio::time::interval(PING_EVERY);
        let (mut heard_at, mut unanswered) = (Instant::now(), 0);
        loop {
            tokio::select! {
                biased; // what is there was said before the clock
                frame = line.next::<Frame<'_>>() => {
                    heard_at = Instant::now();
                    unanswered += self.take(&linked, frame?, &mailbox)?;
                    for _ in 0..FRAMES_MAX {
                        let Some(frame) = line.next::<Frame<'_>>().now_or_never() else { break };
                        unanswered += self.take(&linked, frame?, &mailbox)?;
                    }
                    ensure!(unanswered <= UNKEPT_MAX, "the door sends more than {UNKEPT_MAX} packets ahead");
                }
                () = written.notified() => unanswered -= answer(&mut line, mailbox.take(Vec::new())).await?,
                Some((ident, payload)) = linked.words.recv() => {
                    line.send(&Frame::Message(ident.to_string(), ByteBuf::from(payload))).await?;
                }
                _ = ping.tick() => {
                    ensure!(self.queues.is_held(lane), "the lane is another worker's");
                    ensure!(heard_at.elapsed() < SILENCE_MAX, "the door is silent");
                    line.send(&Frame::Ping).await?;
                }
            }
        }
    }

    /// How many packets it was.
    fn take(&self, linked: &Linked, frame: Frame<'_>, mailbox: &Arc<Mailbox>) -> anyhow::Result<usize> {
        match frame {
            Frame::Packet(number, packet) => {
                let packet: Packet = packet.into_owned();
                // An answer that is there still says that the packet is within its quota.
                let receipt = DoorReceipt::new(mailbox.clone(), place_of(number), Owed::Answer([1].into()));
                self.queues.put(linked.lane(), Delivery { packet, receipt: Receipt::Door(receipt) });
                Ok(1)
            }
            Frame::CaughtUp => {
                linked.catch_up();
                Ok(0)
            }
            Frame::Ping => Ok(0),
            other => bail!("a door does not say {}", name_of(&other)),
        }
    }
}

/// What became of packets, and of how many. One that the lane gave up ends the link: the door has it still, and sends it to whoever
/// is next.
async fn answer(line: &mut Line, letters: Vec<Letter>) -> anyhow::Result<usize> {
    let (mut kept, mut counted) = (Vec::new(), Vec::new());
    let (answered, mut is_given_up) = (letters.len(), false);
    for (place, word) in letters {
        match word {
            Word::Kept(Owed::Answer(answer)) if answer.is_empty() => counted.push(number_of(place)),
            Word::Kept(_) => kept.push(number_of(place)),
            _ => is_given_up = true,
        }
    }
    if !kept.is_empty() {
        line.feed(&Frame::Kept(kept)).await?;
    }
    if !counted.is_empty() {
        line.feed(&Frame::Counted(counted)).await?;
    }
    line.flush().await?;
    ensure!(!is_given_up, "the lane gave a packet up");
    Ok(answered)
}

fn name_of(frame: &Frame<'_>) -> &'static str {
    match frame {
        Frame::Packet(..) => "packet",
        Frame::CaughtUp => "caught up",
        Frame::Kept(_) => "kept",
        Frame::Counted(_) => "counted",
        Frame::Message(..) => "message",
        Frame::News(..) => "news",
        Frame::Ping => "ping",
    }
}
