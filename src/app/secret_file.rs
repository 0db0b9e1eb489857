//! The generated secret of development. It is created once and kept in the data directory, so that a
//! first start needs no setting and a restart logs nobody out.

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

/// Returns the shared secret: the configured one, or the one in the data directory. With key pairs, a
/// missing secret is not created.
pub(super) fn resolve(config: &Config, entropy: &dyn Entropy) -> Result<Option<Secret>, AppError> {
    let secret = config.shared_secret()?;
    if secret.is_some() || !config.uses_kept_secret() || config.keys.algorithm.is_asymmetric() {
        return Ok(secret);
    }
    let path = config.kept_secret_path();
    create(&path, entropy).map_err(|error| {
        let what = format!(
            "cannot write {} (set DATA_DIR to a writable folder, or JWT_SECRET)",
            path.display()
        );
        AppError::Io(what, error)
    })?;
    Ok(config.kept_secret()?)
}

/// Creates the secret if there is none.
fn create(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let text = URL_SAFE_NO_PAD.encode(draw::<48>(entropy));
    // The secret is written to a draft and then linked into place. If two processes start at once,
    // one of them wins, and neither ever reads half a secret.
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
    fn the_secret_is_created_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/jwt_secret");
        let [first, second] = [1, 2].map(|seed| {
            create(&path, &SeededEntropy::new(seed)).unwrap();
            std::fs::read(&path).unwrap()
        });
        assert_eq!(first, second);
        assert!(first.len() >= 32);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
