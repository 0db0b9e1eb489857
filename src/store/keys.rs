//! What a database has to offer for signing keys.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::token::key::{KeyUse, StoredKey};

/// Signing keys in a database. Every method is one atomic, durable step.
#[async_trait]
pub trait KeyRows: fmt::Debug + Send + Sync + 'static {
    /// Stores a key. `false` where its number is taken: it is not stored. So of several who make
    /// the next key at the same time, one does.
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError>;

    /// All keys, in the order of their numbers.
    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Lets a key sign tokens that live that long, unless it already may sign longer-lived ones.
    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError>;

    /// Has every key up to this number end at that moment, unless it is to end earlier. How many
    /// now end there.
    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError>;

    /// Deletes these keys, and when they were last used. How many there were.
    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError>;

    /// Records when keys were last seen at work, unless they were seen later. No name comes twice
    /// in one call.
    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;

    /// When keys were last seen at work, whether stored here or not.
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError>;
}
