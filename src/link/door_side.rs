//! The side of the door: what trackers send goes to whoever holds their lane, and to the spool while nobody does.
//!
//! A packet stays here until its holder has kept it. A connection that breaks costs nothing: the next holder gets it again, and
//! the tracker notices a delay.

use crate::domain::{Entry, Lane, Packet, TrackerIdent};
use crate::ingest::client_options::jittered;
use crate::ingest::lane_queue::{Inbox, LANE_BYTES_MAX};
use crate::ingest::places::Places;
use crate::ingest::receipt::{self, DoorReceipt};
use crate::ingest::{Delivery, Receipt};
use crate::link::greeting::{Purpose, Secret, greet};
use crate::link::wire::{Frame, Line};
use crate::link::{GREETING_MAX, PING_EVERY, SILENCE_MAX, UNKEPT_MAX};
use crate::store::journal::spool::Spool;
use crate::telemetry::Metrics;
use anyhow::{Context, ensure};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// No holder for this long before the spool takes its place: a worker that is replaced needs a second.
const SPOOL_AFTER: Duration = Duration::from_secs(2);
/// How often the workers are asked who has the lane.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Packets of a batch of the spool, and how long one waits for more.
const SPOOLED_MAX: usize = 1000;
const GATHER: Duration = Duration::from_millis(500);
/// Longest that a holder may keep nothing of what it was sent: then it cannot, and the spool takes its place.
const KEEP_MAX: Duration = Duration::from_secs(10);
/// Pause after a link that came to nothing, in which the spool is written.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A link that lasted for less came to nothing.
const LASTED: Duration = Duration::from_secs(15);
/// Packets written before others come to their turn.
const WRITTEN_MAX: usize = 256;

/// One lane of a door that is a process of its own.
pub struct DoorSide {
    lane: Lane,
    inbox: Inbox,
    places: Places,
    metrics: Arc<Metrics>,
    workers: Arc<[String]>,
    secret: Secret,
    spool: Option<Spool>,
    /// Number → what the holder has not kept yet, in the order in which it came.
    unkept: BTreeMap<u64, Delivery>,
    unkept_bytes: usize,
    newest: u64,
    /// Since when no holder has kept anything.
    away_since: Option<Instant>,
    is_spooling: bool,
    is_full: bool,
}

impl DoorSide {
    /// For a lane; from now on its trackers are let in, whoever holds it.
    pub fn new(
        lane: Lane,
        inbox: Inbox,
        places: Places,
        metrics: Arc<Metrics>,
        (workers, secret): (Arc<[String]>, Secret),
        spool: Option<Spool>,
    ) -> Self {
        inbox.open();
        metrics.spool_bytes.add(spool.as_ref().map_or(0, Spool::bytes) as i64);
        let (unkept, unkept_bytes, newest) = (BTreeMap::new(), 0, 0);
        let (away_since, is_spooling, is_full) = (None, false, false);
        Self {
            lane,
            inbox,
            places,
            metrics,
            workers,
            secret,
            spool,
            unkept,
            unkept_bytes,
            newest,
            away_since,
            is_spooling,
            is_full,
        }
    }

    /// Works until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut is_told = false;
        while !*stop.borrow() {
            let (mut work, mut pause) = (None, ASK_EVERY);
            let holder = tokio::select! {
                holder = self.holder() => holder,
                _ = stop.wait_for(|s| *s) => break,
            };
            let mut why = None;
            match holder {
                Ok(line) => {
                    let since = Instant::now();
                    self.metrics.door_lanes_linked.inc();
                    tokio::select! {
                        ended = self.work(line) => work = ended.err(),
                        _ = stop.wait_for(|s| *s) => {}
                    }
                    self.metrics.door_lanes_linked.dec();
                    if since.elapsed() < LASTED && self.away_since.is_some() {
                        pause = ASK_AGAIN;
                    }
                }
                Err(error) => why = Some(error),
            }
            if let Some(error) = work {
                is_told &= self.away_since.is_some();
                if !is_told {
                    tracing::info!(lane = self.lane.0, error = %format!("{error:#}"), "The link of a lane ended; looking for its holder");
                }
                why = Some(error);
            }
            let away = self.away_since.get_or_insert_with(Instant::now).elapsed();
            if away >= SPOOL_AFTER && !std::mem::replace(&mut is_told, true) {
                let why = why.map_or_else(|| "no worker says that it has it".to_owned(), |error| format!("{error:#}"));
                tracing::warn!(lane = self.lane.0, why, "No worker keeps what is sent for the lane; it waits here");
            }
            tokio::select! {
                () = self.wait(jittered(pause)) => {}
                _ = stop.wait_for(|s| *s) => {}
            }
        }
    }

    /// A connection to the worker that holds the lane. All are asked at once: one that is switched off does not answer at all.
    async fn holder(&self) -> anyhow::Result<Line> {
        let ask = async |worker: &str| {
            let greeting = async {
                let mut line = Line::new(TcpStream::connect(worker).await?)?;
                let is_held = greet(&mut line, &self.secret, Purpose::Lane(self.lane.0)).await?;
                anyhow::Ok(is_held.then_some(line))
            };
            let answer = tokio::time::timeout(GREETING_MAX, greeting).await.context("no answer in time").flatten();
            answer.with_context(|| format!("{worker} is no worker"))
        };
        let mut asked: FuturesUnordered<_> = self.workers.iter().map(|worker| ask(worker)).collect();
        let mut why = anyhow::anyhow!("no worker has the lane");
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// First what the spool has, then what the last holder did not keep, then what comes.
    async fn work(&mut self, mut line: Line) -> anyhow::Result<()> {
        self.empty_spool(&mut line).await?;
        if self.unkept.is_empty() {
            self.away_since = None; // nothing waits for it
        }
        self.is_full = false;
        if std::mem::take(&mut self.is_spooling) {
            tracing::info!(lane = self.lane.0, "The door's spool is empty");
        }
        for (number, delivery) in &self.unkept {
            line.feed(&Frame::Packet(*number, Cow::Borrowed(&delivery.packet))).await?;
        }
        line.flush().await?;
        let (mut ping, mut heard_at, mut kept_at) = (tokio::time::interval(PING_EVERY), Instant::now(), Instant::now());
        // The last number of what came before now, once that is known; nothing: the holder has been told.
        let (mut of_before, mut is_caught_up) = (None, false);
        loop {
            let has_room = self.has_room();
            if has_room && of_before.is_none() && self.inbox.is_empty() {
                of_before = Some(self.newest);
            }
            let is_of_now = |last| self.unkept.first_key_value().is_none_or(|(oldest, _)| *oldest > last);
            if !is_caught_up && of_before.is_some_and(is_of_now) {
                line.send(&Frame::CaughtUp).await?;
                is_caught_up = true;
            }
            tokio::select! {
                biased; // what is there was said before the clock
                frame = line.next::<Frame<'_>>() => {
                    heard_at = Instant::now();
                    if self.hear(frame?) {
                        kept_at = heard_at;
                    }
                }
                delivery = self.inbox.next(), if has_room => {
                    if self.unkept.is_empty() {
                        kept_at = Instant::now();
                    }
                    self.pass_on(&mut line, delivery).await?;
                    for _ in 0..WRITTEN_MAX {
                        let next = if self.has_room() { self.inbox.next().now_or_never() } else { None };
                        let Some(delivery) = next else { break };
                        self.pass_on(&mut line, delivery).await?;
                    }
                    line.flush().await?;
                }
                _ = ping.tick() => {
                    ensure!(heard_at.elapsed() < SILENCE_MAX, "the worker is silent");
                    ensure!(self.unkept.is_empty() || kept_at.elapsed() < KEEP_MAX, "the worker keeps nothing");
                    line.send(&Frame::Ping).await?;
                }
            }
        }
    }

    /// Whether the holder may be sent more before it has kept some.
    fn has_room(&self) -> bool {
        self.unkept.len() < UNKEPT_MAX && self.unkept_bytes < LANE_BYTES_MAX
    }

    async fn pass_on(&mut self, line: &mut Line, delivery: Delivery) -> anyhow::Result<()> {
        let (number, packet) = self.hold(delivery);
        line.feed(&Frame::Packet(number, Cow::Borrowed(packet))).await
    }

    /// Keeps a packet until its holder has it.
    fn hold(&mut self, delivery: Delivery) -> (u64, &Packet) {
        self.newest += 1;
        self.unkept_bytes += delivery.packet.payload.len();
        (self.newest, &self.unkept.entry(self.newest).or_insert(delivery).packet)
    }

    /// Says whether the holder has kept something.
    fn hear(&mut self, frame: Frame<'_>) -> bool {
        match frame {
            Frame::Kept(numbers) => self.release(numbers, false),
            Frame::Counted(numbers) => self.release(numbers, true),
            Frame::Message(ident, payload) => {
                if let Ok(ident) = TrackerIdent::parse(&ident) {
                    self.places.send(&ident, &payload);
                }
                return false;
            }
            _ => return false,
        }
        self.away_since = None;
        true
    }

    /// Trackers may forget these.
    fn release(&mut self, numbers: Vec<u64>, is_counted_only: bool) {
        let mut receipts = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(mut delivery) = self.unkept.remove(&number) else { continue };
            self.unkept_bytes -= delivery.packet.payload.len();
            if is_counted_only {
                delivery.receipt.owe_no_answer();
            }
            receipts.extend(of_door(delivery.receipt));
        }
        receipt::release(receipts);
    }

    /// Gives a holder what the spool has, a file at a time: the next one goes when the last is kept.
    async fn empty_spool(&mut self, line: &mut Line) -> anyhow::Result<()> {
        while let Some((file, entries)) = self.oldest_spooled()? {
            let mut waiting = BTreeSet::new();
            for entry in &entries {
                let Entry::Packet(packet) = entry else { continue };
                self.newest += 1;
                waiting.insert(self.newest);
                line.feed(&Frame::Packet(self.newest, Cow::Borrowed(packet))).await?;
            }
            line.flush().await?;
            let mut kept_at = Instant::now();
            while !waiting.is_empty() {
                let frame = tokio::time::timeout(SILENCE_MAX, line.next::<Frame<'_>>()).await;
                match frame.context("the worker is silent")?? {
                    Frame::Kept(numbers) | Frame::Counted(numbers) => {
                        numbers.iter().for_each(|number| {
                            waiting.remove(number);
                        });
                        (kept_at, self.away_since) = (Instant::now(), None);
                    }
                    Frame::Ping => line.send(&Frame::Ping).await?,
                    other => {
                        self.hear(other);
                    }
                }
                ensure!(waiting.is_empty() || kept_at.elapsed() < KEEP_MAX, "the worker keeps nothing");
            }
            let Some(spool) = &mut self.spool else { break };
            let before = spool.bytes();
            tokio::task::block_in_place(|| spool.forget(&file))?;
            self.metrics.spool_bytes.sub((before - spool.bytes()) as i64);
        }
        Ok(())
    }

    /// The oldest file, and what it holds; one that nobody can read is put aside, and counts no more.
    fn oldest_spooled(&mut self) -> anyhow::Result<Option<(PathBuf, Vec<Entry>)>> {
        let Some(spool) = &mut self.spool else { return Ok(None) };
        let before = spool.bytes();
        let oldest = tokio::task::block_in_place(|| spool.oldest());
        self.metrics.spool_bytes.sub((before - spool.bytes()) as i64);
        oldest
    }

    /// Lets `pause` pass before the workers are asked again. When nobody has had the lane for long enough, what came goes to the
    /// spool and is acknowledged; where that takes nothing, sockets are not read.
    async fn wait(&mut self, pause: Duration) {
        let until = tokio::time::Instant::now() + pause;
        let is_due = self.away_since.is_some_and(|since| since.elapsed() >= SPOOL_AFTER);
        while is_due && self.spool.is_some() && tokio::time::Instant::now() < until {
            if let Err(error) = self.spool_batch(until).await {
                if !std::mem::replace(&mut self.is_full, true) {
                    tracing::error!(lane = self.lane.0, error = %format!("{error:#}"), "Cannot write to the door's spool; trackers wait");
                }
                break;
            }
        }
        tokio::time::sleep_until(until).await;
    }

    async fn spool_batch(&mut self, until: tokio::time::Instant) -> anyhow::Result<()> {
        let mut until = until;
        while self.unkept.len() < SPOOLED_MAX && self.unkept_bytes < LANE_BYTES_MAX {
            match tokio::time::timeout_at(until, self.inbox.next()).await {
                Ok(delivery) => {
                    self.hold(delivery);
                    until = until.min(tokio::time::Instant::now() + GATHER);
                }
                Err(_) => break,
            }
        }
        let numbers: Vec<u64> = self.unkept.keys().copied().take(SPOOLED_MAX).collect();
        let Some(spool) = self.spool.as_mut().filter(|_| !numbers.is_empty()) else { return Ok(()) };
        let packets = numbers.iter().filter_map(|number| self.unkept.get(number));
        let entries: Vec<Entry> = packets.map(|delivery| Entry::Packet(delivery.packet.clone())).collect();
        let before = spool.bytes();
        tokio::task::block_in_place(|| spool.put(&entries))?;
        self.metrics.spool_bytes.add((spool.bytes() - before) as i64);
        if !std::mem::replace(&mut self.is_spooling, true) {
            tracing::warn!(lane = self.lane.0, "No worker has the lane; writing messages to the door's spool");
        }
        self.release(numbers, false);
        Ok(())
    }
}

fn of_door(receipt: Receipt) -> Option<DoorReceipt> {
    match receipt {
        Receipt::Door(receipt) => Some(receipt),
        Receipt::Broker(_) => None, // nothing of a broker's comes here
    }
}
