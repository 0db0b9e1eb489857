//! The settings of a run, and the times that the documents name.

use std::time::Duration;

use token_authority::clock::Timestamp;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A, the concurrency window of the service.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
/// The slowest round trip inside the documented bounds. A page gives up then.
pub(crate) const ROUND_TRIP: Duration = Duration::from_secs(15);
/// How far the clocks of the common replicas differ.
pub(crate) const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
/// How long after its original a copy of a request may arrive: 2 A, less what the clocks differ.
pub(crate) const LATEST_COPY: Duration = Duration::from_secs(58);
/// How long Chromium takes to write a changed cookie.
pub(crate) const JAR_LAG: Duration = Duration::from_secs(30);
/// How long an access token lives.
pub(crate) const ACCESS_LIFETIME: Duration = Duration::from_mins(30);
/// How long a session lives after its last refresh.
pub(crate) const REFRESH_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// How long a session lives at most.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_hours(30 * 24);

/// The beginning of every run: midnight before a Monday.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_767_571_200);

/// The size of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How many clients stay inside the documented bounds. Those outside, and those with a thief, are
    /// in addition.
    pub(crate) clients: u32,
    /// How many simulated days.
    pub(crate) days: u32,
    /// The seed of all random draws.
    pub(crate) seed: u64,
    /// Whether backends ask the service about access tokens. Otherwise they verify locally, and no
    /// receipt is ever recorded.
    pub(crate) backends_ask: bool,
    /// Whether there are clients outside the bounds, too.
    pub(crate) with_outside: bool,
}

impl Settings {
    pub(crate) fn end(&self) -> Timestamp {
        START + DAY * self.days
    }
}
