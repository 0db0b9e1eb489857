//! Following the store's feed.
//!
//! The feed is ordered by the database's clock, and a row may become visible after a later one
//! was read. So each read begins at a horizon before which nothing can be missing any more. A
//! horizon is told with every read, and holds for the read after the next one: only the next one
//! certainly looks at the rows after the database was asked what is still under way.
//!
//! Beside it a patrol goes through the whole feed every few minutes, a page a read, and at once
//! after an outage. It finds what no horizon can promise: what a database's new primary with a
//! slower clock has written, or a transaction that it did not show.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Revocations;
use super::log::Confirmed;
use crate::clock::Timestamp;
use crate::store::rows::{FeedPage, Position};
use crate::store::{Store, StoreError};

/// How long to wait for a signal before looking anyway.
pub const POLL: Duration = Duration::from_millis(250);
/// How long to leave the database alone after a read, whatever is heard.
const GAP: Duration = Duration::from_millis(15);
/// The most rows of one page.
const PAGE: u32 = 10_000;
/// How long after a patrol the next one begins.
const PATROL: Duration = Duration::from_mins(5);
/// How often what has ended is forgotten.
const TIDY: Duration = Duration::from_secs(10);

/// Follows the feed until it is dropped. Looks at once when something is `heard`.
pub async fn follow(store: Arc<Store>, revocations: Arc<Revocations>, heard: Arc<Notify>) {
    let mut follower = Follower::new(store, revocations);
    let mut tidied = Instant::now();
    loop {
        follower.step().await;
        if tidied.elapsed() > TIDY {
            follower.revocations.forget_ended();
            tidied = Instant::now();
        }
        sleep(GAP).await;
        // Whether it was heard or time ran out, it is time to look.
        let _ = timeout(POLL.saturating_sub(GAP), heard.notified()).await;
    }
}

/// One replica's place in the feed.
#[derive(Debug)]
struct Follower {
    store: Arc<Store>,
    revocations: Arc<Revocations>,
    /// Where the next read begins. `None`: nothing was read yet.
    from: Option<Timestamp>,
    /// What the last read told for the read after the next.
    horizon: Option<Timestamp>,
    as_of: Timestamp,
    patrol: Patrol,
    is_cut_off: bool,
}

/// A walk through the whole feed.
#[derive(Debug)]
enum Patrol {
    /// The next one begins at that moment.
    Resting(Instant),
    /// It has come to that position; so many entries were refused when it began.
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
            patrol: Patrol::Resting(Instant::now() + PATROL),
            is_cut_off: false,
        }
    }

    /// Reads what is new, and a page of the patrol.
    async fn step(&mut self) {
        let read = async {
            self.read().await?;
            self.go_on_patrol().await
        };
        let read = read.await;
        self.revocations.note_try();
        match read {
            Ok(()) if self.is_cut_off => {
                tracing::info!("the revocation feed is followed again");
                self.is_cut_off = false;
                // It may be another server by now, with another clock.
                self.begin_patrol();
            }
            Ok(()) => {}
            Err(error) if self.is_cut_off => tracing::debug!(%error, "no revocation feed"),
            Err(error) => {
                tracing::warn!(%error, "the revocation feed cannot be read");
                self.is_cut_off = true;
            }
        }
    }

    /// Reads all from where nothing can be missing, to the end.
    async fn read(&mut self) -> Result<(), StoreError> {
        let began = self.revocations.clock.now();
        let complete_to = match self.horizon {
            Some(horizon) => horizon,
            // Of the very first read the horizon has to be known before.
            None => self.page(Position::before(Timestamp::EPOCH), 0).await?.horizon,
        };
        let mut after = Position::before(self.from.unwrap_or(Timestamp::EPOCH));
        let first = self.page(after, PAGE).await?;
        let (as_of, horizon) = (first.as_of, first.horizon);
        let mut next = self.take_in(first);
        while let Some(position) = next {
            after = position;
            let page = self.page(after, PAGE).await?;
            next = self.take_in(page);
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
        self.store.feed(after, self.revocations.clock.now(), most).await
    }

    /// Learns a page; where the next one begins, if there is one.
    fn take_in(&self, page: FeedPage) -> Option<Position> {
        let is_full = page.recorded.len() >= PAGE as usize;
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

    async fn go_on_patrol(&mut self) -> Result<(), StoreError> {
        match self.patrol {
            Patrol::Resting(until) if Instant::now() < until => return Ok(()),
            Patrol::Resting(_) => self.begin_patrol(),
            Patrol::Walking(..) => {}
        }
        let Patrol::Walking(at, refused_before) = self.patrol else { return Ok(()) };
        let page = self.page(at, PAGE).await?;
        if let Some(next) = self.take_in(page) {
            self.patrol = Patrol::Walking(next, refused_before);
            return Ok(());
        }
        let set = &self.revocations.set;
        if set.is_overflowing() && set.refused() == refused_before {
            tracing::info!("all revocations that matter are held again");
            set.fits_again();
        }
        self.patrol = Patrol::Resting(Instant::now() + PATROL);
        Ok(())
    }
}
