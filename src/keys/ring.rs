//! The key ring: the one key that signs, and all that verify.
//!
//! Shared secrets are there from the start; stored key pairs are loaded and replaced as a whole,
//! so that a request reads one consistent line of them without a lock.

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
    /// The secrets, the one that signs first.
    secrets: Vec<Arc<Key>>,
    /// What opens private halves; `None`: stored keys do not sign here.
    sealing_secret: Option<Secret>,
    /// By number. `None`: not loaded yet.
    stored: ArcSwapOption<Vec<Placed>>,
}

/// A stored key in its place.
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
    /// When a token that is issued then may end at the latest.
    #[must_use]
    pub fn latest_end(&self, issued_at: Timestamp) -> Option<Timestamp> {
        let span = self.span?;
        let latest = issued_at + span.token_life;
        Some(span.ends.map_or(latest, |ends| ends.min(latest)))
    }

    /// Signs a payload as an access token.
    ///
    /// # Errors
    /// Where the cryptographic library fails.
    pub fn sign(&self, payload: &[u8]) -> Result<String, CryptoError> {
        self.key.sign(payload)
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.key.kid()
    }
}

/// What did not come of loading stored keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Names of keys that cannot be read at all.
    pub unreadable: Vec<String>,
    /// Names of keys whose private half was not opened, and the fingerprint of what opens it.
    pub unopened: Vec<(String, String)>,
}

impl KeyRing {
    /// A ring without stored keys, that signs with `active` and verifies with `previous` secrets
    /// too.
    #[must_use]
    pub fn hs256(active: &Secret, previous: &[Secret]) -> Self {
        let secrets: Vec<_> = std::iter::once(active).chain(previous).cloned().collect();
        let ring = Self::new(&secrets, None);
        ring.load(&[]);
        ring
    }

    /// A ring that verifies with these secrets and with stored keys. It signs with the stored
    /// keys that `sealing_secret` opens; with the first secret where it opens none, or there is none.
    #[must_use]
    pub fn new(secrets: &[Secret], sealing_secret: Option<Secret>) -> Self {
        let secrets = secrets.iter().map(|secret| Arc::new(Key::shared(secret))).collect();
        Self { secrets, sealing_secret, stored: ArcSwapOption::empty() }
    }

    /// Replaces the stored keys by `keys`, which are in the order of their numbers.
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

    /// Whether the stored keys were loaded. Until then an unknown key may be one of them.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.stored.load().is_some()
    }

    /// The key that signs now. `None`: there is none.
    #[must_use]
    pub fn signer(&self, now: Timestamp) -> Option<Signer> {
        let stored = self.stored.load();
        let of_stored = stored.as_deref().and_then(|placed| self.active(placed, now));
        let signer =
            |placed: &Placed| Signer { key: Arc::clone(&placed.key), span: Some(placed.span) };
        let secret = || Some(Signer { key: Arc::clone(self.secrets.first()?), span: None });
        of_stored.map(signer).or_else(secret)
    }

    /// How long until a stored key signs, where none does yet but one is about to.
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

    /// When this ring has no stored key left to sign with. `None`: not as far as is known, or none
    /// signs here; the epoch: there is none already.
    #[must_use]
    pub fn signing_ends(&self) -> Option<Timestamp> {
        self.sealing_secret.as_ref()?;
        let stored = self.stored.load();
        let able = stored.as_deref()?.iter().filter(|placed| placed.key.can_sign());
        able.map(|placed| placed.span.ends)
            .try_fold(Timestamp::EPOCH, |latest, ends| Some(latest.max(ends?)))
    }

    /// From when on the newest stored key signs. `None`: there is none, or none signs here.
    #[must_use]
    pub fn newest_signs_from(&self) -> Option<Timestamp> {
        self.sealing_secret.as_ref()?;
        let stored = self.stored.load();
        stored.as_deref()?.last().map(|newest| newest.span.signs_from)
    }

    /// Verifies a token's signature with the key that it names; with the active key where it
    /// names none, as tokens do that other tools made from the same secret.
    ///
    /// # Errors
    /// Where we have no such key, or the signature is not that key's.
    pub fn verify(&self, token: &Unverified<'_>, now: Timestamp) -> Result<(), VerifyError> {
        let stored = self.stored.load();
        let stored = stored.as_deref().map(Vec::as_slice);
        self.find(stored, token.header.kid.as_deref(), now)?.verify(token)
    }

    /// Whether tokens of the key of that name are good now, as one was that it has verified
    /// before: a name stands for one key for ever, since it follows from the key.
    ///
    /// # Errors
    /// Where we have no such key, or not any more.
    pub fn is_in_force(&self, kid: Option<&str>, now: Timestamp) -> Result<(), VerifyError> {
        let stored = self.stored.load();
        self.find(stored.as_deref().map(Vec::as_slice), kid, now).map(drop)
    }

    /// Remembers that a good token of the key of that name was seen.
    pub fn note_use(&self, kid: Option<&str>, now: Timestamp) {
        let stored = self.stored.load();
        if let Ok(key) = self.find(stored.as_deref().map(Vec::as_slice), kid, now) {
            key.note_use(now);
        }
    }

    /// When each key was last seen at work, since the start of this process.
    #[must_use]
    pub fn uses(&self) -> Vec<KeyUse> {
        let stored = self.stored.load();
        let of_stored = stored.iter().flat_map(|placed| placed.iter().map(|placed| &placed.key));
        self.secrets.iter().chain(of_stored).filter_map(|key| key.last_use()).collect()
    }

    /// The public halves of all keys that are not gone (RFC 7517 section 5).
    #[must_use]
    pub fn published(&self, now: Timestamp) -> Value {
        let stored = self.stored.load();
        let live = stored.iter().flat_map(|placed| placed.iter());
        let live = live.filter(|placed| !placed.span.is_over(now));
        let keys: Vec<Value> = live.filter_map(|placed| placed.key.published()).collect();
        serde_json::json!({ "keys": keys })
    }

    /// The names of the secrets' keys, the one that signs (or signed last) first.
    pub fn secret_kids(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|key| key.kid())
    }

    /// The newest that has begun to sign and that we can sign with.
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
