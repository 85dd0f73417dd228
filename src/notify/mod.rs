//! Tells people: the outbox worker, and one file per channel.
//!
//! In: outbox rows. Out: attempts, each noted in the ledger. No transaction is held across a
//! network call; a claim is a lease, so a worker that dies is followed by another.

pub mod webhook;

use crate::config::Config;
use crate::failpoint::{self, Point};
use crate::store::outbox::{self, Attempted, Due};
use crate::store::{self};
use crate::telemetry::Metrics;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_postgres::Client;

/// A way to reach people. A new one is a file here, a line in [`channels`], and its rows in the view `account_channel`.
pub trait Channel: Send + Sync {
    /// Its name in the outbox.
    fn name(&self) -> &'static str;

    /// One attempt; what the receiver answered, in one word.
    fn send<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<String, SendError>>;
}

/// Every channel.
fn channels(config: &Config) -> Vec<Box<dyn Channel>> {
    vec![Box::new(webhook::Webhook::new(&config.notify))]
}

/// Why an attempt came to nothing: never a body, never an address.
#[derive(Debug, PartialEq, Eq)]
pub struct SendError {
    result: String,
    is_final: bool,
}

impl SendError {
    /// Not now; it is tried again.
    pub fn later(result: impl Into<String>) -> Self {
        Self { result: result.into(), is_final: false }
    }

    /// Trying again is useless.
    pub fn never(result: impl Into<String>) -> Self {
        Self { result: result.into(), is_final: true }
    }
}

/// Notifications on their way at a time: one slow receiver must not hold up the others.
const ON_THEIR_WAY_MAX: usize = 64;
/// How long a claim holds, seconds; longer than an attempt can take.
const CLAIM_S: f64 = 30.0;
/// How often to look without being told, in case a notice was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Works until `stop`; after a failure of the database it begins again.
pub async fn run(
    config: Config,
    database: tokio_postgres::Config,
    metrics: Arc<Metrics>,
    wake: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
) {
    let channels = channels(&config);
    while !*stop.borrow() {
        if let Err(error) = work(&config, &database, &metrics, &channels, wake.clone(), &mut stop).await {
            tracing::error!(error = %format!("{error:#}"), "Notification worker failed; restarting in {LOOK_EVERY:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn work(
    config: &Config,
    database: &tokio_postgres::Config,
    metrics: &Metrics,
    channels: &[Box<dyn Channel>],
    mut wake: watch::Receiver<u64>,
    stop: &mut watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut client = store::connect(database, "notify").await?;
    let mut on_their_way = FuturesUnordered::new();
    while !*stop.borrow() {
        let room = ON_THEIR_WAY_MAX - on_their_way.len();
        metrics.notifications_suppressed.inc_by(outbox::admit(&client).await?.unsigned_abs().into());
        let claimed = if room > 0 { outbox::claim(&client, room as i64, CLAIM_S).await? } else { Vec::new() };
        if !claimed.is_empty() {
            failpoint::pass(Point::Claimed);
        }
        on_their_way.extend(claimed.into_iter().map(|due| attempt(channels, due)));
        tokio::select! {
            Some(attempt) = on_their_way.next() => note(&mut client, config, metrics, attempt).await?,
            _ = wake.changed() => {}
            _ = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
    // What is on its way is waited for: otherwise it would be sent once more after the next start.
    while let Some(attempt) = on_their_way.next().await {
        note(&mut client, config, metrics, attempt).await?;
    }
    Ok(())
}

/// One attempt and how it ended.
struct Attempt {
    due: Due,
    took: Duration,
    sent: Result<String, SendError>,
}

async fn attempt(channels: &[Box<dyn Channel>], due: Due) -> Attempt {
    let started = Instant::now();
    let sent = match channels.iter().find(|channel| channel.name() == due.channel) {
        Some(channel) => channel.send(&due).await,
        // A newer program may know it.
        None => Err(SendError::later(format!("this program has no channel {:?}", due.channel))),
    };
    failpoint::pass(Point::Sent);
    Attempt { due, took: started.elapsed(), sent }
}

async fn note(client: &mut Client, config: &Config, metrics: &Metrics, attempt: Attempt) -> anyhow::Result<()> {
    let Attempt { due, took, sent } = attempt;
    let (came, result) = judge(&due, sent, config.notify.attempts_max);
    let outcome = if matches!(came, Attempted::Done) { "done" } else { "failed" };
    metrics.notifications.with_label_values(&[outcome]).inc();
    let took_ms = i32::try_from(took.as_millis()).unwrap_or(i32::MAX);
    outbox::record(client, &due, took_ms, &result, &came).await?;
    failpoint::pass(Point::Noted);
    Ok(())
}

/// Done, again later, or given up.
fn judge(due: &Due, sent: Result<String, SendError>, attempts_max: i32) -> (Attempted, String) {
    let again = Attempted::Again { after_s: backoff_s(due.attempt) };
    let (came, result) = match sent {
        Ok(answer) => (Attempted::Done, answer),
        Err(error) if error.is_final => (Attempted::Failed, error.result),
        Err(error) => (again, error.result),
    };
    match came {
        Attempted::Again { .. } if due.attempt >= attempts_max => (Attempted::Failed, result),
        came => (came, result),
    }
}

/// 1, 2, 4 … 300 s, half to all of it.
fn backoff_s(attempt: i32) -> f64 {
    let whole = 2f64.powi(attempt.clamp(1, 16) - 1).min(300.0);
    whole * rand::random_range(0.5..1.0)
}
