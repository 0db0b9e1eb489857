//! [`Rows`] on SQLite.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::error::store_error;
use super::file::Statement;
use super::write::array;
use super::{SqliteRows, migrate, sql, write};
use crate::clock::Timestamp;
use crate::store::columns::{self, Columns, RevocationColumns};
use crate::store::rows::{
    CompareAndSwap, FeedPage, OptimisticRotation, Position, Purged, Row, Rows, Schema, SessionBound,
};
use crate::store::{Open, OpenedBefore, Receipt, StoreError, System, migrations};
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
        let revocation_retention = bound.revoked_until.since(bound.now);
        let both = async |connection: &mut SqliteConnection| {
            let inserted = write::insert(connection, opens, granted).await?;
            let evicted = revoke_and_record(connection, evict, revocation_retention).await?;
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
        now: Timestamp,
        reason: RevocationReason,
        expires_at: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let statement = sqlx::query(sql::REVOKE_USER)
            .bind(user_id.as_str().to_owned())
            .bind(now.as_micros())
            .bind(reason.as_str())
            .bind(except.map(|id| id.to_string()))
            .bind((now - REVOCABLE_AFTER_END).as_micros());
        let revocation_retention = expires_at.since(now);
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let revoked =
                    revoke_and_record(writing.connection(), statement, revocation_retention).await;
                writing.end(revoked).await
            })
            .await
    }

    async fn erase_user(
        &self,
        user_id: &UserId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let user_id = user_id.as_str();
        let erase = sqlx::query(sql::ERASE_USER).bind(user_id.to_owned()).bind(now.as_micros());
        let forget = sqlx::query(sql::FORGET_USER).bind(user_id.to_owned());
        let revocation_retention = expires_at.since(now);
        let both = async |connection: &mut SqliteConnection| {
            forget.execute(&mut *connection).await?;
            revoke_and_record(connection, erase, revocation_retention).await
        };
        let erased = self.file.in_time(async {
            let mut writing = self.file.begin().await?;
            let done = both(writing.connection()).await;
            writing.end(done).await
        });
        let erased = erased.await?;
        // A reader may keep the log from being emptied. Then a later checkpoint does it.
        if let Err(error) = self.file.fetch(sqlx::query(sql::EMPTY_LOG)).await {
            tracing::debug!(%error, "the write-ahead log could not be emptied");
        }
        Ok(erased)
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
        feed_page(&rows)
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

async fn revoke_and_record(
    connection: &mut SqliteConnection,
    statement: Statement,
    revocation_retention: Duration,
) -> Result<Vec<Session>, sqlx::Error> {
    let rows = statement.fetch_all(&mut *connection).await?;
    let revoked: Result<Vec<Session>, StoreError> = rows.iter().map(session).collect();
    let revoked = revoked.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    for revocation in revoked.iter().filter_map(|session| session.revocation(revocation_retention))
    {
        write::append_revocation(connection, &revocation).await?;
    }
    Ok(revoked)
}

fn feed_page(rows: &[SqliteRow]) -> Result<FeedPage, StoreError> {
    let decoding = |error| store_error(&error);
    let first = rows.first().ok_or_else(|| columns::undecodable("the feed's clock"))?;
    let as_of = Timestamp::from_micros(first.try_get(0).map_err(decoding)?);
    let horizon = Timestamp::from_micros(first.try_get(1).map_err(decoding)?);
    let mut recorded = Vec::with_capacity(rows.len());
    for row in rows {
        // An empty page is one row without a session.
        if let Some(id) = row.try_get::<Option<String>, _>(2).map_err(decoding)? {
            recorded.push(read_revocation(row, &id).map_err(decoding)?.into_recorded()?);
        }
    }
    Ok(FeedPage { recorded, as_of, horizon })
}

fn read_revocation(row: &SqliteRow, id: &str) -> Result<RevocationColumns, sqlx::Error> {
    let timestamp = Timestamp::from_micros;
    Ok(RevocationColumns {
        session_id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        user_id: row.try_get(3)?,
        revoked_at: timestamp(row.try_get(4)?),
        expires_at: timestamp(row.try_get(5)?),
        reason: row.try_get(6)?,
        recorded_at: timestamp(row.try_get(7)?),
        epoch: row.try_get(8)?,
    })
}

fn stored(row: &SqliteRow) -> Result<Row, StoreError> {
    read(row).map_err(|error| store_error(&error))?.into_row()
}

fn session(row: &SqliteRow) -> Result<Session, StoreError> {
    Ok(stored(row)?.session)
}

fn request(row: &SqliteRow) -> Result<(String, Option<Sealed>), sqlx::Error> {
    let sealed: Option<Vec<u8>> = row.try_get("first_tokens")?;
    Ok((row.try_get("request_key")?, sealed.map(Sealed::from_stored)))
}

fn read(row: &SqliteRow) -> Result<Columns, sqlx::Error> {
    let timestamp = Timestamp::from_micros;
    let id: String = row.try_get(0)?;
    Ok(Columns {
        id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        user_id: row.try_get(1)?,
        token: row.try_get(2)?,
        expires_at: timestamp(row.try_get(3)?),
        predecessor: row.try_get(4)?,
        generation: row.try_get(5)?,
        sealed: row.try_get(6)?,
        lineage_key: row.try_get(7)?,
        handed_out_at: timestamp(row.try_get(8)?),
        proven_at: row.try_get::<Option<_>, _>(9)?.map(timestamp),
        created_at: timestamp(row.try_get(10)?),
        last_used_at: timestamp(row.try_get(11)?),
        revoked_at: row.try_get::<Option<_>, _>(12)?.map(timestamp),
        revocation_reason: row.try_get(13)?,
        granted: row.try_get(14)?,
        user_agent: row.try_get(15)?,
        ip_address: row.try_get(16)?,
        device_name: row.try_get(17)?,
        revision: row.try_get(18)?,
        auth_method: row.try_get(19)?,
        access_ends_at: row.try_get::<Option<_>, _>(20)?.map(timestamp),
        refresh_seconds: row.try_get(21)?,
        max_seconds: row.try_get(22)?,
        persistent: row.try_get(23)?,
        epoch: row.try_get(24)?,
        exact_reason: row.try_get(25)?,
        set_aside: row.try_get(26)?,
    })
}
