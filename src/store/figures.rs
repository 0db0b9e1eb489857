//! The numbers of a database that become metrics.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::token::method::AuthMethod;

/// The numbers of a database. Every method only reads.
#[async_trait]
pub trait Figures: fmt::Debug + Send + Sync + 'static {
    /// Returns the size of the table of sessions with its indexes, in bytes. On SQLite, returns the
    /// size of the file.
    async fn size(&self) -> Result<u64, StoreError>;

    /// Returns when the first row is due to be swept. `None` if there is no row.
    async fn first_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Counts the live sessions. Reads the whole table.
    async fn census(&self, now: Timestamp) -> Result<Vec<Census>, StoreError>;

    /// Returns the state of the connections to the database.
    fn connections(&self) -> ConnectionFigures;
}

/// The number of live sessions with one kind of access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// The kind of access token that these sessions were last given.
    pub auth_method: AuthMethod,
    /// The number of users who have such a session.
    pub users: u64,
    /// The number of sessions.
    pub sessions: u64,
    /// The number of these sessions whose refresh tokens are refused without their device.
    pub bound: u64,
}

/// The number of open and idle connections, and the time that callers waited for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionFigures {
    /// Open connections.
    pub open: u64,
    /// Open connections that are not in use.
    pub idle: u64,
    /// The number of times a connection was requested since the start.
    pub asked: u64,
    /// The total time that these requests waited, in microseconds.
    pub waited_micros: u64,
}
