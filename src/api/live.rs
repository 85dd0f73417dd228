//! The live stream: one WebSocket a client, a snapshot and then what changed, once a second.
//!
//! Positions are answered from memory, which the lanes' news keep up to date. A slow client skips:
//! it is sent the newest state of what changed since its last message, never a queue.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::live_state::Memory;
use crate::api::session::{Person, Role, digest, new_token, person_of};
use crate::api::types;
use crate::api::vehicles::id;
use crate::domain::Timestamp;
use axum::Json;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Largest message a client may send, bytes.
const CLIENT_BYTES_MAX: usize = 4096;
/// Streams side by side.
const STREAMS_MAX: i64 = 1000;
/// Most vehicles in one message.
const VEHICLES_MAX: usize = 5000;
/// Longest silence of a stream: nothing for longer means that the line is dead, though nobody closed it.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How often a stream is accounted for.
const ACCOUNT_EVERY: Duration = Duration::from_secs(60);
/// How often a stream's session is looked at: so long at most it outlives one that another process ended.
const LOOK_AT_SESSION_EVERY: Duration = Duration::from_secs(5);
/// Longest such a look: a database that hangs must not silence the stream.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Close code of a stream whose session has ended.
const SESSION_ENDED: u16 = 4401;

/// What a stream is asked for.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct Ask {
    /// The grant that allows it (police).
    grant: Option<String>,
}

/// A ticket for a live stream: once, for 30 s. A token never stands in an address.
#[utoipa::path(post, path = "/live/ticket", operation_id = "create_live_ticket", tag = "live", request_body = Option<Ask>, security(("bearer" = ["owner", "police", "operator"])), responses((status = 200, description = "the ticket", body = types::Ticket), (status = 403, description = "no grant")))]
pub(super) async fn ticket(
    State(api): State<Api>,
    person: Person,
    body: Option<Json<Ask>>,
) -> Result<Json<types::Ticket>, Problem> {
    person.must_be(&[Role::Owner, Role::Police, Role::Operator])?;
    let ask = body.map(|Json(b)| b).unwrap_or_default();
    let grant = ask.grant.as_deref().map(|g| id(g, "grant")).transpose()?;
    let ticket = new_token();
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_open_live($1, $2, $3, $4, $5)",
            &[&person.account, &person.role.name(), &grant, &digest(&ticket), &person.session],
        )
        .await?;
    Ok(Json(types::Ticket { ticket, expires_at: row.get::<_, Timestamp>(0).into() }))
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
        return Problem::forbidden(Code::ForeignPage, "a page of a foreign origin may not watch", json!({}))
            .into_response();
    }
    if api.metrics.live_streams.get() >= STREAMS_MAX {
        return Problem::too_many(Code::TooManyStreams, STREAMS_MAX).into_response();
    }
    upgrade.max_message_size(CLIENT_BYTES_MAX).on_upgrade(move |socket| async move {
        api.metrics.live_streams.inc();
        let _ended = serve(&api, socket, &opening.ticket.unwrap_or_default()).await;
        api.metrics.live_streams.dec();
    })
}

/// A browser states where the page came from; other programs state nothing.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
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
    /// Everything up to this version has been sent.
    seen_version: u64,
    /// A look through the memory that one message could not hold: where it goes on, and the version
    /// at its start.
    rest: Option<(i64, u64)>,
    shown: BTreeSet<i64>,
}

async fn serve(api: &Api, mut socket: WebSocket, ticket: &str) -> Result<(), axum::Error> {
    let Some(mut watcher) = admit(api, ticket).await else {
        let close = CloseFrame { code: 4001, reason: "ticket refused".into() };
        return socket.send(Message::Close(Some(close))).await;
    };
    let mut ended = api.live.ended.subscribe();
    let mut told = api.live.told.subscribe();
    let snapshot = watcher.changes(&api.live.memory());
    account(api, &watcher, snapshot.len()).await;
    let mut held_up = api.live.is_held_up();
    socket.send(text(&json!({ "type": "snapshot", "vehicles": snapshot, "held_up": held_up }))).await?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let (mut accounted, mut said, mut looked) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(said))) => if watcher.look_elsewhere(&said) {
                    account(api, &watcher, watcher.shown.len()).await;
                    let snapshot = watcher.changes(&api.live.memory());
                    socket.send(text(&json!({ "type": "snapshot", "vehicles": snapshot, "held_up": held_up }))).await?;
                },
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            session = ended.recv() => if session.is_ok_and(|session| session == watcher.session) {
                return end(&mut socket).await;
            },
            message = told.recv() => if let Ok((owner, message)) = message && watcher.role == Role::Owner && owner == watcher.account {
                socket.send(text(&message)).await?;
            },
            _ = every_second.tick() => {
                let changed = watcher.changes(&api.live.memory());
                let before = std::mem::replace(&mut held_up, api.live.is_held_up());
                if !changed.is_empty() || held_up != before || said.elapsed() >= SILENCE_MAX {
                    said = Instant::now();
                    socket.send(text(&json!({ "type": "delta", "vehicles": changed, "held_up": held_up }))).await?;
                }
                if looked.elapsed() >= LOOK_AT_SESSION_EVERY {
                    looked = Instant::now();
                    // A database that cannot be asked has ended no session: the stream goes on and says `held_up`.
                    let person = tokio::time::timeout(LOOK_MAX, person_of(api, &watcher.session)).await;
                    if matches!(person, Ok(Ok(None))) {
                        return end(&mut socket).await;
                    }
                }
                if accounted.elapsed() >= ACCOUNT_EVERY {
                    accounted = Instant::now();
                    socket.send(Message::Ping(Vec::new().into())).await?;
                    account(api, &watcher, watcher.shown.len()).await;
                }
            }
        }
    }
}

async fn end(socket: &mut WebSocket) -> Result<(), axum::Error> {
    socket.send(Message::Close(Some(CloseFrame { code: SESSION_ENDED, reason: "session ended".into() }))).await
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
        rest: None,
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
        tracing::error!(?problem, "Auditing a look at the live map failed");
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
        (self.seen_version, self.rest) = (0, None);
        self.shown.clear();
        true
    }

    /// What changed since the last message, as this watcher may see it.
    fn changes(&mut self, memory: &Memory) -> Vec<Value> {
        let mut out = Vec::new();
        let (first, version) = self.rest.take().unwrap_or((i64::MIN, memory.version));
        for (vehicle, place) in memory.vehicles.range(first..) {
            if out.len() >= VEHICLES_MAX {
                self.rest = Some((*vehicle, version));
                return out;
            }
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
        }
        self.seen_version = version;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live_state::Place;
    use crate::domain::Timestamp;
    use std::collections::BTreeMap;

    fn memory() -> Memory {
        let place = |owner, lon| Place {
            plate: "湘H00001".into(),
            owner: Some(owner),
            at: Some((28.5, lon, Timestamp::from_secs(1), None)),
            armed: true,
            incident: false,
            version: 1,
        };
        Memory {
            version: 1,
            vehicles: BTreeMap::from([(1, place(10, 112.3)), (2, place(20, 113.0))]),
            ..Memory::default()
        }
    }

    fn watcher(role: Role) -> Watcher {
        Watcher {
            account: 10,
            role,
            grant: None,
            session: vec![],
            bbox: None,
            seen_version: 0,
            rest: None,
            shown: BTreeSet::new(),
        }
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
    fn a_city_larger_than_one_message_is_sent_in_several() {
        let one = memory().vehicles[&1].clone();
        let vehicles = (0..VEHICLES_MAX as i64 + 7).map(|id| (id, one.clone())).collect();
        let mut memory = Memory { version: 1, vehicles, ..Memory::default() };
        let mut watcher = watcher(Role::Operator);
        assert_eq!(watcher.changes(&memory).len(), VEHICLES_MAX);
        // What moves meanwhile is not forgotten, on whichever side of the cut it stands.
        memory.version = 2;
        memory.vehicles.get_mut(&3).unwrap().version = 2;
        assert_eq!(watcher.changes(&memory).len(), 7);
        let moved = watcher.changes(&memory);
        assert_eq!((moved.len(), moved[0]["id"].as_str()), (1, Some("3")));
        assert!(watcher.changes(&memory).is_empty());
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
