//! Remembers whether the database accepts writes, from the results of the last ones.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;

/// A write that succeeded within this time answers the question. Otherwise a probe asks it: a lower
/// value costs an idle database more probes, a higher one finds a full disk later.
const FRESH: Duration = Duration::from_secs(10);

/// Remembers when a write last succeeded.
#[derive(Debug, Default)]
pub(super) struct WriteHealth(Mutex<Option<Instant>>);

impl WriteHealth {
    /// Records the result of an operation. `wrote` tells whether a success wrote anything. An
    /// error of one request's data says nothing about the database.
    pub(super) fn record<T>(&self, result: &Result<T, StoreError>, wrote: impl Fn(&T) -> bool) {
        match result {
            Ok(done) if wrote(done) => self.set(Some(Instant::now())),
            Err(StoreError::Unavailable(_)) => self.set(None),
            Ok(_) | Err(_) => {}
        }
    }

    /// Returns whether a write succeeded a short time ago, and none has failed since.
    pub(super) fn is_fresh(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < FRESH)
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_the_database_ends_what_a_success_proved() {
        let health = WriteHealth::default();
        assert!(!health.is_fresh());
        let record = |result| health.record(&result, |wrote| *wrote);
        record(Ok(true));
        record(Err(StoreError::Locked));
        record(Err(StoreError::Inconsistent("a value".into())));
        assert!(health.is_fresh());
        record(Err(StoreError::Unavailable("disk full".into())));
        record(Ok(false));
        assert!(!health.is_fresh(), "a read proves nothing");
        record(Ok(true));
        assert!(health.is_fresh());
    }
}
