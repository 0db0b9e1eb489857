//! The compact serialization of a signed token (RFC 7515 section 3.1): parsing and assembly. The
//! key ring signs and verifies.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeSliceError, Engine as _};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::key::Algorithm;

/// The longest text that is parsed as a token. A token with every audience, scope and claim at its
/// limit has 40 KiB; a lower value would refuse such tokens. A higher value makes a flood of long
/// texts more expensive.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest signature that is decoded. Our RSA signatures have 256 bytes, the others fewer.
const MAX_SIGNATURE_BYTES: usize = 512;

/// A header up to this size is decoded on the stack. Our headers have about 80 bytes.
const STACK_HEADER_BYTES: usize = 256;

/// The text is not a signed token in compact form, or its header demands an unknown extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A parsed token. Do not trust any part of it before its signature was verified.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// The signed text: the first two parts and the dot between them.
    pub signed: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// The header.
    pub header: Header,
}

impl<'a> Unverified<'a> {
    /// Parses a token.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the text is not three parts of base64url, its header is not a JSON
    /// object, or the header names a critical extension (RFC 7515 section 4.1.11), of which this
    /// service supports none.
    pub fn parse(token: &'a str) -> Result<Self, Malformed> {
        if token.len() > MAX_TOKEN_BYTES {
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

    /// Decodes the signature.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the part is not base64url, or longer than any signature.
    pub fn signature(&self) -> Result<Signature, Malformed> {
        let mut bytes = [0; MAX_SIGNATURE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut bytes);
        Ok(Signature { bytes, length: length.map_err(|_| Malformed)? })
    }

    /// Decodes the payload. Read it only after the signature was verified.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the part is not base64url.
    pub fn payload(&self) -> Result<Vec<u8>, Malformed> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Malformed)
    }
}

/// A signature's bytes.
#[derive(Debug)]
pub struct Signature {
    bytes: [u8; MAX_SIGNATURE_BYTES],
    length: usize,
}

impl Deref for Signature {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The fields of a token's header that matter for the verdict.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `alg`, if this service knows it. It is compared with the key's algorithm and never selects
    /// one.
    pub alg: Option<Algorithm>,
    /// `kid`: the name of the key that signed.
    pub kid: Option<String>,
    /// `typ`: what kind of token it says it is.
    pub typ: Typ,
    /// Whether the header names a critical extension.
    critical: bool,
}

impl Header {
    fn decode(part: &str) -> Result<Self, Malformed> {
        let mut usual = [0; STACK_HEADER_BYTES];
        // Ignored values are not decoded, so the text is checked as a whole.
        let read = |json: &[u8]| {
            let json = std::str::from_utf8(json).map_err(|_| Malformed)?;
            serde_json::from_str(json).map_err(|_| Malformed)
        };
        match URL_SAFE_NO_PAD.decode_slice(part, &mut usual) {
            Ok(length) => read(usual.get(..length).unwrap_or_default()),
            Err(DecodeSliceError::OutputSliceTooSmall) => {
                read(&URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed)?)
            }
            Err(DecodeSliceError::DecodeError(_)) => Err(Malformed),
        }
    }
}

/// The media type that a token's header names (RFC 7515 section 4.1.9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Typ {
    /// None.
    #[default]
    Absent,
    /// `JWT`, which says nothing about the token's use.
    Jwt,
    /// `at+jwt`, an access token (RFC 9068 section 4).
    AccessToken,
    /// Another one.
    Other,
}

impl Typ {
    fn named(name: &str) -> Self {
        const MEDIA_TYPE: &str = "application/";
        let (prefix, rest) = name.split_at_checked(MEDIA_TYPE.len()).unwrap_or_default();
        let name = if prefix.eq_ignore_ascii_case(MEDIA_TYPE) { rest } else { name };
        if name.eq_ignore_ascii_case("at+jwt") {
            Self::AccessToken
        } else if name.eq_ignore_ascii_case("JWT") {
            Self::Jwt
        } else {
            Self::Other
        }
    }
}

/// A string of a JSON document. It is copied only if it contains escapes.
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

    // If a name occurs twice, the last one counts (RFC 7515 section 4 allows it), because the
    // verifiers that backends use do the same. Equal verdicts matter more than either choice.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "alg" => header.alg = Algorithm::named(&map.next_value::<Text<'de>>()?.0),
                "kid" => header.kid = Some(map.next_value()?),
                "typ" => header.typ = Typ::named(&map.next_value::<Text<'de>>()?.0),
                "crit" => {
                    header.critical = true;
                    map.next_value::<IgnoredAny>()?;
                }
                // This includes a key that the token itself brings (`jwk`, `jku`, `x5c`, `x5u`):
                // trusting it would let anyone sign tokens.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(header)
    }
}

/// Encodes the header of the access tokens that one key signs.
#[must_use]
pub fn encode_header(alg: &str, kid: &str) -> String {
    let header = serde_json::json!({ "alg": alg, "typ": "at+jwt", "kid": kid });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

/// Assembles a token. `sign` signs the first two parts.
///
/// # Errors
/// Returns the error of `sign`.
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
    fn parses_what_it_assembled() {
        let header = encode_header("HS256", "k1");
        let token = assemble(&header, b"{}", |signed| Ok::<_, Malformed>(signed.to_vec())).unwrap();
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.header.alg, Some(Algorithm::Hs256));
        assert_eq!(parts.header.kid.as_deref(), Some("k1"));
        assert_eq!(parts.header.typ, Typ::AccessToken);
        assert_eq!(parts.payload().unwrap(), b"{}");
        assert_eq!(*parts.signature().unwrap(), *parts.signed.as_bytes());
    }

    #[test]
    fn other_texts_are_malformed() {
        let jwe = "a.b.c.d.e";
        for bad in ["", ".", "..", "e30", "e30.e30", jwe, "=.e30.e30", "bm8.e30.e30"] {
            assert!(Unverified::parse(bad).is_err(), "{bad}");
        }
        for header in ["[]", "1", "{", r#"{"alg":1}"#, r#"{"alg":"HS256","kid":null}"#] {
            assert!(Unverified::parse(&with_header(header)).is_err(), "{header}");
        }
        let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
        assert!(Unverified::parse(&with_header(&deep)).is_ok(), "skipped without recursion");
        assert!(Unverified::parse(&"x".repeat(MAX_TOKEN_BYTES + 1)).is_err());
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
    fn the_last_of_two_equal_names_counts() {
        let token = with_header(r#"{"alg":"none","alg":"HS256","typ":"JWT","typ":"AT+jwt"}"#);
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.header.alg, Some(Algorithm::Hs256));
        assert_eq!(parts.header.typ, Typ::AccessToken);
    }

    #[test]
    fn the_type_is_compared_without_case_and_prefix() {
        let typ = |typ: &str| {
            let token = with_header(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#));
            Unverified::parse(&token).unwrap().header.typ
        };
        for name in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert_eq!(typ(name), Typ::AccessToken, "{name}");
        }
        for name in ["JWT", "jwt", "application/jwt"] {
            assert_eq!(typ(name), Typ::Jwt, "{name}");
        }
        for name in ["", "rt+jwt", "secevent+jwt", "at+jwt ", "application/", "JOSE"] {
            assert_eq!(typ(name), Typ::Other, "{name}");
        }
        let without = with_header(r#"{"alg":"HS256"}"#);
        assert_eq!(Unverified::parse(&without).unwrap().header.typ, Typ::Absent);
    }

    #[test]
    fn a_header_that_is_no_utf_8_is_malformed_even_where_nobody_reads_it() {
        for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"] {
            for filler in [0, 300] {
                let mut header = br#"{"alg":"HS256","x":""#.to_vec();
                header.extend(std::iter::repeat_n(b'y', filler));
                header.extend_from_slice(bad);
                header.extend_from_slice(br#""}"#);
                let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(&header));
                assert!(Unverified::parse(&token).is_err(), "{bad:?}, {filler}");
            }
        }
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
