//! The development secret: made once, kept in the data directory, so that a restart logs nobody
//! out and a first try needs no setting.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::AppError;
use crate::clock::{Entropy, draw};
use crate::config::Config;
use crate::keys::Secret;

/// The shared secret: the given one, or the kept one. With key pairs, one that is not there is
/// not made.
pub(super) fn resolve(config: &Config, entropy: &dyn Entropy) -> Result<Option<Secret>, AppError> {
    if !config.uses_kept_secret() {
        return Ok(config.jwt_secret.clone());
    }
    let kept = config.kept_secret().map_err(AppError::Secret)?;
    if kept.is_some() || config.keys.algorithm.is_asymmetric() {
        return Ok(kept);
    }
    let path = config.kept_secret_path();
    make(&path, entropy).map_err(|error| AppError::Io(path.display().to_string(), error))?;
    config.kept_secret().map_err(AppError::Secret)
}

/// Makes one where there is none.
fn make(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
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
        _ => Ok(()),
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
        let path = dir.path().join("data/jwt_secret");
        let [first, second] = [1, 2].map(|seed| {
            make(&path, &SeededEntropy::new(seed)).unwrap();
            std::fs::read(&path).unwrap()
        });
        assert_eq!(first, second);
        assert!(first.len() >= 32);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
