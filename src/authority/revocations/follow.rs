//! Following the store's feed.
//!
//! The feed is ordered by the database's clock, and a row may become visible after a later row was
//! read. Each read therefore begins at a horizon: no row before it can still be missing. Every read
//! returns a horizon, and it applies to the read after the next one, because only the next read
//! certainly sees the rows of the transactions that were open when the horizon was computed.
//!
//! In addition, a patrol reads the whole feed every few minutes, one page with each read, and at once
//! after an outage. It finds rows that no horizon can cover: rows of a new primary whose clock is
//! slower, and rows of transactions that the database did not list.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Revocations;
use super::log::Confirmed;
use crate::clock::Timestamp;
use crate::store::rows::{FeedPage, Position};
use crate::store::{Store, StoreError};

/// How long to wait for a notification before the next read.
pub const POLL: Duration = Duration::from_millis(250);
/// The shortest pause between two reads, even if notifications arrive.
const MIN_PAUSE: Duration = Duration::from_millis(15);
/// The most rows in one page.
const PAGE_SIZE: u32 = 10_000;
/// The pause between two patrols.
const PATROL_INTERVAL: Duration = Duration::from_mins(5);
/// How often revocations that have ended are dropped from memory.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(10);

/// Follows the feed until it is dropped. A notification through `heard` causes an immediate read.
pub async fn follow(store: Arc<Store>, revocations: Arc<Revocations>, heard: Arc<Notify>) {
    let mut follower = Follower::new(store, revocations);
    let mut cleaned_at = Instant::now();
    loop {
        follower.step().await;
        if cleaned_at.elapsed() > CLEANUP_INTERVAL {
            follower.revocations.forget_ended();
            cleaned_at = Instant::now();
        }
        sleep(MIN_PAUSE).await;
        // A notification and a timeout both lead to the next read.
        let _ = timeout(POLL.saturating_sub(MIN_PAUSE), heard.notified()).await;
    }
}

/// One replica's place in the feed.
#[derive(Debug)]
struct Follower {
    store: Arc<Store>,
    revocations: Arc<Revocations>,
    /// Where the next read begins. `None`: nothing was read yet.
    from: Option<Timestamp>,
    /// The horizon of the last read. It applies to the read after the next one.
    horizon: Option<Timestamp>,
    as_of: Timestamp,
    patrol: Patrol,
    is_failing: bool,
}

/// The state of the patrol, which reads the whole feed.
#[derive(Debug)]
enum Patrol {
    /// The next patrol begins at that moment.
    Resting(Instant),
    /// The patrol has reached that position. The number is how many entries had been refused when it
    /// began.
    Walking(Position, u64),
}

impl Follower {
    fn new(store: Arc<Store>, revocations: Arc<Revocations>) -> Self {
        Self {
            store,
            revocations,
            from: None,
            horizon: None,
            as_of: Timestamp::EPOCH,
            patrol: Patrol::Resting(Instant::now() + PATROL_INTERVAL),
            is_failing: false,
        }
    }

    /// Reads new rows, and one page of the patrol.
    async fn step(&mut self) {
        let read = async {
            self.read().await?;
            self.continue_patrol().await
        };
        let read = read.await;
        self.revocations.note_try();
        match read {
            Ok(()) if self.is_failing => {
                tracing::info!("the revocation feed can be read again");
                self.is_failing = false;
                // The database may be another server now, with another clock.
                self.begin_patrol();
            }
            Ok(()) => {}
            Err(error) if self.is_failing => {
                tracing::debug!(%error, "the revocation feed still cannot be read");
            }
            Err(error) => {
                tracing::warn!(%error, "the revocation feed cannot be read");
                self.is_failing = true;
            }
        }
    }

    /// Reads all rows from the horizon to the end.
    async fn read(&mut self) -> Result<(), StoreError> {
        let began = self.revocations.clock.now();
        let complete_to = match self.horizon {
            Some(horizon) => horizon,
            // The first read needs a horizon from before its rows.
            None => self.page(Position::before(Timestamp::EPOCH), 0).await?.horizon,
        };
        let mut after = Position::before(self.from.unwrap_or(Timestamp::EPOCH));
        let first = self.page(after, PAGE_SIZE).await?;
        let (as_of, horizon) = (first.as_of, first.horizon);
        let mut next = self.record_page(first);
        while let Some(position) = next {
            after = position;
            let page = self.page(after, PAGE_SIZE).await?;
            next = self.record_page(page);
        }
        if as_of < self.as_of {
            tracing::warn!("the database's clock was set back");
            self.begin_patrol();
        }
        self.as_of = as_of;
        self.from = Some(complete_to);
        self.horizon = Some(horizon);
        self.revocations.confirm(Confirmed { as_of, complete_to }, began);
        Ok(())
    }

    async fn page(&self, after: Position, most: u32) -> Result<FeedPage, StoreError> {
        self.store.feed(after, self.revocations.dropped_before(), most).await
    }

    /// Records a page's rows. Returns where the next page begins, or `None` if this was the last.
    fn record_page(&self, page: FeedPage) -> Option<Position> {
        let is_full = page.recorded.len() >= PAGE_SIZE as usize;
        let last = page.recorded.last().map(|recorded| recorded.position);
        for recorded in page.recorded {
            self.revocations.record(recorded);
        }
        last.filter(|_| is_full)
    }

    fn begin_patrol(&mut self) {
        let refused = self.revocations.set.refused();
        self.patrol = Patrol::Walking(Position::before(Timestamp::EPOCH), refused);
    }

    async fn continue_patrol(&mut self) -> Result<(), StoreError> {
        match self.patrol {
            Patrol::Resting(until) if Instant::now() < until => return Ok(()),
            Patrol::Resting(_) => self.begin_patrol(),
            Patrol::Walking(..) => {}
        }
        let Patrol::Walking(at, refused_before) = self.patrol else { return Ok(()) };
        let page = self.page(at, PAGE_SIZE).await?;
        if let Some(next) = self.record_page(page) {
            self.patrol = Patrol::Walking(next, refused_before);
            return Ok(());
        }
        let set = &self.revocations.set;
        if set.is_overflowing() && set.refused() == refused_before {
            tracing::info!("all revocations that matter fit into memory again");
            set.fits_again();
        }
        self.patrol = Patrol::Resting(Instant::now() + PATROL_INTERVAL);
        Ok(())
    }
}
