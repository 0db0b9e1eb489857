//! Keeps a second service away from an SQLite file.
//!
//! Two services on one file would each know only a part of the revocations in memory, and would
//! wait for each other at every write. Commands such as `sessions` and `keys` may run beside one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::store::StoreError;

/// A claim on an SQLite file, which ends when it is dropped or the process ends.
#[derive(Debug)]
pub struct FileClaim(#[expect(dead_code, reason = "its lock ends with it")] Option<File>);

/// Claims an SQLite file for a service. The lock is on a file beside it: closing any descriptor of
/// the database itself would drop SQLite's own locks.
///
/// # Errors
/// Returns [`StoreError::Unavailable`] if another service has the file, or if the lock cannot be
/// created.
pub fn claim(path: &Path) -> Result<FileClaim, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    let beside = Path::new(&beside);
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false).mode(0o600);
    let failed = |error: std::io::Error| {
        StoreError::Unavailable(format!("cannot create {}: {error}", beside.display()))
    };
    let mut file = options.open(beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // The number is only for people. Without it the lock works as well.
            let _ = file.set_len(0);
            let _ = write!(file, "{}", std::process::id());
            Ok(FileClaim(Some(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(StoreError::Unavailable(format!(
                "another service uses {} (process {holder}); stop it first, or use Postgres, which \
                 several services can share",
                path.display()
            )))
        }
        Err(TryLockError::Error(error)) => {
            // Some network file systems have no locks.
            tracing::warn!(%error, "cannot lock the SQLite file: keep other services away from it");
            Ok(FileClaim(None))
        }
    }
}
