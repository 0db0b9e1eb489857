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
pub(super) struct Connections<DB: Database> {
    shared: Arc<Shared<DB>>,
    /// One for each connection that may be in use. Who has one need not wait for the pool but to
    /// open a connection.
    places: Arc<Semaphore>,
    timeout: Duration,
}

struct Shared<DB: Database> {
    pool: Pool<DB>,
    /// Those that were given back last lie on top.
    idle: Mutex<Vec<IdleConnection<DB>>>,
}

/// A connection that was given back.
struct IdleConnection<DB: Database> {
    connection: PoolConnection<DB>,
    out_since: Instant,
    idle_since: Instant,
}

/// A connection on loan.
pub(super) struct ConnectionGuard<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    out_since: Instant,
    shared: Arc<Shared<DB>>,
    _place: OwnedSemaphorePermit,
}

impl<DB: Database> fmt::Debug for Connections<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loans").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}

impl<DB: Database> Connections<DB> {
    /// Lends what that pool opens.
    pub(super) fn of(pool: Pool<DB>) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let timeout = pool.options().get_acquire_timeout();
        let shared = Arc::new(Shared { pool, idle: Mutex::default() });
        Self { shared, places: Arc::new(Semaphore::new(most)), timeout }
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// Where none comes free in time, or none can be opened.
    pub(super) async fn take(&self) -> Result<ConnectionGuard<DB>, sqlx::Error> {
        let taking = tokio::time::timeout(self.timeout, self.find());
        taking.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn find(&self) -> Result<ConnectionGuard<DB>, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let (connection, out_since) = match self.find_idle().await {
            Some(idle) => (idle.connection, idle.out_since),
            None => (self.shared.pool.acquire().await?, Instant::now()),
        };
        let shared = Arc::clone(&self.shared);
        Ok(ConnectionGuard { connection: Some(connection), out_since, shared, _place: place })
    }

    async fn find_idle(&self) -> Option<IdleConnection<DB>> {
        loop {
            let mut found = self.shared.idle().pop()?;
            if found.out_since.elapsed() > OUT {
                return_to_pool(found.connection);
            } else if found.idle_since.elapsed() < TRUSTED || confirm(&mut *found.connection).await
            {
                return Some(found);
            } else {
                drop(found.connection.detach());
            }
        }
    }

    /// Has the connections that are idle confirmed before they are used again.
    pub(super) fn revalidate_idle(&self) {
        self.shared.idle().drain(..).for_each(|idle| return_to_pool(idle.connection));
    }

    /// How many connections are open, and how many of them are idle.
    pub(super) fn figures(&self) -> (u64, u64) {
        let idle = self.shared.pool.num_idle() + self.shared.idle().len();
        (u64::from(self.shared.pool.size()), u64::try_from(idle).unwrap_or(u64::MAX))
    }

    /// Ends all connections, once those at work are done.
    pub(super) async fn close(&self) {
        self.places.close();
        let closed = self.shared.pool.close();
        self.revalidate_idle();
        closed.await;
    }
}

impl<DB: Database> Shared<DB> {
    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection<DB>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection warm. Answers with one that is to be retired instead, if there is any.
    fn keep(&self, kept: IdleConnection<DB>) -> Option<IdleConnection<DB>> {
        let mut idle = self.idle();
        if self.pool.is_closed() {
            return Some(kept);
        }
        let cold = idle.first().is_some_and(|first| kept.idle_since - first.idle_since > OUT);
        let cold = cold.then(|| idle.remove(0));
        idle.push(kept);
        cold
    }
}

impl<DB: Database> ConnectionGuard<DB> {
    /// Gives a connection back to its pool, which asks whether it is ready; a transaction that was
    /// left in it is undone by that.
    pub(super) fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            return_to_pool(connection);
        }
    }

    /// Gives back a sound connection, in which nothing is left undone.
    pub(super) fn release(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let kept =
            IdleConnection { connection, out_since: self.out_since, idle_since: Instant::now() };
        if let Some(other) = self.shared.keep(kept) {
            return_to_pool(other.connection);
        }
    }
}

/// Gives a connection back to its pool.
fn return_to_pool<DB: Database>(mut connection: PoolConnection<DB>) {
    // What the pool does on a drop, but with an end: it asks the server whether the connection is
    // ready, and a server that never answers would keep its place taken.
    let returned = connection.return_to_pool();
    tokio::spawn(tokio::time::timeout(CONFIRMATION, returned));
}

/// Whether a connection is alive.
pub(super) async fn confirm<C: Connection>(connection: &mut C) -> bool {
    matches!(tokio::time::timeout(CONFIRMATION, connection.ping()).await, Ok(Ok(())))
}

impl<DB: Database> Drop for ConnectionGuard<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl<DB: Database> Deref for ConnectionGuard<DB> {
    type Target = DB::Connection;

    #[expect(clippy::expect_used, reason = "it is taken only by what consumes the lease")]
    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("a lease holds its connection")
    }
}

impl<DB: Database> DerefMut for ConnectionGuard<DB> {
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

    fn connections(most: u32, timeout: Duration) -> Connections<Sqlite> {
        let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(timeout);
        Connections::of(pool.connect_lazy("sqlite::memory:").unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn few_are_lent_to_many_who_all_get_one() {
        let connections = Arc::new(connections(2, Duration::from_mins(1)));
        let lent = Arc::new(AtomicU32::new(0));
        let borrow = |_| {
            let (connections, lent) = (Arc::clone(&connections), Arc::clone(&lent));
            tokio::spawn(async move {
                let mut lease = connections.take().await.unwrap();
                assert!(lent.fetch_add(1, Ordering::SeqCst) < 2);
                lease.ping().await.unwrap();
                lent.fetch_sub(1, Ordering::SeqCst);
                lease.release();
            })
        };
        for borrowed in futures::future::join_all((0..200).map(borrow)).await {
            borrowed.unwrap();
        }
        let (open, idle) = connections.figures();
        assert!((1..=2).contains(&open) && idle == open, "{open} open, {idle} idle");
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told() {
        let connections = connections(1, Duration::from_millis(50));
        let _lease = connections.take().await.unwrap();
        assert!(matches!(connections.take().await, Err(sqlx::Error::PoolTimedOut)));
    }

    #[tokio::test]
    async fn one_that_is_not_given_back_is_closed_and_leaves_its_place() {
        let connections = connections(1, Duration::from_mins(1));
        drop(connections.take().await.unwrap());
        assert_eq!(connections.figures(), (0, 0));
        connections.take().await.unwrap().release();
        assert_eq!(connections.figures(), (1, 1));
    }

    #[tokio::test]
    async fn the_end_waits_for_those_at_work_and_lends_no_more() {
        let connections = Arc::new(connections(2, Duration::from_mins(1)));
        let (first, second) =
            (connections.take().await.unwrap(), connections.take().await.unwrap());
        first.release();
        let closing = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.close().await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!closing.is_finished());
        second.release();
        tokio::time::timeout(Duration::from_secs(10), closing).await.unwrap().unwrap();
        assert!(matches!(connections.take().await, Err(sqlx::Error::PoolClosed)));
    }
}
