//! Tests whether Postgres accepts writes.

use sqlx::Executor as _;

use super::client::{Client, RetryMode, settle};
use super::sql;
use crate::store::StoreError;

impl Client {
    /// Inserts a session and rolls it back. This finds a standby, a read-only database, a missing
    /// privilege and, if the table has to grow, a full disk. It leaves a dead row of 200 bytes,
    /// which autovacuum removes.
    pub(super) async fn probe_write(&self) -> Result<(), StoreError> {
        let once = || async {
            let mut connection = self.acquire().await?;
            let probed = async {
                let mut transaction = self.begin(&mut connection).await?;
                transaction.execute(sqlx::raw_sql(sql::WRITE_PROBE)).await?;
                transaction.rollback().await
            };
            let probed = probed.await;
            settle(connection, probed)
        };
        self.attempt(RetryMode::Reading, once).await
    }
}
