//! The SQLite file and its connections: one that writes, and several that read.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, Row as _, Sqlite, SqliteConnection,
};

use super::error::{is_busy, store_error};
use super::sql;
use crate::store::StoreError;
use crate::store::connections::{ConnectionGuard, ConnectionLimits, Connections};
use crate::store::figures::ConnectionFigures;

/// The time to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(2);
/// The time limit of an operation. It is below the store's own limit, so that the caller learns the
/// cause.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2500);
/// The maximum number of concurrent readers.
const READERS: u32 = 4;
/// The number of attempts to open a file that another process is opening as well, or to empty a log
/// that another connection uses.
const ATTEMPTS: u32 = 5;
/// The pause between two attempts to empty the log. Most statements of others take less.
const EMPTY_LOG_PAUSE: Duration = Duration::from_millis(20);

/// A statement with its arguments.
pub(super) type Statement = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

/// An open file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// The device and inode of the file that is open.
    identity: (u64, u64),
    options: SqliteConnectOptions,
    writer: Connections<SqliteConnection>,
    readers: Connections<SqliteConnection>,
}

impl File {
    /// Opens the file. Creates it, readable only for its owner, if it does not exist.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let identity = make(path).and_then(|()| identify(path)).map_err(|error| {
            let remedy = "let this user write to the folder, or set DATA_DIR or DATABASE_URL";
            let path = path.display();
            StoreError::Unavailable(format!("cannot create or open {path}: {error}; {remedy}"))
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            // A file that was removed must not be created anew behind our back.
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk before it is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // SQLite overwrites deleted content with zeros. Otherwise an erased user's data would stay
            // in the file.
            .pragma("secure_delete", "ON")
            .disable_statement_logging();
        let file = Self {
            path: path.to_owned(),
            identity,
            options,
            writer: connections(1),
            readers: connections(READERS),
        };
        file.try_out().await.map_err(|error| error.at(&file.place()))?;
        Ok(file)
    }

    /// Opens the first connection. If two processes switch a new file to WAL at the same time,
    /// SQLite reports that it is busy at once, without waiting.
    async fn try_out(&self) -> Result<(), StoreError> {
        for _ in 1..ATTEMPTS {
            match self.writer.take(|| self.options.connect()).await {
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(store_error(&error)),
                Ok(connection) => {
                    connection.release();
                    return Ok(());
                }
            }
        }
        Err(StoreError::Unavailable("another process is opening the file".into()))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns an error if the path leads to another file than the open one, or to none. Data that
    /// is written then would be lost with the open file.
    pub(super) fn check_in_place(&self) -> Result<(), sqlx::Error> {
        match identify(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => Err(sqlx::Error::Io(io::Error::other(
                "the file was replaced while it was in use; restart the service, and next time \
                 stop it before you restore a backup",
            ))),
            Err(_) => Err(sqlx::Error::Io(io::Error::other(
                "the file was removed or moved while it was in use; put it back, or restore a \
                 backup and restart the service",
            ))),
        }
    }

    /// Runs one statement that reads.
    pub(super) async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        self.in_time(async {
            let connect = || {
                let reading = self.options.clone().pragma("query_only", "ON");
                async move { reading.connect().await }
            };
            let mut connection = self.readers.take(connect).await?;
            let rows = statement.fetch_all(&mut *connection).await?;
            connection.release();
            Ok(rows)
        })
        .await
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Writing, sqlx::Error> {
        self.check_in_place()?;
        let mut connection = self.writer.take(|| self.options.connect()).await?;
        match connection.execute(sqlx::raw_sql(sql::BEGIN)).await {
            Ok(_) => Ok(Writing(connection)),
            Err(error) => {
                connection.release();
                Err(error)
            }
        }
    }

    /// Runs an operation with a time limit.
    pub(super) async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        in_time(&self.path, operation).await
    }

    /// Empties the write-ahead log, which holds earlier states of pages. Returns `false` if it is in use.
    ///
    /// While it empties the log, SQLite lets nobody write. So it must not wait there for a reader, such
    /// as a backup: the busy timeout is 0, and the pause is between two attempts.
    pub(super) async fn empty_log(&self) -> Result<bool, StoreError> {
        self.in_time(async {
            let mut connection =
                self.options.clone().busy_timeout(Duration::ZERO).connect().await?;
            let mut is_busy = true;
            for attempt in 0..ATTEMPTS {
                if attempt > 0 {
                    tokio::time::sleep(EMPTY_LOG_PAUSE).await;
                }
                let row = sqlx::query(sql::EMPTY_LOG).fetch_one(&mut connection).await?;
                is_busy = row.try_get::<i64, _>(0)? != 0;
                if !is_busy {
                    break;
                }
            }
            connection.close().await?;
            Ok(!is_busy)
        })
        .await
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
pub(super) struct Writing(ConnectionGuard<SqliteConnection>);

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

/// Returns an empty set of connections. They are closed only at the end: the last connection that
/// closes removes the files beside the database.
pub(super) fn connections(max_connections: u32) -> Connections<SqliteConnection> {
    Connections::new(ConnectionLimits {
        max_connections,
        acquire_timeout: BUSY,
        max_age: None,
        max_idle_time: None,
    })
}

/// Runs an operation on the file at that path with a time limit.
pub(super) async fn in_time<T>(
    path: &Path,
    operation: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    let done = match tokio::time::timeout(BUSY_TIMEOUT, operation).await {
        Ok(result) => result.map_err(|error| store_error(&error)),
        Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
    };
    done.map_err(|error| error.at(&path.display().to_string()))
}

/// Returns the device and inode of a file.
fn identify(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
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
