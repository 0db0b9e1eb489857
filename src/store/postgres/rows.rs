//! [`Rows`] on Postgres.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::client::{Client, RetryMode, settle};
use super::error::{Failure, Kind};
use super::statements::{self, moment};
use super::{PgRows, bounded, erasure, migrate, sql, user_sql};
use crate::clock::Timestamp;
use crate::store::columns::{Columns, DeviceColumns};
use crate::store::migrations::{self, Applied};
use crate::store::rows::{
    CompareAndSwap, FeedPage, OptimisticRotation, Position, Purged, Row, Rows, Schema, SessionBound,
};
use crate::store::{Audit, Open, OpenedBefore, Receipt, StoreError, System};
use crate::token::id::{SessionId, UserId};
use crate::token::seal::Sealed;
use crate::token::session::{REVOCABLE_AFTER_END, RevocationReason, Session};

#[async_trait]
impl Rows for PgRows {
    fn system(&self) -> System {
        System::Postgres
    }

    async fn insert(&self, opens: &[Open]) -> Result<Vec<bool>, StoreError> {
        let mut sorted: Vec<&Open> = opens.iter().collect();
        // Two batches only meet at a request key. Sorted by key, they never wait for each other in
        // a circle. The sort is stable, so of two logins with the same key the earlier one stays
        // first.
        sorted.sort_by_key(|open| open.request.as_ref().map(|request| &request.key));
        let inserted = self.client.execute(|| statements::insert(&sorted)).await?;
        if inserted == count(opens) {
            return Ok(vec![true; opens.len()]);
        }
        // A request key was taken, which is rare. A second query in this case is cheaper than
        // returning all ids every time.
        let uuids: Vec<Uuid> = opens.iter().map(|open| open.session.id.as_uuid()).collect();
        let build = || Ok(sqlx::query(sql::STORED).bind(uuids.as_slice()));
        let inserted = ids(&self.client.fetch(RetryMode::Reading, build).await?)?;
        Ok(opens.iter().map(|open| inserted.contains(&open.session.id)).collect())
    }

    async fn insert_bounded(
        &self,
        opens: &[Open],
        bound: SessionBound,
    ) -> Result<(Vec<bool>, Vec<Session>), StoreError> {
        let once = || bounded::insert(&self.client, opens, bound);
        let (inserted, evicted) = self.client.attempt(RetryMode::Writing, once).await?;
        let inserted = ids(&inserted)?;
        let inserted = opens.iter().map(|open| inserted.contains(&open.session.id)).collect();
        Ok((inserted, evicted.iter().map(session).collect::<Result<_, _>>()?))
    }

    async fn find_requests(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<OpenedBefore>>, StoreError> {
        let build = || Ok(sqlx::query(sql::FIND_REQUESTS).bind(keys));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let (key, sealed) = request(row).map_err(decoding)?;
            found.insert(key, (session(row)?, sealed));
        }
        let find = |key: &String| {
            let (session, sealed) = found.get(key)?.clone();
            Some(OpenedBefore { session, sealed })
        };
        Ok(keys.iter().map(find).collect())
    }

    async fn load(&self, ids: &[SessionId]) -> Result<Vec<Option<Row>>, StoreError> {
        let uuids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let build = || Ok(sqlx::query(sql::LOAD).bind(uuids.as_slice()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let row = columns(row).map_err(decoding)?.into_row()?;
            found.insert(row.session.id, row);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn swap(&self, swaps: &[CompareAndSwap]) -> Result<Vec<bool>, StoreError> {
        let mut sorted: Vec<&CompareAndSwap> = swaps.iter().collect();
        sorted.sort_by_key(|swap| swap.session.id);
        let rows = self.client.fetch(RetryMode::Writing, || statements::swap(&sorted)).await?;
        let swapped = ids(&rows)?;
        Ok(swaps.iter().map(|swap| swapped.contains(&swap.session.id)).collect())
    }

    async fn rotate(
        &self,
        rotations: &[OptimisticRotation],
    ) -> Result<Vec<Option<Session>>, StoreError> {
        let mut sorted: Vec<&OptimisticRotation> = rotations.iter().collect();
        sorted.sort_by_key(|rotation| rotation.session_id());
        let rows = self.client.fetch(RetryMode::Writing, || statements::rotate(&sorted)).await?;
        let mut rotated = HashMap::with_capacity(rows.len());
        for row in &rows {
            let session = session(row)?;
            rotated.insert(session.id, session);
        }
        Ok(rotations.iter().map(|rotation| rotated.remove(&rotation.session_id())).collect())
    }

    async fn record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError> {
        let mut receipts = receipts.to_vec();
        receipts.sort_by_key(|receipt| (receipt.session_id, receipt.generation, receipt.seen_at));
        receipts.dedup_by_key(|receipt| (receipt.session_id, receipt.generation));
        self.client.execute(|| statements::record_receipts(&receipts)).await
    }

    async fn revoke_user(
        &self,
        user_id: &UserId,
        except: Option<SessionId>,
        audit: Audit<'_>,
        reason: RevocationReason,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        let Audit { actor, at: now } = audit;
        let build = || {
            Ok(sqlx::query(user_sql::REVOKE_USER)
                .bind(user_id.as_str())
                .bind(moment(now)?)
                .bind(reason.as_str())
                .bind(except.map(SessionId::as_uuid))
                .bind(moment(now + retention)?)
                .bind(moment(now - REVOCABLE_AFTER_END)?)
                .bind(actor.to_owned()))
        };
        let rows = self.client.fetch(RetryMode::Writing, build).await?;
        rows.iter().map(session).collect()
    }

    async fn erase_user(
        &self,
        user_id: &UserId,
        audit: Audit<'_>,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        let once = || erasure::erase(&self.client, user_id, audit, retention);
        let rows = self.client.attempt(RetryMode::Writing, once).await?;
        rows.iter().map(session).collect()
    }

    async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        self.feed.read(&self.client, after, now, limit).await
    }

    async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let purge = |sql: &'static str| {
            move || Ok(sqlx::query(sql).bind(moment(ended_before)?).bind(i64::from(limit)))
        };
        let stale = self.client.execute(purge(sql::PURGE_STALE_TOKENS)).await?;
        Ok(stale.max(self.client.execute(purge(sql::PURGE_REVOCATIONS)).await?))
    }

    async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let build = || {
            Ok(sqlx::query(sql::LIST)
                .bind(user_id.as_str())
                .bind(moment(now)?)
                .bind(before.map(SessionId::as_uuid))
                .bind(i64::from(limit)))
        };
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(session).collect()
    }

    async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<Purged, StoreError> {
        let ended_before = moment(ended_before)?;
        let once = || async {
            let mut connection = self.client.acquire().await?;
            let purged = purge(&self.client, &mut connection, ended_before, limit).await;
            settle(connection, purged)
        };
        self.client.attempt(RetryMode::Writing, once).await
    }

    async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let build = || {
            Ok(sqlx::query(sql::FORGET_FIRST_TOKENS)
                .bind(moment(opened_before)?)
                .bind(i64::from(limit)))
        };
        self.client.execute(build).await
    }

    async fn check(&self) -> Result<Schema, StoreError> {
        migrations::compare(migrations::postgres(), &self.applied().await?)
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.client.probe_write().await
    }

    async fn migrate(&self) -> Result<Schema, StoreError> {
        migrate::run(&self.client).await
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

impl PgRows {
    /// Returns the migrations that the database lists.
    pub(super) async fn applied(&self) -> Result<Vec<Applied>, StoreError> {
        let once = || async {
            match self.client.fetch_once(|| Ok(sqlx::query(sql::APPLIED))).await {
                Err(failure) if failure.kind == Kind::TableMissing => Ok(Vec::new()),
                listed => listed.map(|listed| listed.rows),
            }
        };
        let rows = self.client.attempt(RetryMode::Reading, once).await?;
        rows.iter().map(|row| migrate::read(row).map_err(decoding)).collect()
    }
}

/// Deletes sessions that have ended, and postpones those that were refreshed since they were last
/// examined.
///
/// Its statements are never prepared by name. Behind an undetected pooler, one client's name could
/// refer to another client's statement. A name must never refer to a deletion that takes the same
/// arguments as a harmless statement.
async fn purge(
    client: &Client,
    connection: &mut PgConnection,
    ended_before: OffsetDateTime,
    limit: u32,
) -> Result<Purged, sqlx::Error> {
    let mut transaction = client.begin(connection).await?;
    let due = sqlx::query(sql::DUE)
        .bind(ended_before)
        .bind(i64::from(limit))
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    let (mut ended, mut alive) = (Vec::<Uuid>::new(), Vec::<Uuid>::new());
    for row in &due {
        let expires_at: OffsetDateTime = row.try_get(1)?;
        let group = if expires_at < ended_before { &mut ended } else { &mut alive };
        group.push(row.try_get(0)?);
    }
    let purged = Purged { examined: count(&due), deleted: count(&ended) };
    for (statement, ids) in [(sql::DELETE, ended), (sql::POSTPONE, alive)] {
        if !ids.is_empty() {
            let statement = sqlx::query(statement).bind(ids).persistent(false);
            statement.execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(purged)
}

pub(super) fn count<T>(rows: &[T]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

fn ids(rows: &[PgRow]) -> Result<HashSet<SessionId>, StoreError> {
    let id = |row: &PgRow| row.try_get::<Uuid, _>(0).map(SessionId::from);
    rows.iter().map(id).collect::<Result<_, _>>().map_err(decoding)
}

fn session(row: &PgRow) -> Result<Session, StoreError> {
    Ok(columns(row).map_err(decoding)?.into_row()?.session)
}

fn request(row: &PgRow) -> Result<(String, Option<Sealed>), sqlx::Error> {
    let sealed: Option<Vec<u8>> = row.try_get("first_tokens")?;
    Ok((row.try_get("request_key")?, sealed.map(Sealed::from_stored)))
}

fn columns(row: &PgRow) -> Result<Columns, sqlx::Error> {
    Ok(Columns {
        id: row.try_get::<Uuid, _>(0)?.into(),
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
        device: DeviceColumns {
            key: row.try_get(27)?,
            thumbprint: row.try_get(28)?,
            algorithm: row.try_get(29)?,
            bound_at: row.try_get::<Option<_>, _>(30)?.map(timestamp),
            generation: row.try_get(31)?,
        },
    })
}

pub(super) fn timestamp(at: OffsetDateTime) -> Timestamp {
    let micros = at.unix_timestamp_nanos() / 1000;
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

pub(super) fn decoding(error: sqlx::Error) -> StoreError {
    Failure::from(error).error
}
