//! The composition root: the one place that names concrete types and joins them.

mod ready;
mod schema;
mod secret_file;

use std::future::{Future, IntoFuture as _};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::authority::{Authority, sweeper};
use crate::clock::{Clock, OsEntropy, SystemClock};
use crate::config::{Config, Environment, ShutdownSettings};
use crate::keys::KeyRing;
use crate::store::url::{DatabaseUrl, InvalidUrl};
use crate::store::{Inspect, Rows, Store, StoreError, postgres, sqlite};
use crate::transport::observe::{Kind, ObserveLayer};
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
    #[error("DATABASE_URL {0}")]
    Url(#[from] InvalidUrl),
    /// The database's schema is not one that this version knows.
    #[error("{0}")]
    Schema(String),
    /// A server.
    #[error("a server failed: {0}")]
    Server(String),
}

/// The service, its ports bound.
#[derive(Debug)]
pub struct App {
    grpc: (TcpListener, axum::Router),
    http: (TcpListener, axum::Router),
    health: HealthReporter,
    readiness: Arc<ready::StoreReadiness>,
    store: Arc<Store>,
    rows: Arc<dyn Rows>,
    clock: Arc<dyn Clock>,
    environment: Environment,
    shutdown: ShutdownSettings,
}

/// Opens the database that the settings name. Does not wait for it to be reachable.
///
/// # Errors
/// Where a file cannot be opened, or the URL makes no sense.
pub async fn open_rows(config: &Config) -> Result<Arc<dyn Rows>, AppError> {
    Ok(match &config.database {
        DatabaseUrl::Sqlite(path) => sqlite::open(path).await?,
        DatabaseUrl::Postgres(url) => postgres::connect(postgres::Options::new(url))?,
    })
}

/// The database that the settings name, to be looked at only: nothing is made or changed, and an
/// SQLite file that is missing stays so.
///
/// # Errors
/// Where the URL makes no sense.
pub fn inspect(config: &Config) -> Result<Arc<dyn Inspect>, AppError> {
    Ok(match &config.database {
        DatabaseUrl::Sqlite(path) => Arc::new(sqlite::SqliteInspection::new(path)),
        DatabaseUrl::Postgres(url) => postgres::connect(postgres::Options::new(url))?,
    })
}

/// Where a generated secret is kept, if one was.
#[must_use]
pub fn kept_secret(config: &Config) -> std::path::PathBuf {
    secret_file::path(&config.data_dir)
}

impl App {
    /// Opens what is needed and binds the ports.
    ///
    /// # Errors
    /// Where a port is taken, or the database's file or schema will not do.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let rows = open_rows(&config).await?;
        schema::prepare(&*rows, config.environment).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Arc::new(Store::new(Arc::clone(&rows), config.tokens.rotation));
        let secret = secret_file::resolve(&config, &OsEntropy)?;
        let previous: Vec<_> = config.jwt_secret_previous.into_iter().collect();
        let keys = Arc::new(KeyRing::hs256(&secret, &previous));
        let authority = Arc::new(Authority::new(
            Arc::clone(&store),
            keys,
            Arc::clone(&clock),
            Arc::new(OsEntropy),
            config.tokens,
        ));
        let readiness = Arc::new(ready::StoreReadiness::new(Arc::clone(&store)));
        let (health, health_service) = tonic_health::server::health_reporter();
        let grpc_routes = grpc::routes(&authority, health_service)
            .map_err(|error| AppError::Server(error.to_string()))?
            .prepare()
            .into_axum_router()
            .layer(ObserveLayer(Kind::Grpc));
        let http_routes = http::routes(grpc_routes.clone(), config.browser, readiness.clone());
        Ok(Self {
            grpc: (bind(config.grpc_addr).await?, grpc_routes),
            http: (bind(config.http_addr).await?, http_routes),
            health,
            readiness,
            store,
            rows,
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

    /// Serves until `asked` completes, then lets what is in flight finish.
    ///
    /// # Errors
    /// Where a server fails before it is asked to end.
    pub async fn run<S>(self, asked: S) -> Result<(), AppError>
    where
        S: Future<Output = &'static str>,
    {
        let stop = CancellationToken::new();
        let background = self.start_background();
        for service in grpc::SERVICES.iter().copied().chain([""]) {
            self.health.set_service_status(service, ServingStatus::Serving).await;
        }
        let mut grpc = tokio::spawn(serve_grpc(self.grpc.0, self.grpc.1, stop.clone()));
        let mut http = tokio::spawn(serve_http(self.http.0, self.http.1, stop.clone()));
        let ended_early = tokio::select! {
            signal = asked => {
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

        self.readiness.drain();
        for service in grpc::SERVICES.iter().copied().chain([""]) {
            self.health.set_service_status(service, ServingStatus::NotServing).await;
        }
        // Balancers have to see it before the ports close.
        tokio::time::sleep(self.shutdown.delay).await;
        stop.cancel();
        let (stop_grpc, stop_http) = (grpc.abort_handle(), http.abort_handle());
        let both = async { tokio::join!(grpc, http) };
        // An open health watch, or a peer that never answers, may not hold the process.
        if tokio::time::timeout(self.shutdown.grace, both).await.is_err() {
            tracing::warn!("requests were cut off at the end of the grace period");
            stop_grpc.abort();
            stop_http.abort();
        }
        background.abort_all();
        self.rows.close().await;
        tracing::info!("shut down");
        Ok(())
    }

    fn start_background(&self) -> Background {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let sweeper = tokio::spawn(sweeper::run(store, clock, sweeper::Pace::default()));
        let schema = tokio::spawn(schema::keep_trying(Arc::clone(&self.rows), self.environment));
        Background([sweeper.abort_handle(), schema.abort_handle()])
    }
}

/// Tasks beside the servers.
struct Background([tokio::task::AbortHandle; 2]);

impl Background {
    fn abort_all(&self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| AppError::Io(format!("cannot listen on {address}"), error))
}

async fn serve_grpc(
    listener: TcpListener,
    routes: axum::Router,
    stop: CancellationToken,
) -> Result<(), String> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .map_err(|error| error.to_string())
}

async fn serve_http(
    listener: TcpListener,
    routes: axum::Router,
    stop: CancellationToken,
) -> Result<(), String> {
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .into_future()
        .await
        .map_err(|error| error.to_string())
}
