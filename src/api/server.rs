//! Serves a router over HTTP/1.1 with bounds on what a slow or idle client may hold.

use crate::api::error::Problem;
use crate::config::Http;
use crate::ingest::door_state::DoorState;
use crate::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Longest a client may take for the head of a request, and longest an idle connection is kept.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Most headers of a request; browsers send about twenty.
const HEADERS_MAX: usize = 64;
/// Largest head of a request, bytes; hyper's smallest buffer is 8 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Connections side by side. Each takes one of 20,000 descriptors; live streams have left this count.
const CONNECTIONS_MAX: usize = 4000;
/// Longest a client may leave what we sent unread or unacknowledged; its connection is then reset (RFC 5482).
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// Wait after a failure to accept: out of descriptors, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Longest an open connection may hold up the end.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What clients may hold together and each.
#[derive(Clone, Copy)]
struct Bounds {
    connections: usize,
    unread: Duration,
}

/// Serves until `stop`, then waits a moment for answers under way.
pub async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    serve_within(Bounds { connections: CONNECTIONS_MAX, unread: UNREAD_MAX }, listener, router, stop).await;
}

async fn serve_within(bounds: Bounds, listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let (mut connections, mut stopped) = (JoinSet::new(), stop.clone());
    loop {
        // Who comes while all places are taken waits in the listener's queue.
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            (place, accepted) = next => match accepted {
                Ok((socket, _)) => {
                    // Without it a client that reads nothing stays as long as it likes: it still answers for the line.
                    if let Err(error) = SockRef::from(&socket).set_tcp_user_timeout(Some(bounds.unread)) {
                        tracing::warn!(%error, "A connection has no bound on what is unread");
                    }
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        let _place = place;
                        one_connection(socket, router, stop).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = async { let _ = stopped.wait_for(|s| *s).await; } => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_MAX, async { while connections.join_next().await.is_some() {} }).await;
}

async fn one_connection(socket: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    let _ = socket.set_nodelay(true);
    let service = router.map_request(|request: Request<Incoming>| request.map(Body::new));
    let mut settings = http1::Builder::new();
    settings
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = settings.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)).with_upgrades();
    let mut connection = pin!(connection);
    let mut is_stopped = pin!(async {
        if stop.wait_for(|s| *s).await.is_err() {
            pending::<()>().await;
        }
    });
    // What a client does wrong is answered or ends its connection; it is no fault of ours to be logged.
    tokio::select! {
        _ = &mut connection => {}
        () = &mut is_stopped => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Says where a listener could not be opened, and what to do.
///
/// # Errors
/// The port is taken, or not ours to take.
pub async fn listen(address: std::net::SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} on {} is in use by another program, so {what} cannot be served; choose another in the settings",
            address.port(),
            address.ip()
        ),
        _ => anyhow::anyhow!("cannot serve {what} on {address}: {error}"),
    })
}

/// Opens the listener of the web page and the API.
///
/// # Errors
/// As [`listen`].
pub async fn web_listener(http: &Http) -> anyhow::Result<TcpListener> {
    listen(http.listen, "the web page").await
}

/// Opens the listener for Prometheus.
///
/// # Errors
/// As [`listen`].
pub async fn metrics_listener(http: &Http) -> anyhow::Result<TcpListener> {
    listen(http.metrics_listen, "metrics").await
}

/// The page for Prometheus, on its own listener; and whether the door of this process lets trackers in, where there is one.
pub fn metrics_router(metrics: Arc<Metrics>, door: DoorState) -> Router {
    let page = move || {
        let metrics = metrics.clone();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.page()).into_response() }
    };
    let ready = move || {
        let answer = door.waits_for().map_or(Ok("ready\n"), |what| Err(Problem::waiting(what)));
        async move { answer }
    };
    Router::new().route("/metrics", axum::routing::get(page)).route("/ready", axum::routing::get(ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    async fn served() -> (std::net::SocketAddr, watch::Sender<bool>) {
        served_within(Bounds { connections: CONNECTIONS_MAX, unread: UNREAD_MAX }).await
    }

    async fn served_within(bounds: Bounds) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), watch::channel(false));
        let large = || async { vec![b'x'; 64 << 20] };
        let router = Router::new()
            .route("/", axum::routing::get(|| async { "here\n" }))
            .route("/large", axum::routing::get(large));
        tokio::spawn(serve_within(bounds, listener, router, stopped));
        (address, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_its_head_is_closed_after_ten_seconds() {
        let (address, _stop) = served().await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        let since = Instant::now();
        let (mut reader, mut writer) = socket.split();
        let trickle = async {
            for byte in b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x')) {
                if writer.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            _ = reader.read_to_end(&mut answer) => {}
            () = trickle => {}
        }
        let took = since.elapsed();
        assert!(took >= HEAD_MAX && took < 2 * HEAD_MAX, "{took:?}");
    }

    const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn connections_are_bounded_and_who_comes_later_waits_for_a_place() {
        let (address, _stop) = served_within(Bounds { connections: 2, unread: UNREAD_MAX }).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            socket.read_exact(&mut [0; 20]).await.unwrap(); // it is served, and stays open
            held.push(socket);
        }
        let mut later = TcpStream::connect(address).await.unwrap();
        later.write_all(CLOSE).await.unwrap();
        let mut answer = String::new();
        let waits = tokio::time::timeout(Duration::from_millis(300), later.read_to_string(&mut answer)).await;
        assert!(waits.is_err(), "{answer}");
        held.pop();
        later.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_a_large_answer_gives_its_place_back() {
        let unread = Duration::from_secs(1);
        let (address, _stop) = served_within(Bounds { connections: 1, unread }).await;
        let mut stalled = TcpStream::connect(address).await.unwrap();
        stalled.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stalled.readable().await.unwrap(); // it has begun
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(CLOSE).await.unwrap();
        let mut answer = String::new();
        let since = Instant::now();
        tokio::time::timeout(HEAD_MAX, other.read_to_string(&mut answer)).await.expect("its place is free").unwrap();
        assert!(answer.ends_with("here\n") && since.elapsed() >= unread / 2, "{answer} {:?}", since.elapsed());
        drop(stalled);
    }

    #[tokio::test]
    async fn a_request_is_answered_and_too_many_headers_are_refused() {
        let (address, stop) = served().await;
        let ask = async |head: String| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".into()).await.ends_with("here\n"));
        let many: String = (0..=HEADERS_MAX).map(|n| format!("x-{n}: 1\r\n")).collect();
        let refused = ask(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await;
        assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
        stop.send(true).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(TcpStream::connect(address).await.is_err(), "the listener is closed at the end");
    }
}
