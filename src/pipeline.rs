//! The life of one packet; read this first.
//!
//! A lane is one MQTT session and the queue of its trackers at the door, one database connection, one engine and one journal sequence
//! (`docs/decisions/0001-lanes.md`). [`Pipeline::work`] is all of it: collect a batch, journal
//! it (commit 1), acknowledge it, apply it, reply to it, commit its effects (commit 2), publish them to the
//! live map. Nothing is acknowledged before commit 1, and nothing is published before commit 2. While
//! PostgreSQL is away, the `offline_buffer` takes the place of commit 1.

mod batch;
mod door_watch;
pub mod lane_quota;
mod live_publisher;
mod offline_buffer;
mod packet_quota;
mod recovery;
mod replies;

use crate::clock::now;
use crate::config::Config;
use crate::domain::{Entry, GapCause, Lane, Timestamp};
use crate::engine::{Effects, FoldSettings, LaneState, Reply, Switched};
use crate::failpoint::{self, Point};
use crate::ingest::{
    Delivery, Session, client_options::jittered, door_state::DoorState, lane_queue::Inbox, places::Outlet,
    session::Subscribed,
};
use crate::live::LiveUpdate;
use crate::store::commit::{self, Applied, fixes::InsertModes, statements::Statements};
use crate::store::lane::{self, Lease, LeaseLost, Progress};
use crate::store::{self, answered, journal, settings};
use crate::telemetry::Metrics;
use batch::{Batch, Linger};
use door_watch::{Change, Counted, DoorWatch};
use lane_quota::{LanePermit, LaneQuota};
pub use live_publisher::LivePublisher;
use offline_buffer::{Came, InDoubtBatch, OfflineBuffer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_postgres::Client;

/// What every lane of a process shares.
pub struct Shared {
    /// Settings of the deployment.
    pub config: Config,
    /// Where the database is.
    pub database: tokio_postgres::Config,
    /// Replies go out here.
    pub outlet: Outlet,
    /// Updates for live maps, by connections of their own.
    pub live_publisher: LivePublisher,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Counts up whenever people changed a setting.
    pub settings_changed: watch::Receiver<u64>,
    /// Which lanes have a session at the broker.
    pub subscribed: Subscribed,
    /// Whether the door lets trackers in.
    pub door: DoorState,
    /// Name of this process in leases.
    pub owner: String,
    /// How many lanes this worker may hold.
    pub lane_quota: Arc<LaneQuota>,
}

/// One lane at work.
struct Pipeline<'a> {
    shared: Arc<Shared>,
    lane: Lane,
    permit: LanePermit,
    buffer: &'a mut OfflineBuffer,
    fold: FoldSettings,
    client: Client,
    statements: Statements,
    insert_modes: InsertModes,
    linger: Linger,
    lease: Lease,
    progress: Progress,
    state: LaneState,
    /// Positioning that was switched while we were away; the settings are read after the spool.
    switched: Switched,
    settings_changed: watch::Receiver<u64>,
    door_watch: DoorWatch,
    without_door: Option<Counted>,
    ticked_at: Instant,
    checkpoint: (i64, Instant),
}

/// First and longest wait before a lane begins again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The same while our quota has room and another worker is about to give lanes up.
const LONGEST_WAIT_FOR_A_LANE: Duration = Duration::from_secs(1);

/// Keeps a lane at work until `stop`: takes its lease, recovers, works; after any failure it
/// begins again with a new connection, and the buffer keeps what trackers send meanwhile.
pub async fn run(shared: Arc<Shared>, lane: Lane, inbox: Inbox, mut stop: watch::Receiver<bool>) {
    let mut wait = FIRST_WAIT;
    let mut buffer = OfflineBuffer::new(&shared, lane, inbox);
    while !*stop.borrow() {
        let (started, mut longest, mut failed) = (Instant::now(), LONGEST_WAIT, None);
        match Pipeline::open(shared.clone(), lane, &mut buffer).await {
            Ok(Some(mut pipeline)) => {
                shared.metrics.lanes_held.inc();
                let ended = pipeline.work(&mut stop).await;
                shared.metrics.lanes_held.dec();
                match ended {
                    Ok(()) => {
                        pipeline.close().await;
                        buffer.release_lane();
                    }
                    Err(error) if error.is::<LeaseLost>() => {
                        tracing::warn!(lane = lane.0, "Another worker took the lane");
                        buffer.release_lane();
                    }
                    Err(error) => {
                        failed = Some(error);
                        buffer.state = Some(pipeline.state);
                    }
                }
            }
            Ok(None) => {
                buffer.release_lane();
                longest = if shared.lane_quota.has_room() { LONGEST_WAIT_FOR_A_LANE } else { LONGEST_WAIT };
            }
            Err(error) => failed = Some(error.context("cannot start")),
        }
        wait = if started.elapsed() > Duration::from_secs(10) { FIRST_WAIT } else { (wait * 2).min(longest) };
        let pause = jittered(wait);
        if let Some(error) = failed {
            tracing::error!(lane = lane.0, error = %format!("{error:#}"), "Lane failed; restarting in {pause:.1?}");
        }
        if *stop.borrow() {
            break;
        }
        tokio::select! {
            () = buffer.wait(&shared, pause) => {}
            _ = stop.changed() => {}
        }
    }
}

impl<'a> Pipeline<'a> {
    /// Takes the lease and recovers: the last checkpoint, then the journal after it, then what the buffer
    /// kept. `None`: the lane is another worker's, who gets what lies in our spool.
    async fn open(shared: Arc<Shared>, lane: Lane, buffer: &'a mut OfflineBuffer) -> anyhow::Result<Option<Self>> {
        let client = store::connect(&shared.database, &format!("lane {}", lane.0)).await?;
        let reservation = shared.lane_quota.reserve();
        let Some((lease, progress)) = answered(lane::take(&client, lane, &shared.owner, reservation.is_some())).await?
        else {
            buffer.hand_over(&client).await?;
            return Ok(None);
        };
        let permit = shared.lane_quota.take(reservation);
        let (checkpoint, state) = answered(lane::read_checkpoint(&client, lane, progress.applied)).await?;
        let statements = Statements::prepare(&client).await?;
        let fold = FoldSettings { max_fix_age_s: f64::from(shared.config.ingest.max_fix_age_days) * 86_400.0 };
        // The session is opened before recovery so that the broker keeps what comes meanwhile.
        if buffer.has_broker && buffer.session.is_none() {
            let (broker, subscribed) = (&shared.config.broker, shared.subscribed.clone());
            buffer.session = Some(Session::start(broker, lane, subscribed, progress.journaled > 0)?);
        }
        let checkpoint = (checkpoint, Instant::now());
        let settings_changed = shared.settings_changed.clone();
        let mut pipeline = Self {
            settings_changed,
            shared,
            lane,
            permit,
            buffer,
            fold,
            client,
            statements,
            insert_modes: InsertModes::default(),
            linger: Linger::default(),
            lease,
            progress,
            state,
            switched: Switched::default(),
            door_watch: DoorWatch::default(),
            without_door: None,
            ticked_at: Instant::now(),
            checkpoint,
        };
        let last_at = pipeline.recover(checkpoint.0).await?;
        pipeline.switched =
            answered(settings::switched_after(&pipeline.client, lane, pipeline.progress.setting_cursor)).await?;
        let last_at = pipeline.drain_offline_buffer().await?.max(last_at);
        if let Some(from) = last_at {
            pipeline.record_gap(from).await?;
        }
        failpoint::pass(Point::Recovered);
        // What people changed meanwhile is in force before the first packet.
        let mut batch = pipeline.empty_batch();
        pipeline.take_settings(&mut batch).await?;
        pipeline.handle(batch).await?;
        pipeline.switched.clear();
        pipeline.buffer.inbox.open();
        pipeline.shared.door.note_lane(lane);
        if !pipeline.buffer.has_broker {
            pipeline.shared.subscribed.note(lane);
        }
        Ok(Some(pipeline))
    }

    fn empty_batch(&self) -> Batch {
        Batch { setting_cursor: self.progress.setting_cursor, ..Batch::default() }
    }

    /// The life of every batch, until `stop` or until other workers have a right to the lane.
    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
        while !*stop.borrow() {
            let mut batch = self.empty_batch();
            if let Err(error) = self.collect(&mut batch, stop).await {
                self.buffer.retain(self.progress.journaled + 1, batch);
                return Err(error);
            }
            self.handle(batch).await?;
            if self.is_checkpoint_due() {
                self.write_checkpoint().await?;
            }
            if self.permit.release_if_over_quota() {
                tracing::info!(lane = self.lane.0, "Lane released to another worker");
                break;
            }
        }
        Ok(())
    }

    async fn handle(&mut self, mut batch: Batch) -> anyhow::Result<()> {
        batch.withhold(&self.state, &self.switched);
        if batch.entries.is_empty() {
            self.buffer.release(batch.receipts); // of copies that the broker had retained
            return Ok(());
        }
        failpoint::pass(Point::Received);
        let n = self.progress.journaled + 1;
        // Until the answer to commit 1 is here, nobody knows whether it happened; the buffer holds the batch.
        let batch = &self.buffer.in_doubt.insert(InDoubtBatch { n, batch }).batch;
        let append = journal::JournalAppend {
            n,
            entries: &batch.entries,
            setting_cursor: batch.setting_cursor,
            handed_over: &batch.handed_over,
        };
        answered(lane::commit_journal(&self.client, &self.statements, self.lease, &append)).await?;
        self.progress.journaled = n;
        self.progress.setting_cursor = batch.setting_cursor;
        let Some(InDoubtBatch { mut batch, .. }) = self.buffer.in_doubt.take() else { return Ok(()) };
        failpoint::pass(Point::Journaled);
        self.buffer.release(std::mem::take(&mut batch.receipts)); // only now may whoever sent it forget it
        failpoint::pass(Point::Acknowledged);
        let mut effects = self.apply(&batch.entries);
        self.buffer.quota.learn(batch.entries.iter().zip(&effects));
        failpoint::pass(Point::Understood);
        self.reply(batch.replies.drain(..).chain(effects.iter_mut().flat_map(|e| e.replies.drain(..))));
        failpoint::pass(Point::Answered);
        self.commit_effects(n, &batch.entries, effects).await
    }

    /// Decodes, validates and guards; pure, in order.
    fn apply(&mut self, entries: &[Entry]) -> Vec<Effects> {
        self.state.apply_all(entries, &self.fold)
    }

    /// Trackers are answered as soon as the journal holds what they sent.
    fn reply(&mut self, replies: impl Iterator<Item = Reply>) {
        let now = Instant::now();
        for reply in replies {
            self.buffer.replies.send(reply, now, &self.shared.outlet);
        }
    }

    /// Commit 2, and only then the live map and the counters.
    async fn commit_effects(&mut self, n: i64, entries: &[Entry], effects: Vec<Effects>) -> anyhow::Result<()> {
        let mut applied = Applied { n, entries: entries.iter().zip(effects).collect() };
        let commit = commit::commit(&self.client, &self.statements, &mut self.insert_modes, self.lease, &mut applied);
        let written = answered(commit).await?;
        self.progress.applied = n;
        failpoint::pass(Point::Counted);
        self.shared.metrics.count(&applied, &written);
        self.shared.live_publisher.publish(self.lane, LiveUpdate::of(&applied, &written));
        Ok(())
    }

    /// Waits for inputs: packets, settings, the clock, a broker that lost our session. After an error the
    /// batch still holds what was taken, and nobody else has it.
    async fn collect(&mut self, batch: &mut Batch, stop: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
        let tick_every = Duration::from_secs(self.shared.config.ingest.tick_every_s);
        let until_tick = tick_every.saturating_sub(self.ticked_at.elapsed());
        let until_reply = self.buffer.replies.next_due().map(|due| due.saturating_duration_since(Instant::now()));
        let pause = until_reply.map_or(until_tick, |reply| reply.min(until_tick));
        tokio::select! {
            came = self.buffer.next() => match came {
                Came::Packet(delivery) => self.fill(batch, delivery).await?,
                Came::Gap(gap) => self.take_gap(batch, gap),
                Came::SessionEnded => return Err(self.buffer.session_ended()),
            },
            Ok(()) = self.settings_changed.changed() => self.take_settings(batch).await?,
            _ = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
        self.buffer.replies.flush_due(Instant::now(), &self.shared.outlet);
        if self.ticked_at.elapsed() >= tick_every {
            self.take_settings(batch).await?; // in case a notice was lost
            let at = now();
            let from = at.plus_secs_f64(-self.ticked_at.elapsed().as_secs_f64());
            if self.shared.config.link.listen.is_some() {
                self.watch_door(batch, from, at);
            }
            if !self.buffer.hears_broker()? {
                batch.entries.push(Entry::Gap { from, to: at, cause: GapCause::WithoutBroker });
            }
            batch.entries.push(Entry::Tick { at });
            self.ticked_at = Instant::now();
        }
        Ok(())
    }

    /// Takes what is there, up to the limit, and waits a moment for more. A tracker that we do not
    /// know may have been registered a moment ago: then settings go first.
    async fn fill(&mut self, batch: &mut Batch, first: Delivery) -> anyhow::Result<()> {
        let limits = &self.shared.config.ingest;
        let (limit, usual) = (limits.batch_packets_max, Duration::from_millis(limits.batch_wait_ms));
        let until = tokio::time::Instant::now() + self.linger.wait(usual);
        let mut next = Some(first);
        let mut has_asked = false;
        while let Some(delivery) = next {
            let mut asked = Ok(());
            if !has_asked && delivery.of_retained().is_none() && !self.state.knows_sender_of(&delivery.packet) {
                asked = self.take_settings(batch).await;
                has_asked = true; // once a batch: a stranger must not make us ask for every packet
            }
            batch.take(delivery, &mut self.buffer.quota, &self.shared.metrics);
            asked?; // not before the packet is in the batch, or it would be gone
            if batch.is_full(limit) {
                break;
            }
            next = match tokio::time::timeout_at(until, self.buffer.next()).await {
                Ok(Came::Packet(delivery)) => Some(delivery),
                Ok(Came::Gap(gap)) => {
                    self.take_gap(batch, gap);
                    break;
                }
                Ok(Came::SessionEnded) | Err(_) => break,
            };
        }
        self.linger.learn(batch);
        Ok(())
    }

    fn watch_door(&mut self, batch: &mut Batch, from: Timestamp, at: Timestamp) {
        let (gap, change) = self.door_watch.look(self.shared.outlet.remote.has(self.lane), from, at);
        batch.entries.extend(gap);
        match change {
            Some(Change::Went) => {
                self.without_door = Some(Counted::by(&self.shared.metrics.lanes_without_door));
                tracing::warn!(lane = self.lane.0, "No door is linked; its trackers are not heard");
            }
            Some(Change::Came) => {
                self.without_door = None;
                tracing::info!(lane = self.lane.0, "A door is linked again");
            }
            None => {}
        }
    }

    fn take_gap(&mut self, batch: &mut Batch, gap: Entry) {
        self.insert_modes.expect_duplicates(); // what was in flight comes again
        batch.entries.push(gap);
    }

    async fn take_settings(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        for waiting in answered(settings::after(&self.client, self.lane, batch.setting_cursor)).await? {
            batch.setting_cursor = waiting.id;
            batch.entries.push(Entry::Setting { at: waiting.at, setting: waiting.setting });
        }
        for (id, entries) in answered(journal::handed_over(&self.client, self.lane)).await? {
            if !batch.handed_over.contains(&id) {
                batch.handed_over.push(id);
                batch.entries.extend(entries);
            }
        }
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = Duration::from_secs(self.shared.config.ingest.checkpoint_every_s);
        self.checkpoint.1.elapsed() >= every && self.progress.applied > self.checkpoint.0
    }

    async fn write_checkpoint(&mut self) -> anyhow::Result<()> {
        let (lease, n) = (self.lease, self.progress.applied);
        answered(lane::write_checkpoint(&mut self.client, lease, n, &self.state)).await?;
        failpoint::pass(Point::Checkpointed);
        self.checkpoint = (self.progress.applied, Instant::now());
        Ok(())
    }

    /// A clean end: the next start has little to apply, and nobody waits for the lease.
    async fn close(mut self) {
        let ended = async {
            self.write_checkpoint().await?;
            lane::give_back(&self.client, self.lease).await
        };
        if let Err(error) = ended.await {
            tracing::warn!(lane = self.lane.0, error = %format!("{error:#}"), "Closing the lane failed");
        }
    }
}
