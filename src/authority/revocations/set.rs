//! The sessions that are over, by their ids: what every validation asks.
//!
//! Spread over many locks by the ids' random bits, so that a look-up practically never waits. An
//! entry goes when its session's last access token has expired. The number of entries is
//! bounded; what does not fit is never forgotten silently: the set then says that it overflows.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Timestamp;
use crate::token::id::SessionId;
use crate::token::session::Revocation;

/// How many parts the set has.
pub(super) const SHARDS: usize = 256;

/// A revocation in force.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) revocation: Arc<Revocation>,
    /// Its position in the feed. `None`: made here, and not yet read from the feed.
    pub(super) recorded_at: Option<Timestamp>,
    /// Its number in the log. 0: it was there before the log began.
    pub(super) number: u64,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    New,
    Known,
    /// It is not held.
    Full,
}

type Shard = HashMap<SessionId, Entry>;

#[derive(Debug)]
pub(super) struct Set {
    shards: Box<[RwLock<Shard>]>,
    most: usize,
    held: AtomicUsize,
    overflowing: AtomicBool,
    refused: AtomicU64,
}

impl Set {
    pub(super) fn new(most: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            most,
            held: AtomicUsize::new(0),
            overflowing: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.read(shard_of(id)).contains_key(&id)
    }

    /// Whether it is held together with its position.
    pub(super) fn is_recorded(&self, id: SessionId) -> bool {
        self.read(shard_of(id)).get(&id).is_some_and(|entry| entry.recorded_at.is_some())
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether some entries were refused that may still matter.
    pub(super) fn is_overflowing(&self) -> bool {
        self.overflowing.load(Ordering::Relaxed)
    }

    /// How many entries were ever refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// All that matters was offered again, and nothing was refused.
    pub(super) fn fits_again(&self) {
        self.overflowing.store(false, Ordering::Relaxed);
    }

    pub(super) fn insert(&self, id: SessionId, entry: Entry) -> Admission {
        let mut shard = self.write(shard_of(id));
        match shard.entry(id) {
            Place::Occupied(mut known) => {
                let known = known.get_mut();
                known.recorded_at = known.recorded_at.or(entry.recorded_at);
                Admission::Known
            }
            Place::Vacant(_) if self.len() >= self.most => {
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

    /// The entries of one part that `wanted` picks.
    pub(super) fn pick(
        &self,
        shard: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<Arc<Revocation>> {
        let shard = self.read(shard);
        let picked = shard.values().filter(|entry| wanted(entry));
        picked.map(|entry| Arc::clone(&entry.revocation)).collect()
    }

    // A panic elsewhere cannot leave a part half-changed.
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the id's last byte, which is random.
fn shard_of(id: SessionId) -> usize {
    usize::from(id.as_uuid().as_bytes()[15])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::id::UserId;
    use crate::token::session::RevocationReason;

    fn id(n: u8) -> SessionId {
        SessionId::from(uuid::Uuid::from_bytes([n; 16]))
    }

    fn entry(n: u8, recorded_at: Option<i64>) -> Entry {
        let revocation = Revocation {
            session_id: id(n),
            user_id: UserId::new("u").unwrap(),
            revoked_at: Timestamp::from_seconds(0),
            expires_at: Timestamp::from_seconds(i64::from(n)),
            reason: RevocationReason::Logout,
        };
        let recorded_at = recorded_at.map(Timestamp::from_seconds);
        Entry { revocation: Arc::new(revocation), recorded_at, number: 1 }
    }

    #[test]
    fn an_entry_is_new_once_and_learns_its_position() {
        let set = Set::new(10);
        assert!(!set.contains(id(1)));
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::New);
        assert!(set.contains(id(1)) && !set.is_recorded(id(1)));
        assert_eq!(set.insert(id(1), entry(1, Some(7))), Admission::Known);
        assert!(set.is_recorded(id(1)));
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::Known);
        assert!(set.is_recorded(id(1)));
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn an_entry_goes_when_it_ends() {
        let set = Set::new(10);
        for n in 1..=3 {
            set.insert(id(n), entry(n, None));
        }
        set.forget_ended(Timestamp::from_seconds(2));
        assert_eq!((set.len(), set.contains(id(2)), set.contains(id(3))), (1, false, true));
    }

    #[test]
    fn what_does_not_fit_is_told_and_there_is_room_again_later() {
        let set = Set::new(2);
        for n in 1..=2 {
            assert_eq!(set.insert(id(n), entry(n, None)), Admission::New);
        }
        assert!(!set.is_overflowing());
        assert_eq!(set.insert(id(3), entry(3, None)), Admission::Full);
        assert_eq!(set.insert(id(1), entry(1, None)), Admission::Known);
        assert!(set.is_overflowing() && !set.contains(id(3)));
        assert_eq!((set.len(), set.refused()), (2, 1));
        set.forget_ended(Timestamp::from_seconds(1));
        assert!(set.is_overflowing());
        assert_eq!(set.insert(id(3), entry(3, None)), Admission::New);
        set.fits_again();
        assert!(!set.is_overflowing());
    }
}
