//! Rate limits in requests per second, with a burst, for each caller and for each client address.
//!
//! A caller's limiter is one atomic number stored with the caller. Client addresses are many, so
//! their limiters are kept in a sharded map, and quiet addresses are swept out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use crate::transport::callers::denied::Denied;

/// A number of requests per second, and a burst after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// Returns a rate, or `None` if either number is 0.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        Some(Self { per_second: per_second.try_into().ok()?, burst: burst.try_into().ok()? })
    }

    fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

impl FromStr for Rate {
    type Err = ();

    /// Reads `20/100` as 20 per second and 100 at once. `20` means 20 at once too.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (per_second, burst) = text.split_once('/').unwrap_or((text, text));
        let read = |text: &str| text.trim().parse::<u32>().map_err(drop);
        Self::new(read(per_second)?, read(burst)?).ok_or(())
    }
}

/// Limits one caller.
pub struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    /// Starts with a full burst.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct(rate.quota()))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// Returns [`Denied::Limited`] if the request is over the rate.
    pub fn check(&self) -> Result<(), Denied> {
        self.0.check().map_err(|until| limited(&until))
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// Limits each client address.
pub struct ClientLimiter(DefaultKeyedRateLimiter<IpAddr>);

impl ClientLimiter {
    /// Starts with a full burst for every address.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::keyed(rate.quota()))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// Returns [`Denied::Limited`] if the request is over the rate.
    pub fn check(&self, client: IpAddr) -> Result<(), Denied> {
        self.0.check_key(&network(client)).map_err(|until| limited(&until))
    }

    /// Removes addresses that have been quiet for long enough to have a full burst again.
    pub fn sweep(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }

    /// Returns the number of addresses that are kept.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for ClientLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientLimiter({})", self.remembered())
    }
}

/// Returns when to try again. The delay is never zero, even if the moment came while it was computed.
fn limited(until: &NotUntil<<DefaultClock as Clock>::Instant>) -> Denied {
    let wait = until.wait_time_from(DefaultClock::default().now());
    Denied::Limited(wait.max(Duration::from_millis(1)))
}

/// Returns the network that an address is counted under. An IPv6 customer can call from a whole /64.
pub(in crate::transport) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

/// How many refused calls of one client address are answered with their reason: 20 per second, and 200 at
/// once. More are answered with `RATE_LIMITED`.
pub const REFUSALS: Rate = Rate {
    per_second: NonZeroU32::MIN.saturating_add(19),
    burst: NonZeroU32::MIN.saturating_add(199),
};

/// How often quiet addresses are removed. Each address takes about 50 bytes until then.
pub const SWEEP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!("20/100".parse(), Ok(Rate::new(20, 100).unwrap()));
        assert_eq!("7".parse(), Ok(Rate::new(7, 7).unwrap()));
        for bad in ["", "0", "1/0", "-1", "1/2/3", "many"] {
            assert_eq!(bad.parse::<Rate>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_burst_passes_and_the_next_request_learns_when_to_retry() {
        let limiter = Limiter::new(Rate::new(1, 3).unwrap());
        for _ in 0..3 {
            assert_eq!(limiter.check(), Ok(()));
        }
        let Err(Denied::Limited(wait)) = limiter.check() else { panic!("not limited") };
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn limits_are_per_address_or_ipv6_network_and_quiet_ones_are_removed() {
        let limiter = ClientLimiter::new(Rate::new(1000, 1).unwrap());
        let check = |address: &str| limiter.check(address.parse().unwrap()).is_ok();
        assert!(check("192.0.2.1") && check("192.0.2.2"));
        assert!(check("2001:db8::1"));
        assert_eq!(limiter.remembered(), 3);
        assert!(check("2001:db8:0:1::1"), "another /64");
        std::thread::sleep(Duration::from_millis(20));
        limiter.sweep();
        assert_eq!(limiter.remembered(), 0);
        let slow = ClientLimiter::new(Rate::new(1, 1).unwrap());
        let check = |address: &str| slow.check(address.parse().unwrap()).is_ok();
        assert!(check("192.0.2.1") && !check("192.0.2.1") && !check("::ffff:192.0.2.1"));
        assert!(check("2001:db8::1") && !check("2001:db8::ffff:2"), "one /64");
    }
}
