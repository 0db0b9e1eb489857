//! Limits a log line to one a minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The pause between two lines. Without it, an unreachable collector would cause a line for each
/// batch.
const PAUSE: Duration = Duration::from_mins(1);

/// Remembers when the line was last written.
#[derive(Debug, Default)]
pub(super) struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    /// Returns whether the line may be written now.
    pub(super) fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_line_comes_a_minute_later() {
        let (limit, start) = (OnceAMinute::default(), Instant::now());
        let due_after = |seconds| limit.is_due_at(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61, 121].map(due_after), [true, false, false, true, false, true]);
    }
}
