//! The session token: an opaque access token, which is valid as long as its session.
//!
//! Its text is `tas_` and 107 characters of base64url: the session's id (16 bytes), the token's own
//! id (16 bytes), which contains the generation of the refresh token from the same response, the
//! times of issue and expiry in seconds (8 bytes each, big-endian), and an HMAC-SHA256 over all of
//! these. The MAC's key is not in the database, so a reader of the database cannot mint tokens, and
//! a flood of forged tokens never reaches the database.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::id::{AccessTokenId, SessionId};

/// The prefix of every session token. Scanners for leaked secrets recognize it.
pub const PREFIX: &str = "tas_";

const SIGNED: usize = 16 + 16 + 8 + 8;
const MAC: usize = 32;
const BODY: usize = SIGNED + MAC;
const ENCODED_BODY: usize = (BODY * 4).div_ceil(3);
const KEY_LABEL: &[u8] = b"token-authority/session-token/v1";

/// A key that authenticates session tokens. Does not print.
#[derive(Clone)]
pub struct SessionTokenKey(hmac::Key);

impl SessionTokenKey {
    /// Derives the key from a secret as the HMAC of a label. No other use of the secret produces the
    /// same key.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), KEY_LABEL);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }
}

impl fmt::Debug for SessionTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTokenKey(…)")
    }
}

/// The contents of a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClaims {
    /// Its session.
    pub session_id: SessionId,
    /// Its own id.
    pub id: AccessTokenId,
    /// When it was minted, in seconds.
    pub issued_at: i64,
    /// When it ends, in seconds. It has expired at this moment.
    pub expires_at: i64,
}

impl SessionClaims {
    fn to_bytes(self) -> [u8; SIGNED] {
        let mut bytes = [0; SIGNED];
        bytes[..16].copy_from_slice(self.session_id.as_uuid().as_bytes());
        bytes[16..32].copy_from_slice(self.id.as_bytes());
        bytes[32..40].copy_from_slice(&self.issued_at.to_be_bytes());
        bytes[40..].copy_from_slice(&self.expires_at.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; SIGNED]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (issued_at, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            session_id: SessionId::from(uuid::Uuid::from_bytes(*session)),
            id: AccessTokenId::from_bytes(*id),
            issued_at: i64::from_be_bytes(*issued_at),
            expires_at: i64::from_be_bytes(*rest.first_chunk::<8>()?),
        })
    }
}

/// Returns whether a text has a session token's prefix.
#[must_use]
pub fn is_named(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Mints a session token's text. Secret.
#[must_use]
pub fn mint(key: &SessionTokenKey, claims: SessionClaims) -> String {
    let signed = claims.to_bytes();
    let mut body = [0; BODY];
    body[..SIGNED].copy_from_slice(&signed);
    body[SIGNED..].copy_from_slice(hmac::sign(&key.0, &signed).as_ref());
    let mut text = String::with_capacity(PREFIX.len() + ENCODED_BODY);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(body, &mut text);
    text
}

/// A parsed session token. Do not trust its contents before its MAC was verified.
#[derive(Clone, Copy)]
pub struct UnverifiedSessionToken {
    signed: [u8; SIGNED],
    mac: [u8; MAC],
}

impl UnverifiedSessionToken {
    /// Parses a presented text. Only the exact text that [`mint`] returns is a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        if encoded.len() != ENCODED_BODY {
            return None;
        }
        let mut body = [0; BODY + 1];
        let read = URL_SAFE_NO_PAD.decode_slice(encoded, &mut body).ok()?;
        let (signed, rest) = body.get(..read)?.split_first_chunk::<SIGNED>()?;
        Some(Self { signed: *signed, mac: rest.try_into().ok()? })
    }

    /// Returns its contents if one of these keys made its MAC.
    #[must_use]
    pub fn verify<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a SessionTokenKey>,
    ) -> Option<SessionClaims> {
        let made_it = |key: &SessionTokenKey| {
            bool::from(hmac::sign(&key.0, &self.signed).as_ref().ct_eq(&self.mac))
        };
        keys.into_iter().any(made_it).then(|| SessionClaims::from_bytes(&self.signed)).flatten()
    }
}

impl fmt::Debug for UnverifiedSessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedSessionToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::token::id::{Epoch, Generation};
    use proptest::prelude::*;

    fn key(byte: u8) -> SessionTokenKey {
        SessionTokenKey::derive(&[byte; 32])
    }

    fn claims() -> SessionClaims {
        SessionClaims {
            session_id: SessionId::new(Timestamp::from_seconds(1_700_000_000), [3; 10]),
            id: AccessTokenId::new(Generation::new(5), Epoch::FIRST, [9; 12]),
            issued_at: 1_700_000_000,
            expires_at: 1_700_001_800,
        }
    }

    // The expected text was computed with Python's hmac module.
    #[test]
    fn the_text_form_is_fixed() {
        assert_eq!(
            mint(&key(1), claims()),
            "tas_AYvP5WgAcwODAwMDAwMDAwkJCQkJCYkJiQkJCQAAAAUAAAAAZVPxAAAAAABlU_gIkDr3PdxWrUCZP4Ut378_srvR9gSL6VGx468YSJ-Y5_o"
        );
    }

    #[test]
    fn any_of_the_keys_may_have_minted_it() {
        let token = UnverifiedSessionToken::parse(&mint(&key(1), claims())).unwrap();
        assert_eq!(token.verify([&key(2), &key(1)]), Some(claims()));
        assert_eq!(token.verify([&key(2)]), None);
        assert_eq!(token.verify([]), None);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let text = mint(&key(1), claims());
        let token = UnverifiedSessionToken::parse(&text).unwrap();
        assert_eq!(
            format!("{token:?} {:?}", key(1)),
            "UnverifiedSessionToken(…) SessionTokenKey(…)"
        );
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(id: [u8; 16], random: [u8; 12], generation: u32, issued_at: i64, expires_at: i64) {
            let claims = SessionClaims {
                session_id: SessionId::from(uuid::Uuid::from_bytes(id)),
                id: AccessTokenId::new(Generation::new(generation), Epoch::FIRST, random),
                issued_at,
                expires_at,
            };
            let text = mint(&key(1), claims);
            let token = UnverifiedSessionToken::parse(&text).unwrap();
            prop_assert_eq!(token.verify([&key(1)]), Some(claims));
            prop_assert_eq!(
                AccessTokenId::generation_of(&claims.id.to_string()),
                Some(Generation::new(generation))
            );
        }

        #[test]
        fn every_flipped_bit_is_a_forgery(bit in 0..BODY * 8) {
            let text = mint(&key(1), claims());
            let mut body = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
            body[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body));
            prop_assert_eq!(UnverifiedSessionToken::parse(&text).unwrap().verify([&key(1)]), None);
        }

        #[test]
        fn no_two_texts_are_the_same_token(position in 0..ENCODED_BODY, other in "[A-Za-z0-9_-]") {
            let text = mint(&key(1), claims());
            let at = PREFIX.len() + position;
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            let read = UnverifiedSessionToken::parse(&changed);
            prop_assert_eq!(read.and_then(|token| token.verify([&key(1)])).is_some(), changed == text);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = UnverifiedSessionToken::parse(&text);
            let _ = UnverifiedSessionToken::parse(&format!("{PREFIX}{text}"));
        }
    }
}
