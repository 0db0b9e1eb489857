//! The secret that development makes for itself and keeps in the data directory: where it is, and
//! what it has to be like. It is made in `app/secret_file.rs`.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::reader::{LEAST_SECRET, Reader};
use super::{Config, Environment};
use crate::keys::Secret;

impl Config {
    /// Where a secret is kept that was made for want of a given one.
    #[must_use]
    pub fn kept_secret_path(&self) -> PathBuf {
        self.data_dir.join("jwt_secret")
    }

    /// Whether the kept secret is the one that holds: in development, where none is given.
    #[must_use]
    pub fn uses_kept_secret(&self) -> bool {
        self.jwt_secret.is_none() && self.environment == Environment::Development
    }

    pub(super) fn check_kept_secret(&self, reader: &mut Reader<'_>) {
        if let (true, Err(problem)) = (self.uses_kept_secret(), self.kept_secret()) {
            reader.problem(problem);
        }
    }

    /// The kept secret, if one has been made.
    ///
    /// # Errors
    /// Where there is one that cannot be read or is too short: what became of it is for people to
    /// find out, and no new one may take its place unasked.
    pub fn kept_secret(&self) -> Result<Option<Secret>, String> {
        let path = self.kept_secret_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let secret = bytes.trim_ascii_end();
        if secret.len() < LEAST_SECRET {
            return Err(format!(
                "{}: the kept JWT_SECRET must be at least {LEAST_SECRET} bytes long, and {} are left \
                 of it: restore it; or delete it, and a new one is made, under which no access \
                 token of before is good",
                path.display(),
                secret.len()
            ));
        }
        Ok(Some(Secret::new(secret)))
    }
}
