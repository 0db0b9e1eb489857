//! [`KeyRows`] on SQLite, with its statements.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteRows;
use super::error::store_error;
use super::file::Statement;
use super::write::array;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::keys::KeyRows;
use crate::token::key::{KeyUse, StoredKey};
use crate::token::seal::Sealed;

const INSERT: &str = "
    INSERT INTO signing_keys
        (number, kid, algorithm, public_jwk, sealed_private, sealed_with, created_at,
         activates_at, token_seconds, ends_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT DO NOTHING";

pub(super) const LOAD: &str = "
    SELECT number, kid, algorithm, public_jwk, sealed_private, sealed_with, created_at,
           activates_at, token_seconds, ends_at
    FROM signing_keys ORDER BY number";

const RAISE: &str = "
    UPDATE signing_keys SET token_seconds = ?2 WHERE number = ?1 AND token_seconds < ?2";

const END: &str = "
    UPDATE signing_keys SET ends_at = ?2
    WHERE number <= ?1 AND (ends_at IS NULL OR ends_at > ?2)";

const DELETE: &str = "DELETE FROM signing_keys WHERE kid IN (SELECT value FROM json_each(?1))";

const DELETE_USES: &str =
    "DELETE FROM signing_key_uses WHERE kid IN (SELECT value FROM json_each(?1))";

const NOTE: &str = "
    INSERT INTO signing_key_uses (kid, last_verified_at) VALUES (?1, ?2)
    ON CONFLICT (kid) DO UPDATE SET last_verified_at = excluded.last_verified_at
    WHERE signing_key_uses.last_verified_at < excluded.last_verified_at";

const USES: &str = "SELECT kid, last_verified_at FROM signing_key_uses ORDER BY kid";

impl SqliteRows {
    /// Runs these statements in one transaction. Returns how many rows the last one changed.
    async fn write(&self, statements: Vec<Statement>) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let mut changed = Ok(0);
                for statement in statements {
                    let done = statement.execute(writing.connection()).await;
                    changed = done.map(|done| done.rows_affected());
                    if changed.is_err() {
                        break;
                    }
                }
                writing.end(changed).await
            })
            .await
    }
}

#[async_trait]
impl KeyRows for SqliteRows {
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let insert = sqlx::query(INSERT)
            .bind(key.number)
            .bind(key.kid.clone())
            .bind(key.algorithm.clone())
            .bind(key.public_jwk.clone())
            .bind(key.private.as_bytes().to_vec())
            .bind(key.sealed_with.clone())
            .bind(key.created_at.as_micros())
            .bind(key.activates_at.as_micros())
            .bind(seconds(key.token_life))
            .bind(key.ends_at.map(Timestamp::as_micros));
        Ok(self.write(vec![insert]).await? > 0)
    }

    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = self.file.fetch(sqlx::query(LOAD)).await?;
        read(&rows)
    }

    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError> {
        let raise = sqlx::query(RAISE).bind(number).bind(seconds(life));
        self.write(vec![raise]).await.map(drop)
    }

    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError> {
        self.write(vec![sqlx::query(END).bind(up_to).bind(at.as_micros())]).await
    }

    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError> {
        let delete = [DELETE_USES, DELETE].map(|delete| sqlx::query(delete).bind(array(kids)));
        self.write(delete.into()).await
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let note = |one: &KeyUse| {
            sqlx::query(NOTE).bind(one.kid.clone()).bind(one.last_verified_at.as_micros())
        };
        self.write(uses.iter().map(note).collect()).await.map(drop)
    }

    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let read = |row: &SqliteRow| {
            let (kid, micros) = (row.try_get(0)?, row.try_get(1)?);
            Ok(KeyUse { kid, last_verified_at: Timestamp::from_micros(micros) })
        };
        let rows = self.file.fetch(sqlx::query(USES)).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| store_error(&error))
    }
}

/// Reads the rows of [`LOAD`].
pub(super) fn read(rows: &[SqliteRow]) -> Result<Vec<StoredKey>, StoreError> {
    rows.iter().map(stored).collect::<Result<_, _>>().map_err(|error| store_error(&error))
}

fn stored(row: &SqliteRow) -> Result<StoredKey, sqlx::Error> {
    Ok(StoredKey {
        number: row.try_get(0)?,
        kid: row.try_get(1)?,
        algorithm: row.try_get(2)?,
        public_jwk: row.try_get(3)?,
        private: Sealed::from_stored(row.try_get(4)?),
        sealed_with: row.try_get(5)?,
        created_at: Timestamp::from_micros(row.try_get(6)?),
        activates_at: Timestamp::from_micros(row.try_get(7)?),
        token_life: Duration::from_secs(u64::try_from(row.try_get::<i64, _>(8)?).unwrap_or(0)),
        ends_at: row.try_get::<Option<_>, _>(9)?.map(Timestamp::from_micros),
    })
}

fn seconds(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}
