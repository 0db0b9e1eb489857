//! Samples the log lines of refused requests.
//!
//! A refusal costs its client nothing. One line for each refusal would let any client fill the
//! disk. Each client address may therefore cause a few lines per second for each outcome. The other
//! refusals are counted, and the count is logged.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::time::MissedTickBehavior;

use crate::transport::limits::rate::network;

/// How many lines per second, and how many at once, each client address may cause for each outcome.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
const LINES_AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// How often the number of lines that were left out is logged.
const REPORT: Duration = Duration::from_secs(10);

/// Decides which refused requests are logged.
pub struct RefusalLog {
    lines: DefaultKeyedRateLimiter<(Option<IpAddr>, i32)>,
    left_out: AtomicU64,
}

impl Default for RefusalLog {
    fn default() -> Self {
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE);
        Self { lines: RateLimiter::keyed(quota), left_out: AtomicU64::new(0) }
    }
}

impl fmt::Debug for RefusalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefusalLog")
    }
}

impl RefusalLog {
    /// Returns whether a refusal is logged. A refusal that is not logged is counted.
    pub(super) fn admits(&self, client: Option<IpAddr>, outcome: i32) -> bool {
        let admitted = self.lines.check_key(&(client.map(network), outcome)).is_ok();
        if !admitted {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Logs how many lines were left out, and forgets addresses that have been quiet.
    fn report(&self) {
        self.lines.retain_recent();
        self.lines.shrink_to_fit();
        let refused = self.left_out.swap(0, Ordering::Relaxed);
        if refused > 0 {
            tracing::warn!(refused, "more requests were refused than were logged one by one");
        }
    }

    /// Reports periodically.
    pub async fn keep_reporting(&self) {
        let mut next = tokio::time::interval(REPORT);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            self.report();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_and_outcome_has_its_own_lines_and_the_rest_is_counted() {
        let log = RefusalLog::default();
        let one = Some("192.0.2.1".parse().unwrap());
        let logged = (0..1000).filter(|_| log.admits(one, 16)).count();
        assert!((50..60).contains(&logged), "{logged}");
        assert_eq!(log.left_out.load(Ordering::Relaxed), 1000 - logged as u64);
        assert!(log.admits(one, 7), "another outcome");
        assert!(log.admits(Some("192.0.2.2".parse().unwrap()), 16), "another address");
        assert!(log.admits(None, 16));
        log.report();
        assert_eq!(log.left_out.load(Ordering::Relaxed), 0);
    }
}
