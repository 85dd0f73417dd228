//! The life of one packet; read this first.
//!
//! A lane is one MQTT session, one database connection, one engine and one journal sequence
//! (`docs/decisions/0001-lanes.md`). [`Pipeline::work`] is the whole story: take a batch, remember
//! it (commit 1), acknowledge it, understand it, answer it, make it count (commit 2), tell the live map.
//! Nothing is acknowledged before commit 1, and nothing is told before commit 2.

use crate::clock::now;
use crate::config::Config;
use crate::domain::{Entry, Lane, Packet, Timestamp};
use crate::fold::{Effects, FoldSettings, LaneState};
use crate::ingest::mqtt::{Receipt, Subscribed, jittered};
use crate::ingest::publisher::Publisher;
use crate::ingest::{Delivery, Session};
use crate::live;
use crate::store::effects::{self, Applied};
use crate::store::fixes::Ways;
use crate::store::lane::{self, Lease, LeaseLost, Progress};
use crate::store::statements::Statements;
use crate::store::{self, journal, settings};
use crate::telemetry::Metrics;
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
    /// Replies and live positions go out here.
    pub publisher: Publisher,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Counts up whenever people changed a setting.
    pub settings_changed: watch::Receiver<u64>,
    /// Which lanes have a session at the broker.
    pub subscribed: Subscribed,
    /// Name of this process in leases.
    pub owner: String,
}

/// One lane at work.
struct Pipeline {
    shared: Arc<Shared>,
    lane: Lane,
    fold: FoldSettings,
    client: Client,
    statements: Statements,
    ways: Ways,
    lease: Lease,
    progress: Progress,
    state: LaneState,
    session: Session,
    settings_changed: watch::Receiver<u64>,
    ticked_at: Instant,
    checkpoint: (i64, Instant),
}

/// A batch on its way.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    receipts: Vec<Receipt>,
    setting_cursor: i64,
}

/// Rows of the journal folded at a time during recovery.
const RECOVERY_ROWS: i64 = 256;

/// Keeps a lane at work until `stop`: takes its lease, recovers, works; after any failure it
/// begins again with a new connection. What was not acknowledged comes again from the broker.
pub async fn run(shared: Arc<Shared>, lane: Lane, mut stop: watch::Receiver<bool>) {
    let mut wait = Duration::from_millis(200);
    while !*stop.borrow() {
        let started = Instant::now();
        match Pipeline::open(shared.clone(), lane).await {
            Ok(Some(mut pipeline)) => {
                shared.metrics.lanes_held.inc();
                let ended = pipeline.work(&mut stop).await;
                shared.metrics.lanes_held.dec();
                match ended {
                    Ok(()) => pipeline.close().await,
                    Err(error) if error.is::<LeaseLost>() => {
                        tracing::warn!(lane = lane.0, "Another worker has taken the lane")
                    }
                    Err(error) => {
                        tracing::error!(lane = lane.0, error = %format!("{error:#}"), "The lane stumbled; beginning again")
                    }
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(lane = lane.0, error = %format!("{error:#}"), "The lane cannot begin; trying again")
            }
        }
        wait = if started.elapsed() > Duration::from_secs(10) {
            Duration::from_millis(200)
        } else {
            (wait * 2).min(Duration::from_secs(5))
        };
        tokio::select! {
            _ = tokio::time::sleep(jittered(wait)) => {}
            _ = stop.changed() => {}
        }
    }
}

impl Pipeline {
    /// Takes the lease and recovers: the last checkpoint, then the journal after it.
    async fn open(shared: Arc<Shared>, lane: Lane) -> anyhow::Result<Option<Self>> {
        let mut client = store::connect(&shared.database, &format!("lane {}", lane.0)).await?;
        let Some((lease, progress)) = lane::take(&mut client, lane, &shared.owner).await? else { return Ok(None) };
        let (checkpoint, state) = lane::read_checkpoint(&client, lane, progress.applied).await?;
        let statements = Statements::prepare(&client).await?;
        let fold = FoldSettings { max_fix_age_s: f64::from(shared.config.ingest.max_fix_age_days) * 86_400.0 };
        // The session is opened before recovery so that the broker keeps what comes meanwhile.
        let session = Session::start(&shared.config.broker, lane, shared.subscribed.clone())?;
        let checkpoint = (checkpoint, Instant::now());
        let settings_changed = shared.settings_changed.clone();
        let mut pipeline = Self {
            settings_changed,
            shared,
            lane,
            fold,
            client,
            statements,
            ways: Ways::default(),
            lease,
            progress,
            state,
            session,
            ticked_at: Instant::now(),
            checkpoint,
        };
        pipeline.recover(checkpoint.0).await?;
        // What people changed meanwhile is in force before the first packet.
        let mut batch = Batch { setting_cursor: pipeline.progress.setting_cursor, ..Batch::default() };
        pipeline.take_settings(&mut batch).await?;
        pipeline.handle(batch).await?;
        Ok(Some(pipeline))
    }

    /// Folds the journal after a checkpoint. Effects up to the watermark stand already; those
    /// after it are written now, as they would have been then.
    async fn recover(&mut self, checkpoint: i64) -> anyhow::Result<()> {
        let mut n = checkpoint;
        let mut last_at = None;
        loop {
            let batches = journal::read_after(&self.client, self.lane, n, RECOVERY_ROWS).await?;
            if batches.is_empty() {
                break;
            }
            for batch in batches {
                n = batch.n;
                last_at = batch.entries.iter().map(Entry::at).max().max(last_at);
                let effects = self.understand(&batch.entries);
                if n > self.progress.applied {
                    self.make_count(n, &batch.entries, effects).await?;
                }
            }
        }
        if let Some(from) = last_at {
            self.note_gap(from).await?;
        }
        tracing::debug!(
            lane = self.lane.0,
            from = checkpoint,
            to = n,
            trackers = self.state.trackers(),
            "The lane is ready"
        );
        Ok(())
    }

    /// We were away: the silence of the trackers in that time is ours.
    async fn note_gap(&mut self, from: Timestamp) -> anyhow::Result<()> {
        let to = now();
        if to.seconds_since(from) < 2.0 * self.shared.config.ingest.tick_every_s as f64 {
            return Ok(());
        }
        let batch = Batch {
            entries: vec![Entry::Gap { from, to }],
            setting_cursor: self.progress.setting_cursor,
            ..Batch::default()
        };
        self.handle(batch).await
    }

    /// The story of every batch, until `stop`.
    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
        while !*stop.borrow() {
            let batch = self.next_batch(stop).await?;
            self.handle(batch).await?;
            if self.is_checkpoint_due() {
                self.write_checkpoint().await?;
            }
        }
        Ok(())
    }

    async fn handle(&mut self, batch: Batch) -> anyhow::Result<()> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        let n = self.progress.journaled + 1;
        let (client, entries) = (&self.client, &batch.entries);
        lane::commit_journal(client, &self.statements, self.lease, n, entries, batch.setting_cursor).await?;
        self.progress.journaled = n;
        self.progress.setting_cursor = batch.setting_cursor;
        self.session.acks.release(&batch.receipts).await; // only now may the broker forget it
        let effects = self.understand(&batch.entries);
        self.reply(&effects);
        self.make_count(n, &batch.entries, effects).await
    }

    /// Decodes and judges; pure, in order.
    fn understand(&mut self, entries: &[Entry]) -> Vec<Effects> {
        entries.iter().map(|entry| self.state.fold(entry, &self.fold)).collect()
    }

    /// Trackers are answered as soon as the journal holds what they sent.
    fn reply(&self, effects: &[Effects]) {
        for reply in effects.iter().flat_map(|e| &e.replies) {
            self.shared.publisher.send(reply.topic.clone(), reply.payload.clone());
        }
    }

    /// Commit 2, and only then the live map and the counters.
    async fn make_count(&mut self, n: i64, entries: &[Entry], effects: Vec<Effects>) -> anyhow::Result<()> {
        let entries = entries.iter().map(as_packet).zip(effects).collect();
        let applied = Applied { n, entries };
        let written = effects::commit(&self.client, &self.statements, &mut self.ways, self.lease, &applied).await?;
        self.progress.applied = n;
        self.shared.metrics.count(&applied, &written);
        if let Some(news) = live::News::of(&applied, &written) {
            self.shared.publisher.send(live::topic(self.lane), news.to_bytes());
        }
        Ok(())
    }

    /// Waits for inputs: packets, settings, the clock, a broker that lost our session.
    async fn next_batch(&mut self, stop: &mut watch::Receiver<bool>) -> anyhow::Result<Batch> {
        let tick_every = Duration::from_secs(self.shared.config.ingest.tick_every_s);
        let until_tick = tick_every.saturating_sub(self.ticked_at.elapsed());
        let mut batch = Batch { setting_cursor: self.progress.setting_cursor, ..Batch::default() };
        tokio::select! {
            delivery = self.session.deliveries.recv() => match delivery {
                Some(delivery) => self.fill(&mut batch, delivery).await?,
                None => anyhow::bail!("the MQTT session ended"),
            },
            Some((from, to)) = self.session.gaps.recv() => {
                self.ways.expect_duplicates(); // what was in flight comes again
                batch.entries.push(Entry::Gap { from, to });
            }
            Ok(()) = self.settings_changed.changed() => self.take_settings(&mut batch).await?,
            _ = tokio::time::sleep(until_tick) => {}
            _ = stop.changed() => {}
        }
        if self.ticked_at.elapsed() >= tick_every {
            self.take_settings(&mut batch).await?; // in case a notice was lost
            if self.session.is_connected() {
                batch.entries.push(Entry::Tick { at: now() });
            }
            self.ticked_at = Instant::now();
        }
        Ok(batch)
    }

    /// Takes what is there, up to the limit, and waits a moment for more. A tracker that we do not
    /// know may have been registered a moment ago: then settings go first.
    async fn fill(&mut self, batch: &mut Batch, first: Delivery) -> anyhow::Result<()> {
        let limit = self.shared.config.ingest.batch_packets_max;
        let until = tokio::time::Instant::now() + Duration::from_millis(self.shared.config.ingest.batch_wait_ms);
        let mut next = Some(first);
        let mut is_settled = false;
        while let Some(delivery) = next {
            if !is_settled && !self.state.knows_sender_of(&delivery.packet) {
                self.take_settings(batch).await?;
                is_settled = true; // once a batch: a stranger must not make us ask for every packet
            }
            batch.entries.push(Entry::Packet(delivery.packet));
            batch.receipts.push(delivery.receipt);
            if batch.receipts.len() >= limit {
                break;
            }
            next = tokio::time::timeout_at(until, self.session.deliveries.recv()).await.unwrap_or(None);
        }
        Ok(())
    }

    async fn take_settings(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        for waiting in settings::after(&self.client, self.lane, batch.setting_cursor).await? {
            batch.setting_cursor = waiting.id;
            batch.entries.push(Entry::Setting { at: waiting.at, setting: waiting.setting });
        }
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = Duration::from_secs(self.shared.config.ingest.checkpoint_every_s);
        self.checkpoint.1.elapsed() >= every && self.progress.applied > self.checkpoint.0
    }

    async fn write_checkpoint(&mut self) -> anyhow::Result<()> {
        lane::write_checkpoint(&mut self.client, self.lease, self.progress.applied, &self.state).await?;
        self.checkpoint = (self.progress.applied, Instant::now());
        Ok(())
    }

    /// A clean end: the next start has little to fold, and nobody waits for the lease.
    async fn close(mut self) {
        let ended = async {
            self.write_checkpoint().await?;
            lane::give_back(&self.client, self.lease).await
        };
        if let Err(error) = ended.await {
            tracing::warn!(lane = self.lane.0, error = %format!("{error:#}"), "The lane was not closed cleanly");
        }
    }
}

fn as_packet(entry: &Entry) -> Option<&Packet> {
    match entry {
        Entry::Packet(packet) => Some(packet),
        _ => None,
    }
}
