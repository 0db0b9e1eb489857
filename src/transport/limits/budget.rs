//! Bounds the bytes that the service holds for one owner: for a caller, or for all clients without a
//! caller together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that may be held at one time.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Allows at most `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }

    /// Adds bytes that are held now, and returns whether the total is within the budget. The bytes
    /// count in either case, until [`Self::release`].
    #[must_use]
    pub fn hold(&self, bytes: usize) -> bool {
        self.held.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.most
    }

    /// Removes bytes that are no longer held.
    pub fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns by how many bytes the total exceeds the budget.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.held.load(Ordering::Relaxed).saturating_sub(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_they_are_released() {
        let budget = Budget::new(10);
        assert!(budget.hold(10) && !budget.hold(1));
        assert_eq!(budget.excess(), 1);
        budget.release(2);
        assert!(budget.hold(1));
        assert_eq!(budget.excess(), 0);
    }
}
