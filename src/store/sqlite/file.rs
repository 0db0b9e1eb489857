//! The SQLite file and its connections: one that writes, and several that read.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Executor as _, Sqlite, SqliteConnection};

use super::error::{is_busy, judge};
use super::sql;
use crate::store::StoreError;
use crate::store::connections::{ConnectionGuard, Connections};
use crate::store::figures::ConnectionFigures;

/// The time to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(2);
/// The time limit of an operation. It is below the store's own limit, so that the caller learns the
/// cause.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2500);
/// The maximum number of concurrent readers.
const READERS: u32 = 4;
/// The number of attempts to open a file that another process is opening as well.
const ATTEMPTS: u32 = 5;

/// A statement with its arguments.
pub(super) type Statement = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

/// An open file.
#[derive(Debug)]
pub(super) struct File {
    writer: Connections<Sqlite>,
    readers: Connections<Sqlite>,
}

impl File {
    /// Opens the file. Creates it, readable only for its owner, if it does not exist.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(|error| {
            StoreError::Unavailable(format!("the file cannot be created: {}", error.kind()))
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk before it is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .disable_statement_logging();
        let pool = |max| {
            SqlitePoolOptions::new()
                .max_connections(max)
                .acquire_timeout(BUSY)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let reading = options.clone().pragma("query_only", "ON");
        let file = Self {
            writer: Connections::of(pool(1).connect_lazy_with(options)),
            readers: Connections::of(pool(READERS).connect_lazy_with(reading)),
        };
        file.try_out().await?;
        Ok(file)
    }

    /// Opens the first connection. If two processes switch a new file to WAL at the same time,
    /// SQLite reports that it is busy at once, without waiting.
    async fn try_out(&self) -> Result<(), StoreError> {
        for _ in 1..ATTEMPTS {
            match self.writer.take().await {
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(judge(&error)),
                Ok(connection) => {
                    connection.release();
                    return Ok(());
                }
            }
        }
        Err(StoreError::Unavailable("another process is opening the file".into()))
    }

    /// Runs one statement that reads.
    pub(super) async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        in_time(async {
            let mut connection = self.readers.take().await?;
            let rows = statement.fetch_all(&mut *connection).await?;
            connection.release();
            Ok(rows)
        })
        .await
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Writing, sqlx::Error> {
        let mut connection = self.writer.take().await?;
        match connection.execute(sqlx::raw_sql(sql::BEGIN)).await {
            Ok(_) => Ok(Writing(connection)),
            Err(error) => {
                connection.release();
                Err(error)
            }
        }
    }

    /// Returns the state of the connections. Waiting times are not measured here; the shards report
    /// those of the writer.
    pub(super) fn connections(&self) -> ConnectionFigures {
        let (writers, writers_idle) = self.writer.figures();
        let (readers, readers_idle) = self.readers.figures();
        ConnectionFigures {
            open: writers + readers,
            idle: writers_idle + readers_idle,
            ..ConnectionFigures::default()
        }
    }

    /// Closes all connections, after those in use were returned.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction that writes. Dropping it rolls it back.
pub(super) struct Writing(ConnectionGuard<Sqlite>);

impl Writing {
    /// Returns its connection.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }

    /// Commits after a success, and rolls back after a failure.
    pub(super) async fn end<T>(mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let last = if result.is_ok() { sql::COMMIT } else { sql::ROLLBACK };
        self.0.execute(sqlx::raw_sql(last)).await?;
        self.0.release();
        result
    }
}

/// Runs an operation with a time limit.
pub(super) async fn in_time<T>(
    operation: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(BUSY_TIMEOUT, operation).await {
        Ok(result) => result.map_err(|error| judge(&error)),
        Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
    }
}

/// Returns options that read a file and never create it.
pub(super) fn to_read(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(false).read_only(true).disable_statement_logging()
}

/// Returns options that read a file without creating the files beside it. SQLite would create them
/// to read a file that no process has open.
pub(super) fn to_inspect(path: &Path) -> SqliteConnectOptions {
    // The write-ahead log exists while a process has the file open.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    to_read(path).immutable(!Path::new(&log).exists())
}

/// Creates the file and its folder, if they do not exist. SQLite gives the files beside it (`-wal`,
/// `-shm`) the same mode.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}
