//! Connections that are reused without a ping, and closed unless they are known to be healthy.
//!
//! A statement may be abandoned half-way, because its server hangs or its caller left. Its
//! connection would have to be read to the end before the next use, which can take for ever. So a
//! [`ConnectionGuard`] that is dropped closes its connection, and only [`ConnectionGuard::release`]
//! keeps it.
//!
//! sqlx's own pool pings each connection when it is returned, which cannot be switched off: one
//! more round trip for each statement. It also hides why it cannot connect, and knows one server
//! only. Measurements are in `docs/adr/0006-connections-and-migrations.md`.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The time limit of a ping, and of closing a connection.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection that was idle for longer than this is pinged before its next use.
const TRUSTED_IDLE_TIME: Duration = Duration::from_millis(250);

/// The limits of [`Connections`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// The maximum number of open connections.
    pub(super) max_connections: u32,
    /// The time to wait until a connection becomes free.
    pub(super) acquire_timeout: Duration,
    /// The age at which a connection is closed, and the time after which an idle connection is
    /// closed. `None`: never.
    pub(super) max_age: Option<Duration>,
    pub(super) max_idle_time: Option<Duration>,
}

/// Why no connection could be borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// All connections were in use for the whole time limit.
    AllInUse,
    /// The connections are being closed.
    Closed,
}

/// A limited number of connections, and the idle ones among them.
pub(super) struct Connections<C: Connection> {
    shared: Arc<Shared<C>>,
    limits: ConnectionLimits,
    /// One permit for each connection that may be open and in use.
    permits: Arc<Semaphore>,
}

struct Shared<C: Connection> {
    /// A stack: the connection that was released last is reused first.
    idle: Mutex<Vec<IdleConnection<C>>>,
    /// The number of open connections.
    open: Arc<AtomicU64>,
    /// Connections of an earlier epoch are closed instead of reused.
    epoch: AtomicU64,
    /// Whether the connections are being closed.
    closed: AtomicBool,
    limits: ConnectionLimits,
}

/// An open connection.
struct LiveConnection<C> {
    connection: C,
    opened_at: Instant,
    epoch: u64,
    _count: OpenCount,
}

/// Counts a connection as open until it is dropped.
struct OpenCount(Arc<AtomicU64>);

impl OpenCount {
    fn new(open: &Arc<AtomicU64>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that was released.
struct IdleConnection<C> {
    live: LiveConnection<C>,
    idle_since: Instant,
    trusted: bool,
}

/// A borrowed connection. Dropping it closes the connection; [`Self::release`] keeps it.
pub(super) struct ConnectionGuard<C: Connection> {
    live: Option<LiveConnection<C>>,
    shared: Arc<Shared<C>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<C: Connection> fmt::Debug for Connections<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<C: Connection + 'static> Connections<C> {
    /// Creates an empty set. Connections are opened when they are needed.
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let shared = Shared {
            idle: Mutex::default(),
            open: Arc::default(),
            epoch: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            limits,
        };
        let permits = usize::try_from(limits.max_connections).unwrap_or(usize::MAX);
        Self { shared: Arc::new(shared), limits, permits: Arc::new(Semaphore::new(permits)) }
    }

    /// Borrows a connection, and opens one with `connect` if none is idle.
    ///
    /// # Errors
    /// Returns an error if no connection becomes free in time, or the error of `connect`.
    pub(super) async fn take<E, F>(
        &self,
        connect: impl FnOnce() -> F,
    ) -> Result<ConnectionGuard<C>, E>
    where
        E: From<Unavailable>,
        F: Future<Output = Result<C, E>>,
    {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(self.limits.acquire_timeout, permit).await;
        let permit = permit.map_err(|_| Unavailable::AllInUse)?;
        let permit = permit.map_err(|_| Unavailable::Closed)?;
        if self.shared.is_closed() {
            return Err(Unavailable::Closed.into());
        }
        let live = if let Some(live) = self.shared.find_idle().await {
            live
        } else {
            let epoch = self.shared.epoch.load(Ordering::Relaxed);
            let (connection, opened_at) = (connect().await?, Instant::now());
            let count = OpenCount::new(&self.shared.open);
            LiveConnection { connection, opened_at, epoch, _count: count }
        };
        let shared = Arc::clone(&self.shared);
        Ok(ConnectionGuard { live: Some(live), shared, permit: Some(permit) })
    }

    /// Makes all idle connections be pinged before their next use.
    pub(super) fn revalidate_idle(&self) {
        self.shared.idle().iter_mut().for_each(|idle| idle.trusted = false);
    }

    /// Makes all connections that are open now be closed instead of reused.
    pub(super) fn renew(&self) {
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of open connections, and the number of idle ones among them.
    pub(super) fn figures(&self) -> (u64, u64) {
        let idle = u64::try_from(self.shared.idle().len()).unwrap_or(u64::MAX);
        (self.shared.open.load(Ordering::Relaxed), idle)
    }

    /// Closes all connections, after the borrowed ones were returned.
    pub(super) async fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut *self.shared.idle());
        for idle in idle {
            end(idle.live).await;
        }
        // Each borrowed connection holds a permit until it is closed.
        let _ = self.permits.acquire_many(self.limits.max_connections).await;
        self.permits.close();
    }
}

impl<C: Connection + 'static> Shared<C> {
    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection<C>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    async fn find_idle(&self) -> Option<LiveConnection<C>> {
        loop {
            let mut found = self.idle().pop()?;
            if self.is_outdated(&found) {
                tokio::spawn(end(found.live));
            } else if found.trusted && found.idle_since.elapsed() < TRUSTED_IDLE_TIME
                || is_alive(&mut found.live.connection).await
            {
                return Some(found.live);
            }
        }
    }

    fn is_outdated(&self, idle: &IdleConnection<C>) -> bool {
        let ConnectionLimits { max_age, max_idle_time, .. } = self.limits;
        max_age.is_some_and(|max| idle.live.opened_at.elapsed() > max)
            || max_idle_time.is_some_and(|max| idle.idle_since.elapsed() > max)
            || idle.live.epoch != self.epoch.load(Ordering::Relaxed)
    }

    /// Keeps a connection for reuse. Returns a connection that should be closed instead, if there
    /// is one: this one, or the one that was idle for longest.
    fn keep(&self, live: LiveConnection<C>) -> Option<LiveConnection<C>> {
        let kept = IdleConnection { live, idle_since: Instant::now(), trusted: true };
        let mut idle = self.idle();
        if self.is_closed() || self.is_outdated(&kept) {
            return Some(kept.live);
        }
        let outdated = idle.first().is_some_and(|first| self.is_outdated(first));
        let outdated = outdated.then(|| idle.remove(0).live);
        idle.push(kept);
        outdated
    }
}

impl<C: Connection + 'static> ConnectionGuard<C> {
    /// Keeps a healthy connection for reuse. Nothing may be left open in it.
    pub(super) fn release(mut self) {
        let Some(live) = self.live.take() else { return };
        if let Some(outdated) = self.shared.keep(live) {
            let permit = self.permit.take();
            tokio::spawn(async move {
                end(outdated).await;
                drop(permit);
            });
        }
    }

    /// Pings a connection before it is kept, which also rolls back a transaction that was left
    /// open. A server that does not answer in time loses the connection.
    pub(super) fn check_and_release(mut self) {
        let Some(mut live) = self.live.take() else { return };
        let (shared, permit) = (Arc::clone(&self.shared), self.permit.take());
        tokio::spawn(async move {
            if is_alive(&mut live.connection).await
                && let Some(outdated) = shared.keep(live)
            {
                end(outdated).await;
            }
            drop(permit);
        });
    }
}

/// Closes a connection and notifies the server, so that the server need not detect it by a timeout.
async fn end<C: Connection>(live: LiveConnection<C>) {
    // A server that never answers would keep the connection's place taken.
    let _ = tokio::time::timeout(PING_TIMEOUT, live.connection.close()).await;
}

/// Pings a connection. Returns whether it answered in time.
async fn is_alive<C: Connection>(connection: &mut C) -> bool {
    matches!(tokio::time::timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())))
}

impl<C: Connection> Deref for ConnectionGuard<C> {
    type Target = C;

    #[expect(clippy::expect_used, reason = "only methods that consume the guard take it")]
    fn deref(&self) -> &Self::Target {
        &self.live.as_ref().expect("a guard holds its connection").connection
    }
}

impl<C: Connection> DerefMut for ConnectionGuard<C> {
    #[expect(clippy::expect_used, reason = "only methods that consume the guard take it")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.live.as_mut().expect("a guard holds its connection").connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use std::sync::atomic::AtomicU32;

    fn connections(max: u32, timeout: Duration) -> Connections<SqliteConnection> {
        Connections::new(ConnectionLimits {
            max_connections: max,
            acquire_timeout: timeout,
            max_age: None,
            max_idle_time: None,
        })
    }

    async fn connect() -> Result<SqliteConnection, Unavailable> {
        Ok(SqliteConnectOptions::new().in_memory(true).connect().await.unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_borrowers_share_few_connections() {
        let connections = Arc::new(connections(2, Duration::from_mins(1)));
        let borrowed_now = Arc::new(AtomicU32::new(0));
        let borrow = |_| {
            let (connections, borrowed_now) = (Arc::clone(&connections), Arc::clone(&borrowed_now));
            tokio::spawn(async move {
                let mut guard = connections.take(connect).await.unwrap();
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
        let _guard = connections.take(connect).await.unwrap();
        assert_eq!(connections.take(connect).await.err(), Some(Unavailable::AllInUse));
    }

    #[tokio::test]
    async fn a_dropped_connection_is_closed_and_frees_its_place() {
        let connections = connections(1, Duration::from_mins(1));
        drop(connections.take(connect).await.unwrap());
        assert_eq!(connections.figures(), (0, 0));
        connections.take(connect).await.unwrap().release();
        assert_eq!(connections.figures(), (1, 1));
        connections.take(connect).await.unwrap().check_and_release();
        connections.take(connect).await.unwrap().release();
        assert_eq!(connections.figures(), (1, 1));
    }

    #[tokio::test]
    async fn outdated_connections_are_replaced() {
        let connections = connections(3, Duration::from_mins(1));
        let borrowed = connections.take(connect).await.unwrap();
        connections.take(connect).await.unwrap().release();
        connections.renew();
        borrowed.release();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(connections.figures(), (1, 1), "one was idle, the other one came back late");
        connections.take(connect).await.unwrap().release();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(connections.figures(), (1, 1));
    }

    #[tokio::test]
    async fn closing_waits_for_borrowed_connections() {
        let connections = Arc::new(connections(2, Duration::from_mins(1)));
        let (first, second) = (connections.take(connect).await, connections.take(connect).await);
        first.unwrap().release();
        let closing = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.close().await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!closing.is_finished());
        second.unwrap().release();
        tokio::time::timeout(Duration::from_secs(10), closing).await.unwrap().unwrap();
        assert_eq!(connections.take(connect).await.err(), Some(Unavailable::Closed));
        assert_eq!(connections.figures(), (0, 0));
    }
}
