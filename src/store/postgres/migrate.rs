//! Migrates a Postgres's schema to this version's.
//!
//! Each migration is one transaction, which first inserts itself into the list of applied
//! migrations. If two processes migrate at the same time, the second one waits at that insert until
//! the first commits, finds the entry taken, and goes on with the next migration. This needs no
//! lock that a pooler or a distributed database lacks.
//!
//! After that insert no other process can be in the same migration. So a table or index of our
//! names that exists then is not ours, and nothing is changed.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migration;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

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

/// SQLSTATEs of an object that exists: a key, a table or index, a column, another object.
const EXISTS: [&str; 4] = ["23505", "42P07", "42701", "42710"];
/// SQLSTATEs of a lock, and of a serialization failure.
const CONTENDED: [&str; 3] = ["55P03", "40001", "40P01"];

/// Applies the missing migrations.
pub(super) async fn run(client: &Client) -> Result<Schema, StoreError> {
    let known = migrations::postgres();
    let tries = async {
        loop {
            match once(client, known).await {
                Ok(schema) => return Ok(schema),
                Err(Stopped::ByAnother) => tokio::time::sleep(PAUSE).await,
                Err(Stopped::By(error)) => return Err(error),
            }
        }
    };
    let others = "other processes were migrating the database for 5 minutes";
    let migrated = tokio::time::timeout(MIGRATE_TIMEOUT, tries).await;
    let migrated = migrated.unwrap_or_else(|_| Err(StoreError::Unavailable(others.into())));
    migrated.map_err(|error| error.at(&client.target().place()))
}

/// Why an attempt stopped.
enum Stopped {
    /// Another process migrates at the same time.
    ByAnother,
    By(StoreError),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        if is_one_of(&error, &EXISTS) || is_one_of(&error, &CONTENDED) {
            return Self::ByAnother;
        }
        Failure::from(error).into()
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::By(failure.error)
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::By(error)
    }
}

fn is_one_of(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| codes.contains(&&*code))
}

async fn once(client: &Client, known: &[Migration]) -> Result<Schema, Stopped> {
    let mut connection = client.connect(false).await?;
    create_schema(client, &mut connection).await?;
    let applied = match list(client, &mut connection).await {
        Err(error) if is_one_of(&error, &["42P01"]) => {
            let mut transaction = client.begin_with(&mut connection, false).await?;
            transaction.execute(sqlx::raw_sql(sql::LEDGER)).await?;
            transaction.commit().await?;
            Vec::new()
        }
        listed => listed?,
    };
    for migration in migrations::missing(known, &applied)? {
        apply(client, &mut connection, migration).await?;
    }
    let applied = list(client, &mut connection).await?;
    connection.close().await?;
    Ok(migrations::compare(known, &applied)?)
}

/// Creates the schema of `DATABASE_SCHEMA`, if it does not exist. `IF NOT EXISTS` alone would need
/// the right to create one even if it exists.
async fn create_schema(client: &Client, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let Some(schema) = &client.options.schema else { return Ok(()) };
    let mut transaction = client.begin_with(connection, false).await?;
    let found = sqlx::query(sql::HAS_SCHEMA).bind(schema.unquoted()).persistent(false);
    if found.fetch_optional(&mut *transaction).await?.is_none() {
        let create = format!("CREATE SCHEMA IF NOT EXISTS {}", schema.quoted());
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(create))).await?;
    }
    transaction.commit().await
}

async fn list(client: &Client, connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let mut transaction = client.begin_with(connection, false).await?;
    let rows = sqlx::query(sql::APPLIED).persistent(false).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    rows.iter().map(read).collect()
}

/// Reads a row of the list of applied migrations.
pub(super) fn read(row: &PgRow) -> Result<Applied, sqlx::Error> {
    Ok(Applied { number: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
}

async fn apply(
    client: &Client,
    connection: &mut PgConnection,
    migration: &Migration,
) -> Result<(), Stopped> {
    let mut transaction = client.begin_with(connection, false).await?;
    transaction.execute(sqlx::raw_sql(WAIT)).await?;
    sqlx::query(sql::ENTER)
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    let names = migrations::created_names(migration);
    let existing = sqlx::query(sql::EXISTING).bind(&names).persistent(false);
    let existing = existing.fetch_all(&mut *transaction).await?;
    let existing: Vec<String> =
        existing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if !existing.is_empty() {
        return Err(migrations::foreign(&existing, migrations::REMEDY_POSTGRES).into());
    }
    match transaction.execute(sqlx::raw_sql(migration.sql.clone())).await {
        Err(error) if is_one_of(&error, &EXISTS) => {
            Err(migrations::foreign(&names, migrations::REMEDY_POSTGRES).into())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(transaction.commit().await?),
    }
}
