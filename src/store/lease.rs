//! A pool's connection on loan, which comes back only if it is known to be sound.
//!
//! A connection whose statement was given up half-way (its server hangs, its caller left) would
//! have to be read to the end before its next use, and that may take for ever. So unless it is
//! given back on purpose it is closed, and the pool opens another one when one is needed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

/// How long the pool may take to have a connection confirmed that comes back.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// A connection on loan.
pub(super) struct Lease<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> Lease<DB> {
    /// Takes a connection out of the pool.
    ///
    /// # Errors
    /// Where none comes free in time, or none can be opened.
    pub(super) async fn take(pool: &Pool<DB>) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Gives a sound connection back.
    pub(super) fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            // What the pool does on a drop, but with an end: it asks the server whether the
            // connection is ready, and a server that never answers would keep its place taken.
            let returned = connection.return_to_pool();
            tokio::spawn(tokio::time::timeout(CONFIRMATION, returned));
        }
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    #[expect(clippy::expect_used, reason = "it is taken only by what consumes the lease")]
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("a lease holds its connection")
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    #[expect(clippy::expect_used, reason = "it is taken only by what consumes the lease")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect("a lease holds its connection")
    }
}
