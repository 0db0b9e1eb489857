//! A browser's part in device-bound sessions, played by a key pair.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use token_authority::keys::pair::KeyPair;
use token_authority::token::key::Algorithm;

/// Returns the text between the first `challenge="` or the beginning, and the next quote.
pub fn challenge_in(header: &str) -> String {
    let start = header.find("challenge=\"").map_or(0, |at| at + "challenge=".len());
    header[start + 1..].split('"').next().unwrap().to_owned()
}

/// A browser's device key.
#[derive(Debug)]
pub struct Device {
    pair: KeyPair,
    algorithm: Algorithm,
}

impl Device {
    /// Draws a key.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { pair: KeyPair::generate(algorithm).unwrap(), algorithm }
    }

    /// Signs a proof with that header about a challenge.
    pub fn sign(&self, mut header: Value, challenge: &str) -> String {
        header["typ"] = "dbsc+jwt".into();
        header["alg"] = self.algorithm.as_str().into();
        self.sign_as(&header, &json!({ "jti": challenge }))
    }

    /// Signs a JWS with exactly that header and those claims.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the proof of a registration, with the public key.
    pub fn registration(&self, challenge: &str) -> String {
        self.sign(json!({ "jwk": self.jwk() }), challenge)
    }

    /// Returns the public key.
    pub fn jwk(&self) -> Value {
        serde_json::from_str(&self.pair.public().canonical()).unwrap()
    }

    /// Returns the proof of a renewal.
    pub fn renewal(&self, challenge: &str) -> String {
        self.sign(json!({}), challenge)
    }
}
