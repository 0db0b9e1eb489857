//! The Postgres client: connections that open at the first use, and the detection of a pooler.
//!
//! Behind a transaction pooler (PgBouncer, Neon's pooled endpoints), each transaction may reach
//! another server connection. A statement that was prepared by name may not exist there. Even an
//! unnamed statement is lost between its preparation and its execution, which sqlx sends as two
//! messages. So behind a pooler each statement is unnamed and has a transaction of its own. The
//! statement's limits are sent with that transaction's `BEGIN`, in one message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{
    AssertSqlSafe, Connection as _, Either, Executor as _, PgConnection, Postgres, Transaction,
    query::Query,
};
use tokio::sync::{Mutex, OnceCell};

use super::error::{Failure, Kind};
use super::invalid_url::InvalidPostgresUrl;
use super::settings::Options;
use super::target::Target;
use super::{probe, settings, sql};
use crate::store::StoreError;
use crate::store::connections::{ConnectionGuard, ConnectionLimits, Connections};
use crate::store::figures::ConnectionFigures;

/// A statement with its arguments.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// The number of times an operation is tried.
const ATTEMPTS: u32 = 4;
/// The age at which a connection is closed, so that load moves to a new server after a while.
const MAX_AGE: Duration = Duration::from_mins(30);
/// The time after which an idle connection is closed. Firewalls forget connections that are idle
/// for longer.
const MAX_IDLE_TIME: Duration = Duration::from_mins(10);

/// A client for one database.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) options: Options,
    /// The servers. A URL file that has changed replaces them.
    target: RwLock<Arc<Target>>,
    /// The URL that `target` was made of, if it came from a file.
    pub(super) url_in_use: Mutex<String>,
    /// Whether a transaction pooler is between this service and the database, as far as is known.
    pooled: AtomicBool,
    /// Set when the first connection was made and a pooler was looked for.
    detected: OnceCell<()>,
    /// Whether the database accepts the limits that a transaction begins with.
    knows_limits: OnceCell<bool>,
    connections: Connections<PgConnection>,
    /// The number of requests for a connection, and their total waiting time in microseconds.
    asked: AtomicU64,
    waited: AtomicU64,
}

/// The result of a statement.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) rows: Vec<PgRow>,
    /// The number of changed rows.
    pub(super) changed: u64,
}

/// When a failed operation may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryMode {
    /// A read is retried whenever its connection failed.
    Reading,
    /// A write is retried only if it certainly had no effect.
    Writing,
}

impl Client {
    pub(super) fn new(options: Options) -> Result<Self, InvalidPostgresUrl> {
        let target = Target::new(settings::read(&options.url)?);
        let limits = ConnectionLimits {
            max_connections: options.max_connections,
            acquire_timeout: options.acquire_timeout,
            max_age: Some(MAX_AGE),
            max_idle_time: Some(MAX_IDLE_TIME),
        };
        Ok(Self {
            pooled: AtomicBool::new(target.is_pooled()),
            url_in_use: Mutex::new(options.url.clone()),
            target: RwLock::new(Arc::new(target)),
            options,
            detected: OnceCell::new(),
            knows_limits: OnceCell::new(),
            connections: Connections::new(limits),
            asked: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        })
    }

    /// Runs the statement that `build` makes, as one atomic step.
    pub(super) async fn fetch(
        &self,
        retry: RetryMode,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        Ok(self.attempt(retry, || self.fetch_once(&build)).await?.rows)
    }

    /// Runs a statement that changes rows, as one atomic step. Returns how many it changed.
    pub(super) async fn execute(
        &self,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<u64, StoreError> {
        Ok(self.attempt(RetryMode::Writing, || self.fetch_once(&build)).await?.changed)
    }

    /// Runs a statement once, without retries or a time limit, and returns all that is known about
    /// a failure.
    pub(super) async fn fetch_once(
        &self,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<Fetched, Failure> {
        let statement = build()?;
        let mut connection = self.acquire().await?;
        let fetched = if self.is_pooled() {
            self.fetch_in_transaction(&mut connection, None, statement).await
        } else {
            collect(&mut connection, statement).await
        };
        settle(connection, fetched)
    }

    /// Runs a statement that reads a large part of a table, with every kind of plan allowed.
    pub(super) async fn survey(
        &self,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let once = || async {
            let statement = build()?;
            let mut connection = self.acquire().await?;
            let surveyed =
                self.fetch_in_transaction(&mut connection, Some(sql::PLAN_FREELY), statement).await;
            settle(connection, surveyed)
        };
        Ok(self.attempt(RetryMode::Reading, once).await?.rows)
    }

    /// Runs a statement in its own transaction, after a statement that sets the transaction up.
    async fn fetch_in_transaction(
        &self,
        connection: &mut PgConnection,
        set_up: Option<&'static str>,
        statement: Statement,
    ) -> Result<Fetched, sqlx::Error> {
        let mut transaction = self.begin(connection).await?;
        if let Some(set_up) = set_up {
            transaction.execute(sqlx::raw_sql(set_up)).await?;
        }
        let fetched = collect(&mut transaction, statement.persistent(false)).await?;
        transaction.commit().await?;
        Ok(fetched)
    }

    /// Begins a transaction. Behind a pooler the limits of a statement and the schema are set
    /// here; otherwise they were set when the connection was opened.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
        if !self.is_pooled() {
            return connection.begin().await;
        }
        let limited = *self.knows_limits.get_or_try_init(|| self.try_limits()).await?;
        self.begin_with(connection, limited).await
    }

    /// Begins a transaction and sets the schema and the limits in the same message, which saves a
    /// round trip.
    pub(super) async fn begin_with<'c>(
        &self,
        connection: &'c mut PgConnection,
        limited: bool,
    ) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
        let limits = probe::limits(self.options.timeout);
        let settings = limits.into_iter().filter(|_| limited).chain(self.search_path());
        let mut statement = "BEGIN".to_owned();
        for setting in settings {
            statement.push_str("; SET LOCAL ");
            statement.push_str(&setting);
        }
        if statement == "BEGIN" {
            return connection.begin().await;
        }
        let begun = connection.begin_with(AssertSqlSafe(statement)).await;
        // After a refusal within `BEGIN; SET …`, sqlx does not know that the connection is in a
        // transaction. This error closes the connection.
        begun.map_err(|error| match error {
            sqlx::Error::Database(_) => sqlx::Error::BeginFailed,
            error => error,
        })
    }

    /// The setting that finds our tables, if they are in a schema of their own.
    fn search_path(&self) -> Option<String> {
        let schema = self.options.schema.as_ref()?;
        Some(format!("search_path = {}", schema.quoted()))
    }

    /// Tests whether the database accepts the limits.
    async fn try_limits(&self) -> Result<bool, sqlx::Error> {
        let limited = format!(
            "BEGIN; SET LOCAL {}",
            probe::limits(self.options.timeout).join("; SET LOCAL ")
        );
        probe::accepts(self.target().preferred(), limited).await
    }

    /// Repeats `once` until it succeeds, cannot succeed, or takes too long.
    pub(super) async fn attempt<T, F>(
        &self,
        retry: RetryMode,
        once: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        // If time runs out, the last failure is the cause.
        let last = std::sync::Mutex::new(None);
        let attempts = async {
            for _ in 1..ATTEMPTS {
                match once().await {
                    Ok(done) => return Ok(done),
                    Err(failure) => {
                        *last.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(failure.error.clone());
                        self.classify(failure, retry)?;
                    }
                }
            }
            once().await.map_err(|failure| failure.error)
        };
        let done = tokio::time::timeout(self.options.timeout, attempts).await;
        let done = done.unwrap_or_else(|_| {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(last.unwrap_or_else(|| StoreError::Unavailable("no answer in time".into())))
        });
        done.map_err(|error| error.at(&self.target().place()))
    }

    fn classify(&self, failure: Failure, retry: RetryMode) -> Result<(), StoreError> {
        if matches!(failure.kind, Kind::Broken | Kind::Starting) {
            // A broken connection often means a restarted server, so idle connections are checked
            // before they are reused.
            self.connections.revalidate_idle();
        }
        if failure.kind == Kind::ReadOnly {
            // The primary became a standby. All connections to it are useless.
            self.connections.renew();
        }
        if failure.kind == Kind::StatementLost && !self.pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a prepared statement was lost: assuming that a transaction pooler is in between"
            );
        }
        let broken = matches!(failure.kind, Kind::Broken | Kind::Starting);
        let unread = retry == RetryMode::Reading && broken;
        if failure.is_undone() || unread { Ok(()) } else { Err(failure.error) }
    }

    /// Returns the servers.
    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses other servers, or other credentials, from now on.
    pub(super) fn replace_target(&self, target: Target) {
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(target);
        self.connections.renew();
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Borrows a connection.
    pub(super) async fn acquire(&self) -> Result<ConnectionGuard<PgConnection>, Failure> {
        let begun = Instant::now();
        self.detected.get_or_try_init(|| self.detect_pooler()).await?;
        let taken = self.connections.take(|| self.open(true)).await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(micros, Ordering::Relaxed);
        taken
    }

    /// Returns the state of the connections.
    pub(super) fn connections(&self) -> ConnectionFigures {
        let (open, idle) = self.connections.figures();
        ConnectionFigures {
            open,
            idle,
            asked: self.asked.load(Ordering::Relaxed),
            waited_micros: self.waited.load(Ordering::Relaxed),
        }
    }

    /// Opens a connection that is not limited in number, and whose statements have no time limit.
    pub(super) async fn connect(&self, retry: bool) -> Result<PgConnection, Failure> {
        let limit = self.options.acquire_timeout;
        match self.target().connect(limit, retry).await {
            Err(failure) if failure.kind == Kind::LoginRefused && self.reload_url().await => {
                self.target().connect(limit, retry).await
            }
            connected => connected,
        }
    }

    /// Closes all connections, after those in use were returned.
    pub(super) async fn close(&self) {
        // An operation that is still running by then has missed its own time limit.
        let _ = tokio::time::timeout(self.options.timeout, self.connections.close()).await;
    }

    /// Opens a connection for [`Self::acquire`].
    async fn open(&self, retry: bool) -> Result<PgConnection, Failure> {
        let mut connection = self.connect(retry).await?;
        if !self.is_pooled() {
            probe::set_up(&mut connection, self.options.timeout, self.search_path()).await?;
        }
        Ok(connection)
    }

    /// Looks for a pooler. The first connection is not retried, so that a start without a database
    /// is reported at once.
    async fn detect_pooler(&self) -> Result<(), Failure> {
        let connection = self.connect(false).await?;
        if !self.is_pooled() {
            let target = self.target();
            let keeping = probe::keeps_settings(target.preferred());
            let kept = tokio::time::timeout(self.options.acquire_timeout, keeping).await;
            let silent = |_| Failure::unavailable(Kind::Broken, "no second connection in time");
            let pooled = !kept.map_err(silent)??;
            if pooled {
                tracing::info!("a pooler was detected between this service and the database");
            }
            self.pooled.store(pooled, Ordering::Relaxed);
        }
        let _ = connection.close().await;
        Ok(())
    }
}

async fn collect(
    connection: &mut PgConnection,
    statement: Statement,
) -> Result<Fetched, sqlx::Error> {
    let mut fetched = Fetched::default();
    let mut results = connection.fetch_many(statement);
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(done) => fetched.changed += done.rows_affected(),
            Either::Right(row) => fetched.rows.push(row),
        }
    }
    Ok(fetched)
}

/// Returns a healthy connection. After a failed statement, a transaction that may be open has to
/// be rolled back first.
pub(super) fn settle<T>(
    connection: ConnectionGuard<PgConnection>,
    result: Result<T, sqlx::Error>,
) -> Result<T, Failure> {
    let result = result.map_err(Failure::from);
    match &result {
        Ok(_) => connection.release(),
        Err(failure) if !failure.breaks_connection() => connection.check_and_release(),
        Err(_) => {}
    }
    result
}
