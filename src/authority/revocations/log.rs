//! The recently recorded revocations in the order of recording, numbered from 1: one bounded buffer
//! that all watchers share. No watcher has a buffer of its own. A watcher that falls behind the
//! oldest entry has to start again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::token::id::SessionId;
use crate::token::session::{Refused, Revocation};

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
    /// What the newest entry of each session in `recent` refuses, and its number.
    sessions: HashMap<SessionId, (Refused, u64)>,
    newest: u64,
    confirmed: Option<Confirmed>,
}

impl Log {
    pub(super) fn new(id: u64) -> Self {
        let (recent, sessions) = (VecDeque::new(), HashMap::new());
        let state = State { recent, sessions, newest: 0, confirmed: None };
        Self { id, state: RwLock::new(state), newest: watch::Sender::new(0) }
    }

    /// Appends a revocation if `insert` accepts it. `insert` gets its number and whether the buffer
    /// contains an entry of the session that refuses as much. Before the first complete read of the feed, entries get number 0 and
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
        let (session_id, refused) = (revocation.session_id, revocation.refused);
        let known = state.sessions.get(&session_id);
        let is_recent = known.is_some_and(|(known, _)| !refused.exceeds(*known));
        if !insert(number, is_recent) {
            return false;
        }
        state.newest = number;
        state.sessions.insert(session_id, (refused, number));
        state.recent.push_back(Logged { number, revocation, complete_to });
        if state.recent.len() > CAPACITY
            && let Some(oldest) = state.recent.pop_front()
        {
            // A later entry of the session stays known.
            let session_id = oldest.revocation.session_id;
            if state.sessions.get(&session_id).is_some_and(|(_, number)| *number == oldest.number) {
                state.sessions.remove(&session_id);
            }
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
    use crate::token::id::{Epoch, UserId};
    use crate::token::session::RevocationReason;

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
    fn a_revocation_after_stale_tokens_of_its_session_is_not_recent() {
        let log = Log::new(1);
        log.confirm(confirmed(1));
        let refusing = |refused| Arc::new(Revocation { refused, ..(*revocation(1)).clone() });
        let (all, before) =
            (Refused::All(RevocationReason::User), |n| Refused::Before(Epoch::new(n)));
        for (refused, was_recent) in [
            (before(1), false),
            (before(1), true),
            (before(2), false),
            (all, false),
            (before(3), true),
            (all, true),
        ] {
            log.append(refusing(refused), |_, is_recent| {
                assert_eq!(is_recent, was_recent, "{refused:?}");
                !is_recent
            });
        }
        // The earlier entries leave the buffer, and the session stays known.
        for n in 2..=u128::try_from(CAPACITY).unwrap() {
            log.append(revocation(n), |_, _| true);
        }
        log.append(refusing(all), |_, is_recent| {
            assert!(is_recent);
            false
        });
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
        assert_eq!((state.recent.len(), state.sessions.len()), (CAPACITY, CAPACITY));
    }
}
