//! The way to Postgres: a pool of connections, opened at the first use, and the knowledge of
//! whether a pooler is in between.
//!
//! Behind a transaction pooler (PgBouncer, Neon's pooled endpoints) every transaction may reach
//! another server connection. A statement that was prepared by name is then not there, and even
//! an unnamed one is lost between its preparation and its execution, which sqlx sends as two. So
//! there each statement is unnamed and inside a transaction of its own, and what limits the
//! statement is said with that transaction's `BEGIN`, in one message.

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
use crate::store::connections::{ConnectionGuard, Connections, confirm};
use crate::store::figures::ConnectionFigures;

/// A statement with its arguments.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// How long a statement waits for a row that another transaction holds. Whoever shares the
/// statement waits along; our own transactions hold rows for the time of a commit.
const HELD: Duration = Duration::from_millis(300);
/// How often an operation is tried.
const ATTEMPTS: u32 = 4;

/// The way to a database.
#[derive(Debug)]
pub(super) struct Client {
    options: Options,
    connect: PgConnectOptions,
    /// Whether a transaction pooler is in between, as far as is known.
    pooled: AtomicBool,
    /// Whether the database behind it knows the limits that a transaction is to begin with.
    knows_limits: OnceCell<bool>,
    connections: OnceCell<Connections<Postgres>>,
    /// How often a connection was asked for, and how long that took, in microseconds.
    asked: AtomicU64,
    waited: AtomicU64,
}

/// What a statement brought.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) rows: Vec<PgRow>,
    /// How many rows it changed.
    pub(super) changed: u64,
}

/// When a failed operation may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryMode {
    /// It only reads: whenever its connection failed.
    Reading,
    /// It writes: only if it certainly did not take effect.
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

    /// Runs a statement that `build` makes, as one step of its own.
    pub(super) async fn fetch(
        &self,
        retry: RetryMode,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        Ok(self.attempt(retry, || self.fetch_once(&build)).await?.rows)
    }

    /// Runs a statement that changes rows, as one step of its own. How many it changed.
    pub(super) async fn execute(
        &self,
        build: impl Fn() -> Result<Statement, StoreError>,
    ) -> Result<u64, StoreError> {
        Ok(self.attempt(RetryMode::Writing, || self.fetch_once(&build)).await?.changed)
    }

    /// As [`Self::fetch`], but only once, without a limit of time, and with all that is known of
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

    /// Runs a statement that reads much of a table, and so is planned for what is there.
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

    /// Runs a statement in a transaction of its own, after what sets that transaction up.
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

    /// Begins a transaction with the limits of every statement: those of the connection, or, behind
    /// a pooler, its own.
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
        // Of a refusal halfway the connection does not know that it is in a transaction.
        begun.map_err(|error| match error {
            sqlx::Error::Database(_) => sqlx::Error::BeginFailed,
            error => error,
        })
    }

    /// In one message, since another one would be another round trip.
    fn begin_limited(&self) -> String {
        let limits = limits(self.options.timeout).map(|limit| format!("; SET LOCAL {limit}"));
        format!("BEGIN{}", limits.concat())
    }

    /// Whether the database takes them.
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

    /// Does `once` until it succeeds, cannot succeed, or has taken too long.
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
            // Where one connection broke, those that were idle at the time may have, too.
            connections.revalidate_idle();
        }
        if failure.kind == Kind::StatementLost && !self.pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!("a prepared statement was lost: taking the database for pooled");
        }
        let unread = retry == RetryMode::Reading && failure.kind == Kind::Broken;
        if failure.is_undone() || unread { Ok(()) } else { Err(failure.error) }
    }

    /// Where it leads.
    pub(super) const fn target(&self) -> &PgConnectOptions {
        &self.connect
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Takes a connection on loan.
    pub(super) async fn acquire(&self) -> Result<ConnectionGuard<Postgres>, Failure> {
        let begun = Instant::now();
        let connections = self.connections.get_or_try_init(|| self.open()).await?;
        let connection = connections.take().await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(micros, Ordering::Relaxed);
        Ok(connection?)
    }

    /// Its connections as they stand now.
    pub(super) fn connections(&self) -> ConnectionFigures {
        let (open, idle) = self.connections.get().map(Connections::figures).unwrap_or_default();
        ConnectionFigures {
            open,
            idle,
            asked: self.asked.load(Ordering::Relaxed),
            waited_micros: self.waited.load(Ordering::Relaxed),
        }
    }

    /// How its connections are made.
    pub(super) const fn settings(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// A connection of its own, whose statements may take as long as they need.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        tokio::time::timeout(self.options.acquire_timeout, self.connect.connect())
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Ends all connections, once those at work are done.
    pub(super) async fn close(&self) {
        if let Some(connections) = self.connections.get() {
            // Who is still at work by then has given up waiting for its answer.
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
            .before_acquire(|connection, _| Box::pin(async { Ok(confirm(connection).await) }));
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
            tracing::info!("a pooler is between this service and the database");
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

/// Gives the connection back if it is sound. After a failure there may be a transaction in it that
/// is yet to be undone.
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

/// Whether a setting that a connection was opened with is in force in it. Transaction poolers
/// refuse or drop one, since they hand a server connection from client to client.
///
/// Comparing the backends of two connections is no substitute: while other clients use the pool,
/// each of the two may happen to be given the same backend every time.
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

/// Whether a connection was refused for what it was opened with: a protocol violation (PgBouncer's
/// answer), or what a server says of a setting.
fn is_of_setting(code: Option<&str>) -> bool {
    is_of_value(code) || code.is_some_and(|code| code.starts_with("08"))
}

/// Whether a server does not know a setting: something not supported, a value or a name.
fn is_of_value(code: Option<&str>) -> bool {
    code.is_some_and(|code| ["0A", "22", "42"].iter().any(|class| code.starts_with(class)))
}

/// What limits a statement. The server itself gives up what nobody waits for any more.
fn limits(timeout: Duration) -> [String; 2] {
    [
        format!("statement_timeout = {}", timeout.as_millis()),
        format!("lock_timeout = {}", HELD.as_millis()),
    ]
}

/// Settings for connections that are ours alone. Behind a pooler they would stay with whoever uses
/// the server connection next.
async fn set_up(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let [statement, lock] = limits(limit);
    let settings = [
        statement,
        lock,
        // Planning anew each time would cost a refresh by itself half of its time, and one among
        // many a tenth. But a plan that is kept and was made while the table was young would read
        // all of it, also once it has grown. All that is hot here finds its rows by an index; what
        // does not says so (`survey`).
        "plan_cache_mode = force_generic_plan".to_owned(),
        "enable_seqscan = off".to_owned(),
        "enable_hashjoin = off".to_owned(),
        "enable_mergejoin = off".to_owned(),
    ];
    for setting in settings {
        let set = AssertSqlSafe(format!("SET {setting}"));
        match connection.execute(sqlx::raw_sql(set)).await {
            // They only save work; a server that does not know one is good all the same.
            Ok(_) | Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
