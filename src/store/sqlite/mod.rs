//! Sessions in an SQLite file, for one process that serves and others that administer.
//!
//! * `file`: the file and the connections to it
//! * `sql`, `write`: what is sent
//! * `rows`: [`Rows`](super::Rows)
//! * `rollouts`: [`Rollouts`](super::Rollouts) and [`Figures`](super::Figures)
//! * `inspect`: [`Inspect`](super::Inspect)
//! * `keys`: [`KeyRows`](super::KeyRows)
//! * `legacy`: [`LegacyRows`](super::LegacyRows)
//! * `migrate`: the schema
//! * `error`: what a failure means

mod error;
mod file;
mod inspect;
mod keys;
mod legacy;
mod migrate;
mod rollouts;
mod rows;
mod sql;
mod write;

use std::path::Path;
use std::sync::Arc;

use super::StoreError;

pub use inspect::SqliteInspection;
pub use legacy::SqliteLegacy;

/// Sessions in an SQLite file.
#[derive(Debug)]
pub struct SqliteRows {
    file: file::File,
}

/// Opens the SQLite file of that path. Makes it, readable for its owner alone, where there is
/// none.
///
/// # Errors
/// Where it can be neither opened nor made, or is no SQLite file.
pub async fn open(path: &Path) -> Result<Arc<SqliteRows>, StoreError> {
    Ok(Arc::new(SqliteRows { file: file::File::open(path).await? }))
}
