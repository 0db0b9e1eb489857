//! The generated secret of development in the data directory: its path and its checks.
//! `app/secret_file.rs` creates it.

use std::io::ErrorKind;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::reader::{MIN_SECRET_BYTES, Reader};
use super::{Config, Environment};
use crate::keys::Secret;

/// The generated secret in the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptSecretError {
    /// The file exists and cannot be read.
    #[error("{}: {}; the file holds the generated JWT_SECRET", .0.display(), .1)]
    Unreadable(PathBuf, std::io::Error),
    /// The file holds fewer bytes than a secret needs.
    #[error(
        "{}: the generated JWT_SECRET must be at least {MIN_SECRET_BYTES} bytes long, but {} bytes \
         are left: restore the file, or delete it so that the next start creates a new secret, \
         which makes all earlier access tokens invalid",
        .0.display(),
        .1
    )]
    TooShort(PathBuf, usize),
}

impl Config {
    /// Returns the path of the generated secret.
    #[must_use]
    pub fn kept_secret_path(&self) -> PathBuf {
        self.data_dir.join("jwt_secret")
    }

    /// Returns the shared secret: the configured one, or the generated one if it exists.
    ///
    /// # Errors
    /// Returns [`KeptSecretError`] if the generated secret is used and cannot be read.
    pub fn shared_secret(&self) -> Result<Option<Secret>, KeptSecretError> {
        if self.uses_kept_secret() { self.kept_secret() } else { Ok(self.jwt_secret.clone()) }
    }

    /// Returns eight hex digits that identify an installation by its secrets without revealing
    /// them. Replicas with the same secrets have the same digits. `None`: there is no secret yet.
    #[must_use]
    pub fn installation_id(&self, shared_secret: Option<&Secret>) -> Option<String> {
        let secrets = [shared_secret, self.authority_secret.as_ref()];
        let fingerprints: Vec<_> = secrets.into_iter().flatten().map(Secret::fingerprint).collect();
        let text = format!("token-authority/installation/v1 {}", fingerprints.join(" "));
        (!fingerprints.is_empty()).then(|| hex::encode(&Sha256::digest(text)[..4]))
    }

    /// Returns whether the generated secret is used: in development, if `JWT_SECRET` is not set.
    #[must_use]
    pub fn uses_kept_secret(&self) -> bool {
        self.jwt_secret.is_none() && self.environment == Environment::Development
    }

    pub(super) fn check_kept_secret(&self, reader: &mut Reader<'_>) {
        if let (true, Err(problem)) = (self.uses_kept_secret(), self.kept_secret()) {
            reader.problem("JWT_SECRET", problem.to_string());
        }
    }

    /// Reads the generated secret. `None`: it has not been created yet.
    ///
    /// # Errors
    /// Returns [`KeptSecretError`] if the file cannot be read or is too short. It is never replaced
    /// silently: a new secret makes all access tokens invalid, so a person has to decide.
    pub fn kept_secret(&self) -> Result<Option<Secret>, KeptSecretError> {
        let path = self.kept_secret_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeptSecretError::Unreadable(path, error)),
        };
        let secret = bytes.trim_ascii_end();
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeptSecretError::TooShort(path, secret.len()));
        }
        Ok(Some(Secret::new(secret)))
    }
}
