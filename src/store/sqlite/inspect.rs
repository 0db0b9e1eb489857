//! [`Inspect`] on an SQLite file. The file is neither created nor changed, and no files are created
//! beside it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::error::store_error;
use super::file::{Statement, in_time, to_inspect};
use super::{keys, migrate, rollouts, sql, write};
use crate::clock::Timestamp;
use crate::store::inspect::{DatabaseStatus, Inspect, Place, Privileges};
use crate::store::migrations::{self, Applied};
use crate::store::rows::Schema;
use crate::store::{RolloutChange, StoreError};
use crate::token::key::StoredKey;

/// An SQLite file that `doctor` examines.
#[derive(Debug)]
pub struct SqliteInspection {
    path: PathBuf,
}

impl SqliteInspection {
    /// Examines the file at that path, which has to exist when the first query runs.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        let options = to_inspect(&self.path);
        in_time(&self.path, async {
            let mut connection = options.connect().await?;
            let rows = statement.fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(rows)
        })
        .await
    }

    async fn applied(&self) -> Result<Vec<Applied>, StoreError> {
        let found = self.count(sqlx::query(sql::HAS_LEDGER)).await?;
        let rows =
            if found == 0 { Vec::new() } else { self.fetch(sqlx::query(sql::APPLIED)).await? };
        rows.iter().map(|row| migrate::read(row).map_err(|error| store_error(&error))).collect()
    }

    async fn count(&self, statement: Statement) -> Result<u64, StoreError> {
        let rows = self.fetch(statement).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        Ok(u64::try_from(count.map_err(|error| store_error(&error))?).unwrap_or(0))
    }
}

#[async_trait]
impl Inspect for SqliteInspection {
    async fn status(&self) -> Result<DatabaseStatus, StoreError> {
        self.count(sqlx::query(sql::HAS_LEDGER)).await?;
        // Opening the file for writing does not change it. It only tests the permission.
        let writable = std::fs::OpenOptions::new().append(true).open(&self.path).is_ok();
        Ok(DatabaseStatus { now: None, read_only: !writable, durable: true })
    }

    async fn foreign_objects(&self) -> Result<Vec<String>, StoreError> {
        let names = migrations::names_to_create(migrations::sqlite(), &self.applied().await?);
        let rows = self.fetch(sqlx::query(sql::EXISTING).bind(write::array(&names))).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| store_error(&error))).collect()
    }

    async fn privileges(&self) -> Result<Option<Privileges>, StoreError> {
        Ok(None)
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        migrations::compare(migrations::sqlite(), &self.applied().await?)
    }

    async fn overdue(&self, due_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.count(sqlx::query(sql::OVERDUE).bind(due_before.as_micros()).bind(limit)).await
    }

    async fn stored_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        keys::read(&self.fetch(sqlx::query(keys::LOAD)).await?)
    }

    async fn rollout_change(&self) -> Result<Option<RolloutChange>, StoreError> {
        let rows = self.fetch(sqlx::query(sql::CHANGES).bind(1)).await?;
        rows.first().map(rollouts::change).transpose()
    }

    fn place(&self) -> Place {
        Place { text: self.path.display().to_string(), remote: false, tls_required: false }
    }

    fn is_pooled(&self) -> bool {
        false
    }

    async fn close(&self) {}
}
