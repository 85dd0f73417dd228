//! The live stream: one WebSocket a client, a snapshot and then what changed, once a second.
//!
//! Positions are answered from memory, which the lanes' news keep up to date. A slow client skips:
//! it is sent the newest state of what changed since its last message, never a queue.

use super::Api;
use super::error::Problem;
use super::session::{Person, Role, digest, new_token, person_of};
use super::vehicles::id;
use crate::config::Broker;
use crate::domain::Timestamp;
use crate::ingest::mqtt::{jittered, options};
use crate::live::{FILTER, News};
use axum::Json;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Pool;
use rumqttc::{AsyncClient, Event, Packet, QoS};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use utoipa::ToSchema;

/// Largest message a client may send, bytes.
const CLIENT_BYTES_MAX: usize = 4096;
/// Streams side by side.
const STREAMS_MAX: i64 = 1000;
/// Alerts a client may lag behind before it must read them again by `GET /alerts`.
const ALERTS_BEHIND_MAX: usize = 256;
/// Most vehicles in one message.
const VEHICLES_MAX: usize = 5000;
/// How often the memory is read again from the database: new vehicles, new owners.
const REREAD_EVERY: Duration = Duration::from_secs(30);
/// How often a stream is accounted for and its session looked at.
const ACCOUNT_EVERY: Duration = Duration::from_secs(60);

/// What is known of a vehicle.
#[derive(Clone, Debug)]
struct Place {
    plate: String,
    owner: Option<i64>,
    at: Option<(f64, f64, Timestamp, Option<f32>)>,
    armed: bool,
    incident: bool,
    version: u64,
}

/// The memory behind all streams.
#[derive(Clone)]
pub struct Hub {
    places: Arc<Mutex<Memory>>,
    alerts: broadcast::Sender<(i64, Value)>,
    pool: Pool,
}

#[derive(Default)]
struct Memory {
    version: u64,
    vehicles: BTreeMap<i64, Place>,
}

impl Hub {
    pub(super) fn new(pool: Pool) -> Self {
        Self { places: Arc::default(), alerts: broadcast::channel(ALERTS_BEHIND_MAX).0, pool }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.places.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Listens to the lanes' news, and reads the memory again from time to time; never ends.
    ///
    /// # Errors
    /// Names the file of the broker's settings that cannot be read.
    pub async fn run(self, broker: Broker) -> anyhow::Result<()> {
        let mut mqtt = options(&broker, &format!("rideguard-api-{:08x}", rand::random::<u32>()))?;
        mqtt.set_clean_session(true);
        let (client, mut event_loop) = AsyncClient::new(mqtt, 64);
        let (to_reader, mut news) = tokio::sync::mpsc::channel(1024);
        tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => drop(client.try_subscribe(FILTER, QoS::AtMostOnce)),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if to_reader.send(publish.payload).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(jittered(Duration::from_secs(1))).await,
                }
            }
        });
        let mut reread = tokio::time::interval(REREAD_EVERY);
        loop {
            tokio::select! {
                Some(bytes) = news.recv() => if let Some(news) = News::from_bytes(&bytes) { self.take(news).await },
                _ = reread.tick() => if let Err(problem) = self.reread().await {
                    tracing::warn!(?problem, "The live map's memory could not be read again");
                },
            }
        }
    }

    async fn reread(&self) -> Result<(), Problem> {
        let rows = self.pool.get().await?.query("SELECT * FROM api_live_positions()", &[]).await?;
        let mut memory = self.memory();
        memory.version += 1;
        let version = memory.version;
        let there: BTreeSet<i64> = rows.iter().map(|r| r.get(0)).collect();
        memory.vehicles.retain(|vehicle, _| there.contains(vehicle));
        for row in rows {
            let at =
                row.get::<_, Option<f64>>(2).zip(row.get::<_, Option<f64>>(3)).zip(row.get::<_, Option<Timestamp>>(4));
            let at = at.map(|((lat, lon), fixed_at)| (lat, lon, fixed_at, row.get(5)));
            let read =
                Place { plate: row.get(1), owner: row.get(8), at, armed: row.get(6), incident: row.get(7), version };
            memory
                .vehicles
                .entry(row.get(0))
                .and_modify(|known| {
                    // The rows lag behind the news; only what news do not carry is taken.
                    known.plate.clone_from(&read.plate);
                    known.owner = read.owner;
                    if known.at.is_none() || (known.armed, known.incident) != (read.armed, read.incident) {
                        known.version = version;
                    }
                    (known.armed, known.incident) = (read.armed, read.incident);
                    known.at = known.at.or(read.at);
                })
                .or_insert(read);
        }
        Ok(())
    }

    async fn take(&self, news: News) {
        {
            let mut memory = self.memory();
            memory.version += 1;
            let version = memory.version;
            for fix in &news.fixes {
                let Some(place) = memory.vehicles.get_mut(&fix.vehicle) else { continue };
                if place.at.is_none_or(|at| at.2 <= fix.fixed_at) {
                    place.at = Some((fix.lat, fix.lon, fix.fixed_at, fix.speed_kmh));
                    place.version = version;
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
        for (alert, vehicle) in news.alerts {
            let owner = self.memory().vehicles.get(&vehicle).and_then(|p| p.owner);
            let Some(owner) = owner else { continue };
            match self.alert(owner, alert).await {
                Ok(Some(shown)) => drop(self.alerts.send((owner, shown))),
                Ok(None) => {}
                Err(problem) => tracing::warn!(?problem, "An alert could not be read for the live stream"),
            }
        }
    }

    async fn alert(&self, owner: i64, alert: i64) -> Result<Option<Value>, Problem> {
        let row =
            self.pool.get().await?.query_opt("SELECT * FROM api_my_alerts($1, $2, 1)", &[&owner, &(alert + 1)]).await?;
        Ok(row.map(|r| r.get::<_, Value>(0)).filter(|shown| shown["id"] == alert.to_string()))
    }
}

/// What a stream is asked for.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct Ask {
    /// The grant that allows it (police).
    grant: Option<String>,
}

/// A ticket for a live stream: once, for 30 s. A token never stands in an address.
#[utoipa::path(post, path = "/live/ticket", request_body = Option<Ask>, security(("bearer" = [])), responses((status = 200, description = "the ticket", body = Value), (status = 403, description = "no grant")))]
pub(super) async fn ticket(
    State(api): State<Api>,
    person: Person,
    body: Option<Json<Ask>>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Police, Role::Operator])?;
    let ask = body.map(|Json(b)| b).unwrap_or_default();
    let grant = ask.grant.as_deref().map(|g| id(g, "grant")).transpose()?;
    let ticket = new_token();
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT to_jsonb(api_open_live($1, $2, $3, $4, $5))",
            &[&person.account, &person.role.name(), &grant, &digest(&ticket), &person.session],
        )
        .await?;
    Ok(Json(json!({ "ticket": ticket, "expires_at": row.get::<_, Value>(0) })))
}

#[derive(Deserialize)]
pub(super) struct Opening {
    ticket: Option<String>,
}

/// Opens the stream. Only pages of our own origin may: a foreign page has no ticket, and its
/// Origin gives it away.
pub(super) async fn stream(
    State(api): State<Api>,
    Query(opening): Query<Opening>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !is_own_origin(&headers) {
        return (StatusCode::FORBIDDEN, "foreign origin").into_response();
    }
    if api.metrics.live_streams.get() >= STREAMS_MAX {
        return Problem::TooMany.into_response();
    }
    upgrade.max_message_size(CLIENT_BYTES_MAX).on_upgrade(move |socket| async move {
        api.metrics.live_streams.inc();
        let _ended = serve(&api, socket, &opening.ticket.unwrap_or_default()).await;
        api.metrics.live_streams.dec();
    })
}

/// A browser states where the page came from; other programs state nothing.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, o)| o == host),
        (Some(_), None) => false,
    }
}

/// Who watches, and what they may see.
struct Watcher {
    account: i64,
    role: Role,
    grant: Option<i64>,
    session: Vec<u8>,
    bbox: Option<[f64; 4]>,
    seen_version: u64,
    shown: BTreeSet<i64>,
}

async fn serve(api: &Api, mut socket: WebSocket, ticket: &str) -> Result<(), axum::Error> {
    let Some(mut watcher) = admit(api, ticket).await else {
        let close = CloseFrame { code: 4001, reason: "ticket refused".into() };
        return socket.send(Message::Close(Some(close))).await;
    };
    let mut alerts = api.live.alerts.subscribe();
    let snapshot = watcher.changes(&api.live.memory());
    account(api, &watcher, snapshot.len()).await;
    socket.send(text(&json!({ "type": "snapshot", "vehicles": snapshot }))).await?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let mut accounted = Instant::now();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(said))) => if watcher.look_elsewhere(&said) {
                    account(api, &watcher, watcher.shown.len()).await;
                    let snapshot = watcher.changes(&api.live.memory());
                    socket.send(text(&json!({ "type": "snapshot", "vehicles": snapshot }))).await?;
                },
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            alert = alerts.recv() => if let Ok((owner, alert)) = alert && watcher.role == Role::Owner && owner == watcher.account {
                socket.send(text(&json!({ "type": "alert", "alert": alert }))).await?;
            },
            _ = every_second.tick() => {
                let changed = watcher.changes(&api.live.memory());
                if !changed.is_empty() {
                    socket.send(text(&json!({ "type": "delta", "vehicles": changed }))).await?;
                }
                if accounted.elapsed() >= ACCOUNT_EVERY {
                    accounted = Instant::now();
                    if !matches!(person_of(api, &watcher.session).await, Ok(Some(_))) {
                        return socket.send(Message::Close(Some(CloseFrame { code: 4002, reason: "session ended".into() }))).await;
                    }
                    socket.send(Message::Ping(Vec::new().into())).await?;
                    account(api, &watcher, watcher.shown.len()).await;
                }
            }
        }
    }
}

fn text(value: &Value) -> Message {
    Message::Text(value.to_string().into())
}

async fn admit(api: &Api, ticket: &str) -> Option<Watcher> {
    let client = api.pool.get().await.ok()?;
    let row = client.query_opt("SELECT * FROM api_use_ticket($1)", &[&digest(ticket)]).await.ok()??;
    let role = Role::parse(row.get(1))?;
    Some(Watcher {
        account: row.get(0),
        role,
        grant: row.get(2),
        session: row.get(3),
        bbox: None,
        seen_version: 0,
        shown: BTreeSet::new(),
    })
}

/// Every look of the police leaves a row: when the stream opens, when the view changes, and once a minute.
async fn account(api: &Api, watcher: &Watcher, rows: usize) {
    if watcher.role == Role::Owner {
        return;
    }
    let view = json!({ "bbox": watcher.bbox });
    let noted = async {
        let client = api.pool.get().await?;
        client
            .execute(
                "SELECT api_audit_live($1, $2, $3, $4)",
                &[&watcher.account, &watcher.grant, &view, &(rows as i32)],
            )
            .await?;
        Ok::<(), Problem>(())
    };
    if let Err(problem) = noted.await {
        tracing::error!(?problem, "A look at the live map could not be accounted for");
    }
}

impl Watcher {
    /// Takes a new view; `false` if the message is none.
    fn look_elsewhere(&mut self, said: &str) -> bool {
        let bbox = serde_json::from_str::<Value>(said)
            .ok()
            .filter(|v| v["type"] == "view")
            .and_then(|v| serde_json::from_value(v["bbox"].clone()).ok());
        let Some(bbox) = bbox else { return false };
        self.bbox = Some(bbox);
        self.seen_version = 0;
        self.shown.clear();
        true
    }

    /// What changed since the last message, as this watcher may see it.
    fn changes(&mut self, memory: &Memory) -> Vec<Value> {
        let mut out = Vec::new();
        for (vehicle, place) in &memory.vehicles {
            if place.version <= self.seen_version || (self.role == Role::Owner && place.owner != Some(self.account)) {
                continue;
            }
            let Some((lat, lon, fixed_at, speed_kmh)) = place.at else { continue };
            let inside = self.bbox.is_none_or(|[west, south, east, north]| {
                (west..=east).contains(&lon) && (south..=north).contains(&lat)
            });
            // One that leaves the view is sent once more, so that it does not stand at the edge for ever.
            if !inside && !self.shown.remove(vehicle) {
                continue;
            }
            if inside {
                self.shown.insert(*vehicle);
            }
            let owner = self.role == Role::Owner;
            out.push(json!({ "id": vehicle.to_string(), "plate": owner.then_some(&place.plate), "lat": lat, "lon": lon,
                "fixed_at": fixed_at.to_string(), "speed_kmh": speed_kmh, "armed": place.armed, "incident": place.incident }));
            if out.len() >= VEHICLES_MAX {
                break;
            }
        }
        self.seen_version = memory.version;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let place = |owner, lon| Place {
            plate: "湘H00001".into(),
            owner: Some(owner),
            at: Some((28.5, lon, Timestamp::from_secs(1), None)),
            armed: true,
            incident: false,
            version: 1,
        };
        Memory { version: 1, vehicles: BTreeMap::from([(1, place(10, 112.3)), (2, place(20, 113.0))]) }
    }

    fn watcher(role: Role) -> Watcher {
        Watcher { account: 10, role, grant: None, session: vec![], bbox: None, seen_version: 0, shown: BTreeSet::new() }
    }

    #[test]
    fn an_owner_sees_only_what_is_his() {
        let seen = watcher(Role::Owner).changes(&memory());
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0]["id"].as_str(), seen[0]["plate"].as_str()), (Some("1"), Some("湘H00001")));
    }

    #[test]
    fn an_operator_sees_no_plates() {
        let seen = watcher(Role::Operator).changes(&memory());
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|v| v["plate"].is_null()));
    }

    #[test]
    fn nothing_new_is_nothing_to_send() {
        let mut watcher = watcher(Role::Operator);
        watcher.changes(&memory());
        assert!(watcher.changes(&memory()).is_empty());
        assert!(watcher.look_elsewhere(r#"{"type":"view","bbox":[112.0,28.0,112.5,29.0]}"#));
        assert_eq!(watcher.changes(&memory()).len(), 1);
    }

    #[test]
    fn a_foreign_origin_is_refused() {
        let headers = |origin: &str| {
            HeaderMap::from_iter([
                ("origin".parse().unwrap(), origin.parse().unwrap()),
                ("host".parse().unwrap(), "127.0.0.1:8080".parse().unwrap()),
            ])
        };
        assert!(is_own_origin(&headers("http://127.0.0.1:8080")));
        assert!(!is_own_origin(&headers("http://evil.example")));
    }
}
