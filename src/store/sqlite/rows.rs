//! [`Rows`] on SQLite.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::decode::{session, stored};
use super::error::store_error;
use super::feed::{self, revoke_and_record};
use super::write::array;
use super::{SqliteRows, migrate, sql, write};
use crate::clock::Timestamp;
use crate::store::columns;
use crate::store::rows::{
    CompareAndSwap, FeedPage, OptimisticRotation, Position, Purged, Row, Rows, Schema, SessionBound,
};
use crate::store::{Audit, Open, OpenedBefore, Receipt, StoreError, System, migrations};
use crate::token::id::{SessionId, UserId};
use crate::token::seal::Sealed;
use crate::token::session::{REVOCABLE_AFTER_END, RevocationReason, Session};

#[async_trait]
impl Rows for SqliteRows {
    fn system(&self) -> System {
        System::Sqlite
    }

    async fn insert(&self, opens: &[Open]) -> Result<Vec<bool>, StoreError> {
        let granted = opens.iter().map(|open| columns::granted(&open.session));
        let granted = granted.collect::<Result<_, _>>()?;
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let inserted = write::insert(writing.connection(), opens, granted).await;
                writing.end(inserted).await
            })
            .await
    }

    async fn insert_bounded(
        &self,
        opens: &[Open],
        bound: SessionBound,
    ) -> Result<(Vec<bool>, Vec<Session>), StoreError> {
        let granted = opens.iter().map(|open| columns::granted(&open.session));
        let granted = granted.collect::<Result<_, _>>()?;
        let users: Vec<String> =
            opens.iter().map(|open| open.session.user_id.as_str().to_owned()).collect();
        let ids: Vec<String> = opens.iter().map(|open| open.session.id.to_string()).collect();
        let evict = sqlx::query(sql::EVICT)
            .bind(array(&users))
            .bind(array(&ids))
            .bind(bound.now.as_micros())
            .bind(bound.most);
        let both = async |connection: &mut SqliteConnection| {
            let inserted = write::insert(connection, opens, granted).await?;
            let evicted =
                revoke_and_record(connection, evict, bound.now.into(), bound.retention).await?;
            Ok((inserted, evicted))
        };
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let done = both(writing.connection()).await;
                writing.end(done).await
            })
            .await
    }

    async fn find_requests(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<OpenedBefore>>, StoreError> {
        let rows = self.file.fetch(sqlx::query(sql::FIND_REQUESTS).bind(array(keys))).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let (key, sealed) = request(row).map_err(|error| store_error(&error))?;
            found.insert(key, (session(row)?, sealed));
        }
        let find = |key: &String| {
            let (session, sealed) = found.get(key)?.clone();
            Some(OpenedBefore { session, sealed })
        };
        Ok(keys.iter().map(find).collect())
    }

    async fn load(&self, ids: &[SessionId]) -> Result<Vec<Option<Row>>, StoreError> {
        let names: Vec<String> = ids.iter().map(SessionId::to_string).collect();
        let rows = self.file.fetch(sqlx::query(sql::LOAD).bind(array(&names))).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let row = stored(row)?;
            found.insert(row.session.id, row);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn swap(&self, swaps: &[CompareAndSwap]) -> Result<Vec<bool>, StoreError> {
        let granted = |swap: &CompareAndSwap| {
            swap.grant_changed.then(|| columns::granted(&swap.session)).transpose()
        };
        let granted = swaps.iter().map(granted).collect::<Result<_, _>>()?;
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let swapped = write::swap(writing.connection(), swaps, granted).await;
                writing.end(swapped).await
            })
            .await
    }

    async fn rotate(
        &self,
        rotations: &[OptimisticRotation],
    ) -> Result<Vec<Option<Session>>, StoreError> {
        let rows = self.file.in_time(async {
            let mut writing = self.file.begin().await?;
            let rotated = write::rotate(writing.connection(), rotations).await;
            writing.end(rotated).await
        });
        let mut rotated = HashMap::with_capacity(rotations.len());
        for row in &rows.await? {
            let session = session(row)?;
            rotated.insert(session.id, session);
        }
        Ok(rotations.iter().map(|rotation| rotated.remove(&rotation.session_id())).collect())
    }

    async fn record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError> {
        let mut receipts = receipts.to_vec();
        receipts.sort_by_key(|receipt| (receipt.session_id, receipt.generation, receipt.seen_at));
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let recorded = write::record_receipts(writing.connection(), &receipts).await;
                writing.end(recorded).await
            })
            .await
    }

    async fn revoke_user(
        &self,
        user_id: &UserId,
        except: Option<SessionId>,
        audit: Audit<'_>,
        reason: RevocationReason,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        let now = audit.at;
        let statement = sqlx::query(sql::REVOKE_USER)
            .bind(user_id.as_str().to_owned())
            .bind(now.as_micros())
            .bind(reason.as_str())
            .bind(except.map(|id| id.to_string()))
            .bind((now - REVOCABLE_AFTER_END).as_micros());
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let connection = writing.connection();
                let revoked = revoke_and_record(connection, statement, audit, retention).await;
                writing.end(revoked).await
            })
            .await
    }

    async fn erase_user(
        &self,
        user_id: &UserId,
        audit: Audit<'_>,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        let (user_id, now) = (user_id.as_str(), audit.at);
        let erase = sqlx::query(sql::ERASE_USER).bind(user_id.to_owned()).bind(now.as_micros());
        let forget = sqlx::query(sql::FORGET_USER).bind(user_id.to_owned());
        let history = sqlx::query(sql::FORGET_HISTORY).bind(user_id.to_owned());
        let both = async |connection: &mut SqliteConnection| {
            forget.execute(&mut *connection).await?;
            history.execute(&mut *connection).await?;
            revoke_and_record(connection, erase, audit, retention).await
        };
        let erased = self.file.in_time(async {
            let mut writing = self.file.begin().await?;
            let done = both(writing.connection()).await;
            writing.end(done).await
        });
        let erased = erased.await?;
        self.finish_erasures().await;
        Ok(erased)
    }

    async fn finish_erasures(&self) {
        match self.file.empty_log().await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("the write-ahead log is in use; it is emptied later"),
            Err(error) => tracing::debug!(%error, "the write-ahead log could not be emptied"),
        }
    }

    async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        let statement = sqlx::query(sql::FEED)
            .bind(after.recorded_at.as_micros())
            .bind(after.session_id.to_string())
            .bind(now.as_micros())
            .bind(limit);
        let rows = self.file.fetch(statement).await?;
        feed::page(&rows)
    }

    async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let both = async |connection: &mut SqliteConnection| {
            let mut most = 0;
            for sql in [sql::PURGE_STALE_TOKENS, sql::PURGE_REVOCATIONS] {
                let purge = sqlx::query(sql).bind(ended_before.as_micros()).bind(limit);
                most = purge.execute(&mut *connection).await?.rows_affected().max(most);
            }
            Ok(most)
        };
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let purged = both(writing.connection()).await;
                writing.end(purged).await
            })
            .await
    }

    async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let statement = sqlx::query(sql::LIST)
            .bind(user_id.as_str().to_owned())
            .bind(now.as_micros())
            .bind(before.map(|id| id.to_string()))
            .bind(limit);
        self.file.fetch(statement).await?.iter().map(session).collect()
    }

    async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<Purged, StoreError> {
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let purged = write::purge(writing.connection(), ended_before, limit).await;
                writing.end(purged).await
            })
            .await
    }

    async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement =
            sqlx::query(sql::FORGET_FIRST_TOKENS).bind(opened_before.as_micros()).bind(limit);
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let forgotten = statement.execute(writing.connection()).await;
                Ok(writing.end(forgotten).await?.rows_affected())
            })
            .await
    }

    async fn check(&self) -> Result<Schema, StoreError> {
        self.file.in_time(async { self.file.check_in_place() }).await?;
        let found = self.file.fetch(sqlx::query(sql::HAS_LEDGER)).await?;
        let found = found.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        let rows = if found.map_err(|error| store_error(&error))? == 0 {
            Vec::new()
        } else {
            self.file.fetch(sqlx::query(sql::APPLIED)).await?
        };
        let applied: Result<Vec<_>, _> = rows.iter().map(migrate::read).collect();
        migrations::compare(migrations::sqlite(), &applied.map_err(|error| store_error(&error))?)
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let probed = write::probe(writing.connection()).await;
                writing.end(probed).await
            })
            .await
    }

    async fn migrate(&self) -> Result<Schema, StoreError> {
        migrate::run(&self.file).await
    }

    async fn close(&self) {
        self.file.close().await;
    }
}

fn request(row: &SqliteRow) -> Result<(String, Option<Sealed>), sqlx::Error> {
    let sealed: Option<Vec<u8>> = row.try_get("first_tokens")?;
    Ok((row.try_get("request_key")?, sealed.map(Sealed::from_stored)))
}
