//! The keeper of the stored keys: loads them into the ring, makes the next one when it is due,
//! and writes down which are still needed.
//!
//! Every replica runs one. They share the line of keys in the database and nothing else: of two
//! that make the next key at once one does, and the other loads it.

mod admin;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy, Timestamp, draw};
use crate::keys::key::NewPair;
use crate::keys::life::{self, Due, Occasion, SETTLE, Schedule, State};
use crate::keys::ring::Problems;
use crate::keys::{KeyRing, Secret};
use crate::store::{KeyRows, StoreError};
use crate::token::key::StoredKey;

pub use admin::{Listed, Rotation};

/// How long to rest between two looks at the database.
const REST: Duration = Duration::from_secs(1);
/// How often a key's use is written down at most.
const USE_INTERVAL: Duration = Duration::from_mins(1);
/// How long a key that is gone is kept to be looked at, and for replicas whose clock is late.
const KEPT: Duration = Duration::from_hours(24);

/// What the operator decides about stored keys.
#[derive(Debug, Clone)]
pub struct KeyPolicy {
    /// Which keys are made, and when.
    pub schedule: Schedule,
    /// How long an access token lives.
    pub token_life: Duration,
    /// What private halves are sealed with. Needed for an asymmetric algorithm.
    pub sealing_secret: Option<Secret>,
}

/// Why something about the stored keys could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret is not the one that the keys were sealed with.
    #[error(
        "AUTHORITY_SECRET (fingerprint {given}) does not open the signing key {kid}, which was \
         sealed with the secret of fingerprint {needed}"
    )]
    WrongSecret {
        /// The key that signs now.
        kid: String,
        /// The given secret's fingerprint.
        given: String,
        /// The fingerprint of the secret that opens the key.
        needed: String,
    },
    /// HS256 has no stored keys to rotate.
    #[error("JWT_ALGORITHM is HS256: it signs with JWT_SECRET, which is rotated by a restart")]
    NoPairs,
    /// An asymmetric algorithm signs with what was to be ended.
    #[error("JWT_ALGORITHM is asymmetric, so stored keys are needed: rotate them instead")]
    PairsNeeded,
    /// Another key waits to sign.
    #[error("the key {0} is prepared already; it can only be overtaken at once")]
    Prepared(String),
    /// Another made the next key at the same moment.
    #[error("another key was made at the same moment: list the keys, and try again if need be")]
    Overtaken,
    /// The cryptographic library failed.
    #[error("the key could not be made")]
    Crypto,
}

/// The keeper.
#[derive(Debug)]
pub struct KeyRotator {
    rows: Arc<dyn KeyRows>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: KeyPolicy,
    occasion: Occasion,
    loaded: Option<Vec<StoredKey>>,
    noted: HashMap<String, Timestamp>,
    told: Problems,
}

impl KeyRotator {
    /// A keeper that fills `ring` from `rows`.
    #[must_use]
    pub fn new(
        rows: Arc<dyn KeyRows>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: KeyPolicy,
    ) -> Self {
        let (occasion, loaded, noted) = (Occasion::Start, None, HashMap::new());
        let told = Problems::default();
        Self { rows, ring, clock, entropy, policy, occasion, loaded, noted, told }
    }

    /// Loads the keys, and makes the first one if need be. A database out of reach is no reason
    /// not to start. Waits, for [`SETTLE`] at most, until a key that is about to sign does.
    ///
    /// # Errors
    /// Where the secret is not the one that the keys were sealed with, or the database holds what
    /// this version cannot read.
    pub async fn start(&mut self) -> Result<(), KeyError> {
        match self.tick().await {
            Ok(()) => {}
            Err(KeyError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(%error, "starting without the signing keys");
            }
            Err(error) => return Err(error),
        }
        if let Some(soon) = self.ring.activates_in(self.clock.now()).filter(|soon| *soon <= SETTLE)
        {
            tracing::info!("waiting for every replica to learn of the first key");
            tokio::time::sleep(soon).await;
        }
        Ok(())
    }

    /// Keeps the keys until it is dropped.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(REST).await;
            let done = self.tick().await;
            // Once, when it changes: the next try is a second away.
            match &done {
                Ok(()) if failing => tracing::info!("the signing keys are kept again"),
                Err(error) if !failing => {
                    tracing::warn!(%error, "the signing keys cannot be kept");
                }
                _ => {}
            }
            failing = done.is_err();
        }
    }

    /// One look at the database, and what follows from it.
    ///
    /// # Errors
    /// Where the store fails, or at a start the secret is not the right one.
    pub async fn tick(&mut self) -> Result<(), KeyError> {
        let mut keys = self.load().await?;
        let now = self.clock.now();
        if self.occasion == Occasion::Start {
            self.check_opener(&keys, now)?;
        }
        let mut changed = self.raise_token_life(&keys, now).await?;
        if let Some(due) = life::due(&keys, &self.policy.schedule, self.occasion, now) {
            let key = self.make(due, now).await?;
            let inserted = self.rows.insert_key(&key).await?;
            announce(&key, inserted);
            changed = true;
        }
        if changed {
            keys = self.load().await?;
        }
        self.occasion = Occasion::Tick;
        self.forget(&keys, now).await?;
        self.note_uses(now).await?;
        Ok(())
    }

    async fn load(&mut self) -> Result<Vec<StoredKey>, KeyError> {
        let keys = self.rows.load_keys().await?;
        if self.loaded.as_ref() != Some(&keys) {
            let problems = self.ring.load(&keys);
            if problems != self.told {
                report(&problems);
                self.told = problems;
            }
            self.loaded = Some(keys.clone());
        }
        Ok(keys)
    }

    /// The key that signs now has to open: or this replica would go on with an older one, or
    /// with none.
    fn check_opener(&self, keys: &[StoredKey], now: Timestamp) -> Result<(), KeyError> {
        let Some(sealing_secret) = &self.policy.sealing_secret else { return Ok(()) };
        let is_active = |position: &usize| life::span(keys, *position).state(now) == State::Active;
        let Some(active) = (0..keys.len()).find(is_active).map(|position| &keys[position]) else {
            return Ok(());
        };
        match self.told.unopened.iter().find(|(kid, _)| *kid == active.kid) {
            None => Ok(()),
            Some((kid, needed)) => Err(KeyError::WrongSecret {
                kid: kid.clone(),
                given: sealing_secret.fingerprint(),
                needed: needed.clone(),
            }),
        }
    }

    /// A key outlives its last token, so it has to know how long ours live before it signs them.
    async fn raise_token_life(&self, keys: &[StoredKey], now: Timestamp) -> Result<bool, KeyError> {
        let mut raised = false;
        for (position, key) in keys.iter().enumerate() {
            let signs = life::span(keys, position).signs_until.is_none_or(|until| until > now);
            if self.signs_with_pairs() && signs && key.token_life < self.policy.token_life {
                self.rows.raise_token_life(key.number, self.policy.token_life).await?;
                raised = true;
            }
        }
        Ok(raised)
    }

    async fn make(&self, due: Due, now: Timestamp) -> Result<StoredKey, KeyError> {
        let sealing_secret = self.policy.sealing_secret.clone().ok_or(KeyError::NoPairs)?;
        let (algorithm, nonce) = (self.policy.schedule.algorithm, draw(&*self.entropy));
        let making = move || NewPair::make(algorithm, &sealing_secret, nonce);
        let made = tokio::task::spawn_blocking(making).await.map_err(|_| KeyError::Crypto)?;
        Ok(made.map_err(|_| KeyError::Crypto)?.stored(due, now, self.policy.token_life))
    }

    async fn forget(&self, keys: &[StoredKey], now: Timestamp) -> Result<(), KeyError> {
        let is_old = |position: &usize| life::span(keys, *position).is_over(now - KEPT);
        let old = (0..keys.len()).filter(is_old).map(|position| keys[position].kid.clone());
        let old: Vec<String> = old.collect();
        if !old.is_empty() {
            self.rows.delete_keys(&old).await?;
            tracing::info!(kids = ?old, "deleted signing keys that are gone");
        }
        Ok(())
    }

    async fn note_uses(&mut self, now: Timestamp) -> Result<(), KeyError> {
        let mut uses = self.ring.uses();
        uses.retain(|one| {
            let noted = self.noted.get(&one.kid);
            noted.is_none_or(|noted| one.last_verified_at >= *noted + USE_INTERVAL)
        });
        if !uses.is_empty() {
            self.rows.note_key_uses(&uses).await?;
            self.noted.extend(uses.into_iter().map(|one| (one.kid, one.last_verified_at)));
            self.noted.retain(|_, noted| now.since(*noted) < KEPT);
        }
        Ok(())
    }

    const fn signs_with_pairs(&self) -> bool {
        self.policy.schedule.algorithm.is_asymmetric()
    }
}

fn announce(key: &StoredKey, inserted: bool) {
    let (kid, algorithm) = (&key.kid, &key.algorithm);
    if inserted {
        let in_seconds = key.activates_at.since(key.created_at).as_secs();
        tracing::info!(%kid, %algorithm, in_seconds, "made a signing key");
    } else {
        tracing::info!("another replica made the next signing key");
    }
}

fn report(problems: &Problems) {
    for kid in &problems.unreadable {
        tracing::warn!(%kid, "a stored key is none that this version can use");
    }
    for (kid, needed) in &problems.unopened {
        tracing::warn!(%kid, %needed, "AUTHORITY_SECRET does not open a signing key");
    }
}

#[cfg(test)]
mod tests;
