//! The live stream: one WebSocket a client, a snapshot and then what changed, once a second.
//!
//! Positions are answered from memory, which the lanes' news keep up to date. A slow client skips:
//! it is sent the newest state of what changed since its last message, never a queue.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role, is_own_origin, new_token};
use crate::api::types;
use crate::api::vehicles::id;
use crate::api::watcher::{Refused, Watcher};
use crate::domain::Timestamp;
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use utoipa::ToSchema;

/// Largest message a client may send, bytes.
const CLIENT_BYTES_MAX: usize = 4096;
/// Longest silence of a stream: nothing for longer means that the line is dead, though nobody closed it.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How often a stream leaves a row of audit; each counts the vehicles told since the row before.
const ACCOUNT_EVERY: Duration = Duration::from_secs(60);
/// How often the right to a stream is looked at. With the longest look, and a second one where the first came to nothing,
/// a stream outlives a revocation, a grant or an ownership by 5 s at most.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Longest such a look: a database that hangs must not silence the stream.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// Longest that a right of police or operators goes without a look that was answered. Owners see their own vehicles, and go on.
const UNCHECKED_MAX: Duration = Duration::from_secs(10);
/// The same where a vehicle is somebody else's, who may revoke it.
const SHARED_UNCHECKED_MAX: Duration = Duration::from_secs(4);
/// Longest a row may take.
const ACCOUNT_MAX: Duration = Duration::from_secs(5);
/// How often a client is asked for a sign of life, and how long it may give none: a phone that changes its network
/// leaves a line behind which nobody closes.
const PING_EVERY: Duration = Duration::from_secs(15);
const UNHEARD_MAX: Duration = Duration::from_secs(45);
/// Shortest time between two views of a stream, as each leaves a row of audit; the newest one waits.
const VIEW_EVERY: Duration = Duration::from_secs(1);
/// Longest a client may take for a message; one that does not read is closed.
const SEND_MAX: Duration = Duration::from_secs(10);

/// How long a stream waits for its client.
#[derive(Clone, Copy)]
struct Patience {
    ping_every: Duration,
    unheard_max: Duration,
    send_max: Duration,
}

const PATIENCE: Patience = Patience { ping_every: PING_EVERY, unheard_max: UNHEARD_MAX, send_max: SEND_MAX };

/// Why we close a stream: code and reason.
const TICKET_REFUSED: (u16, &str) = (4001, "ticket refused");
const SESSION_ENDED: (u16, &str) = (4401, "session ended");
const GRANT_ENDED: (u16, &str) = (4403, "grant ended");
const NOT_AUDITED: (u16, &str) = (4503, "cannot be audited now");
/// The client is gone or does not read; there is nobody to tell.
const GONE: (u16, &str) = (0, "");

/// What a stream is asked for.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct LiveTicketRequest {
    /// The grant that allows it (police).
    #[serde(alias = "grant")]
    #[schema(value_type = Option<types::Id>)]
    grant_id: Option<String>,
}

/// A ticket for a live stream: once, for 30 s. A token never stands in an address.
#[utoipa::path(post, path = "/live/ticket", operation_id = "create_live_ticket", tag = "live", request_body = Option<LiveTicketRequest>, security(("bearer" = ["owner", "family", "police", "operator"])), responses((status = 200, description = "the ticket", body = types::LiveTicket), (status = 403, description = "no grant"), (status = 422, description = "the body has another form")))]
pub(super) async fn ticket(
    State(api): State<Api>,
    person: Person,
    body: Option<Json<LiveTicketRequest>>,
) -> Result<Json<types::LiveTicket>, Problem> {
    person.must_be(&[Role::Owner, Role::Family, Role::Police, Role::Operator])?;
    let ask = body.map(|Json(b)| b).unwrap_or_default();
    let grant = ask.grant_id.as_deref().map(|g| id(g, "grant_id")).transpose()?;
    let ticket = new_token();
    let row = api
        .pool
        .get()
        .await?
        .query_one("SELECT api_open_live($1, $2, $3)", &[&person.session, &grant, &Proof::shown(&ticket)])
        .await?;
    Ok(Json(types::LiveTicket { ticket, expires_at: row.get::<_, Timestamp>(0).into() }))
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
    let watcher = admit(&api, &opening.ticket.unwrap_or_default()).await;
    // Counted before the upgrade, so that many at once cannot pass together.
    let place = match watcher.as_ref().map(|w| api.streams.open(w.account)).transpose() {
        Ok(place) => place,
        Err(max) => return Problem::too_many(Code::TooManyStreams, max).into_response(),
    };
    upgrade.max_message_size(CLIENT_BYTES_MAX).on_upgrade(move |mut socket| async move {
        let _place = place;
        let Some(watcher) = watcher else { return close(&mut socket, TICKET_REFUSED).await };
        let mut stream = Stream::new(&api, socket, watcher, PATIENCE);
        let reason = stream.serve().await.err().unwrap_or(GONE);
        let _logged = stream.account("end", stream.watcher.bbox).await;
        close(&mut stream.socket, reason).await;
    })
}

async fn admit(api: &Api, ticket: &str) -> Option<Watcher> {
    let client = api.pool.get().await.ok()?;
    let ticket = Proof::shown(ticket);
    let row = client.query_opt("SELECT * FROM api_use_ticket($1)", &[&ticket]).await.ok()??;
    let mut watcher = Watcher::new(row.get(0), Role::parse(row.get(1))?, row.get(2), row.get(3), ticket);
    let sql = "SELECT * FROM api_live_right($1, $2)";
    let right = client.query_opt(sql, &[&watcher.session, &watcher.grant]).await.ok()??;
    watcher.owned = owned(&right);
    watcher.area_km2_max = right.get(3);
    (watcher.organisation, watcher.is_shared) = (right.get(4), right.get(5));
    drop(client);
    watcher.watch = Some(api.live.watch(watcher.session, watcher.scope()));
    api.live.look_for(watcher.session, watcher.scope()).await.ok()?;
    Some(watcher)
}

/// Which vehicles are the account's, and since when.
fn owned(right: &Row) -> BTreeMap<i64, Timestamp> {
    right.get::<_, Vec<i64>>(1).into_iter().zip(right.get::<_, Vec<Timestamp>>(2)).collect()
}

async fn close(socket: &mut WebSocket, (code, reason): (u16, &'static str)) {
    if code != GONE.0 {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = tokio::time::timeout(SEND_MAX, socket.send(Message::Close(Some(frame)))).await;
    }
}

/// An open stream. Its methods' errors are the reason for which it is closed.
struct Stream<'a> {
    api: &'a Api,
    socket: WebSocket,
    watcher: Watcher,
    delayed: bool,
    /// When it was last sent something.
    said: Instant,
    patience: Patience,
}

impl<'a> Stream<'a> {
    fn new(api: &'a Api, socket: WebSocket, watcher: Watcher, patience: Patience) -> Self {
        Self { api, socket, watcher, delayed: false, said: Instant::now(), patience }
    }

    async fn serve(&mut self) -> Result<(), (u16, &'static str)> {
        let mut ended = self.api.live.ended.subscribe();
        let mut told = self.api.live.told.subscribe();
        self.snapshot("open").await?;
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        let mut next_view: Option<[f64; 4]> = None;
        let (mut accounted, mut viewed) = (Instant::now(), Instant::now());
        let mut next_check = tokio::time::interval(CHECK_EVERY);
        next_check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut checked = Instant::now();
        let (mut heard, mut pinged) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(said))) => next_view = Watcher::view_in(&said).or(next_view),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                        Some(Ok(_)) => {}
                    }
                },
                session = ended.recv() => if session.is_ok_and(|session| session == self.watcher.session) {
                    return Err(SESSION_ENDED);
                },
                message = told.recv() => if let Ok((owner, message)) = message && self.watcher.is_owner(owner) {
                    self.send(text(&message)).await?;
                },
                _ = next_check.tick() => {
                    let asked = Instant::now();
                    if self.check_right().await? {
                        checked = asked;
                    } else if self.watcher.is_shared {
                        next_check.reset_immediately(); // there is time for one more
                    }
                    let unchecked_max = match (self.watcher.is_shared, self.watcher.role.sees_own()) {
                        (true, _) => SHARED_UNCHECKED_MAX,
                        (false, true) => Duration::MAX,
                        (false, false) => UNCHECKED_MAX,
                    };
                    if checked.elapsed() >= unchecked_max {
                        return Err(NOT_AUDITED);
                    }
                }
                _ = every_second.tick() => {
                    if heard.elapsed() >= self.patience.unheard_max {
                        return Err(GONE);
                    }
                    if pinged.elapsed() >= self.patience.ping_every {
                        pinged = Instant::now();
                        self.send_only(Message::Ping(Vec::new().into())).await?;
                    }
                    self.delta().await?;
                    if accounted.elapsed() >= ACCOUNT_EVERY {
                        accounted = Instant::now();
                        self.account("goes_on", self.watcher.bbox).await?;
                    }
                }
            }
            if viewed.elapsed() >= VIEW_EVERY
                && let Some(view) = next_view.take()
            {
                viewed = Instant::now();
                match self.watcher.look_at(view) {
                    Ok(()) => self.snapshot("view").await?,
                    Err(refused) => self.refuse(view, refused).await?,
                }
            }
        }
    }

    /// Everything that the watcher may see, after its row of audit.
    async fn snapshot(&mut self, why: &str) -> Result<(), (u16, &'static str)> {
        let vehicles = self.watcher.changes(&self.api.live.memory());
        self.account(why, self.watcher.bbox).await?;
        self.delayed = self.api.live.is_delayed();
        self.send(text(&positions("snapshot", &vehicles, self.delayed))).await
    }

    /// Says why a view shows nothing, after its row of audit.
    async fn refuse(&mut self, view: [f64; 4], (code, values): Refused) -> Result<(), (u16, &'static str)> {
        self.account("view_refused", Some(view)).await?;
        let message = match code {
            Code::ViewTooLarge => "the view is larger than the grant allows; zoom in",
            _ => "bbox must be west, south, east, north in degrees",
        };
        self.send(text(&json!({ "type": "view_refused", "code": code, "message": message, "values": values }))).await
    }

    /// What changed since the last message, or a sign of life.
    async fn delta(&mut self) -> Result<(), (u16, &'static str)> {
        let vehicles = self.watcher.changes(&self.api.live.memory());
        if self.watcher.begins_again() {
            return self.snapshot("positioning_off").await;
        }
        let before = std::mem::replace(&mut self.delayed, self.api.live.is_delayed());
        if !vehicles.is_empty() || self.delayed != before || self.said.elapsed() >= SILENCE_MAX {
            self.send(text(&positions("delta", &vehicles, self.delayed))).await?;
        }
        Ok(())
    }

    /// Ends the stream with its session or its grant, and takes what was sold out of it. `false` if the database
    /// could not be asked: that alone ends nothing.
    async fn check_right(&mut self) -> Result<bool, (u16, &'static str)> {
        let (api, watcher) = (self.api, &self.watcher);
        let ask = async {
            let client = api.pool.get().await?;
            let sql = "SELECT * FROM api_live_right($1, $2)";
            Ok::<_, Problem>(client.query_opt(sql, &[&watcher.session, &watcher.grant]).await?)
        };
        let Ok(Ok(row)) = tokio::time::timeout(CHECK_MAX, ask).await else { return Ok(false) };
        let row = row.ok_or(SESSION_ENDED)?;
        if !row.get::<_, bool>(0) {
            return Err(GRANT_ENDED);
        }
        self.watcher.area_km2_max = row.get(3);
        let before = self.watcher.scope();
        self.watcher.is_of(row.get(4));
        self.watcher.is_shared = row.get(5);
        if let Some(view) = self.watcher.bbox
            && let Err(refused) = self.watcher.allows(view)
        {
            let _same = self.watcher.look_at(view);
            self.refuse(view, refused).await?;
        }
        let owns_others = self.watcher.owns_now(owned(&row));
        if owns_others || self.watcher.scope() != before {
            // Where it fails, the memory's next look brings what is new.
            let look = self.api.live.look_for(self.watcher.session, self.watcher.scope());
            if !matches!(tokio::time::timeout(CHECK_MAX, look).await, Ok(Ok(()))) {
                tracing::warn!("A stream's new rights could not be read yet");
            }
        }
        if owns_others {
            self.snapshot("owned").await?;
        }
        Ok(true)
    }

    /// Leaves a row of audit with the number of vehicles told since the row before, those of the next message among
    /// them. Owners see their own vehicles and leave none.
    async fn account(&mut self, why: &str, bbox: Option<[f64; 4]>) -> Result<(), (u16, &'static str)> {
        let rows = self.watcher.told.len();
        if self.watcher.role.sees_own() {
            return Ok(());
        }
        let view = json!({ "bbox": bbox, "why": why });
        let noted = async {
            let client = self.api.pool.get().await?;
            let sql = "SELECT api_audit_live($1, $2, $3)";
            client.execute(sql, &[&self.watcher.ticket, &view, &(rows as i32)]).await?;
            Ok::<(), Problem>(())
        };
        let noted = tokio::time::timeout(ACCOUNT_MAX, noted).await.unwrap_or(Err(Problem::Unavailable));
        match noted {
            Ok(()) => {
                self.watcher.told.clear();
                Ok(())
            }
            Err(Problem::Coded(refused)) if refused.status == StatusCode::FORBIDDEN => Err(GRANT_ENDED),
            Err(Problem::Coded(refused)) if refused.status == StatusCode::UNAUTHORIZED => Err(SESSION_ENDED),
            Err(problem) => {
                tracing::error!(?problem, "A look at the live map could not be audited; its stream is closed");
                Err(NOT_AUDITED)
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), (u16, &'static str)> {
        self.said = Instant::now();
        self.send_only(message).await
    }

    async fn send_only(&mut self, message: Message) -> Result<(), (u16, &'static str)> {
        match tokio::time::timeout(self.patience.send_max, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(GONE),
        }
    }
}

/// A message with positions; `delayed`: newer ones do not arrive at us just now.
fn positions(kind: &str, vehicles: &[Value], delayed: bool) -> Value {
    json!({ "type": kind, "vehicles": vehicles, "delayed": delayed })
}

fn text(value: &Value) -> Message {
    Message::Text(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

    /// How an owner's stream ends whose client opens it and does nothing any more, and how long that takes.
    async fn ends(patience: Patience, bytes: usize) -> (Result<(), (u16, &'static str)>, Duration) {
        let pools = crate::api::Pools::new(&"host=127.0.0.1 port=1 user=nobody".parse().unwrap()).unwrap();
        let metrics = std::sync::Arc::new(crate::telemetry::Metrics::new().unwrap());
        let (api, _) = crate::api::new(
            pools,
            (
                crate::api::CursorKey::of("a secret").unwrap(),
                crate::api::FactorKey::none(),
                crate::api::registry::IdKey::of("a secret").unwrap(),
            ),
            metrics,
            None,
            Duration::from_secs(5),
            false,
        );
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let opened = move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |socket| async move {
                let watcher = Watcher::new(1, Role::Owner, None, Proof::shown("session"), Proof::shown("ticket"));
                let mut stream = Stream::new(&api, socket, watcher, patience);
                let ended = match bytes {
                    0 => stream.serve().await,
                    _ => stream.send_only(Message::Binary(vec![0; bytes].into())).await,
                };
                tell.send(ended).unwrap();
            })
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(opened));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let since = Instant::now();
        client.write_all(UPGRADE).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.expect("it ends").unwrap();
        drop(client); // it was there all the time
        (ended, since.elapsed())
    }

    #[tokio::test]
    async fn a_client_that_gives_no_sign_of_life_is_given_up() {
        let unheard_max = Duration::from_millis(1500);
        let (ended, took) = ends(Patience { ping_every: Duration::from_millis(500), unheard_max, ..PATIENCE }, 0).await;
        assert!(ended == Err(GONE) && took >= unheard_max, "{ended:?} after {took:?}");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up_when_the_buffers_are_full() {
        let send_max = Duration::from_millis(300);
        let (ended, took) = ends(Patience { send_max, ..PATIENCE }, 64 << 20).await;
        assert!(ended == Err(GONE) && took >= send_max, "{ended:?} after {took:?}");
    }
}
