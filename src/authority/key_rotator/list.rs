//! The list of all keys with their states, for operators.

use std::collections::HashMap;
use std::sync::Arc;

use super::{KeyError, KeyRotator};
use crate::clock::{Clock, Timestamp};
use crate::keys::KeyRing;
use crate::keys::life::{self, State};
use crate::store::{KeyRows, StoreError};
use crate::token::key::Algorithm;

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

/// Lists the keys. The ring has to be loaded: a rotator does that.
#[derive(Debug, Clone)]
pub struct KeyList {
    rows: Arc<dyn KeyRows>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    /// Whether the settings sign with stored keys.
    signs_with_pairs: bool,
}

impl KeyRotator {
    /// Returns the list of the keys that this rotator loads.
    #[must_use]
    pub fn key_list(&self) -> KeyList {
        KeyList {
            rows: Arc::clone(&self.rows),
            ring: Arc::clone(&self.ring),
            clock: Arc::clone(&self.clock),
            signs_with_pairs: self.signs_with_pairs(),
        }
    }

    /// Loads and lists all keys.
    ///
    /// # Errors
    /// Returns [`KeyError::Store`] if the store fails.
    pub async fn list(&mut self) -> Result<Vec<Listed>, KeyError> {
        self.load().await?;
        Ok(self.key_list().read().await?)
    }
}

impl KeyList {
    /// Lists all keys: the shared secrets, then the stored keys by their numbers.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn read(&self) -> Result<Vec<Listed>, StoreError> {
        let keys = self.rows.load_keys().await?;
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
                State::Active if !self.signs_with_pairs && span.ends.is_none() => State::Verifying,
                State::Active if !self.signs_with_pairs => State::Retiring,
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
}
