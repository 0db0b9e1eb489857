//! The refresh token. It is opaque to its holder, this service recognizes it for the whole life of
//! its session, and only its hash is stored.
//!
//! Its text is `tar_` and 112 characters of base64url: the session's id (16 bytes), the token's
//! generation (4, big-endian), 32 random bytes, and an HMAC-SHA256 over all of these under the
//! session's own key. If the MAC is right, this service minted the token for that session, even if
//! its hash is no longer stored. If the MAC is wrong, the token is a forgery, and the session that
//! it names must not be touched.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::id::{Generation, SessionId};

/// The prefix of every refresh token. Scanners for leaked secrets recognize it.
pub const PREFIX: &str = "tar_";

const BODY: usize = 16 + 4 + 32 + 32;
const ENCODED_BODY: usize = BODY / 3 * 4;
const TEXT: usize = PREFIX.len() + ENCODED_BODY;
const MAC_CONTEXT: &[u8] = b"token-authority/refresh-token/v1";

/// The key that authenticates a session's refresh tokens. It is stored in the session's row. A
/// reader of the database can recognize tokens with it and cause a false theft alarm, but cannot
/// mint a token that works, because the current token's hash is stored too.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct LineageKey([u8; 32]);

impl LineageKey {
    /// Creates a key from random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn mac(&self, id: SessionId, generation: Generation, secret: &[u8; 32]) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(MAC_CONTEXT);
        context.update(id.as_uuid().as_bytes());
        context.update(&generation.number().to_be_bytes());
        context.update(secret);
        context.sign()
    }
}

impl fmt::Debug for LineageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineageKey(…)")
    }
}

/// A refresh token, as minted or as presented. Does not print.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct RefreshToken {
    #[zeroize(skip)]
    session_id: SessionId,
    #[zeroize(skip)]
    generation: Generation,
    secret: [u8; 32],
    mac: [u8; 32],
    /// Computed once, because a refresh needs it several times.
    #[zeroize(skip)]
    hash: TokenHash,
}

impl RefreshToken {
    /// Mints the token of a generation from 32 random bytes.
    #[must_use]
    pub fn mint(
        key: &LineageKey,
        session_id: SessionId,
        generation: Generation,
        secret: [u8; 32],
    ) -> Self {
        let mut mac = [0; 32];
        mac.copy_from_slice(key.mac(session_id, generation, &secret).as_ref());
        let hash = TokenHash::of(&*encode(session_id, generation, &secret, &mac));
        Self { session_id, generation, secret, mac, hash }
    }

    /// Parses a presented text. Only the exact text that [`Self::expose`] returns is a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        if encoded.len() != ENCODED_BODY {
            return None;
        }
        let mut body = [0; BODY];
        let read = URL_SAFE_NO_PAD.decode_slice_unchecked(encoded, &mut body).ok()?;
        // Equal bytes have one encoding only, so `text` is what `expose` would return.
        let token =
            (read == BODY).then(|| Self::from_body(&body, TokenHash::of(text.as_bytes())))?;
        body.zeroize();
        token
    }

    fn from_body(body: &[u8; BODY], hash: TokenHash) -> Option<Self> {
        let (id, rest) = body.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (secret, rest) = rest.split_first_chunk::<32>()?;
        Some(Self {
            session_id: SessionId::from(uuid::Uuid::from_bytes(*id)),
            generation: Generation::new(u32::from_be_bytes(*generation)),
            secret: *secret,
            mac: *rest.first_chunk::<32>()?,
            hash,
        })
    }

    /// Returns the text for the client. Secret.
    #[must_use]
    pub fn expose(&self) -> String {
        let text = encode(self.session_id, self.generation, &self.secret, &self.mac);
        // Base64url is ASCII.
        str::from_utf8(&*text).unwrap_or_default().to_owned()
    }

    /// Returns whether this service minted the token for the session of that key, at any time.
    #[must_use]
    pub fn is_authentic(&self, key: &LineageKey) -> bool {
        let expected = key.mac(self.session_id, self.generation, &self.secret);
        expected.as_ref().ct_eq(&self.mac).into()
    }

    /// The session that the token names.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// Its generation in the session.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The random bytes, which only the client knows. Secret.
    #[must_use]
    pub const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The hash that is stored.
    #[must_use]
    pub const fn hash(&self) -> TokenHash {
        self.hash
    }
}

/// Encodes a token's text.
fn encode(
    id: SessionId,
    generation: Generation,
    secret: &[u8; 32],
    mac: &[u8; 32],
) -> Zeroizing<[u8; TEXT]> {
    let mut body = Zeroizing::new([0; BODY]);
    body[..16].copy_from_slice(id.as_uuid().as_bytes());
    body[16..20].copy_from_slice(&generation.number().to_be_bytes());
    body[20..52].copy_from_slice(secret);
    body[52..].copy_from_slice(mac);
    let mut text = Zeroizing::new([0; TEXT]);
    text[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    // The text has exactly the length of the encoded body.
    let _ = URL_SAFE_NO_PAD.encode_slice(*body, &mut text[PREFIX.len()..]);
    text
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, {}, …)", self.session_id, self.generation.number())
    }
}

/// The SHA-256 of a refresh token's text. Stored as 64 hex digits.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Returns the 64 lower-case hex digits to store.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut digits = [0; 64];
        // Every byte has its two digits, and hex digits are ASCII.
        let _ = hex::encode_to_slice(self.0, &mut digits);
        str::from_utf8(&digits).unwrap_or_default().to_owned()
    }

    /// Parses a stored hash.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }
}

impl From<[u8; 32]> for TokenHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;

    fn token(generation: u32) -> (LineageKey, RefreshToken) {
        let key = LineageKey::new([7; 32]);
        let id = SessionId::new(Timestamp::from_seconds(1_700_000_000), [3; 10]);
        let token = RefreshToken::mint(&key, id, Generation::new(generation), [9; 32]);
        (key, token)
    }

    // The expected text was computed with Python's hmac module.
    #[test]
    fn the_text_form_is_fixed() {
        let (_, token) = token(5);
        assert_eq!(
            token.expose(),
            "tar_AYvP5WgAcwODAwMDAwMDAwAAAAUJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCavFj-SAsAmscQuzFvbNtP7k4Iv4J3lNjAP13fWImbaB"
        );
    }

    #[test]
    fn its_hash_is_the_sha256_of_its_text() {
        let (_, token) = token(5);
        let expected = Sha256::digest(token.expose().as_bytes());
        let hex = expected.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(token.hash().to_hex(), hex);
        assert_eq!(TokenHash::from_hex(&hex), Some(token.hash()));
        assert_eq!(TokenHash::from_hex(&hex[1..]), None);
        assert_eq!(TokenHash::from_hex(&"g".repeat(64)), None);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (key, token) = token(0);
        let printed = format!("{token:?} {key:?} {:?}", token.hash());
        assert!(!printed.contains(&token.expose()[30..60]));
        assert!(!printed.contains(&token.hash().to_hex()));
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(secret: [u8; 32], id: [u8; 16], generation: u32, key: [u8; 32]) {
            let key = LineageKey::new(key);
            let id = SessionId::from(uuid::Uuid::from_bytes(id));
            let token = RefreshToken::mint(&key, id, Generation::new(generation), secret);
            let read = RefreshToken::parse(&token.expose()).unwrap();
            prop_assert!(read == token && read.is_authentic(&key));
        }

        #[test]
        fn every_flipped_bit_is_a_forgery(bit in 0..BODY * 8) {
            let (key, token) = token(1);
            let mut body = URL_SAFE_NO_PAD.decode(&token.expose()[PREFIX.len()..]).unwrap();
            body[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body));
            prop_assert!(!RefreshToken::parse(&text).unwrap().is_authentic(&key));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            if let Some(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.expose(), text);
            }
        }
    }
}
