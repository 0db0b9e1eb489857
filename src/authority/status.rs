//! The state of this replica and of the database, for its operator.
//!
//! An operator asks when something is wrong, so the answer waits for no part that fails: what the
//! database does not tell in time is missing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Revocations;
use super::key_rotator::{KeyList, Listed};
use super::sweeper::{LastSweep, Pace, Sweep};
use crate::clock::{Clock, Timestamp};
use crate::store::figures::{Census, ConnectionFigures};
use crate::store::{Rows, StoreError, System};

/// How long the database may take. A longer time delays the answer when the database is down; a
/// shorter one loses answers of a slow database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a count of the sessions may take, which reads their whole table.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the state of this replica.
#[derive(Debug)]
pub struct StatusReader {
    rows: Arc<dyn Rows>,
    keys: KeyList,
    revocations: Arc<Revocations>,
    last_sweep: Arc<LastSweep>,
    clock: Arc<dyn Clock>,
    started_at: Timestamp,
}

/// The state of a replica.
#[derive(Debug, Clone)]
pub struct ReplicaStatus {
    /// When the replica started.
    pub started_at: Timestamp,
    /// When the state was read.
    pub now: Timestamp,
    /// The kind of database.
    pub system: System,
    /// The connections to the database.
    pub connections: ConnectionFigures,
    /// What the database told. `None`: it did not answer in time.
    pub database: Option<DatabaseStatus>,
    /// When this replica last confirmed that it knows every revocation. `None`: not yet.
    pub confirmed_at: Option<Timestamp>,
    /// Whether the known revocations are stale.
    pub is_stale: bool,
    /// How many revocations are held in memory.
    pub held: usize,
    /// How many watchers follow the revocations.
    pub watchers: usize,
    /// The last completed pass of the sweeper.
    pub last_sweep: Option<Sweep>,
    /// The keys. Empty: the database did not answer in time.
    pub keys: Vec<Listed>,
    /// The live sessions. `None`: they were not counted.
    pub live_sessions: Option<Vec<Census>>,
}

/// The answers of the database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseStatus {
    /// The size of the table of sessions in bytes.
    pub bytes: u64,
    /// How long the oldest row that should be swept has been overdue.
    pub overdue: Duration,
}

impl StatusReader {
    /// Creates a reader for a replica that starts now.
    #[must_use]
    pub fn new(
        rows: Arc<dyn Rows>,
        keys: KeyList,
        revocations: Arc<Revocations>,
        last_sweep: Arc<LastSweep>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let started_at = clock.now();
        Self { rows, keys, revocations, last_sweep, clock, started_at }
    }

    /// Reads the state. `count` asks for the number of live sessions, too.
    pub async fn read(&self, count: bool) -> ReplicaStatus {
        let database = timeout(DATABASE_TIMEOUT, self.database());
        let keys = timeout(DATABASE_TIMEOUT, self.keys.read());
        let counted = timeout(COUNT_TIMEOUT, self.count(count));
        let (database, keys, counted) = tokio::join!(database, keys, counted);
        ReplicaStatus {
            started_at: self.started_at,
            now: self.clock.now(),
            system: self.rows.system(),
            connections: self.rows.connections(),
            database: database.ok().and_then(Result::ok),
            confirmed_at: self.revocations.confirmed_at(),
            is_stale: self.revocations.is_stale(),
            held: self.revocations.len(),
            watchers: self.revocations.watchers(),
            last_sweep: self.last_sweep.get(),
            keys: keys.ok().and_then(Result::ok).unwrap_or_default(),
            live_sessions: counted.ok().and_then(Result::ok).flatten(),
        }
    }

    async fn database(&self) -> Result<DatabaseStatus, StoreError> {
        let bytes = self.rows.size().await?;
        let sweepable = self.clock.now() - Pace::default().retention;
        let first_due = self.rows.first_due().await?;
        let overdue = first_due.map_or(Duration::ZERO, |due| sweepable.since(due));
        Ok(DatabaseStatus { bytes, overdue })
    }

    async fn count(&self, wanted: bool) -> Result<Option<Vec<Census>>, StoreError> {
        if !wanted {
            return Ok(None);
        }
        Ok(Some(self.rows.census(self.clock.now()).await?))
    }
}
