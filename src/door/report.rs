//! Tells operators of the door, by PostgreSQL: its listeners, and who is connected.
//!
//! The threads of the door only note what changed (`ingest::visits`), in memory that the number of trackers bounds. A task writes
//! it together, so much a turn at most: a herd that comes back is written by and by, and a database that is away stops nobody.

use crate::clock::now;
use crate::domain::Timestamp;
use crate::door::Shared;
use crate::door::limits::SILENCE_MAX;
use crate::ingest::visits::Told;
use crate::store;
use crate::store::door_report::{self, Connections, Listener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_postgres::Client;

/// Between two reports. Operators take whoever is silent for 15 s for gone (`door_gone_at`).
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Rows of one statement: some 20 ms of the database.
const ROWS_PER_STATEMENT: usize = 500;
/// Rows of a report: 1,000 a second take 4 % of a processor, and a herd of 19,000 is told of within 20 s.
const ROWS_PER_REPORT: usize = 2000;
/// How often everybody who is there is told of again, which mends what was lost elsewhere: rows that are as they were are not
/// written.
const TELL_ALL_EVERY: Duration = Duration::from_secs(600);
/// Longest the database is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// By so much earlier the database ends a statement.
const MARGIN: Duration = Duration::from_secs(1);
/// The same at the end of the process.
const LAST_WORD_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    database: tokio_postgres::Config,
    worker: String,
    began_at: Timestamp,
    client: Option<Client>,
    told_all_at: Instant,
    is_told_away: bool,
    /// A report came to nothing, and others may have taken us for gone meanwhile: everybody is told of again.
    owes_all: bool,
}

impl Reporter {
    pub fn new(shared: Arc<Shared>, database: tokio_postgres::Config, worker: String) -> Self {
        let (began_at, told_all_at) = (now(), Instant::now());
        Self { shared, database, worker, began_at, client: None, told_all_at, is_told_away: false, owes_all: false }
    }

    /// Reports until `stop`, and says goodbye.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let reported = tokio::time::timeout(ANSWER_MAX, self.report()).await;
            match reported.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", ANSWER_MAX.as_secs()))) {
                Ok(()) => self.is_told_away = false,
                Err(error) => {
                    self.client = None;
                    self.owes_all = true;
                    if !std::mem::replace(&mut self.is_told_away, true) {
                        tracing::warn!(error = %format!("{error:#}"), "What operators see of the door cannot be written; the door goes on");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(REPORT_EVERY) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        let last_word = async {
            let worker = self.worker.clone();
            anyhow::Ok(door_report::leave(self.connected().await?, &worker).await?)
        };
        if !matches!(tokio::time::timeout(LAST_WORD_MAX, last_word).await, Ok(Ok(()))) {
            tracing::debug!("Operators could not be told that the door closes; they see that it is silent");
        }
    }

    async fn connected(&mut self) -> anyhow::Result<&Client> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let client = store::connect(&self.database, "door").await?;
                // What we gave up must not be done afterwards.
                client.batch_execute(&format!("SET statement_timeout = {}", (ANSWER_MAX - MARGIN).as_millis())).await?;
                client
            }
        };
        Ok(self.client.insert(client))
    }

    async fn report(&mut self) -> anyhow::Result<()> {
        let (listeners, is_list_read) = (self.listeners(), self.shared.guests.is_read());
        let (worker, began_at) = (self.worker.clone(), self.began_at);
        let (places, owes_all) = (self.shared.places.clone(), self.owes_all);
        let client = self.connected().await?;
        let is_unknown = door_report::beat(client, (&worker, began_at), is_list_read, &listeners).await?;
        let mut left = ROWS_PER_REPORT;
        if is_unknown || owes_all {
            places.tell_all();
        }
        while left > 0 {
            let mut taken = Taken { places: &places, told: places.take_news(ROWS_PER_STATEMENT.min(left)) };
            if taken.told.is_empty() {
                break;
            }
            left -= taken.told.len();
            door_report::note(client, &worker, &columns(&taken.told)).await?;
            taken.told.clear();
        }
        self.owes_all = false;
        if self.told_all_at.elapsed() >= TELL_ALL_EVERY {
            self.told_all_at = Instant::now();
            places.tell_all();
        }
        Ok(())
    }

    fn listeners(&self) -> Vec<Listener> {
        let mut by_datagrams = vec![0; self.shared.listeners.len()];
        let silent = now().plus_secs_f64(-SILENCE_MAX.as_secs_f64());
        self.shared.places.count_datagrams(silent, &mut by_datagrams);
        let listener = |((l, tally), by_datagrams): ((&crate::config::Listener, &super::tally::Tally), u64)| {
            let (connected, strangers) = tally.open();
            Listener {
                language: l.language.name(),
                address: l.listen.to_string(),
                is_udp: l.udp,
                is_tls: l.is_tls(),
                connected: connected + by_datagrams,
                strangers,
                ended: tally.ended(),
            }
        };
        self.shared.listeners.iter().zip(&self.shared.tallies).zip(by_datagrams).map(listener).collect()
    }
}

/// What is being written; it waits again if that comes to nothing, however it does.
struct Taken<'a> {
    places: &'a crate::ingest::places::Places,
    told: Vec<Told>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.places.put_back(std::mem::take(&mut self.told));
    }
}

fn columns(told: &[Told]) -> Connections {
    let mut columns = Connections::default();
    for Told { ident, visit, ended } in told {
        columns.idents.push(ident.as_str().to_owned());
        columns.began_at.push(visit.began_at);
        columns.ended_at.push(ended.map(|(at, _)| at.max(visit.began_at)));
        columns.reasons.push(ended.map(|(_, why)| why));
        columns.listeners.push(visit.listener.into());
        columns.mqtt.push(visit.mqtt);
        columns.networks.push(visit.network.to_string());
    }
    columns
}
