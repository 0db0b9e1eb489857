//! [`Inspect`] on Postgres.

use std::net::IpAddr;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::types::time::OffsetDateTime;

use super::client::RetryMode;
use super::rows::{decoding, timestamp};
use super::statements::moment;
use super::{PgRows, sql};
use crate::clock::Timestamp;
use crate::store::inspect::{DatabaseStatus, Inspect, Place, Privileges};
use crate::store::rows::{Rows, Schema};
use crate::store::{KeyRows as _, RolloutChange, Rollouts as _, StoreError, migrations};
use crate::token::key::StoredKey;

#[async_trait]
impl Inspect for PgRows {
    async fn status(&self) -> Result<DatabaseStatus, StoreError> {
        let rows = self.client.fetch(RetryMode::Reading, || Ok(sqlx::query(sql::STATUS))).await?;
        let row = rows.first().ok_or_else(|| decoding(sqlx::Error::RowNotFound))?;
        let now: OffsetDateTime = row.try_get(0).map_err(decoding)?;
        let read_only: String = row.try_get(1).map_err(decoding)?;
        let commit: String = row.try_get(2).map_err(decoding)?;
        Ok(DatabaseStatus {
            now: Some(timestamp(now)),
            read_only: read_only == "on",
            durable: commit != "off",
        })
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        self.check().await
    }

    async fn foreign_objects(&self) -> Result<Vec<String>, StoreError> {
        let names = migrations::names_to_create(migrations::postgres(), &self.applied().await?);
        let build = || Ok(sqlx::query(sql::EXISTING).bind(names.clone()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(|row| row.try_get(0).map_err(decoding)).collect()
    }

    async fn privileges(&self) -> Result<Option<Privileges>, StoreError> {
        let names = migrations::names_to_create(migrations::postgres(), &[]);
        let build = || Ok(sqlx::query(sql::PRIVILEGES).bind(names.clone()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        let row = rows.first().ok_or_else(|| decoding(sqlx::Error::RowNotFound))?;
        let read = || {
            Ok(Privileges {
                role: row.try_get(0)?,
                schema: row.try_get(1)?,
                may_create: row.try_get(2)?,
                closed_tables: row.try_get(3)?,
            })
        };
        read().map(Some).map_err(decoding)
    }

    async fn overdue(&self, due_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let (moment, limit) = (moment(due_before)?, i64::from(limit));
        let build = || Ok(sqlx::query(sql::OVERDUE).bind(moment).bind(limit));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        Ok(u64::try_from(count.map_err(decoding)?).unwrap_or(0))
    }

    async fn stored_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.load_keys().await
    }

    async fn rollout_change(&self) -> Result<Option<RolloutChange>, StoreError> {
        self.last_change().await
    }

    fn place(&self) -> Place {
        let target = self.client.target();
        let local = |connect: &PgConnectOptions| {
            let host = connect.get_host();
            let address = host.parse::<IpAddr>();
            connect.get_socket().is_some()
                || host == "localhost"
                || host.starts_with('/')
                || address.is_ok_and(|address| address.is_loopback())
        };
        let requires_tls = |connect: &PgConnectOptions| {
            let mode = connect.get_ssl_mode();
            matches!(mode, PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull)
        };
        Place {
            text: target.place(),
            remote: !target.hosts().iter().all(local),
            tls_required: target.hosts().iter().all(requires_tls),
        }
    }

    fn is_pooled(&self) -> bool {
        self.client.is_pooled()
    }

    async fn close(&self) {
        self.client.close().await;
    }
}
