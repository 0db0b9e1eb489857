//! The databases of the cases. Each one is empty and migrated.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::until::TIMEOUT;
use token_authority::store::rows::Schema;
use token_authority::store::{LegacyRows, Rows, Store, StoreError, postgres, sqlite};
use token_authority::token::id::SessionId;
use token_authority::token::rotation::Policy;
use token_authority::token::session::Session;

use crate::logins::REACH;

/// A database for one case.
#[derive(Debug)]
pub(crate) struct Database {
    place: Place,
    pub(crate) rows: Arc<dyn Rows>,
}

#[derive(Debug)]
enum Place {
    Sqlite {
        path: PathBuf,
        _folder: TempDir,
    },
    /// The URL that the store uses, and the one that leads directly to the server.
    Postgres {
        url: String,
        direct: String,
    },
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        Self::migrated(Place::sqlite()).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::migrated(Place::postgres().await).await
    }

    pub(crate) async fn pgbouncer() -> Self {
        Self::migrated(Place::pgbouncer().await).await
    }

    async fn migrated(place: Place) -> Self {
        let empty = Self::empty(place).await;
        let deadline = Instant::now() + TIMEOUT;
        let migrated = loop {
            match empty.rows.migrate().await {
                // A pooler that opens a connection for each test at once may be late under load.
                // The service tries again at its start, too.
                Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {}
                migrated => break migrated,
            }
        };
        assert_eq!(migrated.unwrap(), Schema::Current);
        empty
    }

    async fn empty(place: Place) -> Self {
        let rows = open(&place).await;
        Self { place, rows }
    }

    /// Creates another database of the same kind, without a schema.
    pub(crate) async fn another_empty(&self) -> Self {
        let place = match &self.place {
            Place::Sqlite { .. } => Place::sqlite(),
            Place::Postgres { url, direct } if url == direct => Place::postgres().await,
            Place::Postgres { .. } => Place::pgbouncer().await,
        };
        Self::empty(place).await
    }

    /// Opens other connections to the same database, as another replica would have them.
    pub(crate) async fn replica(&self) -> Arc<dyn Rows> {
        open(&self.place).await
    }

    /// Returns the same database as one with legacy sessions.
    pub(crate) fn legacy(&self) -> Arc<dyn LegacyRows> {
        match &self.place {
            Place::Sqlite { path, .. } => Arc::new(sqlite::SqliteLegacy::new(path)),
            Place::Postgres { url, .. } => postgres::connect(postgres::Options::new(url)).unwrap(),
        }
    }

    /// Opens a separate store with other connections to the same database.
    pub(crate) async fn store(&self, policy: Policy) -> Store {
        Store::new(self.replica().await, policy, REACH)
    }

    /// Reads the session with that id directly from the database.
    pub(crate) async fn session(&self, id: SessionId) -> Option<Session> {
        self.rows.load(&[id]).await.unwrap().pop().unwrap().map(|row| row.session)
    }

    /// Returns how often the session with that id was changed.
    pub(crate) async fn revision(&self, id: SessionId) -> i64 {
        self.rows.load(&[id]).await.unwrap().pop().unwrap().unwrap().revision
    }

    /// Returns the path of the SQLite file. `None`: it is a Postgres.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Sqlite { path, .. } => Some(path),
            Place::Postgres { .. } => None,
        }
    }

    /// Opens a connection to Postgres, independent of the store.
    pub(crate) async fn direct(&self) -> PgConnection {
        match &self.place {
            Place::Sqlite { .. } => panic!("it is no Postgres"),
            Place::Postgres { direct, .. } => PgConnection::connect(direct).await.unwrap(),
        }
    }

    /// Runs statements of any kind.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.place {
            Place::Sqlite { path, .. } => {
                look(path).await.execute(sql).await.unwrap();
            }
            Place::Postgres { .. } => {
                self.direct().await.execute(sql).await.unwrap();
            }
        }
    }

    /// Returns the rows that a query finds, each column as text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.place {
            Place::Sqlite { path, .. } => {
                let rows = look(path).await.fetch_all(sql).await.unwrap();
                let text = |row: &sqlx::sqlite::SqliteRow, i| row.get_unchecked(i);
                rows.iter().map(|row| (0..row.len()).map(|i| text(row, i)).collect()).collect()
            }
            Place::Postgres { .. } => {
                let mut connection = self.direct().await;
                let rows = connection.fetch_all(sql).await.unwrap();
                let text = |row: &sqlx::postgres::PgRow, i| row.get_unchecked(i);
                rows.iter().map(|row| (0..row.len()).map(|i| text(row, i)).collect()).collect()
            }
        }
    }

    /// Returns everything in the database: every column of every table of Postgres, or the bytes of
    /// SQLite's files.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        if let Some(path) = self.path() {
            let wal = path.with_file_name("sessions.db-wal");
            return [std::fs::read(path).unwrap(), std::fs::read(wal).unwrap()].concat();
        }
        let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
        let mut dump = String::new();
        for table in self.query(tables).await.into_iter().flatten().flatten() {
            for text in self.query(&format!("SELECT t::text FROM {table} t")).await {
                dump.extend(text.into_iter().flatten());
            }
        }
        dump.into_bytes()
    }
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::Sqlite { path: folder.path().join("sessions.db"), _folder: folder }
    }

    async fn postgres() -> Self {
        let cluster = Cluster::shared();
        let direct = cluster.url(&cluster.make_database().await);
        Self::Postgres { url: direct.clone(), direct }
    }

    async fn pgbouncer() -> Self {
        let cluster = Cluster::shared();
        let name = cluster.make_database().await;
        Self::Postgres { url: PgBouncer::shared().url(&name), direct: cluster.url(&name) }
    }
}

async fn open(place: &Place) -> Arc<dyn Rows> {
    match place {
        Place::Sqlite { path, .. } => sqlite::open(path).await.unwrap(),
        Place::Postgres { url, .. } => {
            let options = postgres::Options { max_connections: 5, ..postgres::Options::new(url) };
            postgres::connect(options).unwrap()
        }
    }
}

/// Opens a connection to an SQLite file, independent of the store.
async fn look(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}
