//! Seals the audit: chains its rows, signs the heads, keeps them in files that the database cannot reach.
//!
//! In: rows of audit. Out: seals and lines of files. The table comes first, so a file is never ahead of it: a
//! head of a file that is not in the table says that the table was changed, or restored from a backup.

pub mod key;
mod places;
pub mod verify;

use crate::clock::now;
use crate::config::Audit;
use crate::failpoint::{self, Point};
use crate::store::audit::head::Head;
use crate::store::{self, audit};
use crate::telemetry::Metrics;
use anyhow::Context;
use key::SigningKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

/// Time from one look at the audit to the next, a little under the second within which a row is to be sealed.
const LOOK_EVERY: Duration = Duration::from_millis(900);
/// Most that the end of the program waits for the files.
const LAST_HEADS_MAX: Duration = Duration::from_secs(2);

/// The one that seals.
pub struct Sealer {
    key: SigningKey,
    files: Vec<PathBuf>,
    heads_every: Duration,
    metrics: Arc<Metrics>,
    /// The newest head that this process knows of.
    known: Option<Head>,
}

impl Sealer {
    /// Reads the key and publishes its public half.
    ///
    /// # Errors
    /// No key is set, or a file that cannot be read or written.
    pub fn open(settings: &Audit, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let file = settings.key_file.as_ref().context("audit.key_file is not set; without a key nothing is sealed")?;
        let key = SigningKey::read(file)?;
        if let Some(public) = &settings.public_key_file {
            key.publish(public)?;
        }
        let files = settings.heads_file.iter().chain(&settings.copy_heads_to).cloned().collect();
        Ok(Self { key, files, heads_every: Duration::from_secs(settings.heads_every_s), metrics, known: None })
    }

    /// Seals until `stop`; after a failure of the database it begins again.
    pub async fn run(mut self, database: tokio_postgres::Config, mut stop: watch::Receiver<bool>) {
        let (tell, heads) = watch::channel(None);
        let (found, mut earlier) = mpsc::channel(self.files.len().max(1));
        let mut writers = JoinSet::new();
        for file in &self.files {
            let (heads, found) = (heads.clone(), found.clone());
            writers.spawn(places::keep(file.clone(), self.heads_every, heads, found, self.metrics.clone()));
        }
        drop((heads, found));
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut client, mut all_sealed) = (None, Instant::now());
        while !*stop.borrow() {
            tokio::select! {
                _ = look.tick() => {}
                _ = stop.changed() => break,
            }
            let looked = Instant::now();
            match self.look(&database, &mut client, &tell, &mut earlier).await {
                Ok(()) => all_sealed = looked,
                Err(error) => {
                    client = None;
                    tracing::error!(error = %format!("{error:#}"), "Sealing the audit failed; retrying");
                }
            }
            self.metrics.audit_seal_age_s.set(all_sealed.elapsed().as_secs() as i64);
        }
        drop(tell);
        drop(tokio::time::timeout(LAST_HEADS_MAX, async { while writers.join_next().await.is_some() {} }).await);
    }

    /// One look: seals everything that is there.
    async fn look(
        &mut self,
        database: &tokio_postgres::Config,
        connection: &mut Option<Client>,
        tell: &watch::Sender<Option<Head>>,
        earlier: &mut mpsc::Receiver<(PathBuf, Head)>,
    ) -> anyhow::Result<()> {
        let client = match connection {
            Some(client) => client,
            None => connection.insert(store::connect(database, "seal").await?),
        };
        loop {
            let sign = |text: &str| self.key.sign(text);
            let sealed = store::answered(audit::seal(client, now(), &sign)).await?;
            self.metrics.audit_unsealed_rows.set(sealed.waiting);
            let is_new = sealed.head != self.known;
            if is_new {
                self.compare_with_known(client).await?;
                failpoint::pass(Point::Sealed);
                self.known.clone_from(&sealed.head);
                tell.send_replace(sealed.head);
            }
            // Another sealer was faster: at the next look.
            if sealed.waiting == 0 || !is_new {
                break;
            }
        }
        while let Ok((file, head)) = earlier.try_recv() {
            if !audit::is_there(client, &head).await? {
                self.conflict(&head, &format!("{} holds", file.display()));
            }
        }
        Ok(())
    }

    /// What was sealed under our eyes must still be there.
    async fn compare_with_known(&self, client: &Client) -> anyhow::Result<()> {
        if let Some(known) = &self.known
            && !audit::is_there(client, known).await?
        {
            self.conflict(known, "this process knows");
        }
        Ok(())
    }

    fn conflict(&self, head: &Head, who: &str) {
        self.metrics.audit_conflicts.inc();
        tracing::error!(
            "{who} head {} of the audit, of {}, which is not in the table: it was changed, or restored from a backup; see `rideguard audit verify`",
            head.number,
            head.sealed_at
        );
    }
}
