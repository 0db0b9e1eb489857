//! The development secret: made once, kept in the data directory, so that a restart logs nobody
//! out and a first try needs no setting.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::AppError;
use crate::clock::{Entropy, draw};
use crate::config::{Config, Environment};
use crate::keys::Secret;

/// Where a data directory keeps it.
#[must_use]
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("jwt_secret")
}

/// The shared secret: the given one, or the kept one. With key pairs, one that is not there is
/// not made.
pub(super) fn resolve(config: &Config, entropy: &dyn Entropy) -> Result<Option<Secret>, AppError> {
    if config.jwt_secret.is_some() || config.environment == Environment::Production {
        return Ok(config.jwt_secret.clone());
    }
    let path = path(&config.data_dir);
    if config.keys.algorithm.is_asymmetric() && !path.exists() {
        return Ok(None);
    }
    let kept = keep(&path, entropy);
    kept.map(Some).map_err(|error| AppError::Io(path.display().to_string(), error))
}

fn keep(path: &Path, entropy: &dyn Entropy) -> io::Result<Secret> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let text = URL_SAFE_NO_PAD.encode(draw::<48>(entropy));
    // Written aside and linked into place: of two that start at once one wins, and neither ever
    // reads half a secret.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(Secret::new(std::fs::read_to_string(path)?.trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let first = keep(&path, &SeededEntropy::new(1)).unwrap();
        let second = keep(&path, &SeededEntropy::new(2)).unwrap();
        assert_eq!(first, second);
        assert!(first.expose().len() >= 32);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
