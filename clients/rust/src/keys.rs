//! The keys that verify: shared secrets, and the public keys of a JWK Set.
//!
//! A token names its key by `kid`; the key, never the token, decides the algorithm (RFC 8725
//! section 3.1).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Reason;
use crate::jws::Unverified;

const KID_LABEL: &[u8] = b"token-authority/kid/v1";
/// The part of the label's code that is in a secret's name: 9 bytes in base64url.
const KID_LENGTH: usize = 12;
/// The length of a coordinate of P-256, and of a public key of Ed25519.
const COORDINATE: usize = 32;
/// The shortest RSA modulus that RFC 7518 section 3.3 allows.
const LEAST_MODULUS: usize = 256;

/// Keys by their names.
pub(crate) type Keys = HashMap<String, Arc<Key>>;

/// A key that verifies with its own algorithm.
pub(crate) struct Key {
    pub(crate) kid: String,
    algorithm: Algorithm,
    material: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Key {
    /// The key of a shared secret. `None`: the cryptographic library fails.
    pub(crate) fn shared(secret: &[u8]) -> Option<Self> {
        let signing = EncodingKey::from_secret(secret);
        let name = jsonwebtoken::crypto::sign(KID_LABEL, &signing, Algorithm::HS256).ok()?;
        let kid = format!("hs-{}", name.get(..KID_LENGTH)?);
        Some(Self { kid, algorithm: Algorithm::HS256, material: DecodingKey::from_secret(secret) })
    }

    /// A public key. `None`: it is none of an algorithm that the service signs with.
    fn public(jwk: &Jwk) -> Option<Self> {
        let (algorithm, name, key) = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                let x = coordinate(jwk.x.as_ref())?;
                (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_components(x).ok()?)
            }
            ("EC", Some("P-256")) => {
                let x = coordinate(jwk.x.as_ref())?;
                let y = coordinate(jwk.y.as_ref())?;
                (Algorithm::ES256, "ES256", DecodingKey::from_ec_components(x, y).ok()?)
            }
            ("RSA", _) => {
                let (n, e) = (jwk.n.as_deref()?, jwk.e.as_deref()?);
                let is_long = URL_SAFE_NO_PAD.decode(n).ok()?.len() >= LEAST_MODULUS;
                let key = is_long.then(|| DecodingKey::from_rsa_components(n, e).ok())??;
                (Algorithm::RS256, "RS256", key)
            }
            _ => return None,
        };
        let is_for = |said: Option<&str>, wanted| said.is_none_or(|said| said == wanted);
        (is_for(jwk.alg.as_deref(), name) && is_for(jwk.usage.as_deref(), "sig")).then(|| Self {
            kid: jwk.kid.clone(),
            algorithm,
            material: key,
        })
    }

    /// Verifies a token's signature.
    pub(crate) fn verify(&self, token: &Unverified<'_>) -> Result<(), Reason> {
        let alg = match self.algorithm {
            Algorithm::HS256 => "HS256",
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            _ => "RS256",
        };
        if token.header.alg.as_deref() != Some(alg) {
            return Err(Reason::BadSignature);
        }
        let covered = token.covered.as_bytes();
        match jsonwebtoken::crypto::verify(token.signature, covered, &self.material, self.algorithm)
        {
            Ok(true) => Ok(()),
            _ => Err(Reason::BadSignature),
        }
    }
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
}

/// A member that has to be as long as a coordinate.
fn coordinate(member: Option<&String>) -> Option<&str> {
    let text = member?;
    (URL_SAFE_NO_PAD.decode(text).ok()?.len() == COORDINATE).then_some(text)
}

/// Reads a JWK Set (RFC 7517 section 5). Keys of other kinds are left out. `None`: it is no JWK Set.
pub(crate) fn read_set(set: &Value) -> Option<Keys> {
    let members = set.get("keys")?.as_array()?;
    let keys = members.iter().filter_map(|member| Key::public(&Jwk::deserialize(member).ok()?));
    Some(keys.map(|key| (key.kid.clone(), Arc::new(key))).collect())
}
