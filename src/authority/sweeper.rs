//! The sweeper: deletes sessions that have ended, revocations that no longer matter and old events, in
//! small batches.
//!
//! Every replica runs a sweeper. They skip rows that another one has locked, so no leader is needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{TokenEvents, first_tokens};
use crate::clock::{Clock, MAX_CLOCK_SKEW, Timestamp};
use crate::store::{Store, StoreError};

/// How long a revocation stays in the feed after its end. The clocks of this replica and of another
/// one may differ in opposite directions. With a lower value, the other replica could miss a revocation
/// whose access tokens it still accepts.
const FEED_RETENTION: Duration = Duration::from_secs(2 * MAX_CLOCK_SKEW.as_secs() + 60);

/// The sweeper's settings.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause after a complete pass.
    pub rest: Duration,
    /// The most rows that one step examines.
    pub batch: u32,
    /// How long a session is kept after its end. During that time, its refresh token is refused as
    /// expired, not as unknown.
    pub retention: Duration,
    /// How long the history of sessions is kept.
    pub events: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rest: Duration::from_mins(1),
            batch: 500,
            retention: Duration::from_hours(24),
            events: Duration::from_hours(30 * 24),
        }
    }
}

/// A completed pass over the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// When it was completed.
    pub at: Timestamp,
    /// How many sessions it deleted.
    pub deleted: u64,
}

/// The last completed pass of this replica. The sweeper writes it, and operators read it.
#[derive(Debug, Default)]
pub struct LastSweep(Mutex<Option<Sweep>>);

impl LastSweep {
    /// Returns the last pass. `None`: there was none yet.
    #[must_use]
    pub fn get(&self) -> Option<Sweep> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pass: Sweep) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass);
    }
}

/// Sweeps until it is dropped.
pub async fn run(
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    events: Arc<dyn TokenEvents>,
    last: Arc<LastSweep>,
) {
    loop {
        match sweep(&store, &*clock, pace).await {
            Ok(deleted) => {
                let at = clock.now();
                events.swept(deleted, at);
                last.set(Sweep { at, deleted });
                if deleted > 0 {
                    tracing::info!(deleted, "deleted sessions that have ended");
                }
            }
            Err(error) => tracing::warn!(%error, "the sweep was interrupted"),
        }
        tokio::time::sleep(pace.rest).await;
    }
}

/// Deletes everything that has ended, in small steps. Returns the number of deleted sessions.
///
/// # Errors
/// Returns [`StoreError`] if the database fails. The steps before the failure stay done.
pub async fn sweep(store: &Store, clock: &dyn Clock, pace: Pace) -> Result<u64, StoreError> {
    let now = clock.now();
    while store.forget_first_tokens(now - first_tokens::KEPT, pace.batch).await?
        >= u64::from(pace.batch)
    {}
    while store.purge_revocations(now - FEED_RETENTION, pace.batch).await? >= u64::from(pace.batch)
    {
    }
    while store.purge_events(now - pace.events, pace.batch).await? >= u64::from(pace.batch) {}
    // A reader may have kept the erasure from doing so, even that of another process.
    store.finish_erasures().await;
    let mut deleted = 0;
    loop {
        let purged = store.purge(now - pace.retention, pace.batch).await?;
        deleted += purged.deleted;
        if purged.examined < u64::from(pace.batch) {
            return Ok(deleted);
        }
    }
}
