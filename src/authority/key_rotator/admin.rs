//! What an operator does with stored keys: list, rotate, retire.

use std::collections::HashMap;

use super::{KeyError, KeyRotator, announce};
use crate::clock::Timestamp;
use crate::keys::life::{self, Due, GRACE, SETTLE, State};
use crate::token::key::{Algorithm, StoredKey};

/// How to rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Once verifiers know the new key.
    Published,
    /// As soon as every replica knows it. Verifiers that cache key sets may refuse its tokens
    /// until they look again.
    Now,
    /// As soon as every replica knows it, and all earlier pairs verify no more: their tokens are
    /// dead, and clients refresh.
    Compromised,
}

/// A key, for people to read.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Where it stands.
    pub state: State,
    /// When it was made. `None`: it is a secret from the settings.
    pub created_at: Option<Timestamp>,
    /// From when on it signs.
    pub signs_from: Option<Timestamp>,
    /// When a later key takes over.
    pub signs_until: Option<Timestamp>,
    /// When it verifies no more.
    pub ends: Option<Timestamp>,
    /// When it was last needed, to about a minute.
    pub last_verified_at: Option<Timestamp>,
}

impl KeyRotator {
    /// All keys: the secrets, then the stored ones by their numbers.
    ///
    /// # Errors
    /// Where the store fails.
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
                state: if signs { State::Active } else { State::Retiring },
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
                // Its algorithm is not the one that signs here.
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

    /// Makes the next key.
    ///
    /// # Errors
    /// Under HS256, where a key is prepared already, where another one was made at the same
    /// moment, or where the store fails.
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
        announce(&key, inserted);
        if !inserted {
            return Err(KeyError::Overtaken);
        }
        if rotation == Rotation::Compromised {
            self.rows.end_keys(newest, key.activates_at).await?;
        }
        Ok(key)
    }

    /// After a move back to HS256: has the stored keys end once the last token that they signed
    /// has expired. When that is; `None` where there was nothing to end.
    ///
    /// # Errors
    /// Under an asymmetric algorithm, or where the store fails.
    pub async fn retire(&mut self) -> Result<Option<Timestamp>, KeyError> {
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
