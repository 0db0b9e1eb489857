//! How many requests may be under way. What comes on top is turned away at once, before it takes
//! memory: a queue would only make everybody late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::transport::callers::denied::Denied;

/// Counts the requests under way.
#[derive(Debug)]
pub struct Load {
    under_way: Arc<AtomicUsize>,
    most: usize,
}

impl Load {
    /// At most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { under_way: Arc::default(), most }
    }

    /// Counts one more, until the slot is dropped.
    ///
    /// # Errors
    /// [`Denied::Overloaded`] where it is one too many.
    pub fn take(&self) -> Result<Slot, Denied> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.under_way));
        if before < self.most { Ok(slot) } else { Err(Denied::Overloaded) }
    }
}

/// One request under way.
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
    fn what_ends_makes_room() {
        let load = Load::new(2);
        let (one, _two) = (load.take().unwrap(), load.take().unwrap());
        assert_eq!(load.take().err(), Some(Denied::Overloaded));
        assert_eq!(load.take().err(), Some(Denied::Overloaded), "who was refused takes no room");
        drop(one);
        assert!(load.take().is_ok());
    }
}
