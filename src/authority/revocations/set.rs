//! The set of revoked sessions, which every validation consults.
//!
//! It is divided into shards with one lock each, by random bits of the session id, so a look-up
//! practically never waits. An entry is dropped when the session's last access token has expired.
//! The number of entries is bounded. If an entry does not fit, the set reports that it overflows.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Timestamp;
use crate::token::id::SessionId;
use crate::token::session::{Refused, Revocation};

/// The number of shards.
pub(super) const SHARDS: usize = 256;

/// A revocation in the set.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) revocation: Arc<Revocation>,
    /// Its position in the feed. `None`: this replica made it and has not read it from the feed yet.
    pub(super) recorded_at: Option<Timestamp>,
    /// Its number in the log. 0: it was recorded before the log began.
    pub(super) number: u64,
}

impl Entry {
    /// Returns whether the user was erased from the revocation after it was inserted.
    fn is_erased_by(&self, later: &Revocation) -> bool {
        let is_same = self.revocation.refused == later.refused;
        is_same && self.revocation.user_id.is_some() && later.user_id.is_none()
    }
}

/// The result of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The entry was added.
    New,
    /// The set contains it already.
    Known,
    /// The set is full, and the entry was not added.
    Full,
}

type Shard = HashMap<SessionId, Entry>;

#[derive(Debug)]
pub(super) struct Set {
    shards: Box<[RwLock<Shard>]>,
    max_entries: usize,
    held: AtomicUsize,
    overflowing: AtomicBool,
    refused: AtomicU64,
}

impl Set {
    pub(super) fn new(max_entries: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            max_entries,
            held: AtomicUsize::new(0),
            overflowing: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    /// Returns which access tokens of the session are refused. `None`: none are.
    pub(super) fn refused_of(&self, id: SessionId) -> Option<Refused> {
        self.read(shard_of(id)).get(&id).map(|entry| entry.revocation.refused)
    }

    /// Returns whether the set already holds this row of the feed, with its position.
    pub(super) fn knows(&self, row: &Revocation) -> bool {
        self.read(shard_of(row.session_id)).get(&row.session_id).is_some_and(|entry| {
            entry.recorded_at.is_some()
                && !row.refused.exceeds(entry.revocation.refused)
                && !entry.is_erased_by(row)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns whether an entry was refused that may still matter.
    pub(super) fn is_overflowing(&self) -> bool {
        self.overflowing.load(Ordering::Relaxed)
    }

    /// Returns how many entries were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends the overflow: all entries that matter were offered again, and none was refused.
    pub(super) fn fits_again(&self) {
        self.overflowing.store(false, Ordering::Relaxed);
    }

    pub(super) fn insert(&self, id: SessionId, entry: Entry) -> Admission {
        let mut shard = self.write(shard_of(id));
        match shard.entry(id) {
            Place::Occupied(mut known) => {
                let known = known.get_mut();
                if entry.revocation.refused.exceeds(known.revocation.refused) {
                    *known = entry;
                    return Admission::New;
                }
                // An earlier row, of stale tokens, has an earlier position. With that position, a
                // watcher that resumes here between the two would miss this entry.
                if !known.revocation.refused.exceeds(entry.revocation.refused) {
                    known.recorded_at = known.recorded_at.or(entry.recorded_at);
                }
                if known.is_erased_by(&entry.revocation) {
                    known.revocation = entry.revocation;
                }
                Admission::Known
            }
            Place::Vacant(_) if self.len() >= self.max_entries => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.overflowing.store(true, Ordering::Relaxed);
                Admission::Full
            }
            Place::Vacant(place) => {
                place.insert(entry);
                self.held.fetch_add(1, Ordering::Relaxed);
                Admission::New
            }
        }
    }

    pub(super) fn forget_ended(&self, now: Timestamp) {
        for number in 0..SHARDS {
            let mut shard = self.write(number);
            let before = shard.len();
            shard.retain(|_, entry| entry.revocation.expires_at > now);
            let ended = before - shard.len();
            if shard.capacity() > 64 && shard.capacity() / 4 > shard.len() {
                shard.shrink_to_fit();
            }
            drop(shard);
            self.held.fetch_sub(ended, Ordering::Relaxed);
        }
    }

    /// Returns the revocations of one shard that `wanted` selects.
    pub(super) fn pick(
        &self,
        shard: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<Arc<Revocation>> {
        let shard = self.read(shard);
        let picked = shard.values().filter(|entry| wanted(entry));
        picked.map(|entry| Arc::clone(&entry.revocation)).collect()
    }

    // A panic in another thread cannot leave a shard half-changed.
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the shard of a session: the id's last byte, which is random.
fn shard_of(id: SessionId) -> usize {
    usize::from(id.as_uuid().as_bytes()[15])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::id::{Epoch, UserId};
    use crate::token::session::RevocationReason;

    fn id(n: u8) -> SessionId {
        SessionId::from(uuid::Uuid::from_bytes([n; 16]))
    }

    fn entry(n: u8, recorded_at: Option<i64>) -> Entry {
        let revocation = Revocation {
            session_id: id(n),
            user_id: UserId::new("u").ok(),
            revoked_at: Timestamp::from_seconds(0),
            expires_at: Timestamp::from_seconds(i64::from(n)),
            refused: Refused::All(RevocationReason::Logout),
        };
        let recorded_at = recorded_at.map(Timestamp::from_seconds);
        Entry { revocation: Arc::new(revocation), recorded_at, number: 1 }
    }

    #[test]
    fn an_entry_is_new_once_and_gets_its_position_later() {
        let set = Set::new(10);
        assert!(set.refused_of(id(1)).is_none());
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::New);
        assert!(set.refused_of(id(1)).is_some() && !set.knows(&entry(1, None).revocation));
        assert_eq!(set.insert(id(1), entry(1, Some(7))), Admission::Known);
        assert!(set.knows(&entry(1, None).revocation));
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::Known);
        assert!(set.knows(&entry(1, None).revocation));
        assert_eq!(set.len(), 1);
    }

    fn changed(n: u8, refused: Refused, user_id: Option<UserId>) -> Entry {
        let plain = entry(n, Some(1));
        let revocation = Revocation { user_id, refused, ..(*plain.revocation).clone() };
        Entry { revocation: Arc::new(revocation), ..plain }
    }

    #[test]
    fn an_entry_is_replaced_by_one_that_refuses_more() {
        let set = Set::new(10);
        let before = |epoch| Refused::Before(Epoch::new(epoch));
        let all = Refused::All(RevocationReason::Admin);
        for (refused, admission, now) in [
            (before(2), Admission::New, before(2)),
            (before(1), Admission::Known, before(2)),
            (before(2), Admission::Known, before(2)),
            (before(3), Admission::New, before(3)),
            (all, Admission::New, all),
            (before(9), Admission::Known, all),
            (Refused::All(RevocationReason::User), Admission::Known, all),
        ] {
            let one = changed(1, refused, None);
            assert_eq!(set.knows(&one.revocation), admission == Admission::Known, "{refused:?}");
            assert_eq!(set.insert(id(1), one), admission, "{refused:?}");
            assert_eq!((set.refused_of(id(1)), set.len()), (Some(now), 1));
        }
    }

    #[test]
    fn an_entry_does_not_get_the_position_of_an_earlier_row() {
        let set = Set::new(10);
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        let revoked = changed(1, Refused::All(RevocationReason::Admin), None);
        let stale = changed(1, Refused::Before(Epoch::new(1)), None);
        set.insert(id(1), Entry { recorded_at: None, ..revoked.clone() });
        // The feed is read again from its horizon on, in order.
        for (row, position, held) in
            [(&stale, at(7), None), (&revoked, at(9), at(9)), (&stale, at(7), at(9))]
        {
            let entry = Entry { recorded_at: position, ..row.clone() };
            assert_eq!(set.insert(id(1), entry), Admission::Known);
            let positions = set.read(shard_of(id(1)))[&id(1)].recorded_at;
            assert_eq!(positions, held, "{row:?}");
        }
        assert!(set.knows(&revoked.revocation));
    }

    #[test]
    fn an_erased_user_is_forgotten() {
        let set = Set::new(10);
        let refused = Refused::All(RevocationReason::Logout);
        set.insert(id(1), changed(1, refused, UserId::new("u").ok()));
        let erased = changed(1, refused, None);
        assert!(!set.knows(&erased.revocation));
        assert_eq!(set.insert(id(1), erased.clone()), Admission::Known);
        assert!(set.knows(&erased.revocation));
        let held = set.pick(shard_of(id(1)), |_| true);
        assert_eq!(held[0].user_id, None);
    }

    #[test]
    fn an_entry_is_dropped_when_it_ends() {
        let set = Set::new(10);
        for n in 1..=3 {
            set.insert(id(n), entry(n, None));
        }
        set.forget_ended(Timestamp::from_seconds(2));
        assert_eq!(
            (set.len(), set.refused_of(id(2)).is_some(), set.refused_of(id(3)).is_some()),
            (1, false, true)
        );
    }

    #[test]
    fn an_overflow_is_reported_and_ends_later() {
        let set = Set::new(2);
        for n in 1..=2 {
            assert_eq!(set.insert(id(n), entry(n, None)), Admission::New);
        }
        assert!(!set.is_overflowing());
        assert_eq!(set.insert(id(3), entry(3, None)), Admission::Full);
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::Known);
        assert!(set.is_overflowing() && set.refused_of(id(3)).is_none());
        assert_eq!((set.len(), set.refused()), (2, 1));
        set.forget_ended(Timestamp::from_seconds(1));
        assert!(set.is_overflowing());
        assert_eq!(set.insert(id(3), entry(3, None)), Admission::New);
        set.fits_again();
        assert!(!set.is_overflowing());
    }
}
