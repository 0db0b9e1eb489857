//! [`Rollouts`] and [`Figures`] on Postgres.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::client::RetryMode;
use super::rows::{decoding, timestamp};
use super::statements::moment;
use super::{PgRows, sql};
use crate::clock::Timestamp;
use crate::store::columns::{live_sessions, percentage};
use crate::store::figures::{Census, ConnectionFigures, Figures};
use crate::store::rollouts::{APPEND_CHANGE, LAST_CHANGE, LiveSessions, RolloutChange, Rollouts};
use crate::store::span::spanned;
use crate::store::{StoreError, System, columns};
use crate::token::id::UserId;
use crate::token::rollout::Rollout;

#[async_trait]
impl Rollouts for PgRows {
    async fn last_change(&self) -> Result<Option<RolloutChange>, StoreError> {
        let last = async { Ok(self.changes(1).await?.pop()) };
        spanned(System::Postgres, LAST_CHANGE, last).await
    }

    async fn append_change(&self, change: &RolloutChange) -> Result<bool, StoreError> {
        let build = || {
            Ok(sqlx::query(sql::APPEND_CHANGE)
                .bind(change.seq)
                .bind(i64::from(change.rollout.percentage.number()))
                .bind(change.rollout.jwt_enabled)
                .bind(moment(change.at)?)
                .bind(change.by.clone()))
        };
        let append = async { Ok(self.client.execute(build).await? == 1) };
        spanned(System::Postgres, APPEND_CHANGE, append).await
    }

    async fn changes(&self, limit: u32) -> Result<Vec<RolloutChange>, StoreError> {
        let build = || Ok(sqlx::query(sql::CHANGES).bind(i64::from(limit)));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(change).collect()
    }

    async fn live_sessions(
        &self,
        after: Option<&UserId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<LiveSessions>, StoreError> {
        let build = || {
            Ok(sqlx::query(sql::LIVE_SESSIONS)
                .bind(after.map(|user| user.as_str().to_owned()))
                .bind(moment(now)?)
                .bind(i64::from(limit)))
        };
        let rows = self.client.survey(build).await?;
        let read = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        rows.iter().map(|row| live_sessions(read(row).map_err(decoding)?)).collect()
    }
}

#[async_trait]
impl Figures for PgRows {
    async fn size(&self) -> Result<u64, StoreError> {
        let rows = self.client.fetch(RetryMode::Reading, || Ok(sqlx::query(sql::SIZE))).await?;
        let size = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        Ok(u64::try_from(size.map_err(decoding)?).unwrap_or(0))
    }

    async fn first_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows =
            self.client.fetch(RetryMode::Reading, || Ok(sqlx::query(sql::FIRST_DUE))).await?;
        let due = rows.first().map(|row| row.try_get(0).map(timestamp));
        due.transpose().map_err(decoding)
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<Census>, StoreError> {
        let build = || Ok(sqlx::query(sql::CENSUS).bind(moment(now)?));
        let rows = self.client.survey(build).await?;
        let read =
            |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        rows.iter().map(|row| columns::census(read(row).map_err(decoding)?)).collect()
    }

    fn connections(&self) -> ConnectionFigures {
        self.client.connections()
    }
}

fn change(row: &PgRow) -> Result<RolloutChange, StoreError> {
    Ok(RolloutChange {
        seq: row.try_get(0).map_err(decoding)?,
        rollout: Rollout {
            percentage: percentage(row.try_get(1).map_err(decoding)?)?,
            jwt_enabled: row.try_get(2).map_err(decoding)?,
        },
        at: timestamp(row.try_get(3).map_err(decoding)?),
        by: row.try_get(4).map_err(decoding)?,
    })
}
