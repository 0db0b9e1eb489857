//! The key rotator: loads the stored keys into the ring, creates the next key when it is due, and
//! records which keys are still used.
//!
//! Every replica runs a rotator. They coordinate only through the key numbers in the database: if two
//! rotators create the next key at the same time, one succeeds and the other loads that key.

mod admin;
mod list;

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

pub use admin::Rotation;
pub use list::{KeyList, Listed};

/// The pause between two reads of the database.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest interval between two writes of a key's last use.
const USE_INTERVAL: Duration = Duration::from_mins(1);
/// How long a key that is gone stays in the database, so that operators can see it, and so that
/// replicas whose clock is behind do not miss it.
const GONE_KEY_RETENTION: Duration = Duration::from_hours(24);

/// The operator's settings for stored keys.
#[derive(Debug, Clone)]
pub struct KeyPolicy {
    /// Which keys are created, and when.
    pub schedule: Schedule,
    /// How long an access token lives.
    pub token_life: Duration,
    /// The secret that seals private halves. An asymmetric algorithm needs it.
    pub sealing_secret: Option<Secret>,
}

/// Why an operation on stored keys failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys were sealed with another secret.
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
    /// HS256 uses no stored keys, so there is nothing to rotate.
    #[error("JWT_ALGORITHM is HS256: it signs with JWT_SECRET, which is rotated by a restart")]
    NoPairs,
    /// An asymmetric algorithm signs with the keys that were to be retired.
    #[error("JWT_ALGORITHM is asymmetric, so stored keys are needed: rotate them instead")]
    PairsNeeded,
    /// Another key is already prepared.
    #[error("the key {0} is prepared already; it can only be overtaken at once")]
    Prepared(String),
    /// Another process created the next key at the same moment.
    #[error("another key was created at the same moment: list the keys, and try again if needed")]
    Overtaken,
    /// The cryptographic library failed.
    #[error("the key could not be created")]
    Crypto,
}

/// Keeps a key ring in step with the stored keys.
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
    reported: Problems,
}

impl KeyRotator {
    /// Creates a rotator that fills `ring` from `rows`.
    #[must_use]
    pub fn new(
        rows: Arc<dyn KeyRows>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: KeyPolicy,
    ) -> Self {
        let (occasion, loaded, noted) = (Occasion::Start, None, HashMap::new());
        let reported = Problems::default();
        Self { rows, ring, clock, entropy, policy, occasion, loaded, noted, reported }
    }

    /// Loads the keys and creates the first one if there is none. An unreachable database does not
    /// prevent the start. If a key is about to sign, waits for it, for at most [`SETTLE`].
    ///
    /// # Errors
    /// Returns [`KeyError`] if the keys were sealed with another secret, or the database contains data
    /// that this version cannot read.
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
            tracing::info!("waiting until every replica has loaded the first key");
            tokio::time::sleep(soon).await;
        }
        Ok(())
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let done = self.tick().await;
            // Log only the change, because the next attempt follows after a second.
            match &done {
                Ok(()) if failing => tracing::info!("the signing keys can be read again"),
                Err(error) if !failing => {
                    tracing::warn!(%error, "the signing keys cannot be read or rotated; trying again every second");
                }
                _ => {}
            }
            failing = done.is_err();
        }
    }

    /// Reads the database once and acts on what it finds.
    ///
    /// # Errors
    /// Returns [`KeyError`] if the store fails, or if the secret is wrong at the start.
    pub async fn tick(&mut self) -> Result<(), KeyError> {
        let mut keys = self.load().await?;
        let now = self.clock.now();
        if self.occasion == Occasion::Start {
            self.check_sealing_secret(&keys, now)?;
        }
        let mut changed = self.raise_token_life(&keys, now).await?;
        if let Some(due) = life::due(&keys, &self.policy.schedule, self.occasion, now) {
            let key = self.make(due, now).await?;
            let inserted = self.rows.insert_key(&key).await?;
            log_created(&key, inserted);
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
            if problems != self.reported {
                log_problems(&problems);
                self.reported = problems;
            }
            self.loaded = Some(keys.clone());
        }
        Ok(keys)
    }

    /// Checks that the sealing secret opens the active key. Otherwise this replica would sign with an
    /// older key, or could not sign.
    fn check_sealing_secret(&self, keys: &[StoredKey], now: Timestamp) -> Result<(), KeyError> {
        let Some(sealing_secret) = &self.policy.sealing_secret else { return Ok(()) };
        let is_active = |position: &usize| life::span(keys, *position).state(now) == State::Active;
        let Some(active) = (0..keys.len()).find(is_active).map(|position| &keys[position]) else {
            return Ok(());
        };
        match self.reported.unopened.iter().find(|(kid, _)| *kid == active.kid) {
            None => Ok(()),
            Some((kid, needed)) => Err(KeyError::WrongSecret {
                kid: kid.clone(),
                given: sealing_secret.fingerprint(),
                needed: needed.clone(),
            }),
        }
    }

    /// Raises the stored token lifetime of keys that sign. A key must verify until its last token has
    /// expired, so the lifetime has to be stored before the key signs such tokens.
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
        let is_old =
            |position: &usize| life::span(keys, *position).is_over(now - GONE_KEY_RETENTION);
        let old = (0..keys.len()).filter(is_old).map(|position| keys[position].kid.clone());
        let old: Vec<String> = old.collect();
        if !old.is_empty() {
            self.rows.delete_keys(&old).await?;
            tracing::info!(kids = ?old, "deleted signing keys that no longer verify");
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
            self.noted.retain(|_, noted| now.since(*noted) < GONE_KEY_RETENTION);
        }
        Ok(())
    }

    const fn signs_with_pairs(&self) -> bool {
        self.policy.schedule.algorithm.is_asymmetric()
    }
}

fn log_created(key: &StoredKey, inserted: bool) {
    let (kid, algorithm) = (&key.kid, &key.algorithm);
    if inserted {
        let in_seconds = key.activates_at.since(key.created_at).as_secs();
        tracing::info!(%kid, %algorithm, in_seconds, "created a signing key");
    } else {
        tracing::info!("another replica created the next signing key");
    }
}

fn log_problems(problems: &Problems) {
    for kid in &problems.unreadable {
        tracing::warn!(%kid, "this version cannot use a stored signing key");
    }
    for (kid, needed) in &problems.unopened {
        tracing::warn!(%kid, %needed, "AUTHORITY_SECRET does not open a signing key");
    }
}

#[cfg(test)]
mod tests;
