//! Limits the number of requests in progress. A request beyond the limit is refused at once, before
//! it uses memory. A queue would only make every request late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::transport::callers::denied::Denied;

/// Counts the requests in progress.
#[derive(Debug)]
pub struct Load {
    in_progress: Arc<AtomicUsize>,
    most: usize,
}

/// The requests of one caller that are in progress.
#[derive(Debug, Clone, Default)]
pub struct OwnLoad(Arc<AtomicUsize>);

impl Load {
    /// Allows at most `most` requests.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { in_progress: Arc::default(), most }
    }

    /// Counts one more request, until the slot is dropped. A caller may take three quarters of all
    /// slots. Otherwise one caller could refuse service to all others.
    ///
    /// # Errors
    /// Returns [`Denied::Overloaded`] if all slots that the caller may take are in use.
    pub fn take(&self, own: Option<&OwnLoad>) -> Result<Slot, Denied> {
        let before = self.in_progress.fetch_add(1, Ordering::Relaxed);
        let own_before = own.map_or(0, |own| own.0.fetch_add(1, Ordering::Relaxed));
        let slot = Slot { all: Arc::clone(&self.in_progress), own: own.cloned() };
        let within = before < self.most && own_before < self.most - self.most / 4;
        if within { Ok(slot) } else { Err(Denied::Overloaded) }
    }
}

/// One request in progress.
#[derive(Debug)]
pub struct Slot {
    all: Arc<AtomicUsize>,
    own: Option<OwnLoad>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(own) = &self.own {
            own.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_makes_room() {
        let load = Load::new(2);
        let (one, _two) = (load.take(None).unwrap(), load.take(None).unwrap());
        assert_eq!(load.take(None).err(), Some(Denied::Overloaded));
        assert_eq!(
            load.take(None).err(),
            Some(Denied::Overloaded),
            "a refused request takes no room"
        );
        drop(one);
        assert!(load.take(None).is_ok());
    }

    #[test]
    fn one_caller_leaves_a_quarter_to_the_others() {
        let (load, greedy, other) = (Load::new(8), OwnLoad::default(), OwnLoad::default());
        let held: Vec<_> = (0..6).map(|_| load.take(Some(&greedy)).unwrap()).collect();
        assert_eq!(load.take(Some(&greedy)).err(), Some(Denied::Overloaded));
        assert!(load.take(Some(&other)).is_ok());
        drop(held);
        assert!(load.take(Some(&greedy)).is_ok());
        assert!(Load::new(1).take(Some(&other)).is_ok(), "the only slot is usable");
    }
}
