//! A signing key as it is stored.

use std::fmt;
use std::time::Duration;

use super::seal::Sealed;
use crate::clock::Timestamp;

/// How access tokens are signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: one secret signs and verifies.
    Hs256,
    /// Ed25519.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, with a modulus of 2048 bits.
    Rs256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::EdDsa, Self::Es256, Self::Rs256];

    /// The name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// Finds an algorithm by its exact name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Returns whether its keys are pairs: a private half signs, and a public half verifies.
    #[must_use]
    pub const fn is_asymmetric(self) -> bool {
        !matches!(self, Self::Hs256)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key pair as the database stores it. Its state is not stored: it follows from the clock and
/// from the keys after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its position in the sequence of keys, from 1. It is unique, so if two replicas create the
    /// next key at the same time, only one of them succeeds.
    pub number: i64,
    /// Its name (`kid`): the thumbprint of its public half (RFC 7638).
    pub kid: String,
    /// The name of its algorithm. Only a newer version may know it.
    pub algorithm: String,
    /// Its public half as the JSON text whose SHA-256 is the thumbprint.
    pub public_jwk: String,
    /// Its encrypted private half (PKCS #8).
    pub private: Sealed,
    /// The fingerprint of the secret that decrypts the private half.
    pub sealed_with: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub activates_at: Timestamp,
    /// The longest lifetime of a token that it may sign.
    pub token_life: Duration,
    /// When it stops verifying, even if its tokens have not expired. `None`: it stops when the
    /// last token that it signed has expired.
    pub ends_at: Option<Timestamp>,
}

/// The last use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Its name.
    pub kid: String,
    /// When it last verified a valid token.
    pub last_verified_at: Timestamp,
}
