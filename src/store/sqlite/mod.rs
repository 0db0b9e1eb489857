//! Sessions in an SQLite file, for one process that serves and for others that administer.
//!
//! * `file`: the file and its connections
//! * `sql`, `write`: the statements
//! * `rows`: [`Rows`](super::Rows)
//! * `decode`: reading sessions from rows
//! * `events`: [`EventRows`](super::EventRows)
//! * `feed`: the revocation feed
//! * `rollouts`: [`Rollouts`](super::Rollouts) and [`Figures`](super::Figures)
//! * `inspect`: [`Inspect`](super::Inspect)
//! * `keys`: [`KeyRows`](super::KeyRows)
//! * `legacy`: [`LegacyRows`](super::LegacyRows)
//! * `migrate`: the schema
//! * `lock`: one service for a file
//! * `backup`: a copy while the service runs
//! * `error`: the meaning of failures

mod backup;
mod decode;
mod error;
mod events;
mod feed;
mod file;
mod inspect;
mod keys;
mod legacy;
mod lock;
mod migrate;
mod rollouts;
mod rows;
mod sql;
mod write;

use std::path::Path;
use std::sync::Arc;

use super::StoreError;

pub use backup::backup;
pub use inspect::SqliteInspection;
pub use legacy::SqliteLegacy;
pub use lock::{FileClaim, claim};

/// Sessions in an SQLite file.
#[derive(Debug)]
pub struct SqliteRows {
    file: file::File,
}

/// Opens the SQLite file at that path. Creates it, readable only for its owner, if it does not
/// exist.
///
/// # Errors
/// Returns an error if the file can be neither opened nor created, or is not an SQLite file.
pub async fn open(path: &Path) -> Result<Arc<SqliteRows>, StoreError> {
    Ok(Arc::new(SqliteRows { file: file::File::open(path).await? }))
}
