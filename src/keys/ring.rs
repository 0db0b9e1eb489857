//! The key ring: the one key that signs, and all that verify.

use super::Secret;
use super::hs256::Hs256;
use crate::token::jws::{self, Unverified};

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token names a key that we do not have.
    UnknownKey,
    /// The signature does not fit, or its algorithm is not the key's own.
    BadSignature,
}

/// The keys of the service.
#[derive(Debug)]
pub struct KeyRing {
    header: String,
    active: Hs256,
    retiring: Vec<Hs256>,
}

impl KeyRing {
    /// A ring that signs with `active`, and verifies with `previous` secrets too.
    #[must_use]
    pub fn hs256(active: &Secret, previous: &[Secret]) -> Self {
        let active = Hs256::new(active);
        let header = jws::encode_header("HS256", active.kid());
        Self { header, active, retiring: previous.iter().map(Hs256::new).collect() }
    }

    /// Signs a payload as an access token.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        let sign = |signed: &[u8]| Ok::<_, std::convert::Infallible>(self.active.sign(signed));
        let Ok(token) = jws::assemble(&self.header, payload, sign);
        token
    }

    /// Verifies a token's signature with the key that it names; with the active key where it
    /// names none, as tokens do that other tools made from the same secret.
    ///
    /// # Errors
    /// Where we have no such key, or the signature is not that key's.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<(), Refusal> {
        let key = self.find(token.header.kid.as_deref()).ok_or(Refusal::UnknownKey)?;
        if token.header.alg != "HS256" {
            return Err(Refusal::BadSignature);
        }
        let signature = token.signature().map_err(|_| Refusal::BadSignature)?;
        if key.verify(token.signed.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(Refusal::BadSignature)
        }
    }

    fn find(&self, kid: Option<&str>) -> Option<&Hs256> {
        match kid {
            None => Some(&self.active),
            Some(kid) => {
                std::iter::once(&self.active).chain(&self.retiring).find(|key| key.kid() == kid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    fn verify(ring: &KeyRing, token: &str) -> Result<(), Refusal> {
        ring.verify(&Unverified::parse(token).unwrap())
    }

    #[test]
    fn a_retiring_secret_still_verifies() {
        let old = KeyRing::hs256(&secret(1), &[]);
        let new = KeyRing::hs256(&secret(2), &[secret(1)]);
        assert_eq!(verify(&new, &old.sign(b"{}")), Ok(()));
        assert_eq!(verify(&new, &new.sign(b"{}")), Ok(()));
        assert_eq!(verify(&old, &new.sign(b"{}")), Err(Refusal::UnknownKey));
    }

    #[test]
    fn the_key_decides_the_algorithm() {
        let ring = KeyRing::hs256(&secret(1), &[]);
        let token = ring.sign(b"{}");
        let (_, rest) = token.split_once('.').unwrap();
        for alg in ["none", "HS512", "RS256", "EdDSA", "hs256", ""] {
            let forged = format!("{}.{rest}", jws::encode_header(alg, ring.active.kid()));
            assert_eq!(verify(&ring, &forged), Err(Refusal::BadSignature), "{alg}");
        }
    }

    #[test]
    fn a_kid_tells_nothing_of_its_secret_but_its_identity() {
        let kid = Hs256::new(&secret(1)).kid().to_owned();
        assert_eq!(kid, Hs256::new(&secret(1)).kid());
        assert_ne!(kid, Hs256::new(&secret(2)).kid());
        assert_eq!(kid.len(), 15);
    }
}
