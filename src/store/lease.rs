//! Connections on loan, each of which comes back only if it is known to be sound.
//!
//! A connection whose statement was given up half-way (its server hangs, its caller left) would
//! have to be read to the end before its next use, and that may take for ever. So unless it is
//! given back on purpose it is closed, and another one is opened when one is needed.
//!
//! One that was given back stays warm for whoever comes next. The pool would first ask its server
//! whether it is ready: that is a round trip for each statement, and it competes with the next one.
//! The pool keeps what it is good at: opening connections, and retiring those that are old or idle.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long it may take to have a connection confirmed.
const CONFIRMATION: Duration = Duration::from_millis(500);
/// A connection that was idle for longer is asked whether it is still alive. One that was not is
/// trusted.
const TRUSTED: Duration = Duration::from_millis(250);
/// How long a connection stays out of the pool at most, used or idle: then the pool looks at its
/// age, and at how long it has been idle.
const OUT: Duration = Duration::from_mins(1);

/// A pool's connections, and those of them that are warm.
pub(super) struct Loans<DB: Database> {
    shared: Arc<Shared<DB>>,
    /// One for each connection that may be in use. Who has one need not wait for the pool but to
    /// open a connection.
    places: Arc<Semaphore>,
    patience: Duration,
}

struct Shared<DB: Database> {
    pool: Pool<DB>,
    /// Those that were given back last lie on top.
    warm: Mutex<Vec<Warm<DB>>>,
}

/// A connection that was given back.
struct Warm<DB: Database> {
    connection: PoolConnection<DB>,
    out_since: Instant,
    idle_since: Instant,
}

/// A connection on loan.
pub(super) struct Lease<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    out_since: Instant,
    shared: Arc<Shared<DB>>,
    _place: OwnedSemaphorePermit,
}

impl<DB: Database> fmt::Debug for Loans<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loans").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}

impl<DB: Database> Loans<DB> {
    /// Lends what that pool opens.
    pub(super) fn of(pool: Pool<DB>) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let patience = pool.options().get_acquire_timeout();
        let shared = Arc::new(Shared { pool, warm: Mutex::default() });
        Self { shared, places: Arc::new(Semaphore::new(most)), patience }
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// Where none comes free in time, or none can be opened.
    pub(super) async fn take(&self) -> Result<Lease<DB>, sqlx::Error> {
        let taking = tokio::time::timeout(self.patience, self.find());
        taking.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn find(&self) -> Result<Lease<DB>, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let (connection, out_since) = match self.find_warm().await {
            Some(warm) => (warm.connection, warm.out_since),
            None => (self.shared.pool.acquire().await?, Instant::now()),
        };
        let shared = Arc::clone(&self.shared);
        Ok(Lease { connection: Some(connection), out_since, shared, _place: place })
    }

    async fn find_warm(&self) -> Option<Warm<DB>> {
        loop {
            let mut found = self.shared.warm().pop()?;
            if found.out_since.elapsed() > OUT {
                retire(found.connection);
            } else if found.idle_since.elapsed() < TRUSTED || confirm(&mut *found.connection).await
            {
                return Some(found);
            } else {
                drop(found.connection.detach());
            }
        }
    }

    /// Has the connections that are idle confirmed before they are used again.
    pub(super) fn suspect(&self) {
        self.shared.warm().drain(..).for_each(|warm| retire(warm.connection));
    }

    /// How many connections are open, and how many of them are idle.
    pub(super) fn figures(&self) -> (u64, u64) {
        let idle = self.shared.pool.num_idle() + self.shared.warm().len();
        (u64::from(self.shared.pool.size()), u64::try_from(idle).unwrap_or(u64::MAX))
    }

    /// Ends all connections, once those at work are done.
    pub(super) async fn close(&self) {
        self.places.close();
        let closed = self.shared.pool.close();
        self.suspect();
        closed.await;
    }
}

impl<DB: Database> Shared<DB> {
    fn warm(&self) -> MutexGuard<'_, Vec<Warm<DB>>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection warm. Answers with one that is to be retired instead, if there is any.
    fn keep(&self, kept: Warm<DB>) -> Option<Warm<DB>> {
        let mut warm = self.warm();
        if self.pool.is_closed() {
            return Some(kept);
        }
        let cold = warm.first().is_some_and(|first| kept.idle_since - first.idle_since > OUT);
        let cold = cold.then(|| warm.remove(0));
        warm.push(kept);
        cold
    }
}

impl<DB: Database> Lease<DB> {
    /// Gives a connection back to its pool, which asks whether it is ready; a transaction that was
    /// left in it is undone by that.
    pub(super) fn retire(mut self) {
        if let Some(connection) = self.connection.take() {
            retire(connection);
        }
    }

    /// Gives back a sound connection, in which nothing is left undone.
    pub(super) fn give_back(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let kept = Warm { connection, out_since: self.out_since, idle_since: Instant::now() };
        if let Some(other) = self.shared.keep(kept) {
            retire(other.connection);
        }
    }
}

/// Gives a connection back to its pool.
fn retire<DB: Database>(mut connection: PoolConnection<DB>) {
    // What the pool does on a drop, but with an end: it asks the server whether the connection is
    // ready, and a server that never answers would keep its place taken.
    let returned = connection.return_to_pool();
    tokio::spawn(tokio::time::timeout(CONFIRMATION, returned));
}

/// Whether a connection is alive.
pub(super) async fn confirm<C: Connection>(connection: &mut C) -> bool {
    matches!(tokio::time::timeout(CONFIRMATION, connection.ping()).await, Ok(Ok(())))
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    #[expect(clippy::expect_used, reason = "it is taken only by what consumes the lease")]
    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("a lease holds its connection")
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    #[expect(clippy::expect_used, reason = "it is taken only by what consumes the lease")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect("a lease holds its connection")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Sqlite;
    use sqlx::sqlite::SqlitePoolOptions;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn loans(most: u32, patience: Duration) -> Loans<Sqlite> {
        let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(patience);
        Loans::of(pool.connect_lazy("sqlite::memory:").unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn few_are_lent_to_many_who_all_get_one() {
        let loans = Arc::new(loans(2, Duration::from_mins(1)));
        let lent = Arc::new(AtomicU32::new(0));
        let borrow = |_| {
            let (loans, lent) = (Arc::clone(&loans), Arc::clone(&lent));
            tokio::spawn(async move {
                let mut lease = loans.take().await.unwrap();
                assert!(lent.fetch_add(1, Ordering::SeqCst) < 2);
                lease.ping().await.unwrap();
                lent.fetch_sub(1, Ordering::SeqCst);
                lease.give_back();
            })
        };
        for borrowed in futures::future::join_all((0..200).map(borrow)).await {
            borrowed.unwrap();
        }
        let (open, idle) = loans.figures();
        assert!((1..=2).contains(&open) && idle == open, "{open} open, {idle} idle");
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told() {
        let loans = loans(1, Duration::from_millis(50));
        let _lease = loans.take().await.unwrap();
        assert!(matches!(loans.take().await, Err(sqlx::Error::PoolTimedOut)));
    }

    #[tokio::test]
    async fn one_that_is_not_given_back_is_closed_and_leaves_its_place() {
        let loans = loans(1, Duration::from_mins(1));
        drop(loans.take().await.unwrap());
        assert_eq!(loans.figures(), (0, 0));
        loans.take().await.unwrap().give_back();
        assert_eq!(loans.figures(), (1, 1));
    }

    #[tokio::test]
    async fn the_end_waits_for_those_at_work_and_lends_no_more() {
        let loans = Arc::new(loans(2, Duration::from_mins(1)));
        let (first, second) = (loans.take().await.unwrap(), loans.take().await.unwrap());
        first.give_back();
        let closing = tokio::spawn({
            let loans = Arc::clone(&loans);
            async move { loans.close().await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!closing.is_finished());
        second.give_back();
        tokio::time::timeout(Duration::from_secs(10), closing).await.unwrap().unwrap();
        assert!(matches!(loans.take().await, Err(sqlx::Error::PoolClosed)));
    }
}
