//! The compact form of a signed token (RFC 7515 section 3.1): taking it apart and putting it
//! together. Signing and verifying are the key ring's.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeSliceError, Engine as _};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::key::Algorithm;

/// The longest text that is looked at: above any token that we mint (every audience, scope and
/// claim at its bound make 40 KiB), and so short that a flood of the longest ones costs little.
pub const MOST_BYTES: usize = 64 * 1024;

/// A longer signature is none of ours: RSA's are 256 bytes, the others' shorter.
const LONGEST_SIGNATURE: usize = 512;

/// A longer header is decoded on the heap: ours are some 80 bytes.
const USUAL_HEADER: usize = 256;

/// Not a signed token in compact form, or one whose header asks for what we do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A token taken apart. Nothing in it is to be trusted until its signature was verified.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// What the signature covers: the first two parts and the dot between them.
    pub signed: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// The header.
    pub header: Header,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Where it is not three parts of base64url, its header is no JSON object, or the header
    /// names a critical extension (RFC 7515 section 4.1.11: none is known here).
    pub fn parse(token: &'a str) -> Result<Self, Malformed> {
        if token.len() > MOST_BYTES {
            return Err(Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed)?;
        if payload.contains('.') {
            return Err(Malformed);
        }
        let header = Header::decode(header)?;
        if header.critical {
            return Err(Malformed);
        }
        Ok(Self { signed, payload, signature, header })
    }

    /// The signature's bytes.
    ///
    /// # Errors
    /// Where the part is no base64url, or longer than any signature.
    pub fn signature(&self) -> Result<Signature, Malformed> {
        let mut bytes = [0; LONGEST_SIGNATURE];
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut bytes);
        Ok(Signature { bytes, length: length.map_err(|_| Malformed)? })
    }

    /// The payload's bytes, to be read once the signature was verified.
    ///
    /// # Errors
    /// Where the part is no base64url.
    pub fn payload(&self) -> Result<Vec<u8>, Malformed> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Malformed)
    }
}

/// A signature's bytes.
#[derive(Debug)]
pub struct Signature {
    bytes: [u8; LONGEST_SIGNATURE],
    length: usize,
}

impl Deref for Signature {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The part of a token's header that decides anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `alg`, if it is one that we know: compared with the key's own algorithm, never choosing it.
    pub alg: Option<Algorithm>,
    /// `kid`: which key signed.
    pub kid: Option<String>,
    /// Whether `typ` says access token (RFC 9068 section 4).
    pub is_access_token: bool,
    /// Names a critical extension.
    critical: bool,
}

impl Header {
    fn decode(part: &str) -> Result<Self, Malformed> {
        let mut usual = [0; USUAL_HEADER];
        let read = |json: &[u8]| serde_json::from_slice(json).map_err(|_| Malformed);
        match URL_SAFE_NO_PAD.decode_slice(part, &mut usual) {
            Ok(length) => read(usual.get(..length).unwrap_or_default()),
            Err(DecodeSliceError::OutputSliceTooSmall) => {
                read(&URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed)?)
            }
            Err(DecodeSliceError::DecodeError(_)) => Err(Malformed),
        }
    }
}

fn says_access_token(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
}

/// A text of a JSON document, copied only where it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    // Of a name that comes twice the last one counts, as in the verifiers that backends use
    // (RFC 7515 section 4 allows it): the same verdict matters more than either choice.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "alg" => header.alg = Algorithm::named(&map.next_value::<Text<'de>>()?.0),
                "kid" => header.kid = Some(map.next_value()?),
                "typ" => {
                    header.is_access_token = says_access_token(&map.next_value::<Text<'de>>()?.0);
                }
                "crit" => {
                    header.critical = true;
                    map.next_value::<IgnoredAny>()?;
                }
                // Also a key that the token brings along (`jwk`, `jku`, `x5c`, `x5u`): nobody
                // looks at it, as with the verifiers that backends use.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(header)
    }
}

/// The first part of every access token that one key signs.
#[must_use]
pub fn encode_header(alg: &str, kid: &str) -> String {
    let header = serde_json::json!({ "alg": alg, "typ": "at+jwt", "kid": kid });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

/// Puts a token together: `sign` signs the first two parts.
///
/// # Errors
/// What `sign` answers.
pub fn assemble<E>(
    encoded_header: &str,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let mut token = String::with_capacity(encoded_header.len() + payload.len() * 4 / 3 + 100);
    token.push_str(encoded_header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_header(json: &str) -> String {
        format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn takes_apart_what_it_put_together() {
        let header = encode_header("HS256", "k1");
        let token = assemble(&header, b"{}", |signed| Ok::<_, Malformed>(signed.to_vec())).unwrap();
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.header.alg, Some(Algorithm::Hs256));
        assert_eq!(parts.header.kid.as_deref(), Some("k1"));
        assert!(parts.header.is_access_token);
        assert_eq!(parts.payload().unwrap(), b"{}");
        assert_eq!(*parts.signature().unwrap(), *parts.signed.as_bytes());
    }

    #[test]
    fn what_is_no_signed_token_is_malformed() {
        let jwe = "a.b.c.d.e";
        for bad in ["", ".", "..", "e30", "e30.e30", jwe, "=.e30.e30", "bm8.e30.e30"] {
            assert!(Unverified::parse(bad).is_err(), "{bad}");
        }
        for header in ["[]", "1", "{", r#"{"alg":1}"#, r#"{"alg":"HS256","kid":null}"#] {
            assert!(Unverified::parse(&with_header(header)).is_err(), "{header}");
        }
        let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
        assert!(Unverified::parse(&with_header(&deep)).is_ok(), "skipped without recursion");
        assert!(Unverified::parse(&"x".repeat(MOST_BYTES + 1)).is_err());
    }

    #[test]
    fn a_header_may_not_demand_extensions_and_a_key_that_it_brings_is_ignored() {
        let parse = |name| {
            let token = with_header(&format!(r#"{{"alg":"HS256","{name}":["x"]}}"#));
            Unverified::parse(&token).map(|parts| parts.header)
        };
        assert!(parse("crit").is_err());
        let plain = Header { alg: Some(Algorithm::Hs256), ..Default::default() };
        for name in ["jwk", "jku", "x5u", "x5c"] {
            assert_eq!(parse(name).as_ref(), Ok(&plain), "{name}");
        }
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_counts() {
        let token = with_header(r#"{"alg":"none","alg":"HS256","typ":"JWT","typ":"AT+jwt"}"#);
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.header.alg, Some(Algorithm::Hs256));
        assert!(parts.header.is_access_token);
    }

    #[test]
    fn a_header_of_any_length_is_read() {
        for length in [0, 100, 255, 256, 257, 5000] {
            let token =
                with_header(&format!(r#"{{"x":"{}","kid":"k\u0031"}}"#, "y".repeat(length)));
            let header = Unverified::parse(&token).unwrap().header;
            assert_eq!(header.kid.as_deref(), Some("k1"), "{length}");
        }
        let signature = "A".repeat(683);
        assert_eq!(Unverified { signature: &signature, ..parts() }.signature().unwrap().len(), 512);
        let signature = "A".repeat(684);
        assert!(Unverified { signature: &signature, ..parts() }.signature().is_err());
    }

    fn parts() -> Unverified<'static> {
        Unverified::parse("e30.e30.AA").unwrap()
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = Unverified::parse(&text);
        }
    }
}
