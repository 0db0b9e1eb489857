//! The composition root: the one place that names concrete types and joins them.

mod feed;
mod file_reloader;
pub mod inspect;
pub mod keys;
mod legacy;
mod meters;
pub mod process_limits;
mod ready;
mod rollout;
pub mod schema;
mod secret_file;
pub mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::authority::key_rotator::{KeyError, KeyRotator};
use crate::authority::{Authority, Hybrid, Revocations, RolloutControl, sweeper};
use crate::clock::{Clock, OsEntropy, SystemClock};
use crate::config::{Config, Environment, ShutdownSettings};
use crate::metrics::{Metrics, trust};
use crate::shutdown::Signals;
use crate::store::url::{DatabaseUrl, InvalidUrl};
use crate::store::{LegacyRows, Notifier, Rows, Store, StoreError, postgres, sqlite};
use crate::transport::callers::gate::{AuthService, InProcess, RpcPort};
use crate::transport::observe::refusal_log::RefusalLog;
use crate::transport::observe::span::Spans;
use crate::transport::observe::{Kind, Observe, ObserveLayer, RequestObservers};
use crate::transport::{grpc, http};

/// Why the service could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A port, a file or a signal.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database's URL.
    #[error("{0} {1}")]
    Url(&'static str, InvalidUrl),
    /// The database's schema is not one that this version knows.
    #[error("{0}")]
    Schema(String),
    /// The secret that the data directory keeps.
    #[error("{0}")]
    Secret(String),
    /// The signing keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The callers' file, or TLS's.
    #[error("{0}")]
    Files(String),
    /// A server.
    #[error("a server failed: {0}")]
    Server(String),
}

/// All RPCs, observed and behind the gate.
type GrpcStack = Observe<AuthService<grpc::Rpcs, RpcPort>>;

/// The service, its ports bound.
#[derive(Debug)]
pub struct App {
    grpc: (TcpListener, GrpcStack),
    http: (TcpListener, axum::Router),
    reloader: file_reloader::FileReloader,
    health: HealthReporter,
    readiness: Arc<ready::StoreReadiness>,
    observers: Arc<RequestObservers>,
    store: Arc<Store>,
    rows: Arc<dyn Rows>,
    revocations: Arc<Revocations>,
    signals: Vec<Arc<dyn Notifier>>,
    key_rotator: KeyRotator,
    rollout: Arc<RolloutControl>,
    metrics: Arc<Metrics>,
    metrics_listener: Option<TcpListener>,
    clock: Arc<dyn Clock>,
    environment: Environment,
    shutdown: ShutdownSettings,
}

/// A database that was opened.
struct Database {
    rows: Arc<dyn Rows>,
    /// Its own way to signal other replicas, if it has one.
    signal: Option<Arc<dyn Notifier>>,
    /// As one that may hold sessions that were there before.
    legacy: Arc<dyn LegacyRows>,
}

/// Opens the database that the settings name. Does not wait for it to be reachable.
///
/// # Errors
/// Where a file cannot be opened, or the URL makes no sense.
pub async fn open_rows(config: &Config) -> Result<Arc<dyn Rows>, AppError> {
    Ok(open_database(config).await?.rows)
}

async fn open_database(config: &Config) -> Result<Database, AppError> {
    Ok(match &config.database {
        DatabaseUrl::Sqlite(path) => {
            let legacy = Arc::new(sqlite::SqliteLegacy::new(path));
            Database { rows: sqlite::open(path).await?, signal: None, legacy }
        }
        DatabaseUrl::Postgres(url) => {
            let rows = connect(url)?;
            Database { rows: rows.clone(), signal: Some(rows.clone()), legacy: rows }
        }
    })
}

fn connect(url: &str) -> Result<Arc<postgres::PgRows>, AppError> {
    let options = postgres::Options::new(url);
    postgres::connect(options).map_err(|error| AppError::Url("DATABASE_URL", error.into()))
}

impl App {
    /// Opens what is needed and binds the ports. `lost_lines` counts those of the log.
    ///
    /// # Errors
    /// Where a port is taken, or the database's file or schema will not do.
    #[expect(clippy::too_many_lines, reason = "a list of everything there is, joined once")]
    pub async fn build(config: Config, lost_lines: Arc<AtomicU64>) -> Result<Self, AppError> {
        let Database { rows, signal, legacy } = open_database(&config).await?;
        schema::prepare(&*rows, config.environment).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (rotation, revocation_retention) =
            (config.tokens.rotation, config.tokens.revocation_retention());
        let store = Arc::new(Store::new(Arc::clone(&rows), rotation, revocation_retention));
        let signals = feed::signals(signal, &config)?;
        let revocations = Revocations::new(config.revocations, Arc::clone(&clock), &OsEntropy);
        let revocations = Arc::new(revocations);
        for shared in config.shared_with_auth_server() {
            tracing::warn!("{shared}");
        }
        let keys::Keys { ring: keys, mut key_rotator, session_tokens } =
            keys::open(&config, &rows)?;
        key_rotator.start().await?;
        let rollout = rollout::begin(rows.clone(), Arc::clone(&clock), config.rollout).await;
        let legacy = legacy::open(&config, &legacy)?;
        let reloader = file_reloader::FileReloader::new(&config.network)?;
        let trust = trust::Sources {
            revocations: Arc::clone(&revocations),
            keys: Arc::clone(&keys),
            rotate_every: config.keys.rotate_every,
            tls: reloader.tls(),
        };
        let metrics = meters::make(&store, &rows, &rollout, &clock, trust, lost_lines)?;
        let well_known = http::WellKnownSettings {
            issuer: config.tokens.issuer.clone(),
            publish: config.keys.publish,
        };
        let authority = Authority::new(
            Arc::clone(&store),
            Arc::clone(&keys),
            Arc::clone(&clock),
            Arc::new(OsEntropy),
            config.tokens,
            Arc::clone(&revocations),
        )
        .with_session_tokens(Hybrid { rollout: Arc::clone(&rollout), keys: session_tokens })
        .with_legacy(legacy)
        .in_shadow(config.shadow)
        .with_events(metrics.tokens.clone())
        .with_verification_cache(config.validation_cache);
        let authority = Arc::new(authority);
        let known = Arc::clone(&revocations);
        let readiness = Arc::new(ready::StoreReadiness::new(Arc::clone(&store), known, keys));
        let (health, health_service) = tonic_health::server::health_reporter();
        let spans = config.telemetry.otlp_endpoint.as_ref();
        let spans = spans.map_or(Spans::NONE, |_| Spans::of(config.telemetry.sampling));
        let observers = Arc::new(RequestObservers {
            spans,
            meter: metrics.requests.clone(),
            refusals: RefusalLog::default(),
        });
        let observe = ObserveLayer(Kind::Grpc, Arc::clone(&observers));
        let reflection = config.network.reflection;
        let grpc_routes = grpc::routes(&authority, &rollout, health_service, reflection)
            .map_err(|error| AppError::Server(error.to_string()))?;
        let grpc_routes = (observe, reloader.gate.before_rpcs()).layer(grpc_routes);
        let http_routes = http::routes(
            InProcess(grpc_routes.clone()),
            http::HttpSettings { browser: config.browser, well_known },
            &authority,
            readiness.clone(),
            Arc::clone(&reloader.gate),
            Arc::clone(&observers),
        );
        Ok(Self {
            grpc: (bind(config.grpc_addr).await?, grpc_routes),
            http: (bind(config.http_addr).await?, http_routes),
            reloader,
            health,
            readiness,
            observers,
            store,
            rows,
            revocations,
            signals,
            key_rotator,
            rollout,
            metrics_listener: meters::bind(config.metrics_addr, config.environment).await?,
            metrics,
            clock,
            environment: config.environment,
            shutdown: config.shutdown,
        })
    }

    /// Where gRPC listens.
    ///
    /// # Errors
    /// Where the operating system does not tell.
    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.0.local_addr()
    }

    /// Where HTTP listens.
    ///
    /// # Errors
    /// Where the operating system does not tell.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.http.0.local_addr()
    }

    /// Where metrics are read. `None`: nowhere.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until a signal comes, then lets what is in flight finish; until the grace period is
    /// over, or another signal comes. By when the process has to have ended.
    ///
    /// # Errors
    /// Where a server fails before it is asked to end.
    pub async fn run(mut self, mut signals: Signals) -> Result<Instant, AppError> {
        let stop = CancellationToken::new();
        say_to_all(&self.health, ServingStatus::NotServing).await;
        let mut background = self.start_background();
        background.tasks.push(tokio::spawn(self.key_rotator.run()).abort_handle());
        let (grpc_port, http_port) = (self.reloader.grpc(), self.reloader.http());
        let mut grpc = tokio::spawn(grpc_port.serve(self.grpc.0, self.grpc.1, stop.clone()));
        let mut http = tokio::spawn(http_port.serve(self.http.0, self.http.1, stop.clone()));
        let ended_early = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "shutting down");
                None
            }
            ended = &mut grpc => Some(ended),
            ended = &mut http => Some(ended),
        };
        if let Some(ended) = ended_early {
            background.abort_all();
            return Err(AppError::Server(format!("{ended:?}")));
        }

        let grace_ends = Instant::now() + self.shutdown.delay + self.shutdown.grace;
        self.readiness.drain();
        background.announce.abort();
        say_to_all(&self.health, ServingStatus::NotServing).await;
        let (stop_grpc, stop_http) = (grpc.abort_handle(), http.abort_handle());
        let finish = async {
            // Balancers have to see it before the ports close.
            tokio::time::sleep(self.shutdown.delay).await;
            // Who watches would hold the end for ever.
            self.revocations.close();
            dismiss_all(&mut self.health).await;
            stop.cancel();
            let both = async { tokio::join!(grpc, http) };
            let finished = tokio::time::timeout_at(grace_ends, both).await;
            finished.map_err(|_| "the grace period is over")
        };
        let (finished, end_by) = tokio::select! {
            finished = finish => (finished.map(drop), grace_ends),
            signal = signals.another() => (Err(signal), Instant::now()),
        };
        // A peer that never answers may not hold the process.
        if let Err(why) = finished {
            tracing::warn!(why, "requests were cut off");
            stop_grpc.abort();
            stop_http.abort();
        }
        background.abort_all();
        // What is committed is safe, however connections end.
        let _ = tokio::time::timeout_at(end_by, self.rows.close()).await;
        tracing::info!("shut down");
        Ok(end_by)
    }

    fn start_background(&mut self) -> Background {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let observer = self.metrics.tokens.clone();
        let sweeper = tokio::spawn(sweeper::run(store, clock, sweeper::Pace::default(), observer));
        let metrics = meters::start(self.metrics_listener.take(), &self.metrics);
        let schema = tokio::spawn(schema::keep_trying(Arc::clone(&self.rows), self.environment));
        let rollout = tokio::spawn(Arc::clone(&self.rollout).follow());
        let reloader = tokio::spawn(self.reloader.clone().watch());
        let shedder = tokio::spawn(Arc::clone(&self.reloader.table).watch_memory());
        let observers = Arc::clone(&self.observers);
        let refusals = tokio::spawn(async move { observers.refusals.keep_reporting().await });
        let mut tasks = feed::start(&self.store, &self.revocations, &self.signals);
        tasks.extend(
            [sweeper, schema, rollout, reloader, shedder, refusals].map(|task| task.abort_handle()),
        );
        tasks.extend(metrics);
        let (health, revocations) = (self.health.clone(), Arc::clone(&self.revocations));
        // Who does not know yet what is revoked has no say on tokens.
        let announce = tokio::spawn(async move {
            revocations.loaded().await;
            say_to_all(&health, ServingStatus::Serving).await;
        });
        Background { tasks, announce: announce.abort_handle() }
    }
}

/// Tells whoever asks for the health of any service.
async fn say_to_all(health: &HealthReporter, status: ServingStatus) {
    for service in grpc::SERVICES.iter().copied().chain([""]) {
        health.set_service_status(service, status).await;
    }
}

/// Ends the streams of whoever watches the health of any service: they were told the last there
/// is to tell.
async fn dismiss_all(health: &mut HealthReporter) {
    for service in grpc::SERVICES.iter().copied().chain([""]) {
        health.clear_service_status(service).await;
    }
}

/// Tasks beside the servers.
struct Background {
    tasks: Vec<AbortHandle>,
    /// Says that the process serves, as soon as it can.
    announce: AbortHandle,
}

impl Background {
    fn abort_all(&self) {
        self.announce.abort();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| AppError::Io(format!("cannot listen on {address}"), error))
}
