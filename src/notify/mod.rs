//! Tells people: the outbox worker, and one file per channel.
//!
//! In: outbox rows. Out: attempts, each noted in the ledger. No transaction is held across a
//! network call; a claim is a lease, so a worker that dies is followed by another.

pub mod webhook;

use crate::config::Config;
use crate::store::outbox::{self, Attempted, Due};
use crate::store::{self};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Notifications claimed at a time, and sent side by side.
const CLAIM_MAX: i64 = 64;
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
    let sender = webhook::Sender::new(config.notify.allow_private_webhooks);
    while !*stop.borrow() {
        if let Err(error) = work(&config, &database, &metrics, &sender, wake.clone(), &mut stop).await {
            tracing::error!(error = %format!("{error:#}"), "Notifications are held up; trying again");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn work(
    config: &Config,
    database: &tokio_postgres::Config,
    metrics: &Metrics,
    sender: &webhook::Sender,
    mut wake: watch::Receiver<u64>,
    stop: &mut watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut client = store::connect(database, "notify").await?;
    while !*stop.borrow() {
        let due = outbox::claim(&client, CLAIM_MAX, CLAIM_S).await?;
        if due.is_empty() {
            tokio::select! {
                _ = wake.changed() => {}
                _ = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.changed() => {}
            }
            continue;
        }
        let attempts = due.iter().map(|d| async move {
            let started = Instant::now();
            let sent = sender.send(d).await;
            (d, started.elapsed(), sent)
        });
        for (due, took, sent) in futures_util::future::join_all(attempts).await {
            let (came, result) = judge(due, sent, config.notify.attempts_max);
            metrics
                .notifications
                .with_label_values(&[if matches!(came, Attempted::Done) { "done" } else { "failed" }])
                .inc();
            outbox::record(&mut client, due, i32::try_from(took.as_millis()).unwrap_or(i32::MAX), &result, &came)
                .await?;
        }
    }
    Ok(())
}

/// Done, again later, or given up.
fn judge(due: &Due, sent: Result<u16, webhook::SendError>, attempts_max: i32) -> (Attempted, String) {
    let again = Attempted::Again { after_s: backoff_s(due.attempt) };
    let (came, result) = match sent {
        Ok(status) if (200..300).contains(&status) => (Attempted::Done, status.to_string()),
        Ok(status) => (again, status.to_string()),
        Err(error) if error.is_final() => (Attempted::Failed, error.to_string()),
        Err(error) => (again, error.to_string()),
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
