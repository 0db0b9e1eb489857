//! The operator's commands for stored keys: list, rotate, retire.

use std::collections::HashMap;

use super::{KeyError, KeyRotator, log_created};
use crate::clock::Timestamp;
use crate::keys::life::{self, Due, GRACE, SETTLE, State};
use crate::token::key::{Algorithm, StoredKey};

/// How to rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The new key signs once verifiers know it.
    Published,
    /// The new key signs as soon as every replica knows it. Verifiers that cache key sets may refuse
    /// its tokens until they reload.
    Now,
    /// The new key signs as soon as every replica knows it, and all earlier pairs stop verifying.
    /// Their tokens become invalid, and clients refresh.
    Compromised,
}

/// A key in the operator's list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name (`kid`).
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Its state.
    pub state: State,
    /// When it was created. `None`: it is a shared secret from the settings.
    pub created_at: Option<Timestamp>,
    /// When it begins to sign.
    pub signs_from: Option<Timestamp>,
    /// When a later key takes over.
    pub signs_until: Option<Timestamp>,
    /// When it stops verifying.
    pub ends: Option<Timestamp>,
    /// When it last verified a token, with a resolution of about a minute.
    pub last_verified_at: Option<Timestamp>,
}

impl KeyRotator {
    /// Lists all keys: the shared secrets, then the stored keys by their numbers.
    ///
    /// # Errors
    /// Returns [`KeyError::Store`] if the store fails.
    pub async fn list(&mut self) -> Result<Vec<Listed>, KeyError> {
        let keys = self.load().await?;
        let uses = self.rows.key_uses().await?.into_iter();
        let uses: HashMap<_, _> = uses.map(|one| (one.kid, one.last_verified_at)).collect();
        let now = self.clock.now();
        let signer = self.ring.signer(now);
        let of_secret = |kid: &str| {
            let signs = signer.as_ref().is_some_and(|signer| signer.kid() == kid);
            Listed {
                kid: kid.to_owned(),
                algorithm: Algorithm::Hs256.as_str().to_owned(),
                state: if signs { State::Active } else { State::Verifying },
                created_at: None,
                signs_from: None,
                signs_until: None,
                ends: None,
                last_verified_at: uses.get(kid).copied(),
            }
        };
        let mut listed: Vec<_> = self.ring.secret_kids().map(of_secret).collect();
        for (position, key) in keys.iter().enumerate() {
            let span = life::span(&keys, position);
            let state = match span.state(now) {
                // The settings do not sign with stored keys.
                State::Active if !self.signs_with_pairs() && span.ends.is_none() => {
                    State::Verifying
                }
                State::Active if !self.signs_with_pairs() => State::Retiring,
                state => state,
            };
            listed.push(Listed {
                kid: key.kid.clone(),
                algorithm: key.algorithm.clone(),
                state,
                created_at: Some(key.created_at),
                signs_from: Some(span.signs_from),
                signs_until: span.signs_until,
                ends: span.ends,
                last_verified_at: uses.get(&key.kid).copied(),
            });
        }
        Ok(listed)
    }

    /// Creates the next key.
    ///
    /// # Errors
    /// Returns [`KeyError`] under HS256, if a key is already prepared, if another key was created at
    /// the same moment, or if the store fails.
    pub async fn rotate(&mut self, rotation: Rotation) -> Result<StoredKey, KeyError> {
        if !self.signs_with_pairs() {
            return Err(KeyError::NoPairs);
        }
        let keys = self.load().await?;
        let now = self.clock.now();
        let spans = (0..keys.len()).map(|position| life::span(&keys, position));
        let prepared = spans.zip(&keys).find(|(span, _)| span.state(now) == State::Prepared);
        let lead = match (rotation, prepared) {
            (Rotation::Published, Some((_, key))) => {
                return Err(KeyError::Prepared(key.kid.clone()));
            }
            (Rotation::Published, None) => self.policy.schedule.publish,
            (Rotation::Now | Rotation::Compromised, _) => SETTLE,
        };
        let newest = keys.last().map_or(0, |newest| newest.number);
        let due = Due { number: newest + 1, activates_at: now + lead };
        let key = self.make(due, now).await?;
        let inserted = self.rows.insert_key(&key).await?;
        log_created(&key, inserted);
        if !inserted {
            return Err(KeyError::Overtaken);
        }
        if rotation == Rotation::Compromised {
            self.rows.end_keys(newest, key.activates_at).await?;
        }
        Ok(key)
    }

    /// Retires the stored keys after a move back to HS256: they end when the last token that they
    /// signed has expired. Returns that moment, or `None` if there was no key to retire.
    ///
    /// # Errors
    /// Returns [`KeyError`] under an asymmetric algorithm, or if the store fails.
    pub async fn retire_keys(&mut self) -> Result<Option<Timestamp>, KeyError> {
        if self.signs_with_pairs() {
            return Err(KeyError::PairsNeeded);
        }
        let keys = self.load().await?;
        let Some(newest) = keys.last() else { return Ok(None) };
        let longest = keys.iter().map(|key| key.token_life).max().unwrap_or_default();
        let ends = self.clock.now() + longest + GRACE;
        let ended = self.rows.end_keys(newest.number, ends).await?;
        Ok((ended > 0).then_some(ends))
    }
}
