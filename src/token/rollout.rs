//! The roll-out: the rule that decides which users get JWTs and which get session tokens. Pure.
//!
//! A user's bucket depends only on the user's id, so every replica, also after a restart, and every
//! service that follows `docs/rollout.md` computes the same bucket. A user is in the roll-out if the
//! bucket is below the percentage. Raising the percentage therefore removes nobody.

use sha2::{Digest as _, Sha256};

use super::field::InvalidField;
use super::id::UserId;
use super::method::AuthMethod;

/// The number of buckets.
pub const BUCKETS: u8 = 100;

/// Computes a user's bucket, 0 to 99: the first eight bytes of the SHA-256 of the user's id, as a
/// big-endian number, modulo 100.
#[must_use]
pub fn bucket(user_id: &UserId) -> u8 {
    let hash: [u8; 32] = Sha256::digest(user_id.as_str().as_bytes()).into();
    let (first, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    // The modulus keeps it below 100.
    u8::try_from(u64::from_be_bytes(*first) % u64::from(BUCKETS)).unwrap_or(0)
}

/// A share of users in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u8);

impl Percentage {
    /// No user.
    pub const NOBODY: Self = Self(0);
    /// Every user.
    pub const EVERYBODY: Self = Self(100);

    /// Checks a share.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if it is not 0 to 100.
    pub fn new(number: i64) -> Result<Self, InvalidField> {
        match u8::try_from(number) {
            Ok(number) if number <= 100 => Ok(Self(number)),
            _ => Err(InvalidField::new("percentage", "must be 0 to 100")),
        }
    }

    /// The number of percent.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The rule for which users get JWTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// The share of users who get JWTs.
    pub percentage: Percentage,
    /// Whether JWTs are minted at all. `false`: every user gets session tokens.
    pub jwt_enabled: bool,
}

impl Rollout {
    /// Every user gets JWTs.
    pub const COMPLETE: Self = Self { percentage: Percentage::EVERYBODY, jwt_enabled: true };

    /// Returns the kind of access token that a user gets.
    #[must_use]
    pub fn method_for(self, user_id: &UserId) -> AuthMethod {
        if self.jwt_enabled && bucket(user_id) < self.percentage.number() {
            AuthMethod::Jwt
        } else {
            AuthMethod::Session
        }
    }

    /// Returns the kind of access token that every user gets. `None`: it depends on the user.
    #[must_use]
    pub const fn method_for_all(self) -> Option<AuthMethod> {
        match self.effective() {
            0 => Some(AuthMethod::Session),
            BUCKETS => Some(AuthMethod::Jwt),
            _ => None,
        }
    }

    /// Returns the share of users who get JWTs, in percent: 0 if JWTs are switched off.
    #[must_use]
    pub const fn effective(self) -> u8 {
        if self.jwt_enabled { self.percentage.number() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn the_method_for_all_is_the_method_of_each_user() {
        for number in 0..=100 {
            for jwt_enabled in [true, false] {
                let rollout = Rollout { percentage: Percentage::new(number).unwrap(), jwt_enabled };
                let some = jwt_enabled && (1..100).contains(&number);
                assert_eq!(rollout.method_for_all().is_none(), some);
                if let Some(method) = rollout.method_for_all() {
                    assert!((0..99).all(|n| rollout.method_for(&user(&format!("{n}"))) == method));
                }
            }
        }
    }

    // Computed with Python's hashlib; docs/rollout.md lists the same ones.
    #[test]
    fn buckets_are_fixed() {
        for (id, expected) in VECTORS {
            assert_eq!(bucket(&user(id)), expected, "{id}");
        }
        assert_eq!(bucket(&user(&"a".repeat(255))), BUCKET_OF_LONGEST_ID);
    }

    const VECTORS: [(&str, u8); 5] = [
        ("alice", 7),
        ("bob", 50),
        ("user-1", 94),
        ("00000000-0000-4000-8000-000000000000", 18),
        ("Zoë", 48),
    ];
    const BUCKET_OF_LONGEST_ID: u8 = 34;

    #[test]
    fn users_spread_evenly() {
        let mut counts = [0_u32; 100];
        for n in 0..100_000 {
            counts[usize::from(bucket(&user(&format!("user-{n}"))))] += 1;
        }
        // A thousand each; five standard deviations are 158.
        assert!(counts.iter().all(|count| (842..=1158).contains(count)), "{counts:?}");
    }

    #[test]
    fn percentages_are_bounded() {
        assert!(Percentage::new(-1).is_err() && Percentage::new(101).is_err());
        assert_eq!(Percentage::new(100), Ok(Percentage::EVERYBODY));
        assert_eq!(Percentage::new(0), Ok(Percentage::NOBODY));
    }

    proptest! {
        #[test]
        fn it_is_sticky_and_only_grows(id in "[^\\p{Cc}]{1,60}", low in 0_i64..=100, high in 0_i64..=100) {
            let (low, high) = (low.min(high), low.max(high));
            let at = |n| Rollout { percentage: Percentage::new(n).unwrap(), jwt_enabled: true };
            let method = |n| at(n).method_for(&user(&id));
            prop_assert_eq!(method(low), method(low));
            prop_assert!(method(low) != AuthMethod::Jwt || method(high) == AuthMethod::Jwt);
            prop_assert_eq!(method(0), AuthMethod::Session);
            prop_assert_eq!(method(100), AuthMethod::Jwt);
            let off = Rollout { jwt_enabled: false, ..at(high) };
            prop_assert_eq!(off.method_for(&user(&id)), AuthMethod::Session);
        }
    }
}
