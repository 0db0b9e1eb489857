//! One loaded key. It signs, verifies, or both, always with its own algorithm.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::Value;

use super::Secret;
use super::hs256::Hs256;
use super::jwk::PublicJwk;
use super::pair::{CryptoError, KeyPair};
use super::verify_error::VerifyError;
use crate::clock::Timestamp;
use crate::token::jws::{self, Unverified};
use crate::token::key::{Algorithm, KeyUse, StoredKey};
use crate::token::seal::Sealed;

/// The resolution of the last use. With a lower value, validations would write the atomic more
/// often.
const RESOLUTION: Duration = Duration::from_secs(1);

/// A loaded key.
#[derive(Debug)]
pub struct Key {
    kid: String,
    algorithm: Algorithm,
    header: String,
    material: Material,
    /// When it last verified a valid token, in microseconds. 0: not since the start.
    last_verified: AtomicI64,
}

#[derive(Debug)]
enum Material {
    Shared(Box<Hs256>),
    Pair { public: PublicJwk, verifier: ParsedPublicKey, signer: Option<KeyPair> },
}

/// A stored key is unusable: another version wrote it, or someone tampered with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl Key {
    /// Creates the key of a shared secret.
    #[must_use]
    pub fn shared(secret: &Secret) -> Self {
        let key = Hs256::new(secret);
        Self::of(key.kid().to_owned(), Algorithm::Hs256, Material::Shared(Box::new(key)))
    }

    /// Loads a stored key pair. It can sign if `sealing_secret` opens its private half.
    ///
    /// # Errors
    /// Returns [`Unreadable`] if the public half does not match the key's name, or this version does
    /// not know the algorithm.
    pub fn stored(stored: &StoredKey, sealing_secret: Option<&Secret>) -> Result<Self, Unreadable> {
        let algorithm = Algorithm::named(&stored.algorithm).ok_or(Unreadable)?;
        let public = PublicJwk::parse(&stored.public_jwk).ok_or(Unreadable)?;
        let verifier = public.verifier(algorithm).ok_or(Unreadable)?;
        if public.kid() != stored.kid {
            return Err(Unreadable);
        }
        let open =
            |sealing_secret| KeyPair::open(algorithm, &stored.kid, sealing_secret, &stored.private);
        let signer = sealing_secret.and_then(open);
        let material = Material::Pair { public, verifier, signer };
        Ok(Self::of(stored.kid.clone(), algorithm, material))
    }

    fn of(kid: String, algorithm: Algorithm, material: Material) -> Self {
        let header = jws::encode_header(algorithm.as_str(), &kid);
        Self { kid, algorithm, header, material, last_verified: AtomicI64::new(0) }
    }

    /// Its name (`kid`).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns whether it can sign.
    #[must_use]
    pub const fn can_sign(&self) -> bool {
        !matches!(&self.material, Material::Pair { signer: None, .. })
    }

    /// Signs a payload and returns the access token.
    ///
    /// # Errors
    /// Returns [`CryptoError`] if the key cannot sign, or the cryptographic library fails.
    pub fn sign(&self, payload: &[u8]) -> Result<String, CryptoError> {
        jws::assemble(&self.header, payload, |signed| match &self.material {
            Material::Shared(key) => Ok(key.sign(signed)),
            Material::Pair { signer, .. } => signer.as_ref().ok_or(CryptoError)?.sign(signed),
        })
    }

    /// Verifies a token's signature. A token whose `alg` is not the key's algorithm is refused
    /// without a computation.
    ///
    /// # Errors
    /// Returns [`VerifyError::BadSignature`] if this key did not make the signature.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<(), VerifyError> {
        if token.header.alg != Some(self.algorithm) {
            return Err(VerifyError::BadSignature);
        }
        let signature = token.signature().map_err(|_| VerifyError::BadSignature)?;
        let signed = token.signed.as_bytes();
        let fits = match &self.material {
            Material::Shared(key) => key.verify(signed, &signature),
            Material::Pair { verifier, .. } => verifier.verify_sig(signed, &signature).is_ok(),
        };
        if fits { Ok(()) } else { Err(VerifyError::BadSignature) }
    }

    /// Returns the key for the published JWK Set. `None`: it is a shared secret.
    #[must_use]
    pub fn published(&self) -> Option<Value> {
        match &self.material {
            Material::Shared(_) => None,
            Material::Pair { public, .. } => Some(public.published(self.algorithm, &self.kid)),
        }
    }

    /// Records that it verified a valid token.
    pub fn note_use(&self, now: Timestamp) {
        let last = Timestamp::from_micros(self.last_verified.load(Ordering::Relaxed));
        if now > last + RESOLUTION {
            self.last_verified.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    /// Returns when it last verified a valid token. `None`: not since the start.
    #[must_use]
    pub fn last_use(&self) -> Option<KeyUse> {
        let micros = self.last_verified.load(Ordering::Relaxed);
        let last_verified_at = Timestamp::from_micros(micros);
        (micros > 0).then(|| KeyUse { kid: self.kid.clone(), last_verified_at })
    }
}

/// A new key pair, ready to be stored.
#[derive(Debug)]
pub struct NewPair {
    /// Its name (`kid`).
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its public half as canonical JSON.
    pub public_jwk: String,
    /// Its sealed private half.
    pub private: Sealed,
    /// The fingerprint of the secret that opens it.
    pub sealed_with: String,
}

impl NewPair {
    /// Generates and seals a key pair. Do not call it on a thread of the async runtime: see
    /// [`KeyPair::generate`].
    ///
    /// # Errors
    /// Returns [`CryptoError`] like [`KeyPair::generate`].
    pub fn make(
        algorithm: Algorithm,
        sealing_secret: &Secret,
        nonce: [u8; 12],
    ) -> Result<Self, CryptoError> {
        let pair = KeyPair::generate(algorithm)?;
        let public = pair.public();
        Ok(Self {
            kid: public.kid(),
            algorithm,
            public_jwk: public.canonical(),
            private: pair.seal(sealing_secret, nonce)?,
            sealed_with: sealing_secret.fingerprint(),
        })
    }

    /// Converts it to the stored form.
    #[must_use]
    pub fn stored(self, due: super::life::Due, now: Timestamp, token_life: Duration) -> StoredKey {
        StoredKey {
            number: due.number,
            kid: self.kid,
            algorithm: self.algorithm.as_str().to_owned(),
            public_jwk: self.public_jwk,
            private: self.private,
            sealed_with: self.sealed_with,
            created_at: now,
            activates_at: due.activates_at,
            token_life,
            ends_at: None,
        }
    }
}
