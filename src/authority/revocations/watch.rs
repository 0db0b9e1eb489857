//! Following the revocations from outside: a snapshot or what came after a cursor, then each new
//! one, with heartbeats between that say how fresh it all is.
//!
//! A watch holds a number and no more; what it has yet to say stays in the shared log. One that
//! falls further behind than the log reaches is ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::Revocations;
use super::cursor::Cursor;
use super::log::{Confirmed, Learnt, Since};
use super::set::{Entry, SHARDS};
use crate::clock::Timestamp;
use crate::token::field::InvalidField;
use crate::token::session::Revocation;

/// How long from one heartbeat to the next.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// The most revocations in one part of a snapshot.
const PART: usize = 1000;
/// The most revocations taken from the log at once.
const BATCH: usize = 64;
/// A cursor whose own knowledge is older than this is answered by a snapshot.
const RESUMABLE: Duration = Duration::from_mins(15);

/// One message to a watcher.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to resume after it.
    pub cursor: String,
    /// What it says.
    pub update: Update,
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Update {
    /// Revocations that matter; all of them, with those of the parts that continue it.
    Snapshot {
        /// The revocations.
        revocations: Vec<Arc<Revocation>>,
        /// Whether this adds to the message before; otherwise it replaces all that was known.
        continued: bool,
    },
    /// One more.
    Revocation(Arc<Revocation>),
    /// Every revocation made before `as_of`, by the database's clock, was said.
    Heartbeat {
        /// That moment.
        as_of: Timestamp,
    },
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The watcher fell too far behind.
    #[error("too slow: resume with the last cursor")]
    TooSlow,
    /// This replica has more revocations than it may hold, and so no snapshot.
    #[error("more revocations matter than this replica may hold")]
    Overflowing,
    /// This replica has not read the feed yet.
    #[error("the revocations are not loaded yet")]
    NotLoaded,
    /// This replica is ending.
    #[error("shutting down: resume at another replica with the last cursor")]
    Closing,
}

/// A watcher's place.
#[derive(Debug)]
pub struct Watch {
    revocations: Arc<Revocations>,
    phase: Phase,
    /// The number of the last revocation said, or contained in the snapshot.
    said: u64,
    ready: VecDeque<Message>,
    newest: Receiver<u64>,
    closing: Receiver<bool>,
    heartbeat_at: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Saying all that is held, from that part of the set on.
    Snapshot { shard: usize, continued: bool },
    /// Saying what has positions from `complete_to` on, from that part of the set on.
    CatchUp { shard: usize, complete_to: Timestamp, cursor: Cursor },
    /// Saying what is new.
    Live,
}

impl Revocations {
    /// Watches from a cursor on; from a snapshot where it is empty or too old.
    ///
    /// # Errors
    /// Where the cursor is none of ours.
    pub fn watch(self: &Arc<Self>, cursor: &str) -> Result<Result<Watch, Ended>, InvalidField> {
        let Some(cursor) = Cursor::decode(cursor) else {
            return Err(InvalidField::new("cursor", "must be empty or a cursor of ours"));
        };
        Ok(self.begin(cursor))
    }

    fn begin(self: &Arc<Self>, cursor: Cursor) -> Result<Watch, Ended> {
        let (newest, closing) = (self.log.subscribe(), self.closing.subscribe());
        if *closing.borrow() {
            return Err(Ended::Closing);
        }
        // What is newer than `said` comes from the log, what is not from the set: nothing is
        // missed and nothing comes twice.
        let (mut said, confirmed) = self.log.newest().ok_or(Ended::NotLoaded)?;
        let phase = match cursor {
            Cursor::At { log, number, .. }
                if log == self.log.id && !matches!(self.log.since(number, 0), Since::TooMuch) =>
            {
                said = number;
                Phase::Live
            }
            _ if self.is_overflowing() => return Err(Ended::Overflowing),
            Cursor::At { complete_to, .. } if confirmed.as_of.since(complete_to) < RESUMABLE => {
                Phase::CatchUp { shard: 0, complete_to, cursor }
            }
            _ => Phase::Snapshot { shard: 0, continued: false },
        };
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Ok(Watch {
            revocations: Arc::clone(self),
            phase,
            said,
            ready: VecDeque::new(),
            newest,
            closing,
            heartbeat_at: Instant::now(),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.revocations.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// The next message. May be dropped while it waits.
    ///
    /// # Errors
    /// Where there will be no more.
    pub async fn next(&mut self) -> Result<Message, Ended> {
        loop {
            if *self.closing.borrow() {
                return Err(Ended::Closing);
            }
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            match self.phase {
                Phase::Snapshot { shard, continued } => self.snapshot_part(shard, continued),
                Phase::CatchUp { shard, complete_to, cursor } => {
                    self.catch_up_part(shard, complete_to, cursor);
                }
                Phase::Live => {
                    self.take_from_log()?;
                    if self.ready.is_empty() {
                        self.wait().await;
                    }
                }
            }
        }
    }

    fn snapshot_part(&mut self, mut shard: usize, mut continued: bool) {
        let said = self.said;
        let mut picked = Vec::new();
        while shard < SHARDS && picked.len() < PART {
            picked.extend(self.revocations.set.pick(shard, |entry| entry.number <= said));
            shard += 1;
        }
        let parts = picked.len().div_ceil(PART).max(1);
        let mut picked = picked.into_iter();
        for part in 1..=parts {
            let is_last = shard == SHARDS && part == parts;
            // Only the whole snapshot is something to resume after. Up to where the feed was
            // complete at that moment is not known: another replica begins with a snapshot again.
            let (complete_to, log) = (Timestamp::EPOCH, self.revocations.log.id);
            let whole = Cursor::At { complete_to, log, number: said };
            let cursor = if is_last { whole } else { Cursor::Beginning };
            let revocations = picked.by_ref().take(PART).collect();
            let update = Update::Snapshot { revocations, continued };
            self.ready.push_back(Message { cursor: cursor.encode(), update });
            continued = true;
        }
        self.phase =
            if shard < SHARDS { Phase::Snapshot { shard, continued } } else { Phase::Live };
    }

    fn catch_up_part(&mut self, shard: usize, complete_to: Timestamp, cursor: Cursor) {
        if shard == SHARDS {
            self.phase = Phase::Live;
            return;
        }
        let said = self.said;
        let is_due = |entry: &Entry| {
            entry.number <= said && entry.recorded_at.is_none_or(|at| at >= complete_to)
        };
        let due = self.revocations.set.pick(shard, is_due);
        let message = |one| Message { cursor: cursor.encode(), update: Update::Revocation(one) };
        self.ready.extend(due.into_iter().map(message));
        self.phase = Phase::CatchUp { shard: shard + 1, complete_to, cursor };
    }

    fn take_from_log(&mut self) -> Result<(), Ended> {
        // Marked as seen before it is looked at, so that what comes in between wakes us.
        self.newest.borrow_and_update();
        let Since::Next(next, confirmed) = self.revocations.log.since(self.said, BATCH) else {
            return Err(Ended::TooSlow);
        };
        for Learnt { number, revocation, complete_to } in next {
            self.said = number;
            let cursor = self.cursor(complete_to);
            self.ready.push_back(Message { cursor, update: Update::Revocation(revocation) });
        }
        if let Some(Confirmed { as_of, complete_to }) = confirmed
            && Instant::now() >= self.heartbeat_at
        {
            self.heartbeat_at = Instant::now() + HEARTBEAT;
            let cursor = self.cursor(complete_to);
            self.ready.push_back(Message { cursor, update: Update::Heartbeat { as_of } });
        }
        Ok(())
    }

    fn cursor(&self, complete_to: Timestamp) -> String {
        Cursor::At { complete_to, log: self.revocations.log.id, number: self.said }.encode()
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.newest.changed() => {}
            _ = self.closing.changed() => {}
            () = sleep_until(self.heartbeat_at) => {}
        }
    }
}
