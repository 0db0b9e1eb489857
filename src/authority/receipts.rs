//! The receipts that this replica has recorded already. Each receipt is written once, not with every
//! validation.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::token::id::{Generation, SessionId};

/// The number of receipts in one half. A forgotten receipt costs one unnecessary write.
const HALF_SIZE: usize = 1 << 16;

/// A bounded set. When its recent half is full, it becomes the older half, and the previous older
/// half is dropped.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    recent: HashSet<(SessionId, Generation)>,
    older: HashSet<(SessionId, Generation)>,
}

impl Seen {
    /// Adds a receipt. Returns whether it is new.
    pub(super) fn is_new(&self, session_id: SessionId, generation: Generation) -> bool {
        let receipt = (session_id, generation);
        // A panic elsewhere cannot leave the sets in a state that matters.
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.recent.contains(&receipt) || halves.older.contains(&receipt) {
            return false;
        }
        if halves.recent.len() >= HALF_SIZE {
            halves.older = std::mem::take(&mut halves.recent);
        }
        halves.recent.insert(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn each_receipt_is_new_once_and_memory_is_bounded() {
        let seen = Seen::default();
        let id = SessionId::new(Timestamp::EPOCH, [0; 10]);
        let generation = |n| Generation::new(n);
        assert!(seen.is_new(id, generation(1)));
        assert!(!seen.is_new(id, generation(1)));
        for n in 2..u32::try_from(HALF_SIZE * 3).unwrap() {
            assert!(seen.is_new(id, generation(n)));
        }
        let halves = seen.0.lock().unwrap();
        assert!(halves.recent.len() + halves.older.len() <= 2 * HALF_SIZE);
    }
}
