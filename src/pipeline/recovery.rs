//! How a lane begins again: the journal after the last checkpoint, what the buffer kept, and the time in which we were away.

use crate::clock::now;
use crate::domain::{Entry, GapCause, Timestamp};
use crate::pipeline::{Batch, Pipeline};
use crate::store::archive::keys::KeyStore;
use crate::store::{answered, journal};

/// Rows of the journal applied at a time during recovery.
const RECOVERY_ROWS: i64 = 256;

impl Pipeline<'_> {
    /// Applies the journal after a checkpoint. Effects up to the watermark are stored already; those
    /// after it are written now, as they would have been then. Returns the time of the last entry.
    pub(super) async fn recover(&mut self, checkpoint: i64) -> anyhow::Result<Option<Timestamp>> {
        let key_store = KeyStore::of(&self.shared.config.journal);
        let mut n = checkpoint;
        let mut last_at = None;
        loop {
            let batches = answered(journal::read_after(&self.client, &key_store, self.lane, n, RECOVERY_ROWS)).await?;
            if batches.is_empty() {
                break;
            }
            for batch in batches {
                n = batch.n;
                last_at = batch.entries.iter().map(Entry::at).max().max(last_at);
                let effects = self.apply(&batch.entries);
                if n > self.progress.applied {
                    self.commit_effects(n, &batch.entries, effects).await?;
                }
            }
        }
        let (lane, trackers) = (self.lane.0, self.state.trackers());
        tracing::debug!(lane, from = checkpoint, to = n, trackers, "Lane recovered");
        Ok(last_at)
    }

    /// Journals what the buffer kept while PostgreSQL was away, oldest first. Returns the time of the last entry.
    pub(super) async fn drain_offline_buffer(&mut self) -> anyhow::Result<Option<Timestamp>> {
        let mut last_at = None;
        self.buffer.resolve_in_doubt(&self.client, self.lane, self.progress.journaled).await?;
        let youngest = self.buffer.in_doubt.take(); // what lies in the spool came before it
        let drained = self.drain_spool(&mut last_at).await;
        if drained.is_err() {
            self.buffer.in_doubt = youngest; // and not what was in hand: its file is still there
            return drained.map(|()| None);
        }
        if let Some(in_doubt) = youngest {
            self.handle(Batch { setting_cursor: self.progress.setting_cursor, ..in_doubt.batch }).await?;
        }
        self.buffer.database_back();
        Ok(last_at)
    }

    async fn drain_spool(&mut self, last_at: &mut Option<Timestamp>) -> anyhow::Result<()> {
        while let Some((file, entries)) = self.buffer.oldest_spooled()? {
            *last_at = entries.iter().map(Entry::at).max().max(*last_at);
            self.handle(Batch { entries, ..self.empty_batch() }).await?;
            self.buffer.forget_spooled(&file)?;
        }
        Ok(())
    }

    /// We were away: the silence of the trackers in that time is ours.
    pub(super) async fn record_gap(&mut self, from: Timestamp) -> anyhow::Result<()> {
        let to = now();
        if to.seconds_since(from) < 2.0 * self.shared.config.ingest.tick_every_s as f64 {
            return Ok(());
        }
        let batch = Batch { entries: vec![Entry::Gap { from, to, cause: GapCause::Away }], ..self.empty_batch() };
        self.handle(batch).await
    }
}
