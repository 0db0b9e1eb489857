//! A copy of the file while the service runs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _};

use super::error::store_error;
use super::file::to_read;
use super::sql;
use crate::store::StoreError;

/// Copies the SQLite file at `path` to a new file `to`, readable only for its owner. The copy is
/// one consistent state with every commit until now, and needs no files beside it. Writers are not
/// stopped.
///
/// # Errors
/// Returns an error if `to` exists or cannot be written, or if the file cannot be read.
pub async fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    let mut draft = to.as_os_str().to_owned();
    draft.push(".partial");
    let draft = Path::new(&draft);
    let target = |error: io::Error| {
        StoreError::Unavailable(format!("cannot write the backup {}: {error}", to.display()))
    };
    if to.symlink_metadata().is_ok() {
        let exists = io::Error::other("the file exists; name a new one");
        return Err(target(exists));
    }
    // SQLite would create it readable for everyone. It accepts an empty file.
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft);
    made.map_err(target)?;
    let copied = copy(path, draft).await;
    let kept = copied.and_then(|()| keep(draft, to).map_err(target));
    if kept.is_err() {
        // The draft is incomplete. The next attempt would overwrite it as well.
        let _ = std::fs::remove_file(draft);
    }
    kept
}

async fn copy(path: &Path, draft: &Path) -> Result<(), StoreError> {
    let text = draft.to_str().ok_or_else(|| {
        StoreError::Unavailable("cannot write the backup: its path is not UTF-8".into())
    })?;
    let copying = async {
        let mut connection = to_read(path).connect().await?;
        sqlx::query(sql::BACKUP).bind(text.to_owned()).execute(&mut connection).await?;
        connection.close().await
    };
    copying.await.map_err(|error| store_error(&error).at(&path.display().to_string()))
}

/// Gives the complete copy its name, once it is on the disk.
fn keep(draft: &Path, to: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    // A link fails if another file has the name by now; a rename would replace it.
    std::fs::hard_link(draft, to)?;
    std::fs::remove_file(draft)?;
    if let Some(folder) = to.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
