//! Limits the number of requests in progress. One request too many is refused at once, before it
//! takes memory. A queue would only make every request late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::transport::callers::denied::Denied;

/// Counts the requests in progress.
#[derive(Debug)]
pub struct Load {
    under_way: Arc<AtomicUsize>,
    most: usize,
}

impl Load {
    /// Allows at most `most` requests.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { under_way: Arc::default(), most }
    }

    /// Counts one more request, until the slot is dropped.
    ///
    /// # Errors
    /// Returns [`Denied::Overloaded`] if the request is one too many.
    pub fn take(&self) -> Result<Slot, Denied> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.under_way));
        if before < self.most { Ok(slot) } else { Err(Denied::Overloaded) }
    }
}

/// One request in progress.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_makes_room() {
        let load = Load::new(2);
        let (one, _two) = (load.take().unwrap(), load.take().unwrap());
        assert_eq!(load.take().err(), Some(Denied::Overloaded));
        assert_eq!(load.take().err(), Some(Denied::Overloaded), "a refused request takes no room");
        drop(one);
        assert!(load.take().is_ok());
    }
}
