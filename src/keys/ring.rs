//! The key ring: the one key that signs, and all keys that verify.
//!
//! Shared secrets are known from the start. Stored key pairs are loaded and replaced as a whole, so
//! a request reads a consistent set of them without a lock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::Secret;
use super::key::Key;
use super::life::{self, Span};
use super::pair::CryptoError;
use super::verify_error::VerifyError;
use crate::clock::Timestamp;
use crate::token::jws::Unverified;
use crate::token::key::{KeyUse, StoredKey};

/// The keys of the service.
#[derive(Debug)]
pub struct KeyRing {
    /// The shared secrets. The first one signs.
    secrets: Vec<Arc<Key>>,
    /// The secret that opens private halves. `None`: stored keys do not sign here.
    sealing_secret: Option<Secret>,
    /// The stored keys in the order of their numbers. `None`: not loaded yet.
    stored: ArcSwapOption<Vec<Placed>>,
}

/// A stored key and its times.
#[derive(Debug)]
struct Placed {
    key: Arc<Key>,
    span: Span,
}

/// The key that signs now.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<Key>,
    span: Option<Span>,
}

impl Signer {
    /// Returns the latest end of a token that is issued at that moment. `None`: there is no limit.
    #[must_use]
    pub fn latest_end(&self, issued_at: Timestamp) -> Option<Timestamp> {
        let span = self.span?;
        let latest = issued_at + span.token_life;
        Some(span.ends.map_or(latest, |ends| ends.min(latest)))
    }

    /// Signs a payload and returns the access token.
    ///
    /// # Errors
    /// Returns [`CryptoError`] if the cryptographic library fails.
    pub fn sign(&self, payload: &[u8]) -> Result<String, CryptoError> {
        self.key.sign(payload)
    }

    /// The key's name (`kid`).
    #[must_use]
    pub fn kid(&self) -> &str {
        self.key.kid()
    }
}

/// The stored keys that could not be loaded completely.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The names of keys that this version cannot use at all.
    pub unreadable: Vec<String>,
    /// The names of keys whose private half was not opened, with the fingerprint of the secret that
    /// opens it.
    pub unopened: Vec<(String, String)>,
}

impl KeyRing {
    /// Creates a ring without stored keys. It signs with `active` and also verifies with `previous`.
    #[must_use]
    pub fn hs256(active: &Secret, previous: &[Secret]) -> Self {
        let secrets: Vec<_> = std::iter::once(active).chain(previous).cloned().collect();
        let ring = Self::new(&secrets, None);
        ring.load(&[]);
        ring
    }

    /// Creates a ring that verifies with these secrets and with stored keys. It signs with the stored
    /// keys that `sealing_secret` opens. If it opens none, or there is none, the first secret signs.
    #[must_use]
    pub fn new(secrets: &[Secret], sealing_secret: Option<Secret>) -> Self {
        let secrets = secrets.iter().map(|secret| Arc::new(Key::shared(secret))).collect();
        Self { secrets, sealing_secret, stored: ArcSwapOption::empty() }
    }

    /// Replaces the stored keys. `keys` are in the order of their numbers.
    pub fn load(&self, keys: &[StoredKey]) -> Problems {
        let (known, mut problems) = (self.stored.load_full(), Problems::default());
        let mut placed = Vec::with_capacity(keys.len());
        for (position, stored) in keys.iter().enumerate() {
            let before =
                known.iter().flat_map(|known| known.iter()).find(|one| one.key.kid() == stored.kid);
            let before = before.map(|before| Ok(Arc::clone(&before.key)));
            let read = || Key::stored(stored, self.sealing_secret.as_ref()).map(Arc::new);
            let Ok(key) = before.unwrap_or_else(read) else {
                problems.unreadable.push(stored.kid.clone());
                continue;
            };
            if self.sealing_secret.is_some() && !key.can_sign() {
                problems.unopened.push((stored.kid.clone(), stored.sealed_with.clone()));
            }
            placed.push(Placed { key, span: life::span(keys, position) });
        }
        self.stored.store(Some(Arc::new(placed)));
        problems
    }

    /// Returns whether the stored keys were loaded. Before that, an unknown key may be one of them.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.stored.load().is_some()
    }

    /// Returns the key that signs now. `None`: no key can sign.
    #[must_use]
    pub fn signer(&self, now: Timestamp) -> Option<Signer> {
        let stored = self.stored.load();
        let of_stored = stored.as_deref().and_then(|placed| self.active(placed, now));
        let signer =
            |placed: &Placed| Signer { key: Arc::clone(&placed.key), span: Some(placed.span) };
        let secret = || Some(Signer { key: Arc::clone(self.secrets.first()?), span: None });
        of_stored.map(signer).or_else(secret)
    }

    /// Returns the time until a stored key begins to sign. `None`: one signs already, or none will.
    #[must_use]
    pub fn activates_in(&self, now: Timestamp) -> Option<Duration> {
        let stored = self.stored.load();
        let placed = stored.as_deref()?;
        if self.active(placed, now).is_some() {
            return None;
        }
        let able = placed.iter().filter(|placed| placed.key.can_sign());
        able.map(|placed| placed.span.signs_from.since(now)).min()
    }

    /// Returns when this ring has no stored key left that can sign. `None`: no end is known, or
    /// stored keys do not sign here. The epoch: there is no such key now.
    #[must_use]
    pub fn signing_ends(&self) -> Option<Timestamp> {
        self.sealing_secret.as_ref()?;
        let stored = self.stored.load();
        let able = stored.as_deref()?.iter().filter(|placed| placed.key.can_sign());
        able.map(|placed| placed.span.ends)
            .try_fold(Timestamp::EPOCH, |latest, ends| Some(latest.max(ends?)))
    }

    /// Returns when the newest stored key begins to sign. `None`: there is none, or stored keys do not
    /// sign here.
    #[must_use]
    pub fn newest_signs_from(&self) -> Option<Timestamp> {
        self.sealing_secret.as_ref()?;
        let stored = self.stored.load();
        stored.as_deref()?.last().map(|newest| newest.span.signs_from)
    }

    /// Calls `work` with the key of that name. Calls it with the active key if there is no name, as
    /// in tokens that other tools made with the same secret. A name is derived from its key and
    /// therefore never names another key.
    ///
    /// # Errors
    /// Returns [`VerifyError::UnknownKey`] if the ring has no such key, or the key no longer verifies.
    /// Returns the error of `work` otherwise.
    pub fn with_key<T, E: From<VerifyError>>(
        &self,
        kid: Option<&str>,
        now: Timestamp,
        work: impl FnOnce(&Key) -> Result<T, E>,
    ) -> Result<T, E> {
        let stored = self.stored.load();
        let key = self.find(stored.as_deref().map(Vec::as_slice), kid, now)?;
        work(key)
    }

    /// Verifies a token's signature with the key that it names.
    ///
    /// # Errors
    /// Returns [`VerifyError`] if the ring has no such key, or that key did not make the signature.
    pub fn verify(&self, token: &Unverified<'_>, now: Timestamp) -> Result<(), VerifyError> {
        self.with_key(token.header.kid.as_deref(), now, |key| key.verify(token))
    }

    /// Returns when each key was last used since the start of this process.
    #[must_use]
    pub fn uses(&self) -> Vec<KeyUse> {
        let stored = self.stored.load();
        let of_stored = stored.iter().flat_map(|placed| placed.iter().map(|placed| &placed.key));
        self.secrets.iter().chain(of_stored).filter_map(|key| key.last_use()).collect()
    }

    /// Returns the public halves of all keys that still verify, as a JWK Set (RFC 7517 section 5).
    #[must_use]
    pub fn published(&self, now: Timestamp) -> Value {
        let stored = self.stored.load();
        let live = stored.iter().flat_map(|placed| placed.iter());
        let live = live.filter(|placed| !placed.span.is_over(now));
        let keys: Vec<Value> = live.filter_map(|placed| placed.key.published()).collect();
        serde_json::json!({ "keys": keys })
    }

    /// Returns the names of the shared secrets' keys. The first one signs, or signed last.
    pub fn secret_kids(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|key| key.kid())
    }

    /// Finds the newest stored key that has begun to sign and whose private half is open.
    fn active<'a>(&self, stored: &'a [Placed], now: Timestamp) -> Option<&'a Placed> {
        self.sealing_secret.as_ref()?;
        stored.iter().rev().find(|placed| {
            placed.key.can_sign() && placed.span.signs_from <= now && !placed.span.is_over(now)
        })
    }

    fn find<'a>(
        &'a self,
        stored: Option<&'a [Placed]>,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<&'a Key, VerifyError> {
        let Some(kid) = kid else {
            let active = stored.and_then(|stored| self.active(stored, now));
            let active = active.map(|placed| &placed.key).or_else(|| self.secrets.first());
            return active.map(|key| &**key).ok_or(VerifyError::UnknownKey);
        };
        if let Some(key) = self.secrets.iter().find(|key| key.kid() == kid) {
            return Ok(key);
        }
        let named = stored.and_then(|stored| stored.iter().find(|placed| placed.key.kid() == kid));
        let live = named.filter(|placed| !placed.span.is_over(now));
        live.map(|placed| &*placed.key).ok_or(VerifyError::UnknownKey)
    }
}

#[cfg(test)]
mod tests;
