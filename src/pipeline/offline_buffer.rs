//! What outlives a lane's connection to the database: its MQTT session, the batch whose fate is not
//! known, and the spool, from which trackers are acknowledged while PostgreSQL is away.

use crate::domain::{Entry, Lane};
use crate::engine::{LaneState, Switched};
use crate::ingest::lane_queue::Inbox;
use crate::ingest::{Delivery, Receipt, Session, receipt};
use crate::pipeline::packet_quota::PacketQuota;
use crate::pipeline::replies::ReplyThrottle;
use crate::pipeline::{Batch, Shared};
use crate::store::journal;
use crate::store::journal::spool::Spool;
use crate::telemetry::Metrics;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// PostgreSQL is away for this long before the spool takes its place: a restart or a moment's trouble is
/// better waited for.
const SPOOL_AFTER: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct OfflineBuffer {
    lane: Lane,
    metrics: Arc<Metrics>,
    batch_packets_max: usize,
    batch_wait: Duration,
    /// Open while the lane is ours, as far as we know.
    pub session: Option<Session>,
    /// Whether there is a broker; without one, all trackers come by the door.
    pub has_broker: bool,
    /// What comes by the door.
    pub inbox: Inbox,
    /// The batch of a commit 1 that was not answered, or that was not begun.
    pub in_doubt: Option<InDoubtBatch>,
    /// What the engine believed when PostgreSQL went; enough to answer trackers.
    pub state: Option<LaneState>,
    /// Replies on their way to trackers.
    pub replies: ReplyThrottle,
    /// What trackers may send; the same whether PostgreSQL is there or not.
    pub quota: PacketQuota,
    spool: Option<Spool>,
    away_since: Option<Instant>,
    is_spooling: bool,
}

/// What came to a lane.
pub(super) enum Came {
    Packet(Delivery),
    /// Time in which the broker was away.
    Gap(Entry),
    /// The task of the session is gone.
    SessionEnded,
}

/// A batch of which nobody knows whether the journal has it.
pub(super) struct InDoubtBatch {
    /// The number under which it was written, if it was.
    pub n: i64,
    pub batch: Batch,
}

impl OfflineBuffer {
    pub fn new(shared: &Shared, lane: Lane, inbox: Inbox) -> Self {
        let settings = &shared.config.ingest;
        let open = |root: &PathBuf| {
            let bytes_max = settings.spool_mb_max * 1_000_000 / u64::from(crate::domain::shard::LANES);
            Spool::open(root, lane, (bytes_max, "ingest.spool_mb_max"))
                .inspect_err(|error| {
                    tracing::error!(lane = lane.0, error = %format!("{error:#}"), "Cannot open the spool; the broker keeps messages while PostgreSQL is away");
                })
                .ok()
        };
        let spool = settings.spool_dir.as_ref().and_then(open);
        shared.metrics.spool_bytes.add(spool.as_ref().map_or(0, Spool::bytes) as i64);
        Self {
            lane,
            metrics: shared.metrics.clone(),
            batch_packets_max: settings.batch_packets_max,
            batch_wait: Duration::from_millis(settings.batch_wait_ms),
            session: None,
            has_broker: shared.config.broker.enabled,
            inbox,
            in_doubt: None,
            state: None,
            replies: ReplyThrottle::default(),
            quota: PacketQuota::default(),
            spool,
            away_since: None,
            is_spooling: false,
        }
    }

    /// Whether trackers behind the broker are heard, or there is none.
    ///
    /// # Errors
    /// The session ended.
    pub fn hears_broker(&self) -> anyhow::Result<bool> {
        if !self.has_broker {
            return Ok(true);
        }
        Ok(self.session.as_ref().context("the lane has no MQTT session")?.is_connected())
    }

    /// Whether something may come at all.
    fn is_listening(&self) -> bool {
        !self.has_broker || self.session.is_some()
    }

    /// The session's task is gone, which only a panic of it explains: the next session gets from the broker
    /// what this one has not acknowledged.
    pub fn session_ended(&mut self) -> anyhow::Error {
        self.session = None;
        anyhow::anyhow!("the MQTT session ended")
    }

    /// Retains a batch that was to become number `n` of the journal: its packets are nobody else's before
    /// the broker's connection breaks, and that may be in a month.
    pub fn retain(&mut self, n: i64, batch: Batch) {
        self.in_doubt = Some(InDoubtBatch { n, batch });
    }

    /// The packets are kept: whoever sent them may forget them.
    pub fn release(&self, receipts: Vec<Receipt>) {
        let (mut of_broker, mut of_door) = (Vec::new(), Vec::new());
        for receipt in receipts {
            match receipt {
                Receipt::Broker(receipt) => of_broker.push(receipt),
                Receipt::Door(receipt) => of_door.push(receipt),
            }
        }
        if let Some(session) = &self.session {
            session.acks.release(&of_broker);
        }
        receipt::release(of_door);
    }

    /// Waits for what comes next, by whichever way. Nothing that is cancelled takes anything away.
    pub async fn next(&mut self) -> Came {
        let Some(session) = &mut self.session else {
            return if self.has_broker { Came::SessionEnded } else { Came::Packet(self.inbox.next().await) };
        };
        tokio::select! {
            delivery = session.deliveries.recv() => delivery.map_or(Came::SessionEnded, Came::Packet),
            delivery = self.inbox.next() => Came::Packet(delivery),
            Some(gap) = session.gaps.recv() => Came::Gap(gap),
        }
    }

    /// The lane is another worker's: it gets what we have not acknowledged from the broker, or from trackers that connect again.
    pub fn release_lane(&mut self) {
        self.inbox.close();
        self.session = None;
        self.in_doubt = None;
        self.state = None;
        self.away_since = None;
    }

    /// PostgreSQL has everything.
    pub fn database_back(&mut self) {
        self.state = None;
        self.away_since = None;
        if std::mem::take(&mut self.is_spooling) {
            tracing::info!(lane = self.lane.0, "Spool drained");
        }
    }

    /// Lets `pause` pass before the lane begins again. When PostgreSQL has been away for long enough,
    /// what comes meanwhile goes to the spool and is acknowledged.
    pub async fn wait(&mut self, shared: &Shared, pause: Duration) {
        let until = Instant::now() + pause;
        let away = self.away_since.get_or_insert_with(Instant::now).elapsed();
        if away >= SPOOL_AFTER && self.spool.is_some() && self.is_listening() {
            while Instant::now() < until && self.is_listening() {
                if let Err(error) = self.spool_batch(shared, until).await {
                    tracing::error!(lane = self.lane.0, error = %format!("{error:#}"), "Cannot write to the spool; the broker keeps messages");
                    break;
                }
            }
        }
        tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    }

    /// One batch to the spool, acknowledged and answered. One that cannot be written stays in doubt.
    async fn spool_batch(&mut self, shared: &Shared, until: Instant) -> anyhow::Result<()> {
        self.replies.flush_due(Instant::now(), &shared.outlet);
        let n = self.in_doubt.as_ref().map_or(0, |d| d.n);
        let mut batch = self.in_doubt.take().map(|d| d.batch.owed()).unwrap_or_default();
        if batch.entries.is_empty() {
            self.fill(&mut batch, until).await;
        }
        if batch.entries.is_empty() {
            self.release(batch.receipts); // of copies that the broker had retained
            return Ok(());
        }
        if let Some(state) = &self.state {
            batch.withhold(state, &Switched::default());
        }
        let Some(spool) = self.spool.as_mut() else {
            self.retain(n, batch);
            return Ok(());
        };
        let before = spool.bytes();
        if let Err(error) = spool.put(&batch.entries) {
            self.retain(n, batch);
            return Err(error);
        }
        self.metrics.spool_bytes.add((spool.bytes() - before) as i64);
        if !std::mem::replace(&mut self.is_spooling, true) {
            tracing::warn!(lane = self.lane.0, "PostgreSQL is away; writing messages to the spool");
        }
        self.release(std::mem::take(&mut batch.receipts));
        if let Some(state) = &self.state {
            let now = Instant::now();
            batch.replies.drain(..).for_each(|reply| self.replies.send(reply, now, &shared.outlet));
            for entry in &batch.entries {
                let Entry::Packet(packet) = entry else { continue };
                let replies = state.replies_to(packet);
                self.quota.learn_one(&packet.topic, packet.payload.len(), replies.is_some());
                replies.into_iter().flatten().for_each(|reply| self.replies.send(reply, now, &shared.outlet));
            }
        }
        Ok(())
    }

    /// Takes what is there, up to the limits of a batch.
    async fn fill(&mut self, batch: &mut Batch, until: Instant) {
        let (limit, wait) = (self.batch_packets_max, self.batch_wait);
        let mut until = tokio::time::Instant::from_std(until);
        while !batch.is_full(limit) {
            match tokio::time::timeout_at(until, self.next()).await {
                Ok(Came::Packet(delivery)) => {
                    until = until.min(tokio::time::Instant::now() + wait);
                    batch.take(delivery, &mut self.quota, &self.metrics);
                }
                Ok(Came::Gap(gap)) => batch.entries.push(gap),
                Ok(Came::SessionEnded) => {
                    self.session = None;
                    break;
                }
                Err(_) => break,
            }
        }
    }

    /// Finds out whether the batch in doubt is in the journal, whose last number is `journaled`.
    /// If it is, the broker may forget it; if not, what we owe of it is to be written again.
    pub async fn resolve_in_doubt(&mut self, client: &Client, lane: Lane, journaled: i64) -> anyhow::Result<()> {
        let Some(InDoubtBatch { n, batch }) = &self.in_doubt else { return Ok(()) };
        let is_there = journaled >= *n && {
            let row = journal::read_row(client, lane, *n).await?;
            row.is_some_and(|entries| entries == batch.entries)
        };
        let Some(InDoubtBatch { n, batch }) = self.in_doubt.take() else { return Ok(()) };
        if is_there {
            self.release(batch.receipts);
        } else {
            self.in_doubt = Some(InDoubtBatch { n, batch: batch.owed() });
        }
        Ok(())
    }

    /// The oldest batch of the spool and its file.
    pub fn oldest_spooled(&mut self) -> anyhow::Result<Option<(PathBuf, Vec<Entry>)>> {
        self.spool.as_mut().map_or(Ok(None), Spool::oldest)
    }

    /// The journal has it.
    pub fn forget_spooled(&mut self, file: &Path) -> anyhow::Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let before = spool.bytes();
        spool.forget(file)?;
        self.metrics.spool_bytes.sub((before - spool.bytes()) as i64);
        Ok(())
    }

    /// Gives the spool to the worker that holds the lane now, by way of the database.
    pub async fn hand_over(&mut self, client: &Client) -> anyhow::Result<()> {
        while let Some((file, entries)) = self.oldest_spooled()? {
            journal::hand_over(client, self.lane, &entries).await?;
            self.forget_spooled(&file)?;
        }
        Ok(())
    }
}
