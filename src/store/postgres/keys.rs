//! [`KeyRows`] on Postgres, with its statements.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgRows;
use super::client::RetryMode;
use super::rows::{decoding, timestamp};
use super::statements::moment;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::keys::KeyRows;
use crate::token::key::{KeyUse, StoredKey};
use crate::token::seal::Sealed;

const INSERT: &str = "
    INSERT INTO signing_keys
        (number, kid, algorithm, public_jwk, sealed_private, sealed_with, created_at,
         activates_at, token_seconds, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING";

const LOAD: &str = "
    SELECT number, kid, algorithm, public_jwk, sealed_private, sealed_with, created_at,
           activates_at, token_seconds, ends_at
    FROM signing_keys ORDER BY number";

const RAISE: &str = "
    UPDATE signing_keys SET token_seconds = $2 WHERE number = $1 AND token_seconds < $2";

const END: &str = "
    UPDATE signing_keys SET ends_at = $2
    WHERE number <= $1 AND (ends_at IS NULL OR ends_at > $2)";

const DELETE: &str = "
    WITH uses AS (DELETE FROM signing_key_uses WHERE kid = ANY($1))
    DELETE FROM signing_keys WHERE kid = ANY($1)";

const NOTE: &str = "
    INSERT INTO signing_key_uses (kid, last_verified_at)
    SELECT unnest($1::text[]), unnest($2::timestamptz[])
    ON CONFLICT (kid) DO UPDATE SET last_verified_at = excluded.last_verified_at
    WHERE signing_key_uses.last_verified_at < excluded.last_verified_at";

const USES: &str = "SELECT kid, last_verified_at FROM signing_key_uses ORDER BY kid";

#[async_trait]
impl KeyRows for PgRows {
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let build = || {
            Ok(sqlx::query(INSERT)
                .bind(key.number)
                .bind(key.kid.clone())
                .bind(key.algorithm.clone())
                .bind(key.public_jwk.clone())
                .bind(key.private.as_bytes().to_vec())
                .bind(key.sealed_with.clone())
                .bind(moment(key.created_at)?)
                .bind(moment(key.activates_at)?)
                .bind(seconds(key.token_life))
                .bind(key.ends_at.map(moment).transpose()?))
        };
        Ok(self.client.execute(build).await? == 1)
    }

    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = self.client.fetch(RetryMode::Reading, || Ok(sqlx::query(LOAD))).await?;
        rows.iter().map(stored).collect::<Result<_, _>>().map_err(decoding)
    }

    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError> {
        let build = || Ok(sqlx::query(RAISE).bind(number).bind(seconds(life)));
        self.client.execute(build).await.map(drop)
    }

    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError> {
        let build = || Ok(sqlx::query(END).bind(up_to).bind(moment(at)?));
        self.client.execute(build).await
    }

    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError> {
        let build = || Ok(sqlx::query(DELETE).bind(kids.to_vec()));
        self.client.execute(build).await
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let mut uses = uses.to_vec();
        // One fixed order, so that two replicas never wait for each other in a circle.
        uses.sort_by(|one, other| one.kid.cmp(&other.kid));
        let build = || {
            let kids: Vec<String> = uses.iter().map(|one| one.kid.clone()).collect();
            let moments = uses.iter().map(|one| moment(one.last_verified_at));
            let moments = moments.collect::<Result<Vec<_>, _>>()?;
            Ok(sqlx::query(NOTE).bind(kids).bind(moments))
        };
        self.client.execute(build).await.map(drop)
    }

    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let rows = self.client.fetch(RetryMode::Reading, || Ok(sqlx::query(USES))).await?;
        let read = |row: &PgRow| {
            let (kid, at) = (row.try_get(0)?, timestamp(row.try_get(1)?));
            Ok(KeyUse { kid, last_verified_at: at })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(decoding)
    }
}

fn stored(row: &PgRow) -> Result<StoredKey, sqlx::Error> {
    Ok(StoredKey {
        number: row.try_get(0)?,
        kid: row.try_get(1)?,
        algorithm: row.try_get(2)?,
        public_jwk: row.try_get(3)?,
        private: Sealed::from_stored(row.try_get(4)?),
        sealed_with: row.try_get(5)?,
        created_at: timestamp(row.try_get(6)?),
        activates_at: timestamp(row.try_get(7)?),
        token_life: Duration::from_secs(u64::try_from(row.try_get::<i64, _>(8)?).unwrap_or(0)),
        ends_at: row.try_get::<Option<_>, _>(9)?.map(timestamp),
    })
}

fn seconds(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}
