//! Requests a second, with a burst: by caller, and by client address.
//!
//! A caller's limiter is one atomic number that lies with the caller. Client addresses are many,
//! so theirs lie in a map of many small locks, and those that have been quiet are swept out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use crate::transport::callers::denied::Denied;

/// So many requests a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// Both, neither of them 0.
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

    /// `20/100`: 20 a second, 100 at once. `20`: 20 at once too.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (per_second, burst) = text.split_once('/').unwrap_or((text, text));
        let read = |text: &str| text.trim().parse::<u32>().map_err(drop);
        Self::new(read(per_second)?, read(burst)?).ok_or(())
    }
}

/// One caller's rate.
pub struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    /// Begins with a whole burst.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct(rate.quota()))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Denied::Limited`] where it is one too many.
    pub fn check(&self) -> Result<(), Denied> {
        self.0.check().map_err(|until| limited(&until))
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// Every client address's rate.
pub struct ClientLimiter(DefaultKeyedRateLimiter<IpAddr>);

impl ClientLimiter {
    /// Begins with a whole burst for everyone.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::keyed(rate.quota()))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Denied::Limited`] where it is one too many.
    pub fn check(&self, client: IpAddr) -> Result<(), Denied> {
        self.0.check_key(&network(client)).map_err(|until| limited(&until))
    }

    /// Forgets who has been quiet for long enough to have a whole burst again.
    pub fn sweep(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }

    /// How many addresses are remembered.
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

/// When to try again: later than now, even where the moment has come while it was counted.
fn limited(until: &NotUntil<<DefaultClock as Clock>::Instant>) -> Denied {
    let wait = until.wait_time_from(DefaultClock::default().now());
    Denied::Limited(wait.max(Duration::from_millis(1)))
}

/// Whose limit an address counts against: an IPv6 customer has a whole /64 to call from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

/// How often quiet addresses are forgotten. Until then each takes some 50 bytes.
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
    fn a_burst_passes_and_the_next_one_is_told_when() {
        let limiter = Limiter::new(Rate::new(1, 3).unwrap());
        for _ in 0..3 {
            assert_eq!(limiter.check(), Ok(()));
        }
        let Err(Denied::Limited(wait)) = limiter.check() else { panic!("not limited") };
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn addresses_are_apart_networks_are_together_and_the_quiet_are_forgotten() {
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
