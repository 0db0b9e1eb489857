//! Migrates a Postgres's schema to this version's.
//!
//! Each migration is one transaction, which first inserts itself into the list of applied
//! migrations. If two processes migrate at the same time, the second one waits at that insert until
//! the first commits, finds the entry taken, and goes on with the next migration. This needs no
//! lock that a pooler or a distributed database lacks.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migration;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::client::Client;
use super::error::Failure;
use super::sql;
use crate::store::StoreError;
use crate::store::migrations::{self, Applied};
use crate::store::rows::Schema;

/// The time to keep trying while other processes migrate.
const MIGRATE_TIMEOUT: Duration = Duration::from_mins(5);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// The time that a migration waits for a table lock before it gives up and tries again. All
/// requests that come after it wait behind it, so a higher value would stall them.
const WAIT: &str = "SET LOCAL lock_timeout = '2s'";

/// Applies the missing migrations.
pub(super) async fn run(client: &Client) -> Result<Schema, StoreError> {
    let known = migrations::postgres();
    let tries = async {
        loop {
            match once(client, &known).await {
                Ok(schema) => return Ok(schema),
                Err(Stopped::ByAnother) => tokio::time::sleep(PAUSE).await,
                Err(Stopped::By(error)) => return Err(error),
            }
        }
    };
    tokio::time::timeout(MIGRATE_TIMEOUT, tries).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(
            "other processes were migrating the database for 5 minutes".into(),
        ))
    })
}

/// Why an attempt stopped.
enum Stopped {
    /// Another process migrates at the same time.
    ByAnother,
    By(StoreError),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code = code.unwrap_or_default().into_owned();
        // A key, table, column or object that exists by now; a lock; a serialization failure.
        let by_another =
            ["23505", "42P07", "42701", "42710", "55P03", "40001", "40P01"].contains(&&*code);
        if by_another { Self::ByAnother } else { Self::By(Failure::from(error).error) }
    }
}

async fn once(client: &Client, known: &[Migration]) -> Result<Schema, Stopped> {
    let mut connection = client.connect().await?;
    let applied = match list(&mut connection).await {
        Err(error) if is_table_missing(&error) => {
            connection.execute(sqlx::raw_sql(sql::LEDGER)).await?;
            Vec::new()
        }
        listed => listed?,
    };
    for migration in migrations::missing(known, &applied).map_err(Stopped::By)? {
        apply(&mut connection, migration).await?;
    }
    let applied = list(&mut connection).await?;
    connection.close().await?;
    migrations::compare(known, &applied).map_err(Stopped::By)
}

fn is_table_missing(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42P01")
}

async fn list(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let rows = sqlx::query(sql::APPLIED).persistent(false).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    rows.iter().map(read).collect()
}

/// Reads a row of the list of applied migrations.
pub(super) fn read(row: &PgRow) -> Result<Applied, sqlx::Error> {
    Ok(Applied { number: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    transaction.execute(sqlx::raw_sql(WAIT)).await?;
    sqlx::query(sql::ENTER)
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    transaction.execute(sqlx::raw_sql(migration.sql.clone())).await?;
    transaction.commit().await
}
