//! A secret from the settings.

use std::fmt;

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;
use zeroize::ZeroizeOnDrop;

/// The bytes of a secret. Does not print.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps a secret's bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes. Pass them only to cryptographic functions.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns eight hex digits that identify the secret in logs and messages without revealing it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, b"token-authority/fingerprint/v1");
        hex::encode(&tag.as_ref()[..4])
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_fingerprint_identifies_a_secret() {
        let print = Secret::new([1; 32]).fingerprint();
        assert_eq!(print, Secret::new([1; 32]).fingerprint());
        assert_ne!(print, Secret::new([2; 32]).fingerprint());
        assert!(print.len() == 8 && print.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(format!("{:?}", Secret::new([1; 32])), "Secret(…)");
        // printf token-authority/fingerprint/v1 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(Secret::new("0123456789abcdef0123456789abcdef").fingerprint(), "62af4780");
    }
}
