//! The door: trackers connect to RideGuard itself, and an acknowledgement means "in the journal".
//!
//! In: connections by TLS. Out: [`crate::ingest::Delivery`]s to the queues of their lanes, each with a receipt that knows its
//! way back. Never: SQL but for the list of who may come in and for what operators are told,
//! decoding, waiting. Some threads take turns over all connections
//! (`docs/decisions/0037-a-door-of-our-own.md`); tokio is not in it, for a task a connection costs half as much again.

mod connection;
mod datagrams;
mod ear;
mod end;
mod frame_talk;
mod guest;
mod guests;
mod kept;
pub mod limits;
pub mod mqtt;
mod mqtt_talk;
mod pace;
mod registrar;
mod report;
pub mod roster;
mod socket;
mod talk;
mod tally;
mod thread;
mod tls;

use crate::config;
use crate::domain::TrackerIdent;
use crate::ingest::door_state::DoorState;
use crate::ingest::lane_queue::LaneQueues;
use crate::ingest::places::Places;
use crate::ingest::receipt::Mailbox;
use crate::telemetry::Metrics;
use anyhow::Context;
use ear::Bound;
use end::End;
use guests::Guests;
use kept::Kept;
use limits::{DESCRIPTORS_KEPT, LOOK_EVERY};
use registrar::Registration;
use report::Reporter;
use roster::Roster;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tally::Tally;
use thread::Thread;
use tokio::sync::{mpsc, watch};

/// Threads unless the settings say otherwise; one takes 30,000 messages a second.
const THREADS: usize = 4;
/// How often a thing that goes on is told in the log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Trackers named in that time; the counter tells of the rest.
const COMPLAINTS_MAX: u32 = 60;

/// What all threads of the door share.
struct Shared {
    guests: Guests,
    places: Places,
    queues: LaneQueues,
    kept: Arc<Kept>,
    metrics: Arc<Metrics>,
    listeners: Vec<config::Listener>,
    /// What each of them has to do.
    tallies: Vec<Tally>,
    tls: Option<Arc<rustls::ServerConfig>>,
    strangers: Strangers,
    /// Connections, and how many there may be.
    open: AtomicU64,
    open_max: u64,
    complained_at: Mutex<Option<Instant>>,
    /// When operators were last told of a tracker by name, and how often since then.
    told: Mutex<Option<(Instant, u32)>>,
    registrations: mpsc::Sender<Registration>,
    is_stopped: AtomicBool,
}

/// Connections of each address that have not logged in.
#[derive(Default)]
struct Strangers(Mutex<HashMap<IpAddr, u32>>);

impl Strangers {
    /// One more, unless there are so many.
    fn enter(&self, address: IpAddr, most: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        let has_room = *count < most;
        *count += u32::from(has_room);
        has_room
    }

    fn leave(&self, address: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

impl Shared {
    fn has_room_for_one(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.open_max
    }

    fn labels(&self, listener: usize, is_tls: bool) -> [&'static str; 2] {
        let language = self.listeners.get(listener).map_or("", |listener| listener.language.name());
        [language, if is_tls { "tls" } else { "plain" }]
    }

    fn count_in(&self, listener: usize, is_tls: bool) {
        self.metrics.door_connections.with_label_values(&self.labels(listener, is_tls)).inc();
        self.tallies[listener].logged_in();
    }

    fn count_out(&self, listener: usize, is_tls: bool) {
        self.metrics.door_connections.with_label_values(&self.labels(listener, is_tls)).dec();
        self.tallies[listener].closed(true);
    }

    fn count_end(&self, listener: usize, why: &'static str) {
        self.metrics.door_ended.with_label_values(&[why]).inc();
        self.tallies[listener].count(why);
    }

    /// Somebody tried what is not theirs under a tracker's name.
    fn complain_of_guest(&self, ident: &TrackerIdent, end: &End) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = told.filter(|(since, _)| since.elapsed() < COMPLAIN_EVERY).unwrap_or((Instant::now(), 0));
        *told = Some((since, count.saturating_add(1)));
        if count < COMPLAINTS_MAX {
            tracing::warn!(tracker = ident.as_str(), "A tracker was thrown off the door: {end}");
        }
    }

    fn complain_of_accept(&self, error: &std::io::Error) {
        let mut complained_at = self.complained_at.lock().unwrap_or_else(PoisonError::into_inner);
        if complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            tracing::error!(%error, "The door cannot accept connections; it tries again each second");
            *complained_at = Some(Instant::now());
        }
    }
}

/// The open door.
pub struct Door {
    shared: Arc<Shared>,
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    reporter: Option<tokio::task::JoinHandle<()>>,
}

/// What the door works with.
pub struct Surroundings {
    /// Where packets go.
    pub queues: LaneQueues,
    /// Who is connected.
    pub places: Places,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// How the list of trackers is asked for, and operators are told.
    pub database: tokio_postgres::Config,
    /// This process, as operators are told of it.
    pub worker: String,
    /// Whether it lets trackers in.
    pub state: DoorState,
    /// Counts up when credentials changed.
    pub changed: watch::Receiver<u64>,
}

impl Door {
    /// Opens every listener of the settings; within a second it knows whom to let in. `None`: there are no listeners.
    ///
    /// # Errors
    /// Names the listener whose port is busy, or the file that cannot be read.
    pub fn open(
        settings: &config::Door,
        around: Surroundings,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Option<Self>> {
        if settings.listener.is_empty() {
            return Ok(None);
        }
        let bound = settings.listener.iter().map(|l| Bound::at(l.listen, l.language.name(), l.udp));
        let bound: Vec<Bound> = bound.collect::<anyhow::Result<_>>()?;
        let (registrations, asked) = mpsc::channel(registrar::WAITING_MAX);
        let shared = Arc::new(Shared {
            guests: Guests::default(),
            places: around.places.clone(),
            queues: around.queues,
            kept: Arc::default(),
            metrics: around.metrics,
            listeners: settings.listener.clone(),
            tallies: settings.listener.iter().map(|_| Tally::default()).collect(),
            tls: tls::config(settings)?,
            strangers: Strangers::default(),
            open: AtomicU64::new(0),
            open_max: connections_max()?,
            complained_at: Mutex::default(),
            told: Mutex::default(),
            registrations,
            is_stopped: AtomicBool::new(false),
        });
        around.state.note_listening();
        let reporter = Reporter::new(shared.clone(), around.database.clone(), around.worker).run(stop.clone());
        let roster = Roster::new(around.database, settings.trackers_file.clone());
        let told = (around.places, shared.kept.clone(), around.state);
        tokio::spawn(shared.guests.clone().follow(roster, told, asked, around.changed, stop));
        let wanted = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS),
            wanted => wanted,
        };
        let mut door = Self { shared, mailboxes: Vec::new(), threads: Vec::new(), reporter: None };
        for n in 0..wanted {
            door.start_thread(n, &bound)?;
        }
        door.reporter = Some(tokio::spawn(reporter));
        for listener in &settings.listener {
            let (language, address) = (listener.language.name(), listener.listen);
            tracing::info!(language, %address, tls = listener.is_tls(), udp = listener.udp, "The door is open");
        }
        Ok(Some(door))
    }

    fn start_thread(&mut self, n: usize, bound: &[Bound]) -> anyhow::Result<()> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), thread::MAIL)?;
        let mailbox = Mailbox::new(move || drop(waker.wake()));
        let own = bound.iter().map(Bound::ear).collect::<std::io::Result<Vec<_>>>()?;
        let thread = Thread::new(self.shared.clone(), poll, mailbox.clone(), own)?;
        self.mailboxes.push(mailbox);
        let started = std::thread::Builder::new().name(format!("door-{n}")).spawn(move || thread.run());
        self.threads.push(started.context("cannot start a thread of the door")?);
        Ok(())
    }

    /// Waits for `stop`, says goodbye to everybody, and closes.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // A fault of ours: the process ends and begins again, as with a lane.
            assert!(!self.threads.iter().any(|thread| thread.is_finished()), "a thread of the door ended");
        }
        let (threads, reporter) = (std::mem::take(&mut self.threads), self.reporter.take());
        drop(self); // which tells them
        let closed =
            tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(std::thread::JoinHandle::join));
        if !matches!(closed.await, Ok(Ok(()))) {
            tracing::error!("A thread of the door had failed");
        }
        if let Some(reporter) = reporter {
            drop(reporter.await);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.mailboxes.iter().for_each(|mailbox| mailbox.wake());
    }
}

/// As many connections as the limit of file descriptors leaves room for.
fn connections_max() -> anyhow::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    if limit < DESCRIPTORS_KEPT + 1024 {
        tracing::warn!(limit, "The limit of file descriptors (LimitNOFILE) leaves the door few connections");
    }
    Ok(limit.saturating_sub(DESCRIPTORS_KEPT).max(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_strangers_and_room_again_when_they_go() {
        let strangers = Strangers::default();
        let [here, there] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        assert!(strangers.enter(here, 2) && strangers.enter(here, 2) && !strangers.enter(here, 2));
        assert!(strangers.enter(there, 2), "another address");
        strangers.leave(here);
        assert!(strangers.enter(here, 2));
    }
}
