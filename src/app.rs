//! The composition root: the only place that names concrete types and connects them.

mod database;
mod feed;
mod file_reloader;
pub mod inspect;
pub mod keys;
mod legacy;
mod listen;
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
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::authority::key_rotator::{KeyError, KeyRotator};
use crate::authority::status::StatusReader;
use crate::authority::{Authority, Hybrid, Revocations, RolloutControl, sweeper};
use crate::clock::{Clock, OsEntropy, SystemClock};
use crate::config::{Config, Environment, KeptSecretError, ShutdownSettings};
use crate::metrics::{Metrics, process, trust};
use crate::shutdown::Signals;
use crate::store::url::InvalidUrl;
use crate::store::{Notifier, Rows, Store, StoreError, sqlite};
use crate::telemetry::Dropped;
use crate::transport::callers::file_error::CallersFileError;
use crate::transport::observe::refusal_log::RefusalLog;
use crate::transport::observe::span::Spans;
use crate::transport::observe::{Kind, ObserveLayer, RequestObservers};
use crate::transport::serve::tls::TlsError;
use crate::transport::{grpc, http};
use database::{Database, claim, open_database};

pub use database::open_rows;

/// Why the service could not start or continue.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// A port could not be opened.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// An operation on the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting with a database's URL is invalid.
    #[error("{0} {1}")]
    Url(&'static str, InvalidUrl),
    /// The database's schema is not one that this version can work with.
    #[error(transparent)]
    Schema(#[from] schema::SchemaError),
    /// The generated secret in the data directory cannot be used.
    #[error(transparent)]
    Secret(#[from] KeptSecretError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The callers file cannot be used.
    #[error(transparent)]
    Callers(#[from] CallersFileError),
    /// A TLS file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A server failed.
    #[error("a server failed: {0}")]
    Server(String),
}

/// The service with open ports.
#[derive(Debug)]
pub struct App {
    grpc: (TcpListener, grpc::GrpcPort),
    http: (TcpListener, axum::Router),
    reloader: file_reloader::FileReloader,
    health: HealthReporter,
    readiness: Arc<ready::StoreReadiness>,
    observers: Arc<RequestObservers>,
    store: Arc<Store>,
    rows: Arc<dyn Rows>,
    file_claim: Option<sqlite::FileClaim>,
    revocations: Arc<Revocations>,
    signals: Vec<Arc<dyn Notifier>>,
    key_rotator: KeyRotator,
    rollout: Arc<RolloutControl>,
    last_sweep: Arc<sweeper::LastSweep>,
    metrics: Arc<Metrics>,
    metrics_listener: Option<TcpListener>,
    clock: Arc<dyn Clock>,
    environment: Environment,
    session_events: Duration,
    shutdown: ShutdownSettings,
}

impl App {
    /// Opens the database and the ports. `dropped` counts dropped telemetry.
    ///
    /// # Errors
    /// Returns [`AppError`] if a port is taken, or if the database's file or schema cannot be used.
    #[expect(clippy::too_many_lines, reason = "one flat list that connects every part")]
    pub async fn build(config: Config, dropped: Dropped) -> Result<Self, AppError> {
        let ports = listen::Ports::bind(&config)?;
        let Database { rows, signal, legacy } = open_database(&config).await?;
        let file_claim = claim(&config)?;
        schema::prepare(&*rows, config.environment).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rotation = config.tokens.rotation;
        let revocation_retention = config.tokens.revocation_retention();
        let store = Store::new(Arc::clone(&rows), rotation, revocation_retention);
        let store = Arc::new(store.with_max_sessions(config.max_sessions_per_user));
        let signals = feed::signals(signal, &config)?;
        let revocations = Revocations::new(config.revocations, Arc::clone(&clock), &OsEntropy);
        let revocations = Arc::new(revocations);
        let suspicious = config.suspicious_auth_server_secret();
        for warning in config.shared_with_auth_server().into_iter().chain(suspicious) {
            tracing::warn!("{warning}");
        }
        let keys::Keys { ring: keys, mut key_rotator, session_tokens, first_tokens, devices } =
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
        let installation = config.installation_id(config.shared_secret()?.as_ref());
        let process = process::Sources {
            dropped_log_lines: dropped.log_lines,
            failed_trace_exports: dropped.trace_exports,
            installation: installation.unwrap_or_default(),
        };
        let metrics = meters::make(&store, &rows, &rollout, &clock, trust, process)?;
        let (issuer, publish) = (config.tokens.issuer.clone(), config.keys.publish);
        let well_known = http::WellKnownSettings { issuer, publish };
        let start = config.start_page();
        let authority = Authority::new(
            Arc::clone(&store),
            Arc::clone(&keys),
            Arc::clone(&clock),
            Arc::new(OsEntropy),
            config.tokens,
            Arc::clone(&revocations),
        )
        .with_first_token_keys(first_tokens)
        .with_devices(devices)
        .with_session_tokens(Hybrid { rollout: Arc::clone(&rollout), keys: session_tokens })
        .with_legacy(legacy)
        .in_shadow(config.shadow)
        .with_events(metrics.tokens.clone())
        .with_verification_cache(config.validation_cache);
        let authority = Arc::new(authority);
        let known = Arc::clone(&revocations);
        let readiness = Arc::new(ready::StoreReadiness::new(Arc::clone(&store), known, keys));
        let (health, health_service) = tonic_health::server::health_reporter();
        let spans = config.telemetry.export.as_ref();
        let spans = spans.map_or(Spans::NONE, |_| Spans::of(config.telemetry.sampling));
        let observers = Arc::new(RequestObservers {
            spans,
            meter: metrics.requests.clone(),
            refusals: RefusalLog::default(),
        });
        let observe = ObserveLayer(Kind::Grpc, Arc::clone(&observers));
        let reflection = config.network.reflection;
        let last_sweep = Arc::new(sweeper::LastSweep::default());
        let status = StatusReader::new(
            Arc::clone(&rows),
            key_rotator.key_list(),
            Arc::clone(&revocations),
            Arc::clone(&last_sweep),
            Arc::clone(&clock),
        );
        let operator = grpc::Operator::new(Arc::new(status), readiness.clone());
        let grpc_routes = grpc::routes(&authority, &rollout, operator, health_service, reflection)
            .map_err(|error| AppError::Server(error.to_string()))?;
        let grpc_routes = (observe, reloader.gate.before_rpcs()).layer(grpc_routes);
        let http_routes = http::routes(
            grpc_routes.clone(),
            http::HttpSettings { browser: config.browser, pages: config.pages, start, well_known },
            &authority,
            readiness.clone(),
            Arc::clone(&reloader.gate),
            Arc::clone(&observers),
        );
        Ok(Self {
            grpc: (ports.grpc.listen()?, grpc::GrpcPort::new(grpc_routes)),
            http: (ports.http.listen()?, http_routes),
            reloader,
            health,
            readiness,
            observers,
            store,
            rows,
            file_claim,
            revocations,
            signals,
            key_rotator,
            rollout,
            metrics_listener: ports.metrics.map(listen::BoundPort::listen).transpose()?,
            last_sweep,
            metrics,
            clock,
            environment: config.environment,
            session_events: config.session_events,
            shutdown: config.shutdown,
        })
    }

    /// Returns the address on which gRPC listens.
    ///
    /// # Errors
    /// Returns the operating system's error if it does not know the address.
    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.0.local_addr()
    }

    /// Returns the address on which HTTP listens.
    ///
    /// # Errors
    /// Returns the operating system's error if it does not know the address.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.http.0.local_addr()
    }

    /// Returns the address of `GET /metrics`. `None`: metrics are not served.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until a signal arrives, then lets requests in flight finish until the grace period is
    /// over or another signal arrives. Returns the time by which the process has to end.
    ///
    /// # Errors
    /// Returns [`AppError::Server`] if a server fails before the shutdown.
    pub async fn run(mut self, mut signals: Signals) -> Result<Instant, AppError> {
        let stop = CancellationToken::new();
        set_status_of_all(&self.health, ServingStatus::NotServing).await;
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
        set_status_of_all(&self.health, ServingStatus::NotServing).await;
        let (stop_grpc, stop_http) = (grpc.abort_handle(), http.abort_handle());
        let finish = async {
            // Load balancers have to see the health status before the ports close.
            tokio::time::sleep(self.shutdown.delay).await;
            // Open streams of watchers would otherwise last for the whole grace period.
            self.revocations.close();
            end_health_watches(&mut self.health).await;
            stop.cancel();
            let both = async { tokio::join!(grpc, http) };
            let finished = tokio::time::timeout_at(grace_ends, both).await;
            finished.map_err(|_| "the grace period is over")
        };
        let (finished, end_by) = tokio::select! {
            finished = finish => (finished.map(drop), grace_ends),
            signal = signals.another() => (Err(signal), Instant::now()),
        };
        // A client that never reads its response must not keep the process alive.
        if let Err(why) = finished {
            tracing::warn!(why, "requests were cut off");
            stop_grpc.abort();
            stop_http.abort();
        }
        background.abort_all();
        // Committed data is safe, however the connections end.
        let _ = tokio::time::timeout_at(end_by, self.rows.close()).await;
        drop(self.file_claim);
        tracing::info!("shut down");
        Ok(end_by)
    }

    fn start_background(&mut self) -> Background {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let observer = self.metrics.tokens.clone();
        let last_sweep = Arc::clone(&self.last_sweep);
        let pace = sweeper::Pace { events: self.session_events, ..sweeper::Pace::default() };
        let sweeper = tokio::spawn(sweeper::run(store, clock, pace, observer, last_sweep));
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
        // Report SERVING only after the revocation feed was read once; before that, a revoked token
        // could be accepted.
        let announce = tokio::spawn(async move {
            revocations.loaded().await;
            set_status_of_all(&health, ServingStatus::Serving).await;
        });
        Background { tasks, announce: announce.abort_handle() }
    }
}

/// Sets the health status of every service.
async fn set_status_of_all(health: &HealthReporter, status: ServingStatus) {
    for service in grpc::SERVICES.iter().copied().chain([""]) {
        health.set_service_status(service, status).await;
    }
}

/// Ends the streams of clients that watch the health of a service. They have received the last
/// status.
async fn end_health_watches(health: &mut HealthReporter) {
    for service in grpc::SERVICES.iter().copied().chain([""]) {
        health.clear_service_status(service).await;
    }
}

/// The background tasks.
struct Background {
    tasks: Vec<AbortHandle>,
    /// Reports SERVING as soon as the process can answer.
    announce: AbortHandle,
}

impl Background {
    fn abort_all(&self) {
        self.announce.abort();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
