//! The HTTP interface: route table, rights, one file per noun, the live stream.
//!
//! In: requests. Out: what `docs/api.md` says. Tracks come only from the database's audited
//! functions; this process's database role could not read them otherwise.

mod account;
mod alerts;
mod audit;
mod codes;
mod compression;
mod cursor;
mod device;
mod document;
mod door;
mod error;
mod fleet;
mod grants;
mod guard_policy;
mod holds;
mod incidents;
mod limits;
mod live;
mod live_state;
mod me;
mod owner;
mod password;
pub mod registry;
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

pub use account::{FactorKey, WeakPassword, check_password, digest_of_code, new_code};
pub use codes::Code;
pub use cursor::Key as CursorKey;
pub use live_state::{Hub, NEWS_MAX};
pub use password::hash_password;
pub use server::{listen, metrics_listener, metrics_router, serve, web_listener};

use crate::ingest::door_state::DoorState;
use crate::ingest::session::Subscribed;
use crate::store::query_thread::QueryThread;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
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
/// The same of an upload: 32 MiB over 1 Mbit/s, and the reading of it.
const UPLOAD_MAX: Duration = Duration::from_secs(420);
/// Connections of the API's pool, and how long a statement may take there, milliseconds.
const POOL: (usize, u32) = (16, 20_000);
/// The same for questions about tracks: however many are asked, they leave room for everybody else.
const TRACKS_POOL: (usize, u32) = (4, 5_000);

/// The same for brokers of one's own, each question one row.
const BROKERS_POOL: (usize, u32) = (4, 2_000);

/// Which of a browser's devices the page may ask for (W3C, Permissions Policy).
const PERMISSIONS_POLICY: header::HeaderName = header::HeaderName::from_static("permissions-policy");
/// Every page may ask where the phone is; nothing else of the device.
const USUAL_DEVICES: &str = "camera=(), microphone=(), payment=(), usb=(), geolocation=(self)";
/// The installer's page reads labels with the camera, too.
const DEVICES_AT_THE_DOOR: &str = "camera=(self), microphone=(), payment=(), usb=(), geolocation=(self)";

/// What a page may load, run and speak to (W3C, Content Security Policy Level 3).
const USUAL_SOURCES: &str = "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The installer's page may also run WebAssembly of ours, which reads QR codes for browsers that cannot.
const SOURCES_AT_THE_DOOR: &str = "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; style-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What every handler shares.
#[derive(Clone)]
pub struct Api {
    pool: Pool,
    tracks: QueryThread,
    cursors: CursorKey,
    factors: FactorKey,
    id_key: registry::IdKey,
    imports: Arc<tokio::sync::Notify>,
    metrics: Arc<Metrics>,
    live: Hub,
    streams: streams::Streams,
    refused_rows: Arc<audit::RefusedRows>,
    limits: Arc<limits::Limits>,
    waits_for: Option<(Subscribed, DoorState)>,
    behind_tls_proxy: bool,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "RideGuard", description = "Keeps watch over a city's e-bikes and motorcycles. See docs/api.md."),
    modifiers(&BearerToken),
    components(schemas(types::ErrorBody, types::LiveMessage, types::RegistryKind, types::TrackerFilter))
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
fn routes() -> (Router<Api>, Router<Api>, serde_json::Value) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(account::log_in::log_in, session::log_out))
        .routes(routes!(account::doors::set_up))
        .routes(routes!(account::doors::check_set_up))
        .routes(routes!(account::doors::open_invitation))
        .routes(routes!(account::doors::accept_invitation))
        .routes(routes!(account::doors::open_reset))
        .routes(routes!(account::doors::accept_reset))
        .routes(routes!(account::people::list, account::people::invite))
        .routes(routes!(account::people::one, account::people::change))
        .routes(routes!(account::people::organisations))
        .routes(routes!(account::people::renew_invitation, account::people::revoke_invitation))
        .routes(routes!(account::people::reset))
        .routes(routes!(account::people::disable))
        .routes(routes!(account::people::enable))
        .routes(routes!(account::own::account))
        .routes(routes!(account::own::change_password))
        .routes(routes!(account::own::change_phone))
        .routes(routes!(account::own::begin_enrolment, account::own::change_second_factor))
        .routes(routes!(account::own::remove_second_factor))
        .routes(routes!(account::own::change_recovery_codes))
        .routes(routes!(account::own::sessions, account::own::end_other_sessions))
        .routes(routes!(account::own::end_session))
        .routes(routes!(me::me, owner::erasure::ask))
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
        .routes(routes!(door::jobs, door::add_job))
        .routes(routes!(door::visits, door::enrol))
        .routes(routes!(door::visit))
        .routes(routes!(door::photo))
        .routes(routes!(door::drill))
        .routes(routes!(door::hand_over))
        .routes(routes!(door::give_up))
        .routes(routes!(door::remove))
        .routes(routes!(trackers::list))
        .routes(routes!(trackers::outages))
        .routes(routes!(trackers::coverage_gaps))
        .routes(routes!(trackers::listeners))
        .routes(routes!(owner::hand_over::offer, owner::hand_over::open, owner::hand_over::cancel))
        .routes(routes!(owner::hand_over::accept))
        .routes(routes!(owner::hand_over::mine))
        .routes(routes!(owner::hand_over::decline))
        .routes(routes!(owner::hand_over::by_operator))
        .routes(routes!(owner::family::invite, owner::family::list))
        .routes(routes!(owner::family::accept))
        .routes(routes!(owner::family::end))
        .routes(routes!(owner::shares::make, owner::shares::list))
        .routes(routes!(owner::shares::revoke))
        .routes(routes!(owner::shares::view))
        .routes(routes!(owner::looks::list))
        .routes(routes!(owner::positioning::switch))
        .routes(routes!(owner::positioning::consents, owner::positioning::withdraw, owner::positioning::give))
        .routes(routes!(owner::export::export))
        .routes(routes!(owner::erasure::proof))
        .routes(routes!(fleet::credentials::get, fleet::credentials::issue, fleet::credentials::revoke))
        .routes(routes!(fleet::batches::register))
        .routes(routes!(fleet::batches::issue))
        .routes(routes!(live::ticket))
        .routes(routes!(registry::records::list, registry::records::add))
        .routes(routes!(registry::records::one, registry::records::change))
        .routes(routes!(registry::records::history))
        .routes(routes!(registry::records::install))
        .routes(routes!(registry::export::export))
        .routes(routes!(registry::imports::list, registry::imports::make))
        .routes(routes!(registry::imports::one))
        .routes(routes!(registry::imports::map))
        .routes(routes!(registry::imports::start))
        .routes(routes!(registry::imports::cancel))
        .routes(routes!(registry::imports::problems))
        .route("/live", axum::routing::get(live::stream));
    let v1 = with_earlier_paths(v1);
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1).split_for_parts();
    let uploads = OpenApiRouter::new().routes(routes!(registry::imports::file)).routes(routes!(door::put_photo));
    let (uploads, of_uploads) = OpenApiRouter::new().nest("/api/v1", uploads).split_for_parts();
    document.merge(of_uploads);
    (router, uploads, document::completed(&document))
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
    routes().2
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

/// Answers brokers of one's own ([`fleet::broker_auth`]), with connections of its own.
///
/// # Errors
/// A pool setting out of range; a bug.
pub fn broker_auth_router(settings: &tokio_postgres::Config, secret: Option<&str>) -> anyhow::Result<Router> {
    Ok(fleet::broker_auth::router(pool(settings, "rideguard brokers", BROKERS_POOL)?, secret))
}

/// Makes the API; `waits_for` holds back `/ready` until ingest of the same process hears everybody;
/// `tick_every` is ingest's clock. Cookies are for TLS only `behind_tls_proxy`.
pub fn new(
    pools: Pools,
    (cursors, factors, id_key): (CursorKey, FactorKey, registry::IdKey),
    metrics: Arc<Metrics>,
    waits_for: Option<(Subscribed, DoorState)>,
    tick_every: Duration,
    behind_tls_proxy: bool,
) -> (Api, Router) {
    let Pools { everything: pool, tracks } = pools;
    let live = Hub::new(pool.clone(), tick_every);
    let streams = streams::Streams::new(metrics.clone());
    let api = Api {
        live,
        streams,
        pool,
        tracks,
        cursors,
        factors,
        id_key,
        imports: Arc::default(),
        metrics,
        limits: Arc::default(),
        refused_rows: Arc::default(),
        waits_for,
        behind_tls_proxy,
    };
    let (router, uploads, document) = routes();
    let document = document.to_string();
    let router = router
        .route(
            "/api/openapi.json",
            axum::routing::get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .route("/health", axum::routing::get(|| async { "ok\n" }))
        .route("/ready", axum::routing::get(ready))
        .route("/share", axum::routing::get(owner::share_page::page))
        .route("/share.js", axum::routing::get(owner::share_page::script))
        .route("/share.css", axum::routing::get(owner::share_page::style))
        .route("/erasure", axum::routing::get(owner::share_page::erasure))
        .route("/erasure.js", axum::routing::get(owner::share_page::erasure_script))
        .route("/api/{*rest}", axum::routing::any(|| async { Problem::NotFound }))
        .fallback_service(axum::routing::get(web::serve))
        .layer(middleware::from_fn(compression::mark))
        .layer(compression::layer())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_MAX))
        .merge(
            uploads
                .layer(DefaultBodyLimit::disable())
                .layer(RequestBodyLimitLayer::new(registry::sheet::FILE_BYTES_MAX))
                .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, UPLOAD_MAX)),
        )
        .layer(middleware::from_fn_with_state(api.clone(), watch_over))
        .with_state(api.clone());
    (api, router)
}

impl Api {
    /// Keeps the live map's memory up to date from the broker; runs until it is dropped.
    pub fn hub(&self) -> Hub {
        self.live.clone()
    }
}

/// Whether the database answers and, where this process is ingest too, every lane hears its trackers, and the door lets them in.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if let Some((subscribed, door)) = &api.waits_for {
        if !subscribed.is_complete() {
            return Err(Problem::waiting("the lanes do not hear every tracker yet"));
        }
        if let Some(what) = door.waits_for() {
            return Err(Problem::waiting(what));
        }
    }
    api.pool.get().await?.query_one("SELECT 1", &[]).await?;
    Ok("ready\n")
}

/// Counts answers, and sees that each has the form and the headers that every answer has.
async fn watch_over(State(api): State<Api>, mut request: Request<axum::body::Body>, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let is_door = web::is_door(request.uri().path());
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
    set(header::CONTENT_SECURITY_POLICY, if is_door { SOURCES_AT_THE_DOOR } else { USUAL_SOURCES });
    set(PERMISSIONS_POLICY, if is_door { DEVICES_AT_THE_DOOR } else { USUAL_DEVICES });
    if api.behind_tls_proxy {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if is_api {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}
