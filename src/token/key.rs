//! A signing key, as it is kept.

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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name, letter by letter.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Whether its keys have a public half that verifies and a private one that signs.
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

/// A key pair as the database keeps it. Its state follows from the clock and from the keys after
/// it, so nobody has to write it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its place in the line of keys, from 1. Taken once only: of two that make the next key at
    /// the same time, one does.
    pub number: i64,
    /// Its name: the thumbprint of its public half (RFC 7638).
    pub kid: String,
    /// Its algorithm's name, possibly one that only a newer version knows.
    pub algorithm: String,
    /// Its public half, as the JSON text whose SHA-256 is the thumbprint.
    pub public_jwk: String,
    /// Its private half (PKCS #8), sealed.
    pub private: Sealed,
    /// The fingerprint of the secret that opens it.
    pub sealed_with: String,
    /// From when on it is published.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub activates_at: Timestamp,
    /// How long the longest token lives that it may sign.
    pub token_life: Duration,
    /// When it verifies no more, whatever it has signed. `None`: when the last token that it
    /// signed has expired.
    pub ends_at: Option<Timestamp>,
}

/// A key seen at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Its name.
    pub kid: String,
    /// When a good token of its was last seen.
    pub last_verified_at: Timestamp,
}
