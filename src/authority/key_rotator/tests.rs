//! Tests of the key rotator with rows in memory and a clock that the test moves.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::clock::{ManualClock, SeededEntropy};
use crate::token::jws::Unverified;
use crate::token::key::{Algorithm, KeyUse};

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const LIFE: Duration = Duration::from_mins(30);
const DAY: Duration = Duration::from_hours(24);

/// The database that two replicas share.
#[derive(Debug, Default)]
struct Memory {
    keys: Mutex<Vec<StoredKey>>,
    uses: Mutex<HashMap<String, Timestamp>>,
    writes: Mutex<u32>,
}

#[async_trait]
impl KeyRows for Memory {
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let mut keys = self.keys.lock().unwrap();
        let free = keys.iter().all(|one| one.number != key.number);
        if free {
            keys.push(key.clone());
        }
        Ok(free)
    }

    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        Ok(self.keys.lock().unwrap().clone())
    }

    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError> {
        let mut keys = self.keys.lock().unwrap();
        let key = keys.iter_mut().find(|key| key.number == number).unwrap();
        key.token_life = key.token_life.max(life);
        Ok(())
    }

    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError> {
        let mut ended = 0;
        for key in self.keys.lock().unwrap().iter_mut().filter(|key| key.number <= up_to) {
            if key.ends_at.is_none_or(|ends| ends > at) {
                key.ends_at = Some(at);
                ended += 1;
            }
        }
        Ok(ended)
    }

    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError> {
        self.keys.lock().unwrap().retain(|key| !kids.contains(&key.kid));
        Ok(0)
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        *self.writes.lock().unwrap() += 1;
        let uses = uses.iter().map(|one| (one.kid.clone(), one.last_verified_at));
        self.uses.lock().unwrap().extend(uses);
        Ok(())
    }

    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let uses = self.uses.lock().unwrap();
        let of =
            |(kid, at): (&String, &Timestamp)| KeyUse { kid: kid.clone(), last_verified_at: *at };
        Ok(uses.iter().map(of).collect())
    }
}

/// One database and one clock, and replicas over them.
struct World {
    rows: Arc<Memory>,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        Self { rows: Arc::default(), clock: ManualClock::at(START) }
    }

    fn replica(&self, algorithm: Algorithm, secrets: &[Secret], sealing_secret: u8) -> KeyRotator {
        let sealing_secret = algorithm.is_asymmetric().then(|| Secret::new([sealing_secret; 32]));
        let schedule = Schedule {
            algorithm,
            rotate_every: Some(30 * DAY),
            publish: Duration::from_mins(15),
            has_secret: !secrets.is_empty(),
        };
        let ring = Arc::new(KeyRing::new(secrets, sealing_secret.clone()));
        let policy = KeyPolicy { schedule, token_life: LIFE, sealing_secret };
        let clock = Arc::new(self.clock.clone());
        let rows = Arc::clone(&self.rows);
        KeyRotator::new(rows, ring, clock, Arc::new(SeededEntropy::new(1)), policy)
    }

    fn pairs(&self) -> KeyRotator {
        self.replica(Algorithm::EdDsa, &[], 1)
    }

    fn kids(&self) -> Vec<String> {
        self.rows.keys.lock().unwrap().iter().map(|key| key.kid.clone()).collect()
    }

    fn states(&self) -> Vec<State> {
        let keys = self.rows.keys.lock().unwrap();
        let state = |position| life::span(&keys, position).state(self.clock.now());
        (0..keys.len()).map(state).collect()
    }
}

fn token(key_rotator: &KeyRotator) -> String {
    key_rotator.ring.signer(key_rotator.clock.now()).unwrap().sign(b"{}").unwrap()
}

fn accepts(key_rotator: &KeyRotator, token: &str) -> bool {
    key_rotator.ring.verify(&Unverified::parse(token).unwrap(), key_rotator.clock.now()).is_ok()
}

#[tokio::test]
async fn of_two_that_make_the_first_key_one_does() {
    let world = World::new();
    let (mut one, mut other) = (world.pairs(), world.pairs());
    // Both replicas have seen that there is no key before either creates one.
    let (first, second) = tokio::join!(one.start(), other.start());
    first.unwrap();
    second.unwrap();
    assert_eq!(world.kids().len(), 1);
    assert!(accepts(&one, &token(&other)) && accepts(&other, &token(&one)));
}

#[tokio::test]
async fn keys_are_rotated_by_age_and_no_live_token_is_ever_refused() {
    let world = World::new();
    let (mut one, mut other) = (world.pairs(), world.pairs());
    one.start().await.unwrap();
    other.start().await.unwrap();
    let mut live: Vec<(Timestamp, String)> = Vec::new();
    let (mut seen, step) = (std::collections::BTreeSet::new(), Duration::from_mins(29));
    for turn in 0..(65 * 24 * 60 / 29) {
        world.clock.advance(step);
        // The other replica reads only now and then.
        one.tick().await.unwrap();
        if turn % 2 == 0 {
            other.tick().await.unwrap();
        }
        let now = world.clock.now();
        live.retain(|(issued, _)| now < *issued + LIFE);
        live.extend([(now, token(&one)), (now, token(&other))]);
        for (_, token) in &live {
            assert!(accepts(&one, token) && accepts(&other, token));
        }
        seen.extend(world.kids());
    }
    assert_eq!(seen.len(), 3, "one key for each thirty days");
    assert_eq!(world.kids().len(), 1, "keys that are gone are deleted");
}

#[tokio::test]
async fn an_operator_rotates_with_notice_at_once_or_in_an_emergency() {
    let world = World::new();
    let (mut replica, mut operator) = (world.pairs(), world.pairs());
    replica.start().await.unwrap();
    operator.rotate(Rotation::Published).await.unwrap();
    let refused = operator.rotate(Rotation::Published).await;
    assert!(matches!(refused, Err(KeyError::Prepared(_))));
    assert_eq!(world.states(), [State::Active, State::Prepared]);

    operator.rotate(Rotation::Now).await.unwrap();
    world.clock.advance(SETTLE);
    replica.tick().await.unwrap();
    assert_eq!(world.states(), [State::Retiring, State::Retiring, State::Active]);
    let before = token(&replica);

    operator.rotate(Rotation::Compromised).await.unwrap();
    replica.tick().await.unwrap();
    assert!(accepts(&replica, &before), "until the new key signs");
    world.clock.advance(SETTLE);
    assert!(!accepts(&replica, &before));
    assert!(accepts(&replica, &token(&replica)));
    assert_eq!(world.states()[..3], [State::Gone; 3]);
}

#[tokio::test(start_paused = true)]
async fn moving_to_key_pairs_and_back_keeps_every_token() {
    let world = World::new();
    let secret = [Secret::new([7; 32])];
    let mut old = world.replica(Algorithm::Hs256, &secret, 1);
    old.start().await.unwrap();
    let before = token(&old);

    // The database says when the first key signs; the pause lets the old replica learn of it.
    let mut new = world.replica(Algorithm::EdDsa, &secret, 1);
    let started = tokio::time::Instant::now();
    new.start().await.unwrap();
    assert_eq!(started.elapsed(), SETTLE);
    old.tick().await.unwrap();
    world.clock.advance(SETTLE);
    let after = token(&new);
    assert_eq!(Unverified::parse(&after).unwrap().header.alg, Some(Algorithm::EdDsa));
    for replica in [&old, &new] {
        assert!(accepts(replica, &before) && accepts(replica, &after));
    }
    assert!(matches!(old.rotate(Rotation::Now).await, Err(KeyError::NoPairs)));
    assert!(matches!(new.retire_keys().await, Err(KeyError::PairsNeeded)));

    // Then back to HS256.
    let mut back = world.replica(Algorithm::Hs256, &secret, 1);
    back.start().await.unwrap();
    assert!(accepts(&back, &after) && accepts(&back, &token(&back)));
    assert!(back.retire_keys().await.unwrap().is_some());
    back.tick().await.unwrap();
    world.clock.advance(LIFE);
    assert!(accepts(&back, &after));
    world.clock.advance(crate::keys::life::GRACE);
    assert!(!accepts(&back, &after));
    assert!(accepts(&back, &before), "as long as its secret is set");
}

#[tokio::test]
async fn a_wrong_secret_stops_the_start_and_is_not_told() {
    let world = World::new();
    world.pairs().start().await.unwrap();
    let error = world.replica(Algorithm::EdDsa, &[], 2).start().await.unwrap_err().to_string();
    let prints = [1, 2].map(|byte| Secret::new([byte; 32]).fingerprint());
    for print in prints {
        assert!(error.contains(&print), "{error}");
    }
    let other = world.replica(Algorithm::Es256, &[], 2).start().await;
    assert!(matches!(other, Err(KeyError::WrongSecret { .. })));
    assert_eq!(world.kids().len(), 1, "no key was created with it");
}

#[tokio::test]
async fn the_service_secret_is_replaced_by_rotating_with_the_new_one() {
    let world = World::new();
    let mut old = world.pairs();
    old.start().await.unwrap();
    world.replica(Algorithm::EdDsa, &[], 2).rotate(Rotation::Published).await.unwrap();
    world.clock.advance(Duration::from_mins(15));
    old.tick().await.unwrap();
    let mut new = world.replica(Algorithm::EdDsa, &[], 2);
    new.start().await.unwrap();
    assert!(accepts(&old, &token(&new)) && accepts(&new, &token(&old)));
}

#[tokio::test]
async fn longer_lived_tokens_lengthen_their_keys_life() {
    let world = World::new();
    world.pairs().start().await.unwrap();
    let mut longer = world.pairs();
    longer.policy.token_life = 4 * LIFE;
    let now = world.clock.now();
    longer.start().await.unwrap();
    let latest = longer.ring.signer(now).unwrap().latest_end(now);
    assert_eq!(latest, Some(now + 4 * LIFE));
}

#[tokio::test]
async fn a_keys_use_is_written_at_most_once_a_minute() {
    let world = World::new();
    let mut key_rotator = world.pairs();
    key_rotator.start().await.unwrap();
    let kid = world.kids().remove(0);
    for _ in 0..120 {
        world.clock.advance(Duration::from_secs(2));
        let now = world.clock.now();
        let noted = key_rotator.ring.with_key(Some(&kid), now, |key| {
            key.note_use(now);
            Ok::<_, crate::keys::VerifyError>(())
        });
        noted.unwrap();
        key_rotator.tick().await.unwrap();
    }
    assert_eq!(*world.rows.writes.lock().unwrap(), 4);
    let listed = key_rotator.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].kid, listed[0].state), (&*kid, State::Active));
    let idle = world.clock.now().since(listed[0].last_verified_at.unwrap());
    assert!(idle <= Duration::from_mins(1));
}
