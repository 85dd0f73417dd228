//! The HTTP interface: route table, rights, one file per noun, the live stream.
//!
//! In: requests. Out: what `docs/api.md` says. Tracks come only from the database's audited
//! functions; this process's database role could not read them otherwise.

mod alerts;
mod audit;
mod codes;
mod compression;
mod cursor;
mod device;
mod document;
mod error;
mod grants;
mod guard_policy;
mod holds;
mod incidents;
mod limits;
mod live;
mod live_state;
mod me;
mod password;
mod search;
mod server;
mod session;
mod settings;
mod streams;
mod trackers;
mod tracks;
pub mod types;
mod vehicles;
mod watcher;
mod web;
mod zones;

pub use codes::Code;
pub use cursor::Key as CursorKey;
pub use password::hash_password;
pub use server::serve;

use crate::config::Http;
use crate::ingest::session::Subscribed;
use crate::store::query_thread::QueryThread;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Pool;
use error::Problem;
use std::sync::Arc;
use std::time::Duration;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest request body, bytes; a zone of 200 corners needs 12 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest a request may take; a statement is cut off by the database before.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Connections of the API's pool, and how long a statement may take there, milliseconds.
const POOL: (usize, u32) = (16, 20_000);
/// The same for questions about tracks: however many are asked, they leave room for everybody else.
const TRACKS_POOL: (usize, u32) = (4, 5_000);

/// Which of a browser's devices the page may ask for (W3C, Permissions Policy).
const PERMISSIONS_POLICY: header::HeaderName = header::HeaderName::from_static("permissions-policy");

/// What every handler shares.
#[derive(Clone)]
pub struct Api {
    pool: Pool,
    tracks: QueryThread,
    cursors: CursorKey,
    metrics: Arc<Metrics>,
    live: live_state::Hub,
    streams: streams::Streams,
    refused_rows: Arc<audit::RefusedRows>,
    limits: Arc<limits::Limits>,
    waits_for: Option<Subscribed>,
    behind_tls_proxy: bool,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "RideGuard", description = "Keeps watch over a city's e-bikes and motorcycles. See docs/api.md."),
    modifiers(&BearerToken),
    components(schemas(types::ErrorBody, types::LiveMessage, types::TrackerFilter))
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            "rideguard_session",
            "Of a log-in with \"cookie\": true. A change also needs the header `x-rideguard: 1`.",
        ));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// The route table: every call there is.
fn routes() -> (Router<Api>, serde_json::Value) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(session::log_in, session::log_out))
        .routes(routes!(me::me))
        .routes(routes!(vehicles::list))
        .routes(routes!(vehicles::one))
        .routes(routes!(tracks::track))
        .routes(routes!(tracks::trips))
        .routes(routes!(tracks::history))
        .routes(routes!(vehicles::arm))
        .routes(routes!(vehicles::disarm))
        .routes(routes!(alerts::list))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::one))
        .routes(routes!(incidents::answer))
        .routes(routes!(guard_policy::get, guard_policy::put))
        .routes(routes!(guard_policy::make_phone, guard_policy::remove_phones))
        .routes(routes!(guard_policy::phone))
        .routes(routes!(grants::grants))
        .routes(routes!(holds::list, holds::place))
        .routes(routes!(holds::release))
        .routes(routes!(search::area))
        .routes(routes!(search::company))
        .routes(routes!(search::newest))
        .routes(routes!(zones::list, zones::add))
        .routes(routes!(zones::change, zones::delete))
        .routes(routes!(trackers::list))
        .routes(routes!(trackers::outages))
        .routes(routes!(trackers::coverage_gaps))
        .routes(routes!(live::ticket))
        .route("/live", axum::routing::get(live::stream));
    let v1 = with_earlier_paths(v1);
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1).split_for_parts();
    (router, document::completed(&document))
}

/// The paths that calls had before they were named by the field's words; the document has the new ones only.
fn with_earlier_paths(v1: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    use axum::routing::{get, post};
    let policy = get(guard_policy::get).put(guard_policy::put);
    let phones = post(guard_policy::make_phone).delete(guard_policy::remove_phones);
    v1.route("/search/company", post(search::company))
        .route("/search/newest", post(search::newest))
        .route("/vehicles/{id}/guarding", policy)
        .route("/vehicles/{id}/phone", phones)
        .route("/phone", post(guard_policy::phone))
        .route("/history/{z}/{x}/{y}", get(tracks::history))
}

/// The OpenAPI document, made from the code.
pub fn openapi() -> serde_json::Value {
    routes().1
}

/// The pools of the API's own role.
pub struct Pools {
    everything: Pool,
    tracks: QueryThread,
}

impl Pools {
    /// Makes them.
    ///
    /// # Errors
    /// A pool setting out of range; a bug. No thread can be had.
    pub fn new(settings: &tokio_postgres::Config) -> anyhow::Result<Self> {
        Ok(Self {
            everything: pool(settings, "rideguard api", POOL)?,
            tracks: QueryThread::open("tracks", pool(settings, "rideguard api tracks", TRACKS_POOL)?)?,
        })
    }
}

fn pool(settings: &tokio_postgres::Config, name: &str, (size, statement_ms): (usize, u32)) -> anyhow::Result<Pool> {
    use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
    let mut settings = settings.clone();
    settings.application_name(name).options(format!("-c statement_timeout={statement_ms}"));
    let manager = Manager::from_config(
        settings,
        tokio_postgres::NoTls,
        ManagerConfig { recycling_method: RecyclingMethod::Verified },
    );
    let wait = Some(Duration::from_secs(5));
    Ok(Pool::builder(manager)
        .max_size(size)
        .wait_timeout(wait)
        .create_timeout(wait)
        .runtime(Runtime::Tokio1)
        .build()?)
}

/// Makes the API; `waits_for` holds back `/ready` until ingest of the same process hears everybody;
/// `tick_every` is ingest's clock. Cookies are for TLS only `behind_tls_proxy`.
pub fn new(
    pools: Pools,
    cursors: CursorKey,
    metrics: Arc<Metrics>,
    waits_for: Option<Subscribed>,
    tick_every: Duration,
    behind_tls_proxy: bool,
) -> (Api, Router) {
    let Pools { everything: pool, tracks } = pools;
    let live = live_state::Hub::new(pool.clone(), tick_every);
    let streams = streams::Streams::new(metrics.clone());
    let api = Api {
        live,
        streams,
        pool,
        tracks,
        cursors,
        metrics,
        limits: Arc::default(),
        refused_rows: Arc::default(),
        waits_for,
        behind_tls_proxy,
    };
    let (router, document) = routes();
    let document = document.to_string();
    let router = router
        .route(
            "/api/openapi.json",
            axum::routing::get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .route("/health", axum::routing::get(|| async { "ok\n" }))
        .route("/ready", axum::routing::get(ready))
        .route("/api/{*rest}", axum::routing::any(|| async { Problem::NotFound }))
        .fallback_service(axum::routing::get(web::serve))
        .layer(middleware::from_fn(compression::mark))
        .layer(compression::layer())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), watch_over))
        .with_state(api.clone());
    (api, router)
}

impl Api {
    /// Keeps the live map's memory up to date from the broker; runs until it is dropped.
    pub fn hub(&self) -> live_state::Hub {
        self.live.clone()
    }
}

/// Whether the database answers and, where this process is ingest too, every lane hears its trackers.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.waits_for.is_some_and(|s| !s.is_complete()) {
        return Err(Problem::Unavailable);
    }
    api.pool.get().await?.query_one("SELECT 1", &[]).await?;
    Ok("ready\n")
}

/// Counts answers, and sees that each has the form and the headers that every answer has.
async fn watch_over(State(api): State<Api>, mut request: Request<axum::body::Body>, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let (asker, method, path) = (audit::Asker::default(), request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(asker.clone());
    let mut response = next.run(request).await;
    if is_api {
        response = error::in_our_form(response).await;
        api.note_refused(&asker, &method, &path, response.status()).await;
    }
    let class = format!("{}xx", response.status().as_u16() / 100);
    api.metrics.http_responses.with_label_values(&[class.as_str()]).inc();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    set(PERMISSIONS_POLICY, "camera=(), microphone=(), payment=(), usb=(), geolocation=(self)");
    if api.behind_tls_proxy {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if is_api {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// The page for Prometheus, on its own listener.
pub fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let page = move || {
        let metrics = metrics.clone();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.page()).into_response() }
    };
    Router::new().route("/metrics", axum::routing::get(page))
}

/// Says where a listener could not be opened, and what to do.
///
/// # Errors
/// The port is taken, or not ours to take.
pub async fn listen(address: std::net::SocketAddr, what: &str) -> anyhow::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| match error.kind() {
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
pub async fn web_listener(http: &Http) -> anyhow::Result<tokio::net::TcpListener> {
    listen(http.listen, "the web page").await
}

/// Opens the listener for Prometheus.
///
/// # Errors
/// As [`listen`].
pub async fn metrics_listener(http: &Http) -> anyhow::Result<tokio::net::TcpListener> {
    listen(http.metrics_listen, "metrics").await
}
