//! [`LegacyRows`] on SQLite: a file that may belong to another application, and is only read.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, Sqlite, SqliteConnection};

use super::file::{connections, in_time, to_inspect, to_read};
use crate::store::connections::Connections;
use crate::store::legacy::{LegacyRows, LegacyTable, SAMPLE, end, in_order, session};
use crate::store::{StoreError, System};
use crate::token::legacy::LegacySession;

/// The maximum number of concurrent readers.
const READERS: u32 = 4;

/// An SQLite file that is only read. It need not exist yet, and is never created.
#[derive(Debug)]
pub struct SqliteLegacy {
    path: PathBuf,
    options: SqliteConnectOptions,
    connections: Connections<SqliteConnection>,
}

impl SqliteLegacy {
    /// Reads the file at that path. It is opened at the first look-up.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::with(path, to_read(path))
    }

    /// Reads the file at that path for `doctor`: no files are created beside it either.
    #[must_use]
    pub fn to_inspect(path: &Path) -> Self {
        Self::with(path, to_inspect(path))
    }

    fn with(path: &Path, options: SqliteConnectOptions) -> Self {
        Self { path: path.to_owned(), options, connections: connections(READERS) }
    }
}

#[async_trait]
impl LegacyRows for SqliteLegacy {
    fn system(&self) -> System {
        System::Sqlite
    }

    async fn find_legacy(
        &self,
        table: &LegacyTable,
        tokens: &[String],
    ) -> Result<Vec<Option<LegacySession>>, StoreError> {
        let statement = sqlx::query(AssertSqlSafe(find(table)));
        let statement = statement.bind(serde_json::Value::from(tokens).to_string());
        Ok(in_order(tokens, self.fetch(statement).await?))
    }

    async fn sample_legacy(
        &self,
        table: &LegacyTable,
    ) -> Result<Vec<Option<LegacySession>>, StoreError> {
        let statement = format!("{} LIMIT {SAMPLE}", select(table));
        let rows = self.fetch(sqlx::query(AssertSqlSafe(statement))).await?;
        Ok(rows.into_iter().map(|(_, session)| session).collect())
    }
}

/// A statement with its arguments.
type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

impl SqliteLegacy {
    async fn fetch(&self, statement: Statement<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = in_time(&self.path, async {
            let mut connection = self.connections.take(|| self.options.connect()).await?;
            let rows = statement.fetch_all(&mut *connection).await?;
            connection.release();
            Ok(rows)
        })
        .await?;
        Ok(rows.iter().map(read).collect())
    }
}

/// A row: the token, and its session.
type Row = (String, Option<LegacySession>);

fn find(table: &LegacyTable) -> String {
    let token = table.token.quoted();
    format!("{} WHERE s.{token} IN (SELECT value FROM json_each(?1))", select(table))
}

/// Builds the statement. Only quoted names go into it, each one qualified by the table: SQLite would
/// read a lone quoted name as a string if there is no such column. Every value is read as text,
/// because each row may have a type of its own: a column that was declared as `STRING` turns a token
/// of digits into a number.
fn select(table: &LegacyTable) -> String {
    let LegacyTable { table, token, user, expires } = table;
    format!(
        "SELECT CAST(s.{token} AS TEXT), CAST(s.{user} AS TEXT), CAST(s.{expires} AS TEXT) \
         FROM {table} AS s",
        table = table.quoted(),
        token = token.quoted(),
        user = user.quoted(),
        expires = expires.quoted(),
    )
}

fn read(row: &SqliteRow) -> Row {
    // A value that cannot be decoded is data of another application, for example a user id that is
    // not UTF-8.
    let text = |column: usize| row.try_get::<Option<String>, _>(column).unwrap_or_default();
    let session = session(text(1), text(2).as_deref().and_then(end));
    (text(0).unwrap_or_default(), session)
}
