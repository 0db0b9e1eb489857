//! Migrates an SQLite file's schema to this version's, in one transaction. If two processes migrate
//! at the same time, the second waits for the first.

use std::time::Duration;

use sqlx::migrate::Migration;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor as _, Row as _, SqliteConnection};

use super::error::{is_busy, store_error};
use super::file::File;
use super::{sql, write};
use crate::store::StoreError;
use crate::store::migrations::{self, Applied};
use crate::store::rows::Schema;

/// The time to keep trying while other processes write.
const MIGRATE_TIMEOUT: Duration = Duration::from_mins(5);

/// Applies the missing migrations.
pub(super) async fn run(file: &File) -> Result<Schema, StoreError> {
    let known = migrations::sqlite();
    let tries = async {
        loop {
            match once(file, known).await {
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(store_error(&error)),
                Ok(applied) => return migrations::compare(known, &applied?),
            }
        }
    };
    tokio::time::timeout(MIGRATE_TIMEOUT, tries).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(
            "other processes were writing to the file for 5 minutes".into(),
        ))
    })
}

async fn once(
    file: &File,
    known: &[Migration],
) -> Result<Result<Vec<Applied>, StoreError>, sqlx::Error> {
    let mut writing = file.begin().await?;
    match apply_missing(writing.connection(), known).await {
        // Nothing may stay of a migration that is refused.
        Ok(Err(refused)) => {
            let undone = writing.end(Err::<(), _>(sqlx::Error::RowNotFound)).await;
            debug_assert!(undone.is_err());
            Ok(Err(refused))
        }
        applied => writing.end(applied).await,
    }
}

async fn apply_missing(
    connection: &mut SqliteConnection,
    known: &[Migration],
) -> Result<Result<Vec<Applied>, StoreError>, sqlx::Error> {
    connection.execute(sqlx::raw_sql(sql::LEDGER)).await?;
    let missing = match migrations::missing(known, &list(connection).await?) {
        Ok(missing) => missing,
        Err(error) => return Ok(Err(error)),
    };
    for migration in missing {
        let names = write::array(&migrations::created_names(migration));
        let existing = sqlx::query(sql::EXISTING).bind(names).fetch_all(&mut *connection).await?;
        let existing: Vec<String> =
            existing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        if !existing.is_empty() {
            return Ok(Err(migrations::foreign(&existing, migrations::REMEDY_SQLITE)));
        }
        connection.execute(sqlx::raw_sql(migration.sql.clone())).await?;
        sqlx::query(sql::ENTER)
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(&*migration.checksum)
            .execute(&mut *connection)
            .await?;
    }
    list(connection).await.map(Ok)
}

async fn list(connection: &mut SqliteConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let rows = sqlx::query(sql::APPLIED).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Reads a row of the list of applied migrations.
pub(super) fn read(row: &SqliteRow) -> Result<Applied, sqlx::Error> {
    Ok(Applied { number: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
}
