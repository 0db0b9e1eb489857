//! The queries of `doctor`. They change nothing, and no request needs them.

use std::fmt;

use async_trait::async_trait;

use super::rows::Schema;
use super::{RolloutChange, StoreError};
use crate::clock::Timestamp;
use crate::token::key::StoredKey;

/// A database that `doctor` examines. Every method only reads.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// Returns the database's clock and its write settings.
    async fn status(&self) -> Result<DatabaseStatus, StoreError>;

    /// Compares the database's schema with this version's.
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// Returns the tables and indexes of our names that this service did not create. They would
    /// stop a migration.
    async fn foreign_objects(&self) -> Result<Vec<String>, StoreError>;

    /// Returns what the database's role may do. `None` if the database has no roles.
    async fn privileges(&self) -> Result<Option<Privileges>, StoreError>;

    /// Counts the rows that should have been swept before `due_before`, up to `limit`.
    async fn overdue(&self, due_before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Returns all key pairs, ordered by number.
    async fn stored_keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Returns the last change of the roll-out. `None` if there was no change yet.
    async fn rollout_change(&self) -> Result<Option<RolloutChange>, StoreError>;

    /// Returns where the database is, without any secret.
    fn place(&self) -> Place;

    /// Returns whether a transaction pooler is between this service and the database. Known after
    /// the first query.
    fn is_pooled(&self) -> bool;

    /// Closes all connections.
    async fn close(&self);
}

/// A database's clock and write settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// The time by the database's clock. `None` if it has no clock of its own.
    pub now: Option<Timestamp>,
    /// Whether the database refuses writes, as a standby does.
    pub read_only: bool,
    /// Whether a commit is on the disk before it is acknowledged.
    pub durable: bool,
}

/// What a database's role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// The role.
    pub role: String,
    /// The schema that new tables are created in. `None` if it does not exist.
    pub schema: Option<String>,
    /// Whether the role may create tables there.
    pub may_create: bool,
    /// Our tables that the role may not both read and write.
    pub closed_tables: Vec<String>,
}

/// The location of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A text for people: `host:port/database`, or a file's path.
    pub text: String,
    /// Whether the connection crosses a network that others may listen to.
    pub remote: bool,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
}
