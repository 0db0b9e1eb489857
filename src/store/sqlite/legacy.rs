//! [`LegacyRows`] on SQLite: a file that may belong to another application, and is only read.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

use super::error::store_error;
use super::file::{connections, in_time, to_inspect, to_read};
use crate::clock::Timestamp;
use crate::store::connections::Connections;
use crate::store::legacy::{LegacyRows, LegacyTable, in_order, session};
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
        let statement = sqlx::query(AssertSqlSafe(select(table)));
        let statement = statement.bind(serde_json::Value::from(tokens).to_string());
        let rows = in_time(&self.path, async {
            let mut connection = self.connections.take(|| self.options.connect()).await?;
            let rows = statement.fetch_all(&mut *connection).await?;
            connection.release();
            Ok(rows)
        })
        .await?;
        let rows: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(in_order(tokens, rows.map_err(|error| store_error(&error))?))
    }
}

/// Builds the statement. Only quoted names go into it, each one qualified by the table: SQLite
/// would read a lone quoted name as a string if there is no such column. A time is a text in ISO
/// 8601 or a number: seconds up to the year 5138, otherwise milliseconds.
fn select(table: &LegacyTable) -> String {
    let LegacyTable { table, token, user, expires } = table;
    format!(
        "SELECT s.{token}, CAST(s.{user} AS TEXT), \
                CAST(round(CASE \
                    WHEN typeof(s.{expires}) = 'text' THEN unixepoch(s.{expires}, 'subsec') * 1000 \
                    WHEN s.{expires} < 100000000000 THEN s.{expires} * 1000 \
                    ELSE s.{expires} END) AS INTEGER) \
         FROM {table} AS s WHERE s.{token} IN (SELECT value FROM json_each(?1))",
        table = table.quoted(),
        token = token.quoted(),
        user = user.quoted(),
        expires = expires.quoted(),
    )
}

fn read(row: &SqliteRow) -> Result<(String, Option<LegacySession>), sqlx::Error> {
    // A value that cannot be decoded is data of another application, for example a user id that is
    // not UTF-8.
    let millis: Option<i64> = row.try_get(2).unwrap_or_default();
    let expires_at = millis.map(|millis| Timestamp::from_micros(millis.saturating_mul(1000)));
    Ok((row.try_get(0)?, session(row.try_get(1).unwrap_or_default(), expires_at)))
}
