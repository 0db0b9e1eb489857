//! The proof that a browser holds a device's private key: a JWS of type `dbsc+jwt` (W3C draft "Device
//! Bound Session Credentials", section on the DBSC proof).
//!
//! 1. The header has `typ: dbsc+jwt`, `alg`, and at a registration the public key as `jwk`.
//! 2. The payload has the challenge as `jti`. Other claims are ignored: browsers have changed which of
//!    them they send.
//! 3. The key that verifies the signature is the one in the header at a registration, and the stored one
//!    afterwards. `alg` is compared with the key and never selects one.
//!
//! This parser is stricter than the one for access tokens: nobody but browsers makes proofs, so a header
//! or a payload that names a member twice is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::device::ALGORITHMS;
use super::key::Algorithm;

/// The longest proof that is parsed. A proof with an RSA key of 4096 bits has about 2 KiB; a higher value
/// makes a flood of long texts more expensive.
pub const MAX_PROOF_BYTES: usize = 4096;

/// The `typ` of a proof.
const TYPE: &str = "dbsc+jwt";

/// The longest signature: that of an RSA key of 4096 bits.
const MAX_SIGNATURE_BYTES: usize = 512;

/// A parsed proof. Do not trust any part of it before its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedProof<'a> {
    /// The signed text: the first two parts and the dot between them.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    /// The public key that the header brings.
    pub key: Option<BroughtKey>,
    /// The challenge.
    pub challenge: String,
}

/// A public key that a proof brings (RFC 7518 section 6), decoded but not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BroughtKey {
    /// A point on the curve P-256.
    P256 {
        /// Its first coordinate.
        x: Vec<u8>,
        /// Its second coordinate.
        y: Vec<u8>,
    },
    /// An RSA key.
    Rsa {
        /// Its modulus.
        n: Vec<u8>,
        /// Its exponent.
        e: Vec<u8>,
    },
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Option<Jwk>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
}

impl<'a> UnverifiedProof<'a> {
    /// Parses the value of `Secure-Session-Response`. Returns `None` if it is not a proof that this
    /// service can verify.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = unquoted(text);
        if text.len() > MAX_PROOF_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = object(&decode(header)?)?;
        if header.crit.is_some() || !header.typ.eq_ignore_ascii_case(TYPE) {
            return None;
        }
        let algorithm =
            Algorithm::named(&header.alg).filter(|algorithm| ALGORITHMS.contains(algorithm))?;
        let key = match header.jwk {
            Some(jwk) => Some(jwk.decode(algorithm)?),
            None => None,
        };
        let claims: Claims = object(&decode(payload)?)?;
        let signature = decode(signature).filter(|bytes| bytes.len() <= MAX_SIGNATURE_BYTES)?;
        Some(Self { signed, signature, algorithm, key, challenge: claims.jti })
    }
}

/// Removes the quotes of a structured field's string. Browsers send the bare token.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Reads a JSON object. A derived parser would also take an array of the members' values.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

impl Jwk {
    /// Decodes the key if it is of the algorithm's type.
    fn decode(&self, algorithm: Algorithm) -> Option<BroughtKey> {
        let bytes = |member: &Option<String>| decode(member.as_deref()?);
        match (algorithm, self.kty.as_str()) {
            (Algorithm::Es256, "EC") if self.crv.as_deref() == Some("P-256") => {
                Some(BroughtKey::P256 { x: bytes(&self.x)?, y: bytes(&self.y)? })
            }
            (Algorithm::Rs256, "RSA") => {
                Some(BroughtKey::Rsa { n: bytes(&self.n)?, e: bytes(&self.e)? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A registration of Chromium 156.
    const CHROMIUM: &str = "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6Im5XREdIWF9ibmVTd0hlUTRvYWZHOTZnU1hocXp1MVNYZV9kcE1UcnZwNUkiLCJ5IjoiM1VLdnI3TGNUaWh0bXRjSWRFbWIwM1VveXJ5WDFNQ21MRFgtZW5QaktOdyJ9LCJ0eXAiOiJkYnNjK2p3dCJ9.eyJhdXRob3JpemF0aW9uIjoib25jZSIsImp0aSI6ImMwIn0.8BDryGhccLEjBMED6UGo7-wMnjlg_6UbzCwbnC2NxthzyEIBoBnv39tUdYR2Vo1a1hixEfnUxv3gCTxk9MlELQ";

    fn proof(header: &str, payload: &str) -> String {
        format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn is_proof(header: &str, payload: &str) -> bool {
        UnverifiedProof::parse(&proof(header, payload)).is_some()
    }

    #[test]
    fn what_chromium_sends_is_read() {
        let parsed = UnverifiedProof::parse(CHROMIUM).unwrap();
        assert_eq!((parsed.algorithm, parsed.challenge.as_str()), (Algorithm::Es256, "c0"));
        assert_eq!(parsed.signature.len(), 64);
        let Some(BroughtKey::P256 { x, y }) = &parsed.key else { panic!("{:?}", parsed.key) };
        assert_eq!((x.len(), y.len()), (32, 32));
        let quoted = format!("\"{CHROMIUM}\"");
        assert_eq!(UnverifiedProof::parse(&quoted), Some(parsed));
        let renewal = proof(r#"{"alg":"ES256","typ":"dbsc+jwt"}"#, r#"{"jti":"c"}"#);
        assert_eq!(UnverifiedProof::parse(&renewal).unwrap().key, None);
    }

    #[test]
    fn claims_that_some_browsers_send_are_ignored() {
        let header = r#"{"alg":"ES256","typ":"dbsc+jwt"}"#;
        for payload in [
            r#"{"jti":"c","aud":"https://a.example/x","sub":"s","iat":1e9}"#,
            r#"{"jti":"c","aud":["a"],"authorization":"z","key":{"kty":"EC"}}"#,
        ] {
            assert!(is_proof(header, payload), "{payload}");
        }
        for payload in [r"{}", r#"{"jti":1}"#, r#"{"jti":"c","jti":"d"}"#, r#"["c"]"#, "", "x"] {
            assert!(!is_proof(header, payload), "{payload}");
        }
    }

    #[test]
    fn other_types_algorithms_and_keys_are_refused() {
        let claims = r#"{"jti":"c"}"#;
        let ec = r#"{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}"#;
        let rsa = r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#;
        let header =
            |alg: &str, jwk: &str| format!(r#"{{"alg":"{alg}","typ":"dbsc+jwt","jwk":{jwk}}}"#);
        assert!(is_proof(&header("ES256", ec), claims) && is_proof(&header("RS256", rsa), claims));
        for bad in [
            header("none", ec),
            header("HS256", ec),
            header("EdDSA", ec),
            header("es256", ec),
            header("ES256", rsa),
            header("RS256", ec),
            header("ES256", r#"{"kty":"EC","crv":"P-384","x":"AQ","y":"AQ"}"#),
            header("ES256", r#"{"kty":"EC","crv":"P-256","x":"AQ"}"#),
            header("ES256", r#"{"kty":"EC","crv":"P-256","x":"A=","y":"AQ"}"#),
            header("ES256", r#"{"kty":"EC","crv":"P-256","x":"AQ","x":"Ag","y":"AQ"}"#),
            header("ES256", r#"{"kty":"oct","k":"AQ"}"#),
            r#"{"alg":"ES256","typ":"JWT"}"#.to_owned(),
            r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
            r#"{"alg":"ES256"}"#.to_owned(),
            r#"{"typ":"dbsc+jwt"}"#.to_owned(),
            r#"{"alg":"ES256","alg":"ES256","typ":"dbsc+jwt"}"#.to_owned(),
            r#"{"alg":"ES256","typ":"dbsc+jwt","crit":["b64"]}"#.to_owned(),
            r#"{"alg":["ES256"],"typ":"dbsc+jwt"}"#.to_owned(),
        ] {
            assert!(!is_proof(&bad, claims), "{bad}");
        }
    }

    #[test]
    fn other_texts_are_no_proofs() {
        for bad in ["", ".", "..", "e30", "e30.e30", "e30.e30.AA", "a.b.c.d.e", "\"", "\"\""] {
            assert!(UnverifiedProof::parse(bad).is_none(), "{bad}");
        }
        let long = proof(r#"{"alg":"ES256","typ":"dbsc+jwt"}"#, r#"{"jti":"c"}"#);
        let long = format!("{long}{}", "A".repeat(MAX_PROOF_BYTES));
        assert!(UnverifiedProof::parse(&long).is_none());
        let signature = "A".repeat(684);
        let long = proof(r#"{"alg":"ES256","typ":"dbsc+jwt"}"#, r#"{"jti":"c"}"#) + &signature;
        assert!(UnverifiedProof::parse(&long).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = UnverifiedProof::parse(&text);
            let _ = UnverifiedProof::parse(&proof(&text, &text));
        }
    }
}
