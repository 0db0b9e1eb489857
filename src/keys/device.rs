//! The keys of device-bound sessions: those that authenticate bindings and challenges, and the
//! verification of a device's proof.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::Secret;
use super::jwk::PublicJwk;
use crate::clock::Timestamp;
use crate::token::device::{DeviceKey, Thumbprint};
use crate::token::device_mac::{Binding, Challenges, DeviceMacKey, Purpose};
use crate::token::device_proof::{BroughtKey, UnverifiedProof};
use crate::token::id::SessionId;

/// The lengths of a modulus that are accepted, in bytes: 2048 to 4096 bits. A longer one makes each proof
/// more expensive to verify.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// The longest exponent, in bytes. The usual one has three.
const MAX_EXPONENT_BYTES: usize = 4;

/// The keys that authenticate bindings and challenges. Each is derived from a secret of the settings.
#[derive(Debug)]
pub struct DeviceKeys {
    active: DeviceMacKey,
    others: Vec<DeviceMacKey>,
    lifetime: Duration,
}

impl DeviceKeys {
    /// Creates the keys. The key of `active` mints. The keys of `others` also verify, so changing a secret
    /// unbinds nobody. A binding lives for `lifetime`.
    #[must_use]
    pub fn new<'a>(
        active: &Secret,
        others: impl IntoIterator<Item = &'a Secret>,
        lifetime: Duration,
    ) -> Self {
        let derive = |secret: &Secret| DeviceMacKey::derive(secret.expose());
        Self { active: derive(active), others: others.into_iter().map(derive).collect(), lifetime }
    }

    /// How long a binding lives.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Mints the text of a binding. Secret.
    #[must_use]
    pub fn bind(&self, session_id: SessionId, thumbprint: Thumbprint, now: Timestamp) -> String {
        let expires_at = (now + self.lifetime).as_seconds();
        Binding { session_id, thumbprint, expires_at }.mint(&self.active)
    }

    /// Returns the device of a presented binding if it is valid for that session at `now`.
    #[must_use]
    pub fn device_of(
        &self,
        text: &str,
        session_id: SessionId,
        now: Timestamp,
    ) -> Option<Thumbprint> {
        let binding = Binding::verify(text, self.all())?;
        let is_valid = binding.session_id == session_id && now.as_seconds() < binding.expires_at;
        is_valid.then_some(binding.thumbprint)
    }

    /// Mints a challenge.
    #[must_use]
    pub fn challenge(&self, session_id: SessionId, purpose: Purpose, now: Timestamp) -> String {
        self.challenges(session_id, purpose).mint(&self.active, now)
    }

    /// Returns whether a challenge is one of this session for this purpose, and recent.
    #[must_use]
    pub fn accepts(
        &self,
        challenge: &str,
        session_id: SessionId,
        purpose: Purpose,
        now: Timestamp,
    ) -> bool {
        self.challenges(session_id, purpose).accepts(challenge, self.all(), now)
    }

    fn challenges(&self, session_id: SessionId, purpose: Purpose) -> Challenges {
        Challenges { session_id, purpose, step: self.lifetime }
    }

    fn all(&self) -> impl Iterator<Item = &DeviceMacKey> {
        std::iter::once(&self.active).chain(&self.others)
    }
}

/// Verifies the proof of a registration, and returns the key that it brings. Returns `None` if it brings
/// none, if the key is weak, or if another key signed.
#[must_use]
pub fn verify_registration(proof: &UnverifiedProof<'_>) -> Option<DeviceKey> {
    let jwk = public_jwk(proof.key.as_ref()?)?;
    let verifier = jwk.verifier(proof.algorithm)?;
    verifier.verify_sig(proof.signed.as_bytes(), &proof.signature).ok()?;
    let jwk = jwk.canonical();
    let hash = digest(&SHA256, jwk.as_bytes());
    let thumbprint = Thumbprint::new(hash.as_ref().try_into().ok()?);
    Some(DeviceKey { jwk, thumbprint, algorithm: proof.algorithm })
}

/// Returns whether the device with this key made the proof. A key that the proof brings does not matter.
#[must_use]
pub fn verify_renewal(proof: &UnverifiedProof<'_>, key: &DeviceKey) -> bool {
    if proof.algorithm != key.algorithm {
        return false;
    }
    let verifier = PublicJwk::parse(&key.jwk).and_then(|jwk| jwk.verifier(key.algorithm));
    verifier.is_some_and(|verifier| {
        verifier.verify_sig(proof.signed.as_bytes(), &proof.signature).is_ok()
    })
}

/// Checks the lengths of a key. The library checks the rest.
fn public_jwk(key: &BroughtKey) -> Option<PublicJwk> {
    match key {
        BroughtKey::P256 { x, y } => {
            (x.len() == 32 && y.len() == 32).then(|| PublicJwk::p256(x, y))
        }
        BroughtKey::Rsa { n, e } => {
            let is_number = |bytes: &[u8]| bytes.first().is_some_and(|first| *first != 0);
            let is_fit = MODULUS_BYTES.contains(&n.len()) && e.len() <= MAX_EXPONENT_BYTES;
            (is_fit && is_number(n) && is_number(e)).then(|| PublicJwk::rsa(n, e))
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::keys::pair::KeyPair;
    use crate::token::key::Algorithm;
    use crate::token::refresh::TokenHash;

    const LIFETIME: Duration = Duration::from_mins(5);

    fn id(byte: u8) -> SessionId {
        SessionId::new(Timestamp::from_seconds(1), [byte; 10])
    }

    fn proof(pair: &KeyPair, header: &serde_json::Value) -> String {
        let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(&serde_json::json!({ "jti": "c" })));
        let signature = pair.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn header(pair: &KeyPair, algorithm: Algorithm) -> serde_json::Value {
        let jwk: serde_json::Value = serde_json::from_str(&pair.public().canonical()).unwrap();
        serde_json::json!({ "alg": algorithm.as_str(), "typ": "dbsc+jwt", "jwk": jwk })
    }

    #[test]
    fn a_registered_key_renews_and_no_other() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let pair = KeyPair::generate(algorithm).unwrap();
            let other = KeyPair::generate(algorithm).unwrap();
            let text = proof(&pair, &header(&pair, algorithm));
            let key = verify_registration(&UnverifiedProof::parse(&text).unwrap()).unwrap();
            assert_eq!(key.thumbprint.to_string(), pair.public().kid());
            assert_eq!((key.algorithm, &key.jwk), (algorithm, &pair.public().canonical()));
            let plain = serde_json::json!({ "alg": algorithm.as_str(), "typ": "dbsc+jwt" });
            for (signer, renews) in [(&pair, true), (&other, false)] {
                let text = proof(signer, &plain);
                let renewal = UnverifiedProof::parse(&text).unwrap();
                assert_eq!(verify_renewal(&renewal, &key), renews, "{algorithm}");
                assert!(verify_registration(&renewal).is_none(), "it brings no key");
            }
            let foreign = proof(&other, &header(&pair, algorithm));
            assert!(verify_registration(&UnverifiedProof::parse(&foreign).unwrap()).is_none());
            let brought = proof(&other, &header(&other, algorithm));
            assert!(!verify_renewal(&UnverifiedProof::parse(&brought).unwrap(), &key));
        }
    }

    #[test]
    fn a_signature_of_another_algorithm_is_refused() {
        let (ec, rsa) =
            (KeyPair::generate(Algorithm::Es256).unwrap(), KeyPair::generate(Algorithm::Rs256));
        let text = proof(&ec, &header(&ec, Algorithm::Es256));
        let key = verify_registration(&UnverifiedProof::parse(&text).unwrap()).unwrap();
        let plain = serde_json::json!({ "alg": "RS256", "typ": "dbsc+jwt" });
        let text = proof(&rsa.unwrap(), &plain);
        assert!(!verify_renewal(&UnverifiedProof::parse(&text).unwrap(), &key));
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        let rsa =
            |n: &[u8], e: &[u8]| public_jwk(&BroughtKey::Rsa { n: n.to_vec(), e: e.to_vec() });
        assert!(rsa(&[0xff; 256], &[1, 0, 1]).is_some());
        assert!(rsa(&[0xff; 128], &[1, 0, 1]).is_none(), "1024 bits");
        assert!(rsa(&[&[0; 128][..], &[0xff; 128]].concat(), &[1, 0, 1]).is_none(), "padded");
        assert!(rsa(&[0xff; 1024], &[1, 0, 1]).is_none(), "8192 bits");
        assert!(rsa(&[0xff; 256], &[0xff; 5]).is_none() && rsa(&[0xff; 256], &[]).is_none());
        let point = BroughtKey::P256 { x: vec![1; 32], y: vec![1; 32] };
        let jwk = public_jwk(&point).unwrap();
        assert!(jwk.verifier(Algorithm::Es256).is_none(), "it is not on the curve");
        let short = BroughtKey::P256 { x: vec![1; 31], y: vec![1; 32] };
        assert!(public_jwk(&short).is_none());
    }

    #[test]
    fn changing_a_secret_unbinds_nobody() {
        let secrets = [[1; 32], [2; 32], [3; 32]].map(Secret::new);
        let before = DeviceKeys::new(&secrets[0], [], LIFETIME);
        let after = DeviceKeys::new(&secrets[1], [&secrets[2], &secrets[0]], LIFETIME);
        let (now, device) = (Timestamp::from_seconds(1000), Thumbprint::new([5; 32]));
        let bound = before.bind(id(1), device, now);
        assert_eq!(after.device_of(&bound, id(1), now), Some(device));
        assert_eq!(after.device_of(&bound, id(2), now), None, "another session's");
        assert_eq!(after.device_of(&bound, id(1), now + LIFETIME), None, "expired");
        assert_eq!(before.device_of(&after.bind(id(1), device, now), id(1), now), None);
        let purpose = Purpose::Renewal(device);
        let challenge = before.challenge(id(1), purpose, now);
        assert!(after.accepts(&challenge, id(1), purpose, now));
        let registration = Purpose::Registration(TokenHash::from([5; 32]));
        assert!(!after.accepts(&challenge, id(1), registration, now));
        assert!(!after.accepts(&challenge, id(2), purpose, now));
    }
}
