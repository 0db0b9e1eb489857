//! The session token of the product's existing auth-server, which keeps its sessions in a table of
//! its own, as Better Auth does.
//!
//! Clients present it in one of two forms: plain, as it is in the table, or as it is in the
//! auth-server's cookie, `<token>.<signature>`. The signature is the base64 of an HMAC-SHA256 of
//! the token. A browser may percent-encode the cookie's value.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;

use super::id::UserId;
use super::{refresh, session_token};
use crate::clock::Timestamp;

const SIGNATURE: usize = 32;
/// The shortest token that is looked up. A shorter one can be guessed.
const MIN_TOKEN_BYTES: usize = 16;
const MAX_TOKEN_BYTES: usize = 255;

/// A session in the auth-server's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySession {
    /// The user who logged in.
    pub user_id: UserId,
    /// When it ends. It has expired at this moment.
    pub expires_at: Timestamp,
}

/// The key that signs the auth-server's cookies. Does not print.
#[derive(Clone)]
pub struct CookieKey(hmac::Key);

impl CookieKey {
    /// Creates the key from the auth-server's secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(…)")
    }
}

/// Returns whether a text can be such a token. A JWT has two dots, and the tokens of this service
/// have prefixes.
#[must_use]
pub fn is_candidate(text: &str) -> bool {
    let ours = [session_token::PREFIX, refresh::PREFIX];
    text.bytes().filter(|byte| *byte == b'.').count() < 2
        && !ours.iter().any(|prefix| text.starts_with(prefix))
}

/// A parsed token. Only the table knows whether it belongs to a session.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedLegacyToken<'a> {
    token: Cow<'a, str>,
    signature: Option<[u8; SIGNATURE]>,
}

impl<'a> UnverifiedLegacyToken<'a> {
    /// Parses a presented text in either form. Returns `None` if it is neither.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        // A token contains no percent sign, so decoding a plain token changes nothing.
        let text = percent_decode_str(text).decode_utf8().ok()?;
        let (token, signature) = match text.split_once('.') {
            Some((token, signature)) => (Cow::Owned(token.to_owned()), Some(read(signature)?)),
            None => (text, None),
        };
        let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b'.';
        let sound =
            (MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(legal);
        sound.then_some(Self { token, signature })
    }

    /// Returns whether it carries a signature.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Returns whether `key` made its signature. Compares in constant time.
    #[must_use]
    pub fn verify(&self, key: &CookieKey) -> bool {
        let made = hmac::sign(&key.0, self.token.as_bytes());
        self.signature.is_some_and(|signature| made.as_ref().ct_eq(&signature).into())
    }

    /// Returns the token as the table stores it. Secret.
    #[must_use]
    pub fn into_token(self) -> String {
        self.token.into_owned()
    }
}

impl fmt::Debug for UnverifiedLegacyToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedLegacyToken(…)")
    }
}

fn read(signature: &str) -> Option<[u8; SIGNATURE]> {
    STANDARD.decode(signature).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc38";
    const SECRET: &[u8] = b"kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa";
    // Computed with Node: createHmac("sha256", SECRET).update(TOKEN).digest("base64").
    const COOKIE: &str =
        "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc38.GoNXNwwBfL4oZfglEx3X1CdStXRnSKi9oZVI+/ReACQ=";

    fn parse(text: &str) -> UnverifiedLegacyToken<'_> {
        UnverifiedLegacyToken::parse(text).unwrap()
    }

    #[test]
    fn a_cookie_is_parsed_plain_and_encoded_and_its_signature_is_verified() {
        let encoded = COOKIE.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        for text in [COOKIE, &encoded] {
            assert!(is_candidate(text));
            let token = parse(text);
            assert!(token.is_signed() && token.verify(&CookieKey::new(SECRET)));
            assert!(!token.verify(&CookieKey::new(b"another")));
            assert_eq!(token.into_token(), TOKEN);
        }
        let plain = parse(TOKEN);
        assert!(!plain.is_signed() && !plain.verify(&CookieKey::new(SECRET)));
        assert_eq!(plain.into_token(), TOKEN);
    }

    #[test]
    fn other_texts_are_not_parsed() {
        let (token, signature) = COOKIE.split_once('.').unwrap();
        let long = "x".repeat(256);
        for bad in [
            "",
            "too-short",
            &long,
            &format!("{token}."),
            &format!(".{signature}"),
            &format!("{token}.{}", signature.trim_end_matches('=')),
            &format!("{token}.{signature}A"),
            &format!("{token}.{signature}.{signature}"),
            "a space is in this token",
            "a%20space%20is%20in%20this%20token",
            "not%FFutf-8%FFnot%FFutf-8",
            "a-nul-%00-is-in-this-token",
        ] {
            assert_eq!(UnverifiedLegacyToken::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn jwts_and_our_own_tokens_are_no_candidates() {
        for other in ["eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "tas_AAAA", "tar_AAAA"] {
            assert!(!is_candidate(other), "{other}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?} {:?}", parse(COOKIE), CookieKey::new(SECRET));
        assert_eq!(printed, "UnverifiedLegacyToken(…) CookieKey(…)");
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_signature_is_a_forgery(bit in 0..SIGNATURE * 8) {
            let (token, signature) = COOKIE.split_once('.').unwrap();
            let mut bytes = STANDARD.decode(signature).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("{token}.{}", STANDARD.encode(bytes));
            prop_assert!(!parse(&forged).verify(&CookieKey::new(SECRET)));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = UnverifiedLegacyToken::parse(&text);
        }
    }
}
