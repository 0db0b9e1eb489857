//! Which proofs of receipt this replica has recorded already, so that each is written once and
//! not with every validation.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::token::id::{Generation, SessionId};

/// The most proofs remembered in one half. Forgetting one costs a needless write, no more.
const HALF: usize = 1 << 16;

/// A bounded memory: when its young half is full it becomes the old one, and the old is dropped.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashSet<(SessionId, Generation)>,
    old: HashSet<(SessionId, Generation)>,
}

impl Seen {
    /// Whether this proof was not seen before; from now on it was.
    pub(super) fn is_new(&self, session_id: SessionId, generation: Generation) -> bool {
        let receipt = (session_id, generation);
        // A panic elsewhere cannot leave the sets in a state that matters.
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.young.contains(&receipt) || halves.old.contains(&receipt) {
            return false;
        }
        if halves.young.len() >= HALF {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn each_proof_is_new_once_and_memory_is_bounded() {
        let seen = Seen::default();
        let id = SessionId::new(Timestamp::EPOCH, [0; 10]);
        let generation = |n| Generation::new(n);
        assert!(seen.is_new(id, generation(1)));
        assert!(!seen.is_new(id, generation(1)));
        for n in 2..u32::try_from(HALF * 3).unwrap() {
            assert!(seen.is_new(id, generation(n)));
        }
        let halves = seen.0.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF);
    }
}
