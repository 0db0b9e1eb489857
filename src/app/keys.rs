//! Creates the key ring from the configured secrets, and its rotator.

use std::sync::Arc;

use super::{AppError, secret_file};
use crate::authority::key_rotator::{KeyPolicy, KeyRotator};
use crate::clock::{OsEntropy, SystemClock};
use crate::config::Config;
use crate::keys::{DeviceKeys, FirstTokenKeys, KeyRing, SessionTokenKeys};
use crate::store::Rows;

/// The keys of the service.
#[derive(Debug)]
pub struct Keys {
    /// The keys of JWTs.
    pub ring: Arc<KeyRing>,
    /// The rotator of the key pairs, which has not started yet.
    pub key_rotator: KeyRotator,
    /// The keys of session tokens.
    pub session_tokens: SessionTokenKeys,
    /// The keys that seal the first tokens of a login.
    pub first_tokens: FirstTokenKeys,
    /// The keys of device-bound sessions. `None`: they are off.
    pub devices: Option<DeviceKeys>,
}

/// Creates the keys that the settings name.
///
/// # Errors
/// Returns [`AppError::Secret`] or [`AppError::Io`] if the generated secret can neither be read nor
/// created.
pub fn open(config: &Config, rows: &Arc<dyn Rows>) -> Result<Keys, AppError> {
    let secret = secret_file::resolve(config, &OsEntropy)?;
    let secrets: Vec<_> =
        secret.into_iter().chain(config.jwt_secret_previous.iter().cloned()).collect();
    let minting = config.authority_secret.as_ref().or_else(|| secrets.first());
    let minting = minting.ok_or_else(|| AppError::Server("there is no secret".to_owned()))?;
    let session_tokens = SessionTokenKeys::new(minting, secrets.iter());
    let first_tokens = FirstTokenKeys::new(minting, secrets.iter());
    let device_keys = |lifetime| DeviceKeys::new(minting, secrets.iter(), lifetime);
    let devices = config.device_binding.map(device_keys);
    let mut schedule = config.keys;
    schedule.has_secret = !secrets.is_empty();
    let sealing_secret =
        config.authority_secret.clone().filter(|_| schedule.algorithm.is_asymmetric());
    let ring = Arc::new(KeyRing::new(&secrets, sealing_secret.clone()));
    let token_life = config.tokens.access_lifetime;
    let policy = KeyPolicy { schedule, token_life, sealing_secret };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let key_rotator =
        KeyRotator::new(Arc::clone(rows) as _, Arc::clone(&ring), clock, entropy, policy);
    Ok(Keys { ring, key_rotator, session_tokens, first_tokens, devices })
}
