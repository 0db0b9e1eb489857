//! The storage of signing keys.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::token::key::{KeyUse, StoredKey};

/// Signing keys in a database. Every method is one atomic, durable step.
#[async_trait]
pub trait KeyRows: fmt::Debug + Send + Sync + 'static {
    /// Stores a key. Returns `false`, and stores nothing, if its number is taken. So if several
    /// replicas create the next key at the same time, one of them succeeds.
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError>;

    /// Returns all keys, ordered by number.
    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Raises the life of the tokens that a key may sign. A life that is longer already stays.
    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError>;

    /// Sets the end of every key up to this number, unless a key ends earlier already. Returns how
    /// many keys were changed.
    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError>;

    /// Deletes these keys and the records of their last use. Returns how many keys there were.
    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError>;

    /// Records when keys were last used, unless a later use is recorded. No key id may occur twice
    /// in one call.
    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;

    /// Returns when keys were last used, including keys that are not stored here.
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError>;
}
