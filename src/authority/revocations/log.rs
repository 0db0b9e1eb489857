//! What was learnt lately, in the order of learning, numbered from 1: one bounded buffer, shared
//! by all who watch. Nothing is kept for any of them; who is further behind than the buffer
//! reaches has to begin anew.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::token::id::SessionId;
use crate::token::session::Revocation;

/// How far back the buffer reaches.
pub(super) const KEPT: usize = 1 << 14;

/// What is known of the feed since it was last read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// Every revocation committed before this moment, by the database's clock, is known.
    pub(super) as_of: Timestamp,
    /// Every revocation with a position before this moment is known, and so it will stay.
    pub(super) complete_to: Timestamp,
}

/// A revocation that was learnt.
#[derive(Debug, Clone)]
pub(super) struct Learnt {
    pub(super) number: u64,
    pub(super) revocation: Arc<Revocation>,
    /// Up to where the feed was complete when this was learnt.
    pub(super) complete_to: Timestamp,
}

/// What follows a number.
#[derive(Debug)]
pub(super) enum Since {
    /// These. Where they reach to the newest, what was confirmed at that moment.
    Next(Vec<Learnt>, Option<Confirmed>),
    /// More than the buffer still has.
    TooMuch,
}

#[derive(Debug)]
pub(super) struct Log {
    /// Tells this log from another replica's, and from that of an earlier run.
    pub(super) id: u64,
    state: RwLock<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    recent: VecDeque<Learnt>,
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

    /// Appends a revocation if `insert` takes it in, given its number and whether the buffer has
    /// it already. Until the feed was read once, what is learnt is not news: its number is 0.
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
        state.recent.push_back(Learnt { number, revocation, complete_to });
        if state.recent.len() > KEPT
            && let Some(oldest) = state.recent.pop_front()
        {
            state.ids.remove(&oldest.revocation.session_id);
        }
        drop(state);
        self.newest.send_replace(number);
        true
    }

    /// The feed was read to its end; all that was in it was appended.
    pub(super) fn confirm(&self, confirmed: Confirmed) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).confirmed = Some(confirmed);
    }

    /// The newest number, and what is confirmed. `None`: the feed was not read yet.
    pub(super) fn newest(&self) -> Option<(u64, Confirmed)> {
        let state = self.read();
        state.confirmed.map(|confirmed| (state.newest, confirmed))
    }

    /// At most `most` that follow a number.
    pub(super) fn since(&self, number: u64, most: usize) -> Since {
        let state = self.read();
        let oldest = state.newest + 1 - state.recent.len() as u64;
        if number > state.newest || number + 1 < oldest {
            return Since::TooMuch;
        }
        let skipped = usize::try_from(number + 1 - oldest).unwrap_or(usize::MAX);
        let next: Vec<Learnt> = state.recent.iter().skip(skipped).take(most).cloned().collect();
        let last = next.last().map_or(number, |learnt| learnt.number);
        let confirmed = state.confirmed.filter(|_| last == state.newest);
        Since::Next(next, confirmed)
    }

    /// Tells whenever there is something new.
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
    use crate::token::session::RevocationReason;

    fn confirmed(seconds: i64) -> Confirmed {
        let at = Timestamp::from_seconds(seconds);
        Confirmed { as_of: at, complete_to: at }
    }

    fn revocation(n: u128) -> Arc<Revocation> {
        Arc::new(Revocation {
            session_id: SessionId::from(uuid::Uuid::from_u128(n)),
            user_id: UserId::new("u").unwrap(),
            revoked_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
            reason: RevocationReason::User,
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
    fn what_is_loaded_is_no_news_and_what_is_refused_neither() {
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
    fn parts_follow_each_other_and_only_the_last_is_confirmed() {
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
        let most = u64::try_from(KEPT).unwrap();
        for n in 1..=most + 2 {
            log.append(revocation(u128::from(n)), |_, _| true);
        }
        assert!(matches!(log.since(1, 1), Since::TooMuch));
        assert_eq!(numbers(log.since(2, 1)).0, [3]);
        let state = log.read();
        assert_eq!((state.recent.len(), state.ids.len()), (KEPT, KEPT));
    }
}
