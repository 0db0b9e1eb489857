//! The operator's commands for stored keys: rotate, retire.

use super::{KeyError, KeyRotator, log_created};
use crate::clock::Timestamp;
use crate::keys::life::{self, Due, GRACE, SETTLE, State};
use crate::token::key::StoredKey;

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

impl KeyRotator {
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
