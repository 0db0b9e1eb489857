//! HMAC-SHA256 (RFC 7518 section 3.2): one secret signs and verifies. Backends hold it too.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Secret;

/// A key that is derived from a shared secret.
#[derive(Debug)]
pub struct Hs256 {
    kid: String,
    key: hmac::Key,
}

impl Hs256 {
    /// Creates the key of a secret. Its `kid` is derived from the secret, so every replica uses the
    /// same name, also after a restart.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let name = hmac::sign(&key, b"token-authority/kid/v1");
        let kid = format!("hs-{}", URL_SAFE_NO_PAD.encode(&name.as_ref()[..9]));
        Self { kid, key }
    }

    /// Its name (`kid`).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, message).as_ref().to_vec()
    }

    /// Returns whether `signature` is this key's signature of `message`. Compares in constant time.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.key, message, signature).is_ok()
    }
}
