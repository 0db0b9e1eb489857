//! API keys: a caller sends its key as `Authorization: Bearer` (RFC 6750) or as `Basic` (RFC 7617,
//! in the form of RFC 6749 section 2.3.1).
//!
//! A key is 32 random bytes, so it can neither be guessed nor be found from its SHA-256. The slow
//! hashes that passwords need would only slow down every call. The prefix lets secret scanners
//! recognise a leaked key.

use std::fmt;
use std::hash::{Hash, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::denied::Denied;
use crate::clock::{Entropy, draw};

/// The prefix of every API key.
pub const PREFIX: &str = "tak_";

/// Makes an API key. The clear text is shown once and stored nowhere.
#[must_use]
pub fn make_key(entropy: &dyn Entropy) -> Zeroizing<String> {
    let bytes = Zeroizing::new(draw::<32>(entropy));
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
    Zeroizing::new(format!("{PREFIX}{}", *text))
}

/// The SHA-256 of an API key. Two of them are compared in constant time.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Hashes a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Parses 64 hex digits; `None` if the text is anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Returns the hash as 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// The credential of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presented {
    /// The hash of the key.
    pub(super) hash: KeyHash,
    /// The caller's name, if the request uses `Basic`.
    pub(super) name: Option<String>,
}

/// Reads a request's credential; `None` if it has none.
///
/// # Errors
/// Returns [`Denied::Unauthenticated`] if the credential is malformed, or if there are several.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Denied> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let (scheme, rest) =
        text.and_then(|text| text.split_once(' ')).ok_or(Denied::Unauthenticated)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Presented { hash: KeyHash::of(rest), name: None }));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(rest).ok_or(Denied::Unauthenticated).map(Some);
    }
    Err(Denied::Unauthenticated)
}

fn basic(encoded: &str) -> Option<Presented> {
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (name, key) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let key = Zeroizing::new(form_decoded(key)?);
    Some(Presented { hash: KeyHash::of(&key), name: Some(form_decoded(name)?) })
}

/// Parses a `Basic` credential. OAuth 2 clients form-encode both parts (RFC 6749 section 2.3.1) and
/// other clients do not. Names and keys hold no character that form encoding changes.
fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    form_urlencoded::parse(text.as_bytes()).next().map(|(decoded, _)| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;
    use http::HeaderValue;

    fn read(values: &[&str]) -> Result<Option<Presented>, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        presented(&headers)
    }

    #[test]
    fn both_schemes_are_read() {
        let hash = KeyHash::of("tak_x");
        let of = |name: Option<&str>| Ok(Some(Presented { hash, name: name.map(Into::into) }));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer tak_x"]), of(None));
        assert_eq!(read(&["bearer  tak_x "]), of(None));
        let basic = |text: &str| read(&[&format!("Basic {}", STANDARD.encode(text))]);
        assert_eq!(basic("web:tak_x"), of(Some("web")));
        assert_eq!(basic("web%2D1:tak%5Fx"), of(Some("web-1")));
        for bad in ["web", "web:", ":tak_x", "web:tak_x&", "web=:tak_x"] {
            assert_eq!(basic(bad), Err(Denied::Unauthenticated), "{bad}");
        }
    }

    #[test]
    fn an_unreadable_credential_is_refused_and_not_ignored() {
        for bad in ["", "Bearer", "tak_x", "Digest tak_x", "Basic !", "Basic d2Vi"] {
            assert_eq!(read(&[bad]), Err(Denied::Unauthenticated), "{bad}");
        }
        assert_eq!(read(&["Bearer tak_x", "Bearer tak_y"]), Err(Denied::Unauthenticated));
    }

    #[test]
    fn keys_are_long_differ_and_are_kept_as_hashes() {
        let (one, two) = (make_key(&SeededEntropy::new(1)), make_key(&SeededEntropy::new(2)));
        assert!(one.starts_with(PREFIX) && one.len() == PREFIX.len() + 43);
        assert_ne!(*one, *two);
        let hash = KeyHash::of(&one);
        assert_eq!(KeyHash::from_hex(&hash.to_hex()), Some(hash));
        assert_ne!(hash, KeyHash::of(&two));
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(KeyHash::from_hex(bad), None);
        }
    }
}
