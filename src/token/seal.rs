//! Sealing: encryption of a stored secret under a key that is not in the database.
//!
//! A session's current refresh token is sealed under its predecessor. A client whose response was
//! lost can therefore get the same successor again, but a copy of the database cannot be used. In
//! the same way, a login's first tokens are sealed under the request's id, and a private key under
//! the service's own secret.
//!
//! The cipher is AES-256-GCM. Its key is derived by HMAC-SHA256 from the sealing secret, the purpose
//! and the name of the owner. A random nonce precedes the ciphertext.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::id::SessionId;

/// A sealed value: nonce, ciphertext and tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Wraps stored bytes. Only opening them shows whether they are intact.
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

/// The kind of sealed value. Each kind has its own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A refresh token's successor. The random bytes of its predecessor open it.
    Successor,
    /// A login's first tokens. The request's id opens them.
    FirstTokens,
    /// The private half of a signing key. The service's own secret opens it.
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

/// Seals `plain` for a session and a purpose. Only `sealing_secret` opens it.
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

/// Like [`seal`], for an owner with any `name`.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "AES-GCM refuses only texts of more than 64 GiB")]
#[expect(clippy::expect_used, reason = "AES-GCM refuses only texts of more than 64 GiB")]
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

/// Opens a value that was sealed for that session and purpose. Returns `None` if it was sealed
/// under another secret, or the stored bytes were changed.
#[must_use]
pub fn open(
    purpose: Purpose,
    sealing_secret: &[u8],
    session_id: SessionId,
    sealed: &Sealed,
) -> Option<Vec<u8>> {
    open_for(purpose, sealing_secret, session_id.as_uuid().as_bytes(), sealed)
}

/// Like [`open`], for an owner with any `name`.
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
    fn only_the_same_secret_session_and_purpose_open_it() {
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
