//! What a doctor asks a database. Nothing here changes anything, and no request needs it.

use std::fmt;

use async_trait::async_trait;

use super::rows::Schema;
use super::{RolloutChange, StoreError};
use crate::clock::Timestamp;
use crate::token::key::StoredKey;

/// A database as a doctor sees it. Every method only reads.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// Its clock and its manners.
    async fn status(&self) -> Result<DatabaseStatus, StoreError>;

    /// How its schema stands to this version.
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// How many rows a sweeper should have looked at before `due_before`; counts up to `most`.
    async fn overdue(&self, due_before: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// All key pairs, in the order of their numbers.
    async fn stored_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// The roll-out's last change. `None`: there was none yet.
    async fn rollout_change(&self) -> Result<Option<RolloutChange>, StoreError>;

    /// Where it is, without anything secret.
    fn place(&self) -> Place;

    /// Whether a transaction pooler is in between. Known once something was asked.
    fn is_pooled(&self) -> bool;

    /// Ends all connections.
    async fn close(&self);
}

/// A database's clock and manners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// What time it is there. `None`: it has no clock of its own.
    pub now: Option<Timestamp>,
    /// Whether it refuses to be written to, as a standby does.
    pub read_only: bool,
    /// Whether a commit is on the disk before it is answered.
    pub durable: bool,
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// For people to read: `host:port/database`, or a file's path.
    pub text: String,
    /// Whether a network lies in between that others may listen to.
    pub remote: bool,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
}
