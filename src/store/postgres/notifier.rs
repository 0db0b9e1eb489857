//! Notifications through `NOTIFY` and `LISTEN`.
//!
//! `NOTIFY` is sent after the revocation has committed, on a connection of the pool. Inside the
//! transaction it would serialize all such commits of the database, and fail them on databases
//! without notifications. `LISTEN` has a connection of its own. Behind a transaction pooler there
//! is no `LISTEN`, because the pooler gives that connection's server to other clients.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Executor as _, PgPool};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::client::RetryMode;
use super::error::{Failure, Kind};
use super::{PgRows, sql};
use crate::store::StoreError;
use crate::store::notifier::{CHANNEL, Notifier};

/// The time limit for a connection and for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// If nothing was received for this long, the connection is checked.
const SILENCE: Duration = Duration::from_secs(10);

#[async_trait]
impl Notifier for PgRows {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn raise(&self) -> Result<(), StoreError> {
        let build = || Ok(sqlx::query(sql::NOTIFY).bind(CHANNEL));
        self.client.fetch(RetryMode::Reading, build).await.map(drop)
    }

    async fn listen(&self, heard: &Notify) -> Result<(), StoreError> {
        // The first connection detects a pooler.
        self.client.acquire().await.map_err(|failure| failure.error)?.release();
        if self.client.is_pooled() {
            return Ok(());
        }
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(self.client.target().preferred().clone());
        let ended = match listen(&pool, heard).await.map_err(Failure::from) {
            // The database does not support notifications.
            Err(failure) if failure.kind == Kind::Refused => Ok(()),
            Err(failure) => Err(failure.error),
            Ok(()) => Err(StoreError::Unavailable("the connection was lost".into())),
        };
        // The pool's only connection is returned when the listener has ended.
        drop(pool);
        ended
    }
}

/// Listens until the connection is lost.
async fn listen(pool: &PgPool, heard: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    limited(listener.listen(CHANNEL)).await?;
    heard.notify_one();
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => heard.notify_one(),
            Ok(lost) => return lost.map(drop),
            // Without this query, a server that vanished silently would leave us listening for
            // ever.
            Err(_) => limited(listener.execute(sqlx::raw_sql("SELECT 1"))).await.map(drop)?,
        }
    }
}

async fn limited<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(CONNECT_TIMEOUT, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
