//! Key pairs: generate, seal, open and sign.
//!
//! A pair is parsed once and then reused. Signatures use the library's own randomness instead of
//! [`crate::clock::Entropy`]: Ed25519 needs none, and a predictable nonce would reveal an ECDSA key.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use zeroize::Zeroizing;

use super::Secret;
use super::jwk::PublicJwk;
use crate::token::key::Algorithm;
use crate::token::seal::{self, Purpose, Sealed};

/// The cryptographic library failed, or it does not support the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct CryptoError;

/// A key pair, ready to sign. Does not print.
pub enum KeyPair {
    /// For `EdDSA`.
    Ed25519(Ed25519KeyPair),
    /// For `ES256`.
    P256(EcdsaKeyPair),
    /// For `RS256`.
    Rsa(RsaKeyPair),
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.algorithm())
    }
}

impl KeyPair {
    /// Generates a pair. RSA takes up to a few seconds of CPU time, so do not call it on a thread of
    /// the async runtime.
    ///
    /// # Errors
    /// Returns [`CryptoError`] for HS256, whose keys are not pairs, or if the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, CryptoError> {
        match algorithm {
            Algorithm::Hs256 => Err(CryptoError),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Self::Ed25519).map_err(refused),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Self::P256)
                .map_err(refused),
            Algorithm::Rs256 => {
                RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rsa).map_err(refused)
            }
        }
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256(_) => Algorithm::Es256,
            Self::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// Signs a message.
    ///
    /// # Errors
    /// Returns [`CryptoError`] if the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Ed25519(key) => {
                key.try_sign(message).map(|signature| signature.as_ref().to_vec()).map_err(refused)
            }
            Self::P256(key) => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(refused),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(refused)?;
                Ok(signature)
            }
        }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicJwk {
        match self {
            Self::Ed25519(key) => PublicJwk::ed25519(key.public_key().as_ref()),
            Self::P256(key) => {
                // An uncompressed point: one byte for the format, then two coordinates.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                PublicJwk::p256(x, y)
            }
            Self::Rsa(key) => {
                let public = key.public_key();
                PublicJwk::rsa(
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                )
            }
        }
    }

    /// Seals its private half. Only `sealing_secret` opens it, and only under the pair's own name.
    ///
    /// # Errors
    /// Returns [`CryptoError`] if the library fails.
    pub fn seal(&self, sealing_secret: &Secret, nonce: [u8; 12]) -> Result<Sealed, CryptoError> {
        let plain = self.to_pkcs8()?;
        let kid = self.public().kid();
        let purpose = Purpose::PrivateKey;
        Ok(seal::seal_for(purpose, sealing_secret.expose(), kid.as_bytes(), &plain, nonce))
    }

    /// Opens a private half that [`Self::seal`] sealed. Returns `None` if it was sealed under another
    /// secret, or if it is not the key of that name and algorithm.
    #[must_use]
    pub fn open(
        algorithm: Algorithm,
        kid: &str,
        sealing_secret: &Secret,
        sealed: &Sealed,
    ) -> Option<Self> {
        let plain =
            seal::open_for(Purpose::PrivateKey, sealing_secret.expose(), kid.as_bytes(), sealed)?;
        let pair = Self::from_pkcs8(algorithm, &Zeroizing::new(plain))?;
        (pair.public().kid() == kid).then_some(pair)
    }

    fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let bytes = match self {
            Self::Ed25519(key) => key.to_pkcs8().map_err(refused)?.as_ref().to_vec(),
            Self::P256(key) => key.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
            Self::Rsa(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(refused)?;
                der.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(bytes))
    }

    fn from_pkcs8(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Hs256 => None,
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(bytes).map(Self::Ed25519).ok(),
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                .map(Self::P256)
                .ok(),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(bytes).map(Self::Rsa).ok(),
        }
    }
}

fn refused(_: aws_lc_rs::error::Unspecified) -> CryptoError {
    CryptoError
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];

    #[test]
    fn its_public_half_verifies_its_signatures() {
        for algorithm in PAIRS {
            let pair = KeyPair::generate(algorithm).unwrap();
            let public = PublicJwk::parse(&pair.public().canonical()).unwrap();
            let verifier = public.verifier(algorithm).unwrap();
            let signature = pair.sign(b"message").unwrap();
            assert!(verifier.verify_sig(b"message", &signature).is_ok(), "{algorithm}");
            assert!(verifier.verify_sig(b"massage", &signature).is_err(), "{algorithm}");
            assert!(verifier.verify_sig(b"message", &signature[1..]).is_err(), "{algorithm}");
            assert!(verifier.verify_sig(b"message", b"").is_err(), "{algorithm}");
        }
        assert!(KeyPair::generate(Algorithm::Hs256).is_err());
    }

    #[test]
    fn only_its_secret_and_its_name_open_it() {
        let (secret, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        for algorithm in PAIRS {
            let pair = KeyPair::generate(algorithm).unwrap();
            let kid = pair.public().kid();
            let sealed = pair.seal(&secret, [3; 12]).unwrap();
            let opened = KeyPair::open(algorithm, &kid, &secret, &sealed).unwrap();
            assert_eq!(opened.public(), pair.public());
            assert!(KeyPair::open(algorithm, &kid, &other, &sealed).is_none());
            assert!(KeyPair::open(algorithm, "other", &secret, &sealed).is_none());
            for another in Algorithm::ALL.into_iter().filter(|one| *one != algorithm) {
                assert!(KeyPair::open(another, &kid, &secret, &sealed).is_none());
            }
            let plain = pair.to_pkcs8().unwrap();
            let holds = |hay: &[u8], needle: &[u8]| hay.windows(16).any(|part| part == needle);
            assert!(!holds(sealed.as_bytes(), &plain[plain.len() - 16..]));
            assert_eq!(format!("{pair:?}"), format!("KeyPair({algorithm})"));
        }
    }

    // RFC 8037 appendix A.1 and A.4.
    #[test]
    fn ed25519_signs_as_in_rfc_8037() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let pair = KeyPair::Ed25519(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        assert_eq!(pair.public().kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        assert_eq!(
            URL_SAFE_NO_PAD.encode(pair.sign(signed).unwrap()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
