//! The Postgres client: connections that open at the first use, and the detection of a pooler.
//!
//! Behind a transaction pooler (PgBouncer, Neon's pooled endpoints), each transaction may reach
//! another server connection. A statement that was prepared by name may not exist there. Even an
//! unnamed statement is lost between its preparation and its execution, which sqlx sends as two
//! messages. So behind a pooler each statement is unnamed and has a transaction of its own. The
//! statement's limits are sent with that transaction's `BEGIN`, in one message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, PgConnection,
    Postgres, Row as _, Transaction, query::Query,
};
use tokio::sync::OnceCell;

use super::error::{Failure, Kind};
use super::settings::Options;
use super::sql;
use crate::store::StoreError;
use crate::store::connections::{ConnectionGuard, Connections, is_alive};
use crate::store::figures::ConnectionFigures;

/// A statement with its arguments.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// The time that a statement, and its whole batch, waits for another transaction's row lock. Our own
/// hold locks for the time of a commit, so a shorter limit would fail requests needlessly.
const ROW_LOCK_TIMEOUT: Duration = Duration::from_millis(300);
/// The number of times an operation is tried.
const ATTEMPTS: u32 = 4;

/// A client for one database.
#[derive(Debug)]
pub(super) struct Client {
    options: Options,
    connect: PgConnectOptions,
    /// Whether a transaction pooler is between this service and the database, as far as is known.
    pooled: AtomicBool,
    /// Whether the database accepts the limits that a transaction begins with.
    knows_limits: OnceCell<bool>,
    connections: OnceCell<Connections<Postgres>>,
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
    pub(super) fn new(options: Options, connect: PgConnectOptions, pooled: bool) -> Self {
        Self {
            options,
            connect,
            pooled: AtomicBool::new(pooled),
            knows_limits: OnceCell::new(),
            connections: OnceCell::new(),
            asked: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
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

    /// Begins a transaction. Behind a pooler the limits of a statement are set here; otherwise they
    /// were set when the connection was opened.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
        let limited =
            self.is_pooled() && *self.knows_limits.get_or_try_init(|| self.try_limits()).await?;
        if !limited {
            return connection.begin().await;
        }
        let begun = connection.begin_with(AssertSqlSafe(self.begin_limited())).await;
        // After a refusal within `BEGIN; SET …`, sqlx does not know that the connection is in a
        // transaction. This error closes the connection.
        begun.map_err(|error| match error {
            sqlx::Error::Database(_) => sqlx::Error::BeginFailed,
            error => error,
        })
    }

    /// Returns `BEGIN` with the limits in one message, which saves a round trip.
    fn begin_limited(&self) -> String {
        let limits = limits(self.options.timeout).map(|limit| format!("; SET LOCAL {limit}"));
        format!("BEGIN{}", limits.concat())
    }

    /// Tests whether the database accepts the limits.
    async fn try_limits(&self) -> Result<bool, sqlx::Error> {
        let mut connection = self.connect.connect().await?;
        let begun = connection.begin_with(AssertSqlSafe(self.begin_limited())).await.map(drop);
        match begun {
            Err(sqlx::Error::Database(refusal)) if is_of_value(refusal.code().as_deref()) => {
                return Ok(false);
            }
            begun => begun?,
        }
        connection.close().await?;
        Ok(true)
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
        let attempts = async {
            for _ in 1..ATTEMPTS {
                match once().await {
                    Ok(done) => return Ok(done),
                    Err(failure) => self.classify(failure, retry)?,
                }
            }
            once().await.map_err(|failure| failure.error)
        };
        tokio::time::timeout(self.options.timeout, attempts)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())))
    }

    fn classify(&self, failure: Failure, retry: RetryMode) -> Result<(), StoreError> {
        if failure.kind == Kind::Broken
            && let Some(connections) = self.connections.get()
        {
            // A broken connection often means a restarted server: check idle ones before reuse.
            connections.revalidate_idle();
        }
        if failure.kind == Kind::StatementLost && !self.pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a prepared statement was lost: assuming that a transaction pooler is in between"
            );
        }
        let unread = retry == RetryMode::Reading && failure.kind == Kind::Broken;
        if failure.is_undone() || unread { Ok(()) } else { Err(failure.error) }
    }

    /// Returns the options of its connections.
    pub(super) const fn target(&self) -> &PgConnectOptions {
        &self.connect
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Borrows a connection.
    pub(super) async fn acquire(&self) -> Result<ConnectionGuard<Postgres>, Failure> {
        let begun = Instant::now();
        let connections = self.connections.get_or_try_init(|| self.open()).await?;
        let connection = connections.take().await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(micros, Ordering::Relaxed);
        Ok(connection?)
    }

    /// Returns the state of the connections.
    pub(super) fn connections(&self) -> ConnectionFigures {
        let (open, idle) = self.connections.get().map(Connections::figures).unwrap_or_default();
        ConnectionFigures {
            open,
            idle,
            asked: self.asked.load(Ordering::Relaxed),
            waited_micros: self.waited.load(Ordering::Relaxed),
        }
    }

    /// Opens a connection outside the pool, whose statements have no time limit.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        tokio::time::timeout(self.options.acquire_timeout, self.connect.connect())
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Closes all connections, after those in use were returned.
    pub(super) async fn close(&self) {
        if let Some(connections) = self.connections.get() {
            // An operation that is still running by then has missed its own time limit.
            let _ = tokio::time::timeout(self.options.timeout, connections.close()).await;
        }
    }

    async fn open(&self) -> Result<Connections<Postgres>, Failure> {
        let finding = tokio::time::timeout(self.options.acquire_timeout, self.find_pooler());
        let timeout = |_| StoreError::Unavailable("no connection was made in time".into());
        finding.await.map_err(timeout)??;
        let options = PgPoolOptions::new()
            .max_connections(self.options.max_connections)
            .acquire_timeout(self.options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(async { Ok(is_alive(connection).await) }));
        let limit = self.options.timeout;
        let options = if self.is_pooled() {
            options
        } else {
            options.after_connect(move |connection, _| Box::pin(set_up(connection, limit)))
        };
        Ok(Connections::of(options.connect_lazy_with(self.connect.clone())))
    }

    async fn find_pooler(&self) -> Result<(), Failure> {
        if self.is_pooled() {
            return Ok(());
        }
        let pooled = !keeps_settings(&self.connect).await?;
        if pooled {
            tracing::info!("a pooler was detected between this service and the database");
        }
        self.pooled.store(pooled, Ordering::Relaxed);
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

/// Returns a healthy connection. After a failure, the pool rolls back an open transaction.
pub(super) fn settle<T>(
    connection: ConnectionGuard<Postgres>,
    result: Result<T, sqlx::Error>,
) -> Result<T, Failure> {
    let result = result.map_err(Failure::from);
    match &result {
        Ok(_) => connection.release(),
        Err(failure) if !failure.breaks_connection() => connection.close(),
        Err(_) => {}
    }
    result
}

/// Tests whether a setting from the start of a connection is in effect in it. Transaction poolers
/// refuse or drop such a setting, because they share server connections among clients.
///
/// Comparing the backends of two connections is no substitute: while other clients use the pool,
/// both may get the same backend every time.
async fn keeps_settings(connect: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let asking = connect.clone().options([("token_authority.probe", "kept")]);
    let mut connection = match asking.connect().await {
        Err(sqlx::Error::Database(refusal)) if is_of_setting(refusal.code().as_deref()) => {
            connect.connect().await?.close().await?;
            return Ok(false);
        }
        connected => connected?,
    };
    let row = connection.fetch_one(sqlx::raw_sql(sql::PROBE)).await?;
    let setting: Option<String> = row.try_get(0)?;
    connection.close().await?;
    Ok(setting.as_deref() == Some("kept"))
}

/// Returns whether the server refused a connection because of a start-up setting: a protocol
/// violation (PgBouncer's answer), or an error about the setting itself.
fn is_of_setting(code: Option<&str>) -> bool {
    is_of_value(code) || code.is_some_and(|code| code.starts_with("08"))
}

/// Returns whether an SQLSTATE means that the server does not know a setting: a feature, a value or
/// a name that it does not support.
fn is_of_value(code: Option<&str>) -> bool {
    code.is_some_and(|code| ["0A", "22", "42"].iter().any(|class| code.starts_with(class)))
}

/// The limits of a statement. The server itself cancels a statement that no caller waits for.
fn limits(timeout: Duration) -> [String; 2] {
    [
        format!("statement_timeout = {}", timeout.as_millis()),
        format!("lock_timeout = {}", ROW_LOCK_TIMEOUT.as_millis()),
    ]
}

/// Sets up a connection that is not shared through a pooler. Behind a pooler, the settings would
/// leak to other clients of the server connection.
async fn set_up(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let [statement, lock] = limits(limit);
    let settings = [
        statement,
        lock,
        // Planning each time would cost a lone refresh half of its time, and a batched one a tenth.
        // But a cached plan from when the table was small would scan the whole table, even after it
        // has grown. All frequent statements here find their rows by an index, so the other plans
        // are disabled. `survey` enables them again.
        "plan_cache_mode = force_generic_plan".to_owned(),
        "enable_seqscan = off".to_owned(),
        "enable_hashjoin = off".to_owned(),
        "enable_mergejoin = off".to_owned(),
    ];
    for setting in settings {
        let set = AssertSqlSafe(format!("SET {setting}"));
        match connection.execute(sqlx::raw_sql(set)).await {
            // These settings only save work. A server that does not know one works without it.
            Ok(_) | Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
