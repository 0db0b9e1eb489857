//! Keeping a token so that only a key outside the database opens it.
//!
//! A session's current refresh token is stored sealed under its predecessor, so that a client
//! whose reply was lost can be given the same successor again, while the database alone opens
//! nothing. A login's first tokens are stored sealed under the request's id in the same way, and
//! a private key under the service's own secret.
//!
//! AES-256-GCM under a key derived by HMAC-SHA256 from the opener, bound to the name of what it
//! belongs to and to what is sealed, with a random nonce before the ciphertext.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::id::SessionId;

/// A sealed text: nonce, ciphertext, tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes what was stored. Whether it is sound shows when it is opened.
    #[must_use]
    pub const fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// What is sealed; each has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A refresh token's successor, opened by the random bytes of the token before it.
    Successor,
    /// A login's first tokens, opened by the request's id.
    FirstTokens,
    /// The private half of a signing key, opened by the service's own secret.
    PrivateKey,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Successor => b"token-authority/seal/successor/v1",
            Self::FirstTokens => b"token-authority/seal/first-tokens/v1",
            Self::PrivateKey => b"token-authority/seal/private-key/v1",
        }
    }
}

/// Seals `plain` so that only `sealing_secret` opens it, for that session and purpose.
#[must_use]
pub fn seal(
    purpose: Purpose,
    sealing_secret: &[u8],
    session_id: SessionId,
    plain: &[u8],
    nonce: [u8; NONCE_LEN],
) -> Sealed {
    seal_for(purpose, sealing_secret, session_id.as_uuid().as_bytes(), plain, nonce)
}

/// As [`seal`], for what bears that `name`.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "AES-GCM refuses only texts beyond 64 GiB")]
#[expect(clippy::expect_used, reason = "AES-GCM refuses only texts beyond 64 GiB")]
pub fn seal_for(
    purpose: Purpose,
    sealing_secret: &[u8],
    name: &[u8],
    plain: &[u8],
    nonce: [u8; NONCE_LEN],
) -> Sealed {
    let key = derive(purpose, sealing_secret, name).expect("an HMAC-SHA256 is an AES-256 key");
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    let mut text = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .expect("the text is short");
    sealed.append(&mut text);
    Sealed(sealed)
}

/// Opens what was sealed for that session and purpose. `None` where `sealing_secret` is another one, or
/// the stored bytes were changed.
#[must_use]
pub fn open(
    purpose: Purpose,
    sealing_secret: &[u8],
    session_id: SessionId,
    sealed: &Sealed,
) -> Option<Vec<u8>> {
    open_for(purpose, sealing_secret, session_id.as_uuid().as_bytes(), sealed)
}

/// As [`open`], for what bears that `name`.
#[must_use]
pub fn open_for(
    purpose: Purpose,
    sealing_secret: &[u8],
    name: &[u8],
    sealed: &Sealed,
) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.0.split_first_chunk::<NONCE_LEN>()?;
    let key = derive(purpose, sealing_secret, name)?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

fn derive(purpose: Purpose, sealing_secret: &[u8], name: &[u8]) -> Option<LessSafeKey> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, sealing_secret));
    context.update(purpose.label());
    context.update(name);
    let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn only_the_same_opener_session_and_purpose_open_it() {
        let id = SessionId::new(Timestamp::from_seconds(1), [1; 10]);
        let other = SessionId::new(Timestamp::from_seconds(1), [2; 10]);
        let sealed = seal(Purpose::Successor, b"opener", id, b"successor", [5; 12]);
        assert_eq!(
            open(Purpose::Successor, b"opener", id, &sealed).as_deref(),
            Some(&b"successor"[..])
        );
        assert_eq!(open(Purpose::Successor, b"0pener", id, &sealed), None);
        assert_eq!(open(Purpose::Successor, b"opener", other, &sealed), None);
        assert_eq!(open(Purpose::FirstTokens, b"opener", id, &sealed), None);
        for byte in 0..sealed.as_bytes().len() {
            let mut changed = sealed.clone();
            changed.0[byte] ^= 1;
            assert_eq!(open(Purpose::Successor, b"opener", id, &changed), None);
        }
        let short = Sealed::from_stored(vec![0; 5]);
        assert_eq!(open(Purpose::Successor, b"opener", id, &short), None);
    }
}
