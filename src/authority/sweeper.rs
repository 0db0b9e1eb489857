//! The sweeper: deletes sessions that have ended, and revocations that matter no more, a few at
//! a time.
//!
//! Every replica runs one; they pass over each other's rows, so none has to lead.

use std::sync::Arc;
use std::time::Duration;

use super::{TokenEvents, first_tokens};
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How long a revocation stays in the feed after it has stopped to matter, so that no replica
/// whose clock is behind misses it.
const FEED_KEPT: Duration = Duration::from_mins(1);

/// How the sweeper works.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long to rest once nothing is left.
    pub rest: Duration,
    /// The most rows a step looks at.
    pub batch: u32,
    /// How long a session is kept after its end, so that its token is still told that it has
    /// expired rather than that nobody knows it.
    pub retention: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rest: Duration::from_mins(1), batch: 500, retention: Duration::from_hours(24) }
    }
}

/// Sweeps until it is dropped.
pub async fn run(
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    events: Arc<dyn TokenEvents>,
) {
    loop {
        match sweep(&store, &*clock, pace).await {
            Ok(deleted) => {
                events.swept(deleted, clock.now());
                if deleted > 0 {
                    tracing::info!(deleted, "deleted sessions that have ended");
                }
            }
            Err(error) => tracing::warn!(%error, "the sweep was interrupted"),
        }
        tokio::time::sleep(pace.rest).await;
    }
}

/// Deletes all that has ended, in small steps; how many sessions.
///
/// # Errors
/// Where the database fails. What was deleted until then stays deleted.
pub async fn sweep(store: &Store, clock: &dyn Clock, pace: Pace) -> Result<u64, StoreError> {
    let now = clock.now();
    while store.forget_first_tokens(now - first_tokens::KEPT, pace.batch).await?
        >= u64::from(pace.batch)
    {}
    while store.purge_revocations(now - FEED_KEPT, pace.batch).await? >= u64::from(pace.batch) {}
    let mut deleted = 0;
    loop {
        let purged = store.purge(now - pace.retention, pace.batch).await?;
        deleted += purged.deleted;
        if purged.examined < u64::from(pace.batch) {
            return Ok(deleted);
        }
    }
}
