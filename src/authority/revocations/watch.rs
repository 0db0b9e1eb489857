//! The stream of revocations for a watcher: first a snapshot or the revocations after a cursor, then
//! each new one. Heartbeats between them say how fresh the watcher's knowledge is.
//!
//! A watch stores only its number. The entries stay in the shared log. A watch that falls behind the
//! oldest entry of the log is ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::Revocations;
use super::cursor::Cursor;
use super::log::{Confirmed, Logged, Since};
use super::set::{Entry, SHARDS};
use crate::clock::Timestamp;
use crate::token::field::InvalidField;
use crate::token::session::{Refused, Revocation};

/// The interval between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// The most revocations in one snapshot message.
const SNAPSHOT_PART: usize = 1000;
/// The most revocations that are read from the log at once.
const BATCH: usize = 64;
/// The oldest cursor that can be resumed. An older one gets a snapshot.
const MAX_CURSOR_AGE: Duration = Duration::from_mins(15);

/// One message to a watcher.
#[derive(Debug, Clone)]
pub struct Message {
    /// The cursor with which the watcher can resume after this message.
    pub cursor: String,
    /// The content.
    pub update: Update,
}

/// The content of a message.
#[derive(Debug, Clone)]
pub enum Update {
    /// All revocations that matter, together with the parts that continue it.
    Snapshot {
        /// The revocations.
        revocations: Vec<Arc<Revocation>>,
        /// `true`: the part is added to the previous message. `false`: it replaces everything that the
        /// watcher knew.
        continued: bool,
    },
    /// A new revocation.
    Revocation(Arc<Revocation>),
    /// A session lives on, but its earlier access tokens are refused.
    StaleTokens {
        /// The session, and the first epoch whose tokens are accepted.
        stale: Arc<Revocation>,
        /// Every revocation before this moment, by the database's clock, was sent.
        as_of: Timestamp,
    },
    /// Every revocation before `as_of`, by the database's clock, was sent.
    Heartbeat {
        /// The moment up to which the watcher knows everything.
        as_of: Timestamp,
    },
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The watcher fell too far behind.
    #[error("too slow: resume with the last cursor")]
    TooSlow,
    /// This replica has more revocations than memory may hold, so it cannot send a snapshot.
    #[error("more revocations matter than this replica may hold")]
    Overflowing,
    /// This replica has not read the feed yet.
    #[error("the revocations are not loaded yet")]
    NotLoaded,
    /// This replica is shutting down.
    #[error("shutting down: resume at another replica with the last cursor")]
    Closing,
}

/// A watcher's stream.
#[derive(Debug)]
pub struct Watch {
    revocations: Arc<Revocations>,
    phase: Phase,
    /// The number of the last revocation that was sent, or is contained in the snapshot.
    sent: u64,
    ready: VecDeque<Message>,
    newest: Receiver<u64>,
    closing: Receiver<bool>,
    heartbeat_at: Instant,
    /// The moment of the last heartbeat.
    as_of: Timestamp,
}

#[derive(Debug)]
enum Phase {
    /// Sending all entries of the set, from that shard on.
    Snapshot { shard: usize, continued: bool },
    /// Sending the entries with positions from `complete_to` on, from that shard on.
    CatchUp { shard: usize, complete_to: Timestamp, cursor: Cursor },
    /// Sending new entries.
    Live,
}

impl Revocations {
    /// Begins a watch at a cursor. If the cursor is empty or too old, it begins with a snapshot.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if the text is not a cursor of this service.
    pub fn watch(self: &Arc<Self>, cursor: &str) -> Result<Result<Watch, Ended>, InvalidField> {
        let Some(cursor) = Cursor::decode(cursor) else {
            return Err(InvalidField::new("cursor", "must be empty or a cursor from this service"));
        };
        Ok(self.begin(cursor))
    }

    fn begin(self: &Arc<Self>, cursor: Cursor) -> Result<Watch, Ended> {
        let (newest, closing) = (self.log.subscribe(), self.closing.subscribe());
        if *closing.borrow() {
            return Err(Ended::Closing);
        }
        // Entries after `sent` come from the log, all others from the set. So none is missed, and
        // none is sent twice.
        let (mut sent, confirmed) = self.log.newest().ok_or(Ended::NotLoaded)?;
        let phase = match cursor {
            Cursor::At { log, number, .. }
                if log == self.log.id && !matches!(self.log.since(number, 0), Since::TooMuch) =>
            {
                sent = number;
                Phase::Live
            }
            _ if self.is_overflowing() => return Err(Ended::Overflowing),
            Cursor::At { complete_to, .. }
                if confirmed.as_of.since(complete_to) < MAX_CURSOR_AGE =>
            {
                Phase::CatchUp { shard: 0, complete_to, cursor }
            }
            _ => Phase::Snapshot { shard: 0, continued: false },
        };
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Ok(Watch {
            revocations: Arc::clone(self),
            phase,
            sent,
            ready: VecDeque::new(),
            newest,
            closing,
            heartbeat_at: Instant::now(),
            as_of: Timestamp::EPOCH,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.revocations.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// Waits for the next message. The future may be dropped at any time.
    ///
    /// # Errors
    /// Returns [`Ended`] if there will be no more messages.
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
        let sent = self.sent;
        let mut picked = Vec::new();
        while shard < SHARDS && picked.len() < SNAPSHOT_PART {
            picked.extend(self.revocations.set.pick(shard, |entry| entry.number <= sent));
            shard += 1;
        }
        let parts = picked.len().div_ceil(SNAPSHOT_PART).max(1);
        let mut picked = picked.into_iter();
        for part in 1..=parts {
            let is_last = shard == SHARDS && part == parts;
            // A watcher can resume only after the whole snapshot. How far the feed was complete at
            // that moment is not known, so another replica begins with a snapshot again.
            let (complete_to, log) = (Timestamp::EPOCH, self.revocations.log.id);
            let whole = Cursor::At { complete_to, log, number: sent };
            let cursor = if is_last { whole } else { Cursor::Beginning };
            let revocations = picked.by_ref().take(SNAPSHOT_PART).collect();
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
        let sent = self.sent;
        let is_due = |entry: &Entry| {
            entry.number <= sent && entry.recorded_at.is_none_or(|at| at >= complete_to)
        };
        let due = self.revocations.set.pick(shard, is_due);
        for one in due {
            let update = self.update(one, complete_to);
            self.ready.push_back(Message { cursor: cursor.encode(), update });
        }
        self.phase = Phase::CatchUp { shard: shard + 1, complete_to, cursor };
    }

    fn take_from_log(&mut self) -> Result<(), Ended> {
        // Mark the number as seen before reading the log, so that a later entry wakes this watch.
        self.newest.borrow_and_update();
        let Since::Next(next, confirmed) = self.revocations.log.since(self.sent, BATCH) else {
            return Err(Ended::TooSlow);
        };
        for Logged { number, revocation, complete_to } in next {
            self.sent = number;
            let (cursor, update) = (self.cursor(complete_to), self.update(revocation, complete_to));
            self.ready.push_back(Message { cursor, update });
        }
        if let Some(Confirmed { as_of, complete_to }) = confirmed
            && Instant::now() >= self.heartbeat_at
        {
            self.heartbeat_at = Instant::now() + HEARTBEAT;
            self.as_of = as_of;
            let cursor = self.cursor(complete_to);
            self.ready.push_back(Message { cursor, update: Update::Heartbeat { as_of } });
        }
        Ok(())
    }

    /// Returns the update about a revocation, when the watcher knows all those before `complete_to`.
    fn update(&self, revocation: Arc<Revocation>, complete_to: Timestamp) -> Update {
        match revocation.refused {
            Refused::All(_) => Update::Revocation(revocation),
            Refused::Before(_) => {
                let as_of = self.as_of.max(complete_to);
                Update::StaleTokens { stale: revocation, as_of }
            }
        }
    }

    fn cursor(&self, complete_to: Timestamp) -> String {
        Cursor::At { complete_to, log: self.revocations.log.id, number: self.sent }.encode()
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.newest.changed() => {}
            _ = self.closing.changed() => {}
            () = sleep_until(self.heartbeat_at) => {}
        }
    }
}
