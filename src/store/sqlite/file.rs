//! The file and the connections to it: one that writes, a few that read.

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

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(2);
/// How long an operation may take in all: less than the store's patience.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2500);
/// How many may read at once.
const READERS: u32 = 4;
/// How often to try to open a file that another process is opening, too.
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
    /// Opens the file, and makes it if there is none, for its owner alone.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(|error| {
            StoreError::Unavailable(format!("the file cannot be made: {}", error.kind()))
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk before it is answered.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .disable_statement_logging();
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
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

    /// Opens the first connection. Two processes that turn a new file to WAL at once get in each
    /// other's way, whatever time they are given.
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

    /// Reads with one statement.
    pub(super) async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        in_time(async {
            let mut connection = self.readers.take().await?;
            let rows = statement.fetch_all(&mut *connection).await?;
            connection.release();
            Ok(rows)
        })
        .await
    }

    /// Begins to write.
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

    /// The connections as they stand now. How long they were waited for is not measured: of the
    /// one that writes, the lanes tell.
    pub(super) fn connections(&self) -> ConnectionFigures {
        let (writers, writers_idle) = self.writer.figures();
        let (readers, readers_idle) = self.readers.figures();
        ConnectionFigures {
            open: writers + readers,
            idle: writers_idle + readers_idle,
            ..ConnectionFigures::default()
        }
    }

    /// Ends all connections, once those at work are done.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction that writes. Dropped, it is undone.
pub(super) struct Writing(ConnectionGuard<Sqlite>);

impl Writing {
    /// Its connection.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }

    /// Commits what succeeded, and undoes what failed.
    pub(super) async fn end<T>(mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let last = if result.is_ok() { sql::COMMIT } else { sql::ROLLBACK };
        self.0.execute(sqlx::raw_sql(last)).await?;
        self.0.release();
        result
    }
}

/// Waits for an operation, but not for ever.
pub(super) async fn in_time<T>(
    operation: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(BUSY_TIMEOUT, operation).await {
        Ok(result) => result.map_err(|error| judge(&error)),
        Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
    }
}

/// How to read a file that is not made where it is missing.
pub(super) fn to_read(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(false).read_only(true).disable_statement_logging()
}

/// How to read a file without making the files beside it, as SQLite would to read one that nobody
/// has open.
pub(super) fn to_inspect(path: &Path) -> SqliteConnectOptions {
    // The write-ahead log lies beside the file while someone has it open.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    to_read(path).immutable(!Path::new(&log).exists())
}

/// Makes the file, and the folder around it, where they are missing. SQLite gives the files
/// beside it (`-wal`, `-shm`) the same mode.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}
