//! The rollup: closed slices of hot fixes become segments of tracks, late fixes are merged, old hot days go.
//!
//! In: the hot table. Out: segments and the marks. One process leads, by an advisory lock; each step is
//! one transaction with its mark in it, so it may be killed anywhere and nothing is lost or doubled.

pub mod slice;

use crate::clock::now;
use crate::config::Config;
use crate::domain::{Timestamp, TrackerKey};
use crate::store::archive::keys::KeyStore;
use crate::store::tracks::clustering;
use crate::store::tracks::partitions;
use crate::store::tracks::rollup::{self as store, Marks};
use crate::store::{belongings, connect, retention};
use crate::telemetry::Metrics;
use crate::tracks::merge::merge;
use crate::tracks::{ReceivedFix, SegmentBody};
use slice::{Open, Sliced};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_postgres::Client;

/// Length of a slice, microseconds.
const SLICE_US: i64 = 15 * 60 * 1_000_000;
/// How often to look for something to do.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How often to look for a hand-over that is due: it begins when it was agreed, and is seen so much later.
const HAND_OVERS_EVERY: Duration = Duration::from_secs(1);
/// How often partitions, and what is to go, are looked after.
const PARTITIONS_EVERY: Duration = Duration::from_secs(600);
/// Late fixes merged in one transaction.
const LATE_MAX: i64 = 20_000;

/// Works until `stop`; after a failure it begins again with what the database says.
pub async fn run(config: Config, database: tokio_postgres::Config, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    // Beside the rollup: what was agreed to the minute does not wait for it.
    tokio::join!(hand_overs(database.clone(), stop.clone()), roll(config, database, metrics, stop));
}

/// Carries out hand-overs when their time has come, and takes in what was entered before anybody looked after it, in every
/// process: one by one they are done by whoever is first.
async fn hand_overs(database: tokio_postgres::Config, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let kept = async {
            let client = connect(&database, "hand-overs").await?;
            loop {
                if belongings::carry_out_transfers(&client).await? > 0 {
                    tracing::info!("Hand-overs carried out");
                }
                let taken_in = belongings::take_in(&client).await?;
                if taken_in > 0 {
                    tracing::info!(rows = taken_in, "What nobody looked after is the first organisation's");
                }
                tokio::time::sleep(HAND_OVERS_EVERY).await;
            }
        };
        tokio::select! {
            failed = kept => {
                let failed: anyhow::Result<()> = failed;
                if let Err(error) = failed {
                    tracing::error!(error = %format!("{error:#}"), "Hand-overs failed; retrying in {LOOK_EVERY:?}");
                }
            }
            _ = stop.changed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn roll(config: Config, database: tokio_postgres::Config, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    if let Err(error) = alone(move || tenures(config, database, metrics, stop)).await {
        tracing::error!(%error, "Rollup thread failed");
    }
}

/// Runs work on a thread of its own with its connections. Rows that come by the million would otherwise wake one
/// thread from another for every few of them, which took a third of the rollup's own time.
///
/// # Errors
/// No thread can be had, or the work panicked.
pub async fn alone<F, T>(work: impl FnOnce() -> F + Send + 'static) -> std::io::Result<T>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, when_done) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("rollup".into()).spawn(move || done.send(runtime.block_on(work())).is_ok())?;
    when_done.await.map_err(std::io::Error::other)
}

async fn tenures(
    config: Config,
    database: tokio_postgres::Config,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        if let Err(error) = work(&config, &database, &metrics, &mut stop).await {
            tracing::error!(error = %format!("{error:#}"), "Rollup failed; restarting in {LOOK_EVERY:?}");
        }
        if *stop.borrow() {
            return; // its change has been seen, so nobody would wake us below
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// One tenure: leads, or finds that another process does.
async fn work(
    config: &Config,
    database: &tokio_postgres::Config,
    metrics: &Metrics,
    stop: &mut watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let Some(mut rollup) = Rollup::lead(connect(database, "rollup").await?).await? else { return Ok(()) };
    let mut tended_at: Option<Instant> = None;
    while !*stop.borrow() {
        let is_due = tended_at.is_none_or(|t| t.elapsed() > PARTITIONS_EVERY);
        if is_due && let Err(error) = partitions::make(&rollup.client, config.ingest.hot_days).await {
            tracing::error!(%error, "Creating partitions failed; retrying in {PARTITIONS_EVERY:?}");
        }
        rollup.close(last_closed(now(), config.rollup.closes_after_s)).await?;
        while !*stop.borrow() && rollup.roll_next().await?.is_some() {}
        while !*stop.borrow() && rollup.merge_late(config.rollup.merge_late_after_s as f64).await? > 0 {}
        metrics.rollup_lag_s.set(now().seconds_since(rollup.marks.rolled_to) as i64);
        rollup.erase_asked(config).await;
        // Last, and whatever comes of it: what is to go can wait, fixes that are to become segments cannot.
        if is_due && !*stop.borrow() {
            if let Err(error) = rollup.purge(config).await {
                let error = format!("{error:#}");
                tracing::error!(error, "Retention run failed; retrying in {PARTITIONS_EVERY:?}");
            }
            tokio::select! {
                ordered = rollup.put_in_order(database) => {
                    if let Err(error) = ordered {
                        let error = format!("{error:#}");
                        tracing::info!(error, "Clustering a track partition failed; retrying in {PARTITIONS_EVERY:?}");
                    }
                }
                _ = stop.changed() => {} // one transaction: it has happened or has not
            }
            tended_at = Some(Instant::now());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
    Ok(())
}

/// The end of the last slice that is over for so long.
pub fn last_closed(now: Timestamp, closes_after_s: u64) -> Timestamp {
    let before = now.plus_secs_f64(-(closes_after_s as f64)).micros();
    Timestamp::from_micros(before.div_euclid(SLICE_US) * SLICE_US)
}

/// The leader at work.
pub struct Rollup {
    client: Client,
    marks: Marks,
    open: Open,
}

impl Rollup {
    /// Becomes the leader and reads what goes on; `None` if another process leads.
    ///
    /// # Errors
    /// The database's own word, or a damaged segment, named.
    pub async fn lead(client: Client) -> anyhow::Result<Option<Self>> {
        if !store::lead(&client).await? {
            return Ok(None);
        }
        let marks = store::marks(&client).await?;
        let open = read_open(&client).await?;
        Ok(Some(Self { client, marks, open }))
    }

    /// Carries out erasures that people asked for; what fails is tried again at the next look.
    async fn erase_asked(&mut self, config: &Config) {
        match belongings::carry_out_erasures(&mut self.client, &KeyStore::of(&config.journal)).await {
            Ok(0) => {}
            Ok(erasures) => tracing::info!(erasures, "Erasures carried out"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "An erasure failed; retrying in {LOOK_EVERY:?}");
            }
        }
    }

    /// Purges hot days that are stored as segments and, once a night, of what no purpose keeps any more.
    async fn purge(&mut self, config: &Config) -> anyhow::Result<()> {
        belongings::purge(&self.client).await?;
        let released = partitions::release(&self.client, config.ingest.hot_days).await?;
        if released > 0 {
            tracing::info!(released, "Dropped hot partitions that are rolled up");
        }
        if retention::is_due(&self.client, config.retention.hour_utc).await?
            && let Some(report) = retention::run(&mut self.client, &config.retention, &config.journal, false).await?
        {
            tracing::info!(report = %serde_json::to_string(&report)?, "Retention run finished");
        }
        Ok(())
    }

    /// Puts a day of segments that is over in order, if there is one.
    async fn put_in_order(&mut self, database: &tokio_postgres::Config) -> anyhow::Result<()> {
        let reader = connect(database, "rollup").await?;
        if let Some(day) = clustering::cluster_next_day(&mut self.client, &reader).await? {
            tracing::info!(day, "Clustered track partition");
        }
        Ok(())
    }

    /// Closes slices up to `to`: what comes for them later is late.
    ///
    /// # Errors
    /// The database's own word.
    pub async fn close(&mut self, to: Timestamp) -> anyhow::Result<()> {
        if to > self.marks.closing_to {
            store::close(&mut self.client, to).await?;
        }
        store::begin(&self.client).await?;
        let before = std::mem::replace(&mut self.marks, store::marks(&self.client).await?);
        if before.open_version != self.marks.open_version {
            self.open = read_open(&self.client).await?; // an erasure has changed them
        }
        Ok(())
    }

    /// Rolls up the next closed slice; `None` if there is none, else how many fixes it had.
    ///
    /// # Errors
    /// The database's own word; this leader must not go on afterwards.
    pub async fn roll_next(&mut self) -> anyhow::Result<Option<usize>> {
        let from = self.marks.rolled_to;
        if from >= self.marks.closing_to {
            return Ok(None);
        }
        let to = Timestamp::from_micros((from.micros().div_euclid(SLICE_US) + 1) * SLICE_US).min(self.marks.closing_to);
        if let Err(error) = partitions::summarize(&self.client, from).await {
            tracing::debug!(%error, "Index summary failed; reading the slice without it");
        }
        let transaction = self.client.transaction().await?;
        let heard = store::read_slice(&transaction, from, to).await?;
        let organisations = store::organisations(&transaction, &heard).await?;
        let sliced = slice::slice(&mut self.open, &heard, to, &organisations);
        let Sliced { closed, going_on, left, traffic } = &sliced;
        partitions::make_for(&transaction, "track", closed.iter().map(|p| p.from)).await?;
        store::add_segments(&transaction, closed).await?;
        let dwells: Vec<_> = going_on.iter().filter_map(|t| Some((*t, self.open.get(t)?))).collect();
        store::put_open(&transaction, &dwells, left).await?;
        store::add_traffic(&transaction, traffic).await?;
        store::advance(&transaction, self.marks, to).await?;
        transaction.commit().await?;
        self.marks.rolled_to = to;
        Ok(Some(heard.len()))
    }

    /// Merges some late fixes that have rested for `rest_s`; says how many were taken.
    ///
    /// # Errors
    /// The database's own word; this leader must not go on afterwards.
    pub async fn merge_late(&mut self, rest_s: f64) -> anyhow::Result<usize> {
        let transaction = self.client.transaction().await?;
        let (taken, late) = store::take_late(&transaction, rest_s, LATE_MAX).await?;
        let (mut added, mut new_fixes) = (Vec::new(), Vec::<ReceivedFix>::new());
        let mut reopened: Vec<TrackerKey> = Vec::new();
        for fixes in late.chunk_by(|a, b| a.tracker == b.tracker) {
            let tracker = fixes[0].tracker;
            let (first, last) = (fixes[0].fix.at, fixes[fixes.len() - 1].fix.at);
            let around = store::segments_around(&transaction, tracker, first, last).await?;
            let (segments, goes_on): (Vec<_>, Vec<bool>) = around.into_iter().unzip();
            let merged = merge(tracker, &segments, fixes)?;
            let mut removed = Vec::new();
            for (index, instead) in merged.replaced {
                match (goes_on[index], instead.first().map(|p| p.read()).transpose()?) {
                    (true, Some(SegmentBody::Dwell(dwell))) => {
                        self.open.insert(tracker, dwell);
                        reopened.push(tracker);
                    }
                    _ => {
                        removed.push(&segments[index]);
                        added.extend(instead);
                    }
                }
            }
            store::remove_pieces(&transaction, &removed).await?;
            added.extend(merged.added);
            new_fixes.extend(merged.new_fixes);
        }
        partitions::make_for(&transaction, "track", added.iter().map(|p| p.from)).await?;
        store::add_segments(&transaction, &added).await?;
        let dwells: Vec<_> = reopened.iter().filter_map(|t| Some((*t, self.open.get(t)?))).collect();
        store::put_open(&transaction, &dwells, &[]).await?;
        let organisations = store::organisations(&transaction, &new_fixes).await?;
        store::add_traffic(&transaction, &slice::traffic(&new_fixes, &organisations)).await?;
        transaction.commit().await?;
        Ok(taken)
    }

    /// How far it is.
    pub fn marks(&self) -> Marks {
        self.marks
    }
}

/// The dwells that go on.
async fn read_open(client: &Client) -> anyhow::Result<Open> {
    let mut open = Open::new();
    for segment in store::open_dwells(client).await? {
        match segment.read()? {
            SegmentBody::Dwell(dwell) => drop(open.insert(segment.tracker, dwell)),
            SegmentBody::Ride(_) => anyhow::bail!("the open piece of tracker {} is a ride", segment.tracker.0),
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_closed_when_it_is_over_for_long_enough() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        assert_eq!(last_closed(at("2026-11-24T10:16:59Z"), 120), at("2026-11-24T10:00:00Z"));
        assert_eq!(last_closed(at("2026-11-24T10:17:00Z"), 120), at("2026-11-24T10:15:00Z"));
    }
}
