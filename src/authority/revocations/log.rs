//! The recently recorded revocations in the order of recording, numbered from 1: one bounded buffer
//! that all watchers share. No watcher has a buffer of its own. A watcher that falls behind the
//! oldest entry has to start again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::token::id::SessionId;
use crate::token::session::Revocation;

/// The number of revocations in the buffer.
pub(super) const CAPACITY: usize = 1 << 14;

/// How far the feed is known after it was last read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// Every revocation committed before this moment, by the database's clock, is known.
    pub(super) as_of: Timestamp,
    /// Every revocation with a position before this moment is known, and none can be added there.
    pub(super) complete_to: Timestamp,
}

/// A recorded revocation.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) number: u64,
    pub(super) revocation: Arc<Revocation>,
    /// Up to where the feed was complete when this was recorded.
    pub(super) complete_to: Timestamp,
}

/// The entries after a number.
#[derive(Debug)]
pub(super) enum Since {
    /// The next entries. If they include the newest, also how far the feed is confirmed.
    Next(Vec<Logged>, Option<Confirmed>),
    /// Some of them are no longer in the buffer.
    TooMuch,
}

#[derive(Debug)]
pub(super) struct Log {
    /// Identifies this log. Another replica, and another run of this one, has another id.
    pub(super) id: u64,
    state: RwLock<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    recent: VecDeque<Logged>,
    ids: HashSet<SessionId>,
    newest: u64,
    confirmed: Option<Confirmed>,
}

impl Log {
    pub(super) fn new(id: u64) -> Self {
        let state =
            State { recent: VecDeque::new(), ids: HashSet::new(), newest: 0, confirmed: None };
        Self { id, state: RwLock::new(state), newest: watch::Sender::new(0) }
    }

    /// Appends a revocation if `insert` accepts it. `insert` gets its number and whether the buffer
    /// contains it already. Before the first complete read of the feed, entries get number 0 and
    /// watchers are not notified of them.
    pub(super) fn append(
        &self,
        revocation: Arc<Revocation>,
        insert: impl FnOnce(u64, bool) -> bool,
    ) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Confirmed { complete_to, .. }) = state.confirmed else {
            return insert(0, false);
        };
        let number = state.newest + 1;
        let session_id = revocation.session_id;
        if !insert(number, state.ids.contains(&session_id)) {
            return false;
        }
        state.newest = number;
        state.ids.insert(session_id);
        state.recent.push_back(Logged { number, revocation, complete_to });
        if state.recent.len() > CAPACITY
            && let Some(oldest) = state.recent.pop_front()
        {
            state.ids.remove(&oldest.revocation.session_id);
        }
        drop(state);
        self.newest.send_replace(number);
        true
    }

    /// Stores that the feed was read to its end and all of its rows were appended.
    pub(super) fn confirm(&self, confirmed: Confirmed) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).confirmed = Some(confirmed);
    }

    /// Returns the newest number and how far the feed is confirmed. `None`: it was not read yet.
    pub(super) fn newest(&self) -> Option<(u64, Confirmed)> {
        let state = self.read();
        state.confirmed.map(|confirmed| (state.newest, confirmed))
    }

    /// Returns at most `most` entries after a number.
    pub(super) fn since(&self, number: u64, most: usize) -> Since {
        let state = self.read();
        let oldest = state.newest + 1 - state.recent.len() as u64;
        if number > state.newest || number + 1 < oldest {
            return Since::TooMuch;
        }
        let skipped = usize::try_from(number + 1 - oldest).unwrap_or(usize::MAX);
        let next: Vec<Logged> = state.recent.iter().skip(skipped).take(most).cloned().collect();
        let last = next.last().map_or(number, |logged| logged.number);
        let confirmed = state.confirmed.filter(|_| last == state.newest);
        Since::Next(next, confirmed)
    }

    /// Subscribes to the newest number.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::id::UserId;
    use crate::token::session::{Refused, RevocationReason};

    fn confirmed(seconds: i64) -> Confirmed {
        let at = Timestamp::from_seconds(seconds);
        Confirmed { as_of: at, complete_to: at }
    }

    fn revocation(n: u128) -> Arc<Revocation> {
        Arc::new(Revocation {
            session_id: SessionId::from(uuid::Uuid::from_u128(n)),
            user_id: UserId::new("u").ok(),
            revoked_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
            refused: Refused::All(RevocationReason::User),
        })
    }

    fn numbers(since: Since) -> (Vec<u64>, Option<Confirmed>) {
        match since {
            Since::Next(next, confirmed) => {
                (next.into_iter().map(|one| one.number).collect(), confirmed)
            }
            Since::TooMuch => panic!("too much"),
        }
    }

    #[test]
    fn loaded_and_refused_revocations_are_not_logged() {
        let log = Log::new(1);
        assert!(log.append(revocation(1), |number, _| number == 0));
        assert_eq!(log.newest(), None);
        log.confirm(confirmed(1));
        assert!(!log.append(revocation(1), |_, _| false));
        assert_eq!(log.newest(), Some((0, confirmed(1))));
        assert!(log.append(revocation(2), |number, recent| number == 1 && !recent));
        log.append(revocation(2), |_, recent| {
            assert!(recent);
            false
        });
        assert_eq!(numbers(log.since(0, 9)), (vec![1], Some(confirmed(1))));
    }

    #[test]
    fn batches_continue_each_other_and_only_the_last_is_confirmed() {
        let log = Log::new(1);
        log.confirm(confirmed(1));
        for n in 1..=5 {
            log.append(revocation(n), |_, _| true);
        }
        assert_eq!(numbers(log.since(0, 3)), (vec![1, 2, 3], None));
        assert_eq!(numbers(log.since(3, 3)), (vec![4, 5], Some(confirmed(1))));
        assert_eq!(numbers(log.since(5, 3)), (vec![], Some(confirmed(1))));
        assert!(matches!(log.since(6, 3), Since::TooMuch));
    }

    #[test]
    fn the_buffer_is_bounded() {
        let log = Log::new(1);
        log.confirm(confirmed(1));
        let most = u64::try_from(CAPACITY).unwrap();
        for n in 1..=most + 2 {
            log.append(revocation(u128::from(n)), |_, _| true);
        }
        assert!(matches!(log.since(1, 1), Since::TooMuch));
        assert_eq!(numbers(log.since(2, 1)).0, [3]);
        let state = log.read();
        assert_eq!((state.recent.len(), state.ids.len()), (CAPACITY, CAPACITY));
    }
}
