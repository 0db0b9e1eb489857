//! Connections that are reused without a ping, and closed unless they are known to be healthy.
//!
//! A statement may be abandoned half-way, because its server hangs or its caller left. Its
//! connection would have to be read to the end before the next use, which can take for ever. So a
//! [`ConnectionGuard`] that is dropped closes its connection, and only [`ConnectionGuard::release`]
//! keeps it.
//!
//! A released connection is reused without a ping. sqlx's pool pings each connection when it is
//! returned: one more round trip for each statement, which competes with the next statement. The
//! pool still opens connections, and closes those that are too old or idle for too long.
//! Measurements against the pool alone are in `docs/adr/0006-connections-and-migrations.md`.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The time limit of a ping.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection that was idle for longer than this is pinged before its next use.
const TRUSTED_IDLE_TIME: Duration = Duration::from_millis(250);
/// The maximum time that a connection stays out of the pool, used or idle. Then it goes back once,
/// so that the pool can check its age and its idle time.
const MAX_TIME_OUT_OF_POOL: Duration = Duration::from_mins(1);

/// A pool's connections, and those that are ready for reuse.
pub(super) struct Connections<DB: Database> {
    shared: Arc<Shared<DB>>,
    /// One permit for each connection that may be in use. The holder of a permit never waits for
    /// the pool, except to open a connection.
    places: Arc<Semaphore>,
    timeout: Duration,
}

struct Shared<DB: Database> {
    pool: Pool<DB>,
    /// A stack: the connection that was released last is reused first.
    idle: Mutex<Vec<IdleConnection<DB>>>,
}

/// A connection that was released.
struct IdleConnection<DB: Database> {
    connection: PoolConnection<DB>,
    out_since: Instant,
    idle_since: Instant,
}

/// A borrowed connection. Dropping it closes the connection; [`Self::release`] keeps it.
pub(super) struct ConnectionGuard<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    out_since: Instant,
    shared: Arc<Shared<DB>>,
    _place: OwnedSemaphorePermit,
}

impl<DB: Database> fmt::Debug for Connections<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}

impl<DB: Database> Connections<DB> {
    /// Wraps a pool. All connections are then taken from here.
    pub(super) fn of(pool: Pool<DB>) -> Self {
        let max = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let timeout = pool.options().get_acquire_timeout();
        let shared = Arc::new(Shared { pool, idle: Mutex::default() });
        Self { shared, places: Arc::new(Semaphore::new(max)), timeout }
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// Returns an error if no connection becomes free in time, or if none can be opened.
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
            if found.out_since.elapsed() > MAX_TIME_OUT_OF_POOL {
                return_to_pool(found.connection);
            } else if found.idle_since.elapsed() < TRUSTED_IDLE_TIME
                || is_alive(&mut *found.connection).await
            {
                return Some(found);
            } else {
                drop(found.connection.detach());
            }
        }
    }

    /// Returns all idle connections to the pool, which pings them before their next use.
    pub(super) fn revalidate_idle(&self) {
        self.shared.idle().drain(..).for_each(|idle| return_to_pool(idle.connection));
    }

    /// Returns the number of open connections, and the number of idle ones among them.
    pub(super) fn figures(&self) -> (u64, u64) {
        let idle = self.shared.pool.num_idle() + self.shared.idle().len();
        (u64::from(self.shared.pool.size()), u64::try_from(idle).unwrap_or(u64::MAX))
    }

    /// Closes all connections, after the borrowed ones were returned.
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

    /// Keeps a connection for reuse. Returns a connection that should go back to the pool instead,
    /// if there is one.
    fn keep(&self, kept: IdleConnection<DB>) -> Option<IdleConnection<DB>> {
        let mut idle = self.idle();
        if self.pool.is_closed() {
            return Some(kept);
        }
        let cold = idle
            .first()
            .is_some_and(|first| kept.idle_since - first.idle_since > MAX_TIME_OUT_OF_POOL);
        let cold = cold.then(|| idle.remove(0));
        idle.push(kept);
        cold
    }
}

impl<DB: Database> ConnectionGuard<DB> {
    /// Returns a connection to the pool. The pool pings it, which also rolls back a transaction
    /// that was left open.
    pub(super) fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            return_to_pool(connection);
        }
    }

    /// Keeps a healthy connection for reuse. Nothing may be left open in it.
    pub(super) fn release(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let kept =
            IdleConnection { connection, out_since: self.out_since, idle_since: Instant::now() };
        if let Some(other) = self.shared.keep(kept) {
            return_to_pool(other.connection);
        }
    }
}

/// Returns a connection to its pool.
fn return_to_pool<DB: Database>(mut connection: PoolConnection<DB>) {
    // The pool does the same when the connection is dropped, but without a time limit: a server
    // that never answers the ping would keep the connection's place taken.
    let returned = connection.return_to_pool();
    tokio::spawn(tokio::time::timeout(PING_TIMEOUT, returned));
}

/// Pings a connection. Returns whether it answered in time.
pub(super) async fn is_alive<C: Connection>(connection: &mut C) -> bool {
    matches!(tokio::time::timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())))
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

    #[expect(clippy::expect_used, reason = "only methods that consume the guard take it")]
    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("a guard holds its connection")
    }
}

impl<DB: Database> DerefMut for ConnectionGuard<DB> {
    #[expect(clippy::expect_used, reason = "only methods that consume the guard take it")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect("a guard holds its connection")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Sqlite;
    use sqlx::sqlite::SqlitePoolOptions;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn connections(max: u32, timeout: Duration) -> Connections<Sqlite> {
        let pool = SqlitePoolOptions::new().max_connections(max).acquire_timeout(timeout);
        Connections::of(pool.connect_lazy("sqlite::memory:").unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_borrowers_share_few_connections() {
        let connections = Arc::new(connections(2, Duration::from_mins(1)));
        let borrowed_now = Arc::new(AtomicU32::new(0));
        let borrow = |_| {
            let (connections, borrowed_now) = (Arc::clone(&connections), Arc::clone(&borrowed_now));
            tokio::spawn(async move {
                let mut guard = connections.take().await.unwrap();
                assert!(borrowed_now.fetch_add(1, Ordering::SeqCst) < 2);
                guard.ping().await.unwrap();
                borrowed_now.fetch_sub(1, Ordering::SeqCst);
                guard.release();
            })
        };
        for borrowed in futures::future::join_all((0..200).map(borrow)).await {
            borrowed.unwrap();
        }
        let (open, idle) = connections.figures();
        assert!((1..=2).contains(&open) && idle == open, "{open} open, {idle} idle");
    }

    #[tokio::test]
    async fn waiting_too_long_is_an_error() {
        let connections = connections(1, Duration::from_millis(50));
        let _lease = connections.take().await.unwrap();
        assert!(matches!(connections.take().await, Err(sqlx::Error::PoolTimedOut)));
    }

    #[tokio::test]
    async fn a_dropped_connection_is_closed_and_frees_its_place() {
        let connections = connections(1, Duration::from_mins(1));
        drop(connections.take().await.unwrap());
        assert_eq!(connections.figures(), (0, 0));
        connections.take().await.unwrap().release();
        assert_eq!(connections.figures(), (1, 1));
    }

    #[tokio::test]
    async fn closing_waits_for_borrowed_connections() {
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
