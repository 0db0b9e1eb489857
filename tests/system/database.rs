//! The databases of the service, and direct access to the stored data.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use test_support::postgres::Cluster;
use test_support::replica::Setup;

/// A separate database for one case.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// Returns the embedded database, where the service creates it by default.
    #[expect(clippy::unused_async, reason = "like its counterpart for Postgres")]
    pub(crate) async fn sqlite() -> (Self, Setup) {
        let setup = Setup::new();
        let file = setup.folder().join("data/token-authority.db");
        (Self::Sqlite(file), setup)
    }

    /// Creates an empty database on the cluster that the tests share.
    pub(crate) async fn postgres() -> (Self, Setup) {
        let cluster = Cluster::shared();
        Self::at(cluster.url(&cluster.make_database().await))
    }

    /// Returns an existing database.
    pub(crate) fn at(url: String) -> (Self, Setup) {
        let setup = Setup::on(&url);
        (Self::Postgres(url), setup)
    }

    /// Returns the URL of a Postgres.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => panic!("{} is not a Postgres", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// Returns how many sessions are stored.
    pub(crate) async fn count(&self) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM user_sessions";
        match self {
            Self::Sqlite(file) => {
                let mut connection = open(file).await;
                sqlx::query(COUNT).fetch_one(&mut connection).await.unwrap().get(0)
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(COUNT).fetch_one(&mut connection).await.unwrap().get(0)
            }
        }
    }

    /// Returns whether it was migrated.
    pub(crate) async fn has_schema(&self) -> bool {
        const LISTED: &str = "SELECT version FROM _sqlx_migrations";
        match self {
            // Reading must not create a missing file.
            Self::Sqlite(file) if !file.exists() => false,
            Self::Sqlite(file) => {
                sqlx::query(LISTED).fetch_one(&mut open(file).await).await.is_ok()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(LISTED).fetch_one(&mut connection).await.is_ok()
            }
        }
    }

    /// Adds a migration that this version does not know to its list.
    pub(crate) async fn enter_migration(&self, number: i64, name: &str) {
        let enter = AssertSqlSafe(format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ({number}, '{name}', true, '', 0)"
        ));
        match self {
            Self::Sqlite(file) => {
                sqlx::query(enter).execute(&mut open(file).await).await.unwrap();
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(enter).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Moves a session's events 25 hours into the past.
    pub(crate) async fn age_events(&self, session_id: &str) {
        let age = |earlier: &str| {
            let set = format!("UPDATE session_events SET happened_at = happened_at - {earlier}");
            AssertSqlSafe(format!("{set} WHERE session_id = '{session_id}'"))
        };
        let aged = match self {
            Self::Sqlite(file) => {
                let mut connection = open(file).await;
                let aged = sqlx::query(age("25 * 3600 * 1000000")).execute(&mut connection);
                aged.await.unwrap().rows_affected()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let aged = sqlx::query(age("interval '25 hours'")).execute(&mut connection);
                aged.await.unwrap().rows_affected()
            }
        };
        assert!(aged > 0);
    }

    /// Returns how many refresh tokens were minted after a session's first.
    pub(crate) async fn generation(&self, session_id: &str) -> i64 {
        let rows = self.dump().await;
        let row = rows.iter().find(|row| row.id == session_id).expect("the session is stored");
        row.generation
    }

    /// Returns every value of every table as bytes, with the name of its column.
    pub(crate) async fn everything(&self) -> Vec<(String, Vec<u8>)> {
        match self {
            Self::Sqlite(file) => {
                const COLUMNS: &str = "SELECT m.name, c.name FROM sqlite_master AS m, \
                                       pragma_table_info(m.name) AS c WHERE m.type = 'table'";
                let mut connection = open(file).await;
                let columns = sqlx::query(COLUMNS).fetch_all(&mut connection).await.unwrap();
                let mut all = Vec::new();
                for (table, column) in columns.iter().map(|row| (row.get(0), row.get(1))) {
                    let (table, column): (String, String) = (table, column);
                    let values = format!("SELECT CAST({column} AS BLOB) FROM {table}");
                    let values = sqlx::query(AssertSqlSafe(values)).fetch_all(&mut connection);
                    all.extend(values.await.unwrap().iter().filter_map(|row| {
                        Some((column.clone(), row.get::<Option<Vec<u8>>, _>(0)?))
                    }));
                }
                all
            }
            Self::Postgres(url) => {
                const COLUMNS: &str = "SELECT table_name::text, column_name::text, udt_name::text \
                                       FROM information_schema.columns \
                                       WHERE table_schema = 'public'";
                let mut connection = PgConnection::connect(url).await.unwrap();
                let columns = sqlx::query(COLUMNS).fetch_all(&mut connection).await.unwrap();
                let mut all = Vec::new();
                for row in &columns {
                    let (table, column): (String, String) = (row.get(0), row.get(1));
                    let bytes = match row.get::<String, _>(2).as_str() {
                        "bytea" => column.clone(),
                        _ => format!("convert_to({column}::text, 'UTF8')"),
                    };
                    let values = AssertSqlSafe(format!("SELECT {bytes} FROM {table}"));
                    let values = sqlx::query(values).fetch_all(&mut connection).await.unwrap();
                    all.extend(values.iter().filter_map(|row| {
                        Some((column.clone(), row.get::<Option<Vec<u8>>, _>(0)?))
                    }));
                }
                all
            }
        }
    }

    /// Returns every session, with the columns that a refresh or a revocation changes.
    pub(crate) async fn dump(&self) -> Vec<Stored> {
        match self {
            Self::Sqlite(file) => {
                let mut connection = open(file).await;
                let rows = sqlx::query(DUMP).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(stored).collect()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query(DUMP).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(stored).collect()
            }
        }
    }
}

const DUMP: &str = "SELECT CAST(id AS TEXT), token, generation, revision, \
                    CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END FROM user_sessions ORDER BY id";

/// A stored session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    /// The hash of its current refresh token.
    pub(crate) token: String,
    pub(crate) generation: i64,
    revision: i64,
    revoked: bool,
}

impl Stored {
    /// Returns whether it was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked
    }
}

fn stored<'r, R: sqlx::Row>(row: &'r R) -> Stored
where
    usize: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i32: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Stored {
        id: row.get(0),
        token: row.get(1),
        generation: row.get(2),
        revision: row.get(3),
        revoked: row.get::<i32, _>(4) == 1,
    }
}

async fn open(file: &PathBuf) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    SqliteConnection::connect_with(&options).await.unwrap()
}
