//! The public half of a key pair as a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037
//! section 2).

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::token::key::Algorithm;

/// The length of a P-256 coordinate and of an Ed25519 public key, in bytes.
const COORDINATE: usize = 32;
/// The shortest RSA modulus that RFC 7518 section 3.3 allows, in bytes.
const MIN_MODULUS_BYTES: usize = 256;

/// The required members of a public key in the order of their names. The thumbprint covers
/// exactly these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicJwk(BTreeMap<String, String>);

impl PublicJwk {
    /// Creates an Ed25519 key.
    #[must_use]
    pub fn ed25519(x: &[u8]) -> Self {
        Self::of(&[("kty", "OKP"), ("crv", "Ed25519"), ("x", &encode(x))])
    }

    /// Creates a P-256 key from its two coordinates.
    #[must_use]
    pub fn p256(x: &[u8], y: &[u8]) -> Self {
        Self::of(&[("kty", "EC"), ("crv", "P-256"), ("x", &encode(x)), ("y", &encode(y))])
    }

    /// Creates an RSA key from its modulus and exponent.
    #[must_use]
    pub fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::of(&[("kty", "RSA"), ("n", &encode(n)), ("e", &encode(e))])
    }

    fn of(members: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(members.iter().map(owned).collect())
    }

    /// Parses the text that [`Self::canonical`] returns.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Returns the text whose SHA-256 is the thumbprint (RFC 7638 section 3).
    #[must_use]
    pub fn canonical(&self) -> String {
        let quoted = self.0.iter().map(|(name, value)| format!("\"{name}\":\"{value}\""));
        format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
    }

    /// Returns the key's name (`kid`): its thumbprint.
    #[must_use]
    pub fn kid(&self) -> String {
        encode(digest(&SHA256, self.canonical().as_bytes()).as_ref())
    }

    /// Returns the key as a member of the published JWK Set.
    #[must_use]
    pub fn published(&self, algorithm: Algorithm, kid: &str) -> Value {
        let members = self.0.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        let mut jwk: Map<String, Value> = members.collect();
        for (name, value) in [("use", "sig"), ("alg", algorithm.as_str()), ("kid", kid)] {
            jwk.insert(name.to_owned(), value.into());
        }
        Value::Object(jwk)
    }

    /// Prepares the key to verify with that algorithm only. Returns `None` if it is not a valid key
    /// for the algorithm.
    #[must_use]
    pub fn verifier(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match (algorithm, self.member("kty")?) {
            (Algorithm::EdDsa, "OKP") if self.member("crv")? == "Ed25519" => {
                ParsedPublicKey::new(&ED25519, self.coordinate("x")?).ok()
            }
            (Algorithm::Es256, "EC") if self.member("crv")? == "P-256" => {
                // An uncompressed point (SEC 1 section 2.3.3).
                let point = [&[4], &*self.coordinate("x")?, &*self.coordinate("y")?].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
            }
            (Algorithm::Rs256, "RSA") => {
                let (n, e) = (self.bytes("n")?, self.bytes("e")?);
                if n.len() < MIN_MODULUS_BYTES {
                    return None;
                }
                let components = RsaPublicKeyComponents { n, e };
                components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
            }
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.member(name)?).ok()
    }

    fn coordinate(&self, name: &str) -> Option<Vec<u8>> {
        self.bytes(name).filter(|bytes| bytes.len() == COORDINATE)
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verifies a compact token without the token module.
    fn verifies(jwk: &str, algorithm: Algorithm, token: &str) -> bool {
        let key = PublicJwk::parse(jwk).unwrap().verifier(algorithm).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verify_sig(format!("{signed}x").as_bytes(), &signature).is_err());
        key.verify_sig(signed.as_bytes(), &signature).is_ok()
    }

    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    // RFC 8037 appendix A.3 and A.4.
    #[test]
    fn ed25519_as_in_rfc_8037() {
        let kid = PublicJwk::parse(ED25519).unwrap().kid();
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                     hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(verifies(ED25519, Algorithm::EdDsa, token));
    }

    // RFC 7515 appendix A.3.
    #[test]
    fn p256_as_in_rfc_7515() {
        let jwk = r#"{"kty":"EC","crv":"P-256",
            "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
        let token = "eyJhbGciOiJFUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert!(verifies(jwk, Algorithm::Es256, token));
    }

    // RFC 7515 appendix A.2.
    #[test]
    fn rsa_as_in_rfc_7515() {
        let jwk = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
        let token = "eyJhbGciOiJSUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        assert!(verifies(jwk, Algorithm::Rs256, token));
    }

    // RFC 7638 section 3.1.
    #[test]
    fn a_thumbprint_as_in_rfc_7638() {
        let jwk = r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#;
        assert_eq!(PublicJwk::parse(jwk).unwrap().canonical(), jwk);
        let kid = PublicJwk::parse(jwk).unwrap().kid();
        assert_eq!(kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_verifies_its_own_algorithm_only() {
        let key = PublicJwk::parse(ED25519).unwrap();
        for other in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256] {
            assert!(key.verifier(other).is_none(), "{other}");
        }
        assert!(PublicJwk::ed25519(&[1; 31]).verifier(Algorithm::EdDsa).is_none());
        assert!(PublicJwk::p256(&[1; 32], &[1; 32]).verifier(Algorithm::Es256).is_none());
        assert!(PublicJwk::rsa(&[0xff; 128], &[1, 0, 1]).verifier(Algorithm::Rs256).is_none());
        assert!(PublicJwk::rsa(&[0xff; 256], &[1, 0, 1]).verifier(Algorithm::Rs256).is_some());
    }
}
