//! The memory behind all live streams: where every vehicle is, kept up to date by the lanes' news.

use crate::api::error::Problem;
use crate::api::types::stored;
use crate::config::Broker;
use crate::domain::{Lane, Timestamp};
use crate::ingest::client_options::{jittered, options};
use crate::ingest::publisher::Message;
use crate::live::{FILTER, LiveUpdate, lane_of};
use crate::store::lane::LEASE_S;
use crate::store::proof::Proof;
use deadpool_postgres::Pool;
use rumqttc::{AsyncClient, Event, Packet, QoS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc};
use tokio_postgres::Row;

/// Alerts a client may lag behind before it must read them again by `GET /alerts`.
const ALERTS_BEHIND_MAX: usize = 256;
/// How often the memory is read again from the database: new vehicles, new owners.
const REREAD_EVERY: Duration = Duration::from_secs(30);

/// Messages of lanes that wait to be read; beyond, the broker's wait in their socket, and those of this process are dropped and
/// counted: the memory is read again.
pub const NEWS_MAX: usize = 1024;

/// A lane speaks at every tick of the clock, if only to say that it works. After so many ticks, and the time in which a
/// lane changes hands, without a word of one the positions are held up somewhere.
const TICKS_UNHEARD_MAX: u32 = 3;

/// What is known of a vehicle.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) plate: String,
    pub(super) at: Option<(f64, f64, Timestamp, Option<f32>)>,
    pub(super) armed: bool,
    pub(super) incident: bool,
    /// The organisation that looks after it.
    pub(super) organisation: Option<i64>,
    pub(super) version: u64,
    /// The version at which a stream that was opening had it read.
    pub(super) looked: u64,
}

/// What of the memory a stream may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// What is somebody's own, or shared with them.
    Own,
    /// What an organisation looks after.
    Organisation(Option<i64>),
    /// Everything.
    All,
}

/// Whose streams are open. The database tells of what their sessions may see, and tells nobody else.
#[derive(Default)]
struct Watching {
    /// By session: what its streams may see, and how many there are.
    sessions: BTreeMap<Proof, (Scope, usize)>,
    /// What the memory holds all of.
    held: BTreeSet<Scope>,
}

/// An open stream is counted until this is dropped.
pub(super) struct Watch {
    watching: Arc<Mutex<Watching>>,
    session: Proof,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watching = self.watching.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, streams)) = watching.sessions.get_mut(&self.session) {
            *streams -= 1;
            if *streams == 0 {
                watching.sessions.remove(&self.session);
            }
        }
    }
}

/// The memory behind all streams.
#[derive(Clone)]
pub struct Hub {
    places: Arc<Mutex<Memory>>,
    watching: Arc<Mutex<Watching>>,
    /// Looks at a whole organisation come one after the other: the second finds what the first has brought.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// Messages for one owner: alerts, and incidents that changed.
    pub(super) told: broadcast::Sender<(i64, Value)>,
    /// Sessions that were logged out.
    pub(super) ended: broadcast::Sender<Proof>,
    pool: Pool,
    unheard_max: Duration,
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) version: u64,
    pub(super) vehicles: BTreeMap<i64, Place>,
    pub(super) heard: ReceivedFix,
}

/// When each lane last said something.
pub(super) struct ReceivedFix(BTreeMap<Lane, Instant>);

impl Default for ReceivedFix {
    fn default() -> Self {
        Self(Lane::all().map(|lane| (lane, Instant::now())).collect()) // it has not been silent yet
    }
}

impl Hub {
    pub(super) fn new(pool: Pool, tick_every: Duration) -> Self {
        let unheard_max = tick_every * TICKS_UNHEARD_MAX + Duration::from_secs_f64(LEASE_S);
        let ended = broadcast::channel(ALERTS_BEHIND_MAX).0;
        let told = broadcast::channel(ALERTS_BEHIND_MAX).0;
        let (places, watching, looking) = (Arc::default(), Arc::default(), Arc::default());
        Self { places, watching, looking, told, ended, pool, unheard_max }
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts a stream that opens.
    pub(super) fn watch(&self, session: Proof, scope: Scope) -> Watch {
        self.watching().sessions.entry(session).or_insert((scope, 0)).1 += 1;
        Watch { watching: self.watching.clone(), session }
    }

    /// The sessions of open streams.
    fn sessions(&self) -> Vec<Proof> {
        self.watching().sessions.keys().copied().collect()
    }

    /// Brings into the memory what a stream may see, by the stream's own session.
    pub(super) async fn look_for(&self, session: Proof, scope: Scope) -> Result<(), Problem> {
        let _turn = if scope == Scope::Own { None } else { Some(self.looking.lock().await) };
        {
            let mut watching = self.watching();
            if let Some(known) = watching.sessions.get_mut(&session) {
                known.0 = scope;
            }
            let is_held = watching.held.contains(&scope) || watching.held.contains(&Scope::All);
            if scope != Scope::Own && is_held {
                return Ok(());
            }
        }
        let read = self.positions(&[session]).await?;
        let mut memory = self.memory();
        memory.version += 1;
        let version = memory.version;
        for (vehicle, place, _) in read {
            // What is known already is newer, by the lanes' news.
            memory.vehicles.entry(vehicle).or_insert(Place { version, ..place }).looked = version;
        }
        if scope != Scope::Own {
            self.watching().held.insert(scope);
        }
        Ok(())
    }

    /// What streams of these sessions may see, and whether it is off by choice.
    async fn positions(&self, sessions: &[Proof]) -> Result<Vec<(i64, Place, bool)>, Problem> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.pool.get().await?.query("SELECT * FROM api_live_positions($1)", &[&sessions]).await?;
        let place = |row: &Row| {
            let at =
                row.get::<_, Option<f64>>(2).zip(row.get::<_, Option<f64>>(3)).zip(row.get::<_, Option<Timestamp>>(4));
            let at = at.map(|((lat, lon), fixed_at)| (lat, lon, fixed_at, row.get(5)));
            let (armed, incident, organisation) = (row.get(6), row.get(7), row.get(8));
            (
                row.get(0),
                Place { plate: row.get(1), at, armed, incident, organisation, version: 0, looked: 0 },
                row.get(9),
            )
        };
        Ok(rows.iter().map(place).collect())
    }

    /// Whether some lane has been silent for too long: its vehicles' positions may be old, as when PostgreSQL hangs,
    /// the broker is gone or no worker holds the lane.
    pub(super) fn is_delayed(&self) -> bool {
        self.memory().heard.0.values().any(|at| at.elapsed() > self.unheard_max)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.places.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The lanes' news as the broker has them, for as long as the process runs.
    ///
    /// # Errors
    /// Names the file of the broker's settings that cannot be read.
    pub fn news_of(broker: &Broker) -> anyhow::Result<mpsc::Receiver<Message>> {
        let mut mqtt = options(broker, &format!("rideguard-api-{:08x}", rand::random::<u32>()))?;
        mqtt.set_clean_session(true);
        let (client, mut event_loop) = AsyncClient::new(mqtt, 64);
        let (to_reader, news) = mpsc::channel(NEWS_MAX);
        tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => drop(client.try_subscribe(FILTER, QoS::AtMostOnce)),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if to_reader.send((publish.topic, publish.payload.into())).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(jittered(Duration::from_secs(1))).await,
                }
            }
        });
        Ok(news)
    }

    /// Listens to the lanes' news, and reads the memory again from time to time; never ends.
    pub async fn run(self, mut news: mpsc::Receiver<Message>) {
        let mut reread = tokio::time::interval(REREAD_EVERY);
        loop {
            tokio::select! {
                Some((topic, bytes)) = news.recv() => if let (Some(lane), Some(news)) = (lane_of(&topic), LiveUpdate::from_bytes(&bytes)) {
                    self.take(lane, news).await;
                },
                _ = reread.tick() => if let Err(problem) = self.reread().await {
                    tracing::warn!(?problem, "Reloading live positions failed; retrying in {REREAD_EVERY:?}");
                },
            }
        }
    }

    async fn reread(&self) -> Result<(), Problem> {
        let _turn = self.looking.lock().await;
        let (sessions, held) = {
            let watching = self.watching();
            let scopes = watching.sessions.values().map(|(scope, _)| *scope).filter(|scope| *scope != Scope::Own);
            (watching.sessions.keys().copied().collect::<Vec<_>>(), scopes.collect())
        };
        let began = self.memory().version;
        let rows = self.positions(&sessions).await?;
        self.watching().held = held;
        let mut memory = self.memory();
        memory.version += 1;
        let version = memory.version;
        let there: BTreeSet<i64> = rows.iter().map(|(vehicle, ..)| *vehicle).collect();
        // What a stream brought that opened meanwhile stays, too.
        memory.vehicles.retain(|vehicle, place| there.contains(vehicle) || place.looked > began);
        for (vehicle, place, is_off) in rows {
            let read = Place { version, ..place };
            memory
                .vehicles
                .entry(vehicle)
                .and_modify(|known| {
                    // The rows lag behind the news; only what news do not carry is taken.
                    known.plate.clone_from(&read.plate);
                    let before = (known.armed, known.incident, known.organisation);
                    // A fix may have been told between a look and its end.
                    let is_newer = read.at.map(|at| at.2) > known.at.map(|at| at.2);
                    if is_newer || before != (read.armed, read.incident, read.organisation) {
                        known.version = version;
                    }
                    (known.armed, known.incident) = (read.armed, read.incident);
                    known.organisation = read.organisation;
                    known.at = if is_newer { read.at } else { known.at };
                    if is_off && known.at.take().is_some() {
                        known.version = version; // the news of it did not reach us
                    }
                })
                .or_insert(read);
        }
        Ok(())
    }

    async fn take(&self, lane: Lane, news: LiveUpdate) {
        {
            let mut memory = self.memory();
            if let Some(at) = memory.heard.0.get_mut(&lane) {
                *at = Instant::now();
            }
            memory.version += 1;
            let version = memory.version;
            for fix in &news.fixes {
                let Some(place) = memory.vehicles.get_mut(&fix.vehicle) else { continue };
                if place.at.is_none_or(|at| at.2 <= fix.fixed_at) {
                    place.at = Some((fix.lat, fix.lon, fix.fixed_at, fix.speed_kmh));
                    place.version = version;
                }
            }
            for vehicle in &news.off {
                if let Some(place) = memory.vehicles.get_mut(vehicle) {
                    (place.at, place.version) = (None, version);
                }
            }
            for (vehicle, armed) in &news.guards {
                if let Some(place) = memory.vehicles.get_mut(vehicle) {
                    (place.armed, place.version) = (*armed, version);
                }
            }
            for (vehicle, open) in &news.incidents {
                if let Some(place) = memory.vehicles.get_mut(vehicle) {
                    (place.incident, place.version) = (*open, version);
                }
            }
        }
        for incident in news.told_incidents {
            if let Err(problem) = self.tell_incident(incident).await {
                tracing::warn!(?problem, "Reading an incident for the live stream failed");
            }
        }
        for (alert, _vehicle) in news.alerts {
            if let Err(problem) = self.tell_alert(alert).await {
                tracing::warn!(?problem, "Reading an alert for the live stream failed");
            }
        }
    }

    /// Tells the owner of now of an alert; read from the database, so that who buys a vehicle is told at once.
    async fn tell_alert(&self, alert: i64) -> Result<(), Problem> {
        let sessions = self.sessions();
        if sessions.is_empty() {
            return Ok(()); // nobody watches
        }
        let sql = "SELECT * FROM api_alert_news($1, $2)";
        let rows = self.pool.get().await?.query(sql, &[&sessions, &alert]).await?;
        for row in rows {
            let shown = json!({ "type": "alert", "alert": stored::alert(row.get(1)) });
            drop(self.told.send((row.get(0), shown)));
        }
        Ok(())
    }

    /// Tells the owner of now how an incident stands; read from the database, so that news of two batches agree.
    async fn tell_incident(&self, incident: i64) -> Result<(), Problem> {
        let sessions = self.sessions();
        if sessions.is_empty() {
            return Ok(()); // nobody watches
        }
        let sql = "SELECT * FROM api_incident_news($1, $2)";
        let rows = self.pool.get().await?.query(sql, &[&sessions, &incident]).await?;
        for row in rows {
            let shown = json!({ "type": "incident", "incident": row.get::<_, Value>(1) });
            drop(self.told.send((row.get(0), shown)));
        }
        Ok(())
    }

    /// Ends the streams of a session at once.
    pub(super) fn end_session(&self, session: Proof) {
        drop(self.ended.send(session)); // nobody watches: nothing to end
    }
}
