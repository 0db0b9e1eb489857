//! The life cycle of stored keys as pure functions of the sequence of keys and the time:
//! prepared → active → retiring → gone.
//!
//! A key is published when it is created. It signs from `activates_at` until a later key takes
//! over, and it verifies until the last token that it can have signed has expired.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::token::key::{Algorithm, StoredKey};

/// How long a key verifies after its last token has expired: the longest leeway of a verifier (five
/// minutes) and one minute for clocks that differ. With a lower value, valid tokens could name an
/// unknown key.
pub const GRACE: Duration = Duration::from_mins(6);

/// The longest time until every replica knows a new key: twice the interval between two reads of
/// the database, and one second for clocks that differ.
pub const SETTLE: Duration = Duration::from_secs(3);

/// A key's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Published, but not signing yet.
    Prepared,
    /// Signing new tokens.
    Active,
    /// Verifying the tokens that it signed earlier.
    Retiring,
    /// Verifying while the settings sign with another key. Only the operator knows whether it is to sign
    /// later or has signed before, so it has no end.
    Verifying,
    /// Neither signing nor verifying.
    Gone,
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Verifying => "verifying",
            Self::Gone => "gone",
        }
    }
}

/// The moments at which a key changes its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When a later key takes over. `None`: there is no later key yet.
    pub signs_until: Option<Timestamp>,
    /// When it stops verifying. `None`: not yet known.
    pub ends: Option<Timestamp>,
    /// The longest lifetime of a token that it may sign.
    pub token_life: Duration,
}

impl Span {
    /// Returns the state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if self.is_over(now) {
            State::Gone
        } else if self.signs_until.is_some_and(|until| until <= now) {
            State::Retiring
        } else if self.signs_from <= now {
            State::Active
        } else {
            State::Prepared
        }
    }

    /// Returns whether it no longer verifies.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// Computes the times of `keys[position]`. The keys are in the order of their numbers.
#[must_use]
pub fn span(keys: &[StoredKey], position: usize) -> Span {
    let key = &keys[position];
    let signs_until = keys[position + 1..].iter().map(|later| later.activates_at).min();
    let last_token = signs_until.map(|until| until.max(key.created_at) + key.token_life + GRACE);
    let ends = [last_token, key.ends_at].into_iter().flatten().min();
    Span { signs_from: key.activates_at, signs_until, ends, token_life: key.token_life }
}

/// The operator's settings for stored keys.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
    /// How long a key signs. `None`: until an operator rotates it.
    pub rotate_every: Option<Duration>,
    /// How long a key is published before it signs.
    pub publish: Duration,
    /// Whether a shared secret (HS256) signs until the first key does. If so, other replicas may be
    /// running already, and the first key must not sign before they know it.
    pub has_secret: bool,
}

/// Why [`due`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The service starts. Its settings may have changed.
    Start,
    /// The periodic check. It accepts a key of another replica's settings. Otherwise two replicas
    /// with different settings would replace each other's keys for ever.
    Tick,
}

/// A key that has to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub number: i64,
    /// When it is to begin to sign.
    pub activates_at: Timestamp,
}

/// Returns the key that has to be created now. `None`: no key is due.
#[must_use]
pub fn due(
    keys: &[StoredKey],
    schedule: &Schedule,
    occasion: Occasion,
    now: Timestamp,
) -> Option<Due> {
    if !schedule.algorithm.is_asymmetric() {
        return None;
    }
    let Some(newest) = keys.last() else {
        let wait = if schedule.has_secret { SETTLE } else { Duration::ZERO };
        return Some(Due { number: 1, activates_at: now + wait });
    };
    let (number, published) = (newest.number + 1, now + schedule.publish);
    let is_ours = newest.algorithm == schedule.algorithm.as_str();
    if newest.ends_at.is_some() || (occasion == Occasion::Start && !is_ours) {
        // At once, unless another key can sign until verifiers know the new one.
        let bridged = signs_at(keys, now) && signs_at(keys, published);
        return Some(Due { number, activates_at: if bridged { published } else { now } });
    }
    if !schedule.has_secret && !signs_at(keys, now) {
        // An operator prepared a key before the service ran for the first time.
        return Some(Due { number, activates_at: now });
    }
    let aged = newest.activates_at + schedule.rotate_every.filter(|_| is_ours)?;
    (published >= aged).then(|| Due { number, activates_at: published.max(aged) })
}

/// Returns whether one of the keys can sign at that moment.
#[must_use]
pub fn signs_at(keys: &[StoredKey], then: Timestamp) -> bool {
    (0..keys.len())
        .map(|position| span(keys, position))
        .any(|span| span.signs_from <= then && !span.is_over(then))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::seal::Sealed;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const DAY: Duration = Duration::from_hours(24);
    const LIFE: Duration = Duration::from_mins(30);
    const SCHEDULE: Schedule = Schedule {
        algorithm: Algorithm::EdDsa,
        rotate_every: Some(Duration::from_hours(30 * 24)),
        publish: Duration::from_mins(15),
        has_secret: false,
    };

    fn at(minutes: u64) -> Timestamp {
        Timestamp::EPOCH + MINUTE * u32::try_from(minutes).unwrap()
    }

    fn key(number: i64, activates_at: Timestamp) -> StoredKey {
        StoredKey {
            number,
            kid: number.to_string(),
            algorithm: "EdDSA".into(),
            public_jwk: String::new(),
            private: Sealed::from_stored(Vec::new()),
            sealed_with: String::new(),
            created_at: Timestamp::EPOCH,
            activates_at,
            token_life: LIFE,
            ends_at: None,
        }
    }

    #[test]
    fn a_key_is_prepared_then_active_then_retiring_then_gone() {
        let keys = [key(1, at(0)), key(2, at(100))];
        let state = |position, now| span(&keys, position).state(now);
        assert_eq!(state(0, at(99)), State::Active);
        assert_eq!(state(1, at(99)), State::Prepared);
        assert_eq!(state(0, at(100)), State::Retiring);
        assert_eq!(state(1, at(100)), State::Active);
        assert_eq!(state(0, at(135)), State::Retiring, "its last token may still be presented");
        assert_eq!(state(0, at(136)), State::Gone);
        assert_eq!(state(1, at(1_000_000)), State::Active);
    }

    #[test]
    fn an_emergency_overtakes_what_was_prepared() {
        let keys = [key(1, at(0)), key(2, at(100)), key(3, at(50))];
        let state = |position, now| span(&keys, position).state(now);
        assert_eq!(state(0, at(50)), State::Retiring);
        assert_eq!(state(2, at(50)), State::Active);
        assert_eq!(state(1, at(50)), State::Retiring, "it never signs");
        assert_eq!(state(2, at(100)), State::Active);
    }

    #[test]
    fn a_key_ends_when_it_is_told_to() {
        let mut keys = [key(1, at(0)), key(2, at(100))];
        keys[0].ends_at = Some(at(100));
        assert_eq!(span(&keys, 0).state(at(99)), State::Active);
        assert_eq!(span(&keys, 0).state(at(100)), State::Gone);
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_is_published_first() {
        let due = |keys: &[_], now| due(keys, &SCHEDULE, Occasion::Tick, now);
        assert_eq!(due(&[], at(7)), Some(Due { number: 1, activates_at: at(7) }));
        let moved = Schedule { has_secret: true, ..SCHEDULE };
        let first = super::due(&[], &moved, Occasion::Start, at(7)).unwrap();
        assert_eq!(first.activates_at, at(7) + SETTLE);
        assert_eq!(due(&[key(1, at(9))], at(7)), Some(Due { number: 2, activates_at: at(7) }));
        assert_eq!(super::due(&[key(1, at(9))], &moved, Occasion::Start, at(7)), None);
        let aged = at(0) + 30 * DAY;
        let keys = [key(4, at(0))];
        assert_eq!(due(&keys, aged - 16 * MINUTE), None);
        assert_eq!(due(&keys, aged - 15 * MINUTE), Some(Due { number: 5, activates_at: aged }));
        let late = aged + 3 * DAY;
        let published = late + 15 * MINUTE;
        assert_eq!(due(&keys, late), Some(Due { number: 5, activates_at: published }));
        assert_eq!(due(&[key(4, at(0)), key(5, published)], late), None, "one is prepared");
    }

    #[test]
    fn a_changed_algorithm_takes_effect_at_a_start() {
        let schedule = Schedule { algorithm: Algorithm::Es256, ..SCHEDULE };
        let keys = [key(1, at(0))];
        assert_eq!(due(&keys, &schedule, Occasion::Tick, at(60 * 24 * 99)), None);
        let next = Some(Due { number: 2, activates_at: at(25) });
        assert_eq!(due(&keys, &schedule, Occasion::Start, at(10)), next);
        let hs256 = Schedule { algorithm: Algorithm::Hs256, ..SCHEDULE };
        assert_eq!(due(&[], &hs256, Occasion::Start, at(0)), None);
        let never = Schedule { rotate_every: None, ..SCHEDULE };
        assert_eq!(due(&keys, &never, Occasion::Tick, at(60 * 24 * 99)), None);
    }

    #[test]
    fn a_new_key_follows_keys_that_were_ended() {
        let mut keys = [key(1, at(0))];
        keys[0].ends_at = Some(at(100));
        let due = |now| due(&keys, &SCHEDULE, Occasion::Tick, now).unwrap().activates_at;
        assert_eq!(due(at(10)), at(25));
        assert_eq!(due(at(90)), at(90), "the old one would end before the new one is known");
        assert_eq!(due(at(500)), at(500));
    }

    proptest! {
        /// For any sequence of keys: from the first activation on, exactly one key is active, and
        /// every signed token verifies until it expires.
        #[test]
        fn one_key_signs_and_its_tokens_outlive_no_key(
            activations in prop::collection::vec(0_u64..500, 1..6),
            now in 0_u64..1000,
        ) {
            let keys: Vec<_> =
                (1..).zip(&activations).map(|(number, minutes)| key(number, at(*minutes))).collect();
            let spans: Vec<_> = (0..keys.len()).map(|position| span(&keys, position)).collect();
            let active: Vec<_> =
                spans.iter().filter(|span| span.state(at(now)) == State::Active).collect();
            let begun = activations.iter().any(|minutes| *minutes <= now);
            // A later key of an earlier activation takes over, so the newest activated one signs.
            prop_assert_eq!(active.len(), usize::from(begun));
            for span in active {
                prop_assert!(span.ends.is_none_or(|ends| ends > at(now) + LIFE));
            }
        }
    }
}
