//! The proofs that a browser's device sends, and the texts that come back from its cookie jar.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::device::{verify_registration, verify_renewal};
use crate::token::device::{ALGORITHMS, DeviceKey};
use crate::token::device_mac::{Binding, DeviceMacKey};
use crate::token::device_proof::{MAX_PROOF_BYTES, UnverifiedProof};

/// A parsed proof has three parts and an algorithm that was offered. A registration that verifies also
/// verifies as a renewal under its key, and under no other. No text is a binding, unless this service
/// made it.
pub(super) fn device_proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(Binding::verify(text, [&DeviceMacKey::derive(b"a secret of this test")]), None);
    let Some(proof) = UnverifiedProof::parse(text) else { return };
    assert!(text.len() <= MAX_PROOF_BYTES + 2 && text.contains(proof.signed));
    assert!(ALGORITHMS.contains(&proof.algorithm) && proof.signed.matches('.').count() == 1);
    let tail = format!("{}.{}", proof.signed, URL_SAFE_NO_PAD.encode(&proof.signature));
    assert_eq!(tail, text.trim_matches('"'), "a proof has one text");
    if let Some(key) = verify_registration(&proof) {
        assert!(verify_renewal(&proof, &key));
        assert_eq!(key.algorithm, proof.algorithm);
        let other = DeviceKey { jwk: "{}".to_owned(), ..key };
        assert!(!verify_renewal(&proof, &other));
    }
}
