//! What an operator wants to know of a database, for metrics.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::token::method::AuthMethod;

/// A database's figures. Every method only reads.
#[async_trait]
pub trait Figures: fmt::Debug + Send + Sync + 'static {
    /// The size of the table of sessions with its indexes, in bytes. On SQLite, of the file.
    async fn size(&self) -> Result<u64, StoreError>;

    /// When the row is due that a sweeper has to look at first. `None`: there is none.
    async fn first_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The live sessions, counted. Reads the whole table.
    async fn census(&self, now: Timestamp) -> Result<Vec<Census>, StoreError>;

    /// The connections to it, as they stand now.
    fn connections(&self) -> ConnectionFigures;
}

/// The live sessions of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// What kind of access token they were last given.
    pub auth_method: AuthMethod,
    /// How many users have one.
    pub users: u64,
    /// How many there are.
    pub sessions: u64,
}

/// How many connections to the database are open and idle, and how long callers waited for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionFigures {
    /// Those that are open.
    pub open: u64,
    /// Those of them that nobody uses.
    pub idle: u64,
    /// How often one was asked for since the start.
    pub asked: u64,
    /// How long it took until one was there, in microseconds, added up since the start.
    pub waited_micros: u64,
}
