//! Signatures judged by another library: the crate `jsonwebtoken`.
//!
//! This service parses and signs JWS itself (docs/adr/0005-own-jws.md). Every token that the crate
//! makes must therefore verify here, every token made here must verify there, and both must give
//! the same verdict on a modified token.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use token_authority::clock::Timestamp;
use token_authority::keys::jwk::PublicJwk;
use token_authority::keys::key::NewPair;
use token_authority::keys::life::Due;
use token_authority::keys::{KeyRing, Secret};
use token_authority::token::jws::Unverified;
use token_authority::token::key::{Algorithm, StoredKey};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const LIFE: Duration = Duration::from_mins(30);
const SECRET: [u8; 32] = [1; 32];
/// Modified tokens for each algorithm.
const CASES: u32 = 1000;

/// One key, in the form of this service and in the form of the other library.
struct Pair {
    name: Algorithm,
    theirs: jsonwebtoken::Algorithm,
    ring: KeyRing,
    verifies: DecodingKey,
}

/// Returns the other library's name of an algorithm.
fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

impl Pair {
    /// Creates a key of this service.
    fn ours(name: Algorithm) -> Self {
        let theirs = theirs(name);
        if name == Algorithm::Hs256 {
            let ring = KeyRing::hs256(&Secret::new(SECRET), &[]);
            return Self { name, theirs, ring, verifies: DecodingKey::from_secret(&SECRET) };
        }
        let ring = KeyRing::new(&[], Some(Secret::new([9; 32])));
        ring.load(&[stored(name)]);
        let set = ring.published(NOW);
        let jwk: Jwk = serde_json::from_value(set["keys"][0].clone()).unwrap();
        Self { name, theirs, ring, verifies: DecodingKey::from_jwk(&jwk).unwrap() }
    }

    fn mint(&self) -> String {
        let claims = json!({ "sub": "alice", "exp": 1_800_001_800 }).to_string();
        self.ring.signer(NOW).unwrap().sign(claims.as_bytes()).unwrap()
    }

    /// Returns whether this service accepts the signature.
    fn we_accept(&self, token: &str) -> bool {
        Unverified::parse(token).is_ok_and(|token| self.ring.verify(&token, NOW).is_ok())
    }

    /// Returns whether the other library accepts the signature. Claims are not checked here.
    fn they_accept(&self, token: &str) -> bool {
        let mut validation = Validation::new(self.theirs);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<Value>(token, &self.verifies, &validation).is_ok()
    }
}

fn stored(algorithm: Algorithm) -> StoredKey {
    let pair = NewPair::make(algorithm, &Secret::new([9; 32]), [7; 12]).unwrap();
    pair.stored(Due { number: 1, activates_at: NOW }, NOW, LIFE)
}

/// A modification of one token.
#[derive(Debug, Clone)]
enum Change {
    /// Another character at a position.
    Replace(usize, char),
    /// A character removed.
    Remove(usize),
    /// A character inserted.
    Insert(usize, char),
    /// The end removed.
    Truncate(usize),
    /// A part encoded again with other bytes of the same length.
    Reencode(usize, u8),
    /// Two parts exchanged.
    Exchange(usize, usize),
    /// A part taken from another token of the same key.
    Borrow(usize),
}

fn changes() -> impl Strategy<Value = Change> {
    let place = 0_usize..1000;
    // The alphabet of base64url, and characters that resemble it.
    let letter = prop::sample::select(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\u{e9}"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        4 => (place.clone(), letter.clone()).prop_map(|(at, c)| Change::Replace(at, c)),
        2 => place.clone().prop_map(Change::Remove),
        2 => (place.clone(), letter).prop_map(|(at, c)| Change::Insert(at, c)),
        1 => place.clone().prop_map(Change::Truncate),
        2 => (place, 1_u8..).prop_map(|(at, flip)| Change::Reencode(at, flip)),
        1 => (0_usize..3, 0_usize..3).prop_map(|(one, other)| Change::Exchange(one, other)),
        1 => (0_usize..3).prop_map(Change::Borrow),
    ]
}

fn changed(token: &str, other: &str, change: &Change) -> String {
    let mut letters: Vec<char> = token.chars().collect();
    let length = letters.len();
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    match *change {
        Change::Replace(at, c) => letters[at % length] = c,
        Change::Remove(at) => drop(letters.remove(at % length)),
        Change::Insert(at, c) => letters.insert(at % (length + 1), c),
        Change::Truncate(at) => letters.truncate(at % length),
        Change::Reencode(at, flip) => {
            let part = &mut parts[at % 3];
            let mut bytes = URL_SAFE_NO_PAD.decode(&*part).unwrap();
            let place = at % bytes.len();
            bytes[place] ^= flip;
            *part = URL_SAFE_NO_PAD.encode(bytes);
            return parts.join(".");
        }
        Change::Exchange(one, other) => {
            parts.swap(one, other);
            return parts.join(".");
        }
        Change::Borrow(at) => {
            other.split('.').nth(at).unwrap().clone_into(&mut parts[at]);
            return parts.join(".");
        }
    }
    letters.into_iter().collect()
}

#[test]
fn changed_tokens_get_the_same_verdict_from_both() {
    for algorithm in Algorithm::ALL {
        let pair = Pair::ours(algorithm);
        let token = pair.mint();
        let claims = br#"{"sub":"mallory","exp":1800001800}"#;
        let other = pair.ring.signer(NOW).unwrap().sign(claims).unwrap();
        assert!(pair.we_accept(&token) && pair.they_accept(&token), "{algorithm}: {token}");
        let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
        let same = |all: Vec<Change>| {
            let text = all.iter().fold(token.clone(), |text, change| {
                // A text that is no longer a token cannot be split again.
                if text.split('.').count() == 3 && text.is_ascii() && text.len() > 3 {
                    changed_if_possible(&text, &other, change)
                } else {
                    text
                }
            });
            let (ours, theirs) = (pair.we_accept(&text), pair.they_accept(&text));
            prop_assert_eq!(ours, theirs, "{}: {}", algorithm, &text);
            // Only tokens that were signed in exactly this form may be accepted.
            prop_assert!(!ours || text == token || text == other, "{}: {}", algorithm, &text);
            Ok(())
        };
        runner.run(&prop::collection::vec(changes(), 1..3), same).unwrap();
    }
}

/// Does the same as [`changed`]. A part that is no longer base64url is not encoded again.
fn changed_if_possible(token: &str, other: &str, change: &Change) -> String {
    if let Change::Reencode(at, _) = change {
        let part = token.split('.').nth(at % 3).unwrap();
        if URL_SAFE_NO_PAD.decode(part).map_or(true, |bytes| bytes.is_empty()) {
            return token.to_owned();
        }
    }
    changed(token, other, change)
}

/// Base64 can encode the same bytes in several ways. Both accept only one.
#[test]
fn unused_bits_of_the_last_letter_are_refused_by_both() {
    for algorithm in Algorithm::ALL {
        let pair = Pair::ours(algorithm);
        let token = pair.mint();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted = alphabet.chars().filter(|c| {
            let other = format!("{}{c}", &token[..token.len() - 1]);
            assert_eq!(pair.we_accept(&other), pair.they_accept(&other), "{other}");
            pair.we_accept(&other)
        });
        assert_eq!(accepted.collect::<String>(), token[token.len() - 1..], "{algorithm}");
    }
}

/// Creates a key outside of this service, in PKCS #8.
fn foreign(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::Hs256 => EncodingKey::from_secret(&SECRET),
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().unwrap();
            EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
        }
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
            // The library reads PKCS #1, which follows the first 26 bytes of PKCS #8.
            EncodingKey::from_rsa_der(&der.as_ref()[26..])
        }
    }
}

/// Creates the ring of a service that verifies with the public half of a foreign key.
fn ring_of(algorithm: Algorithm, key: &EncodingKey) -> (KeyRing, String) {
    if algorithm == Algorithm::Hs256 {
        let ring = KeyRing::hs256(&Secret::new(SECRET), &[]);
        let kid = ring.secret_kids().next().unwrap().to_owned();
        return (ring, kid);
    }
    let jwk = Jwk::from_encoding_key(key, theirs(algorithm)).unwrap();
    let mut members = serde_json::to_value(jwk).unwrap();
    members
        .as_object_mut()
        .unwrap()
        .retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    let public = PublicJwk::parse(&members.to_string()).unwrap();
    let kid = public.kid();
    let key = StoredKey { kid: kid.clone(), public_jwk: public.canonical(), ..stored(algorithm) };
    let ring = KeyRing::new(&[], None);
    assert!(ring.load(&[key]).unreadable.is_empty());
    (ring, kid)
}

#[test]
fn tokens_that_it_encodes_are_accepted_here() {
    for algorithm in Algorithm::ALL {
        let key = foreign(algorithm);
        let (ring, kid) = ring_of(algorithm, &key);
        for text in ["alice", "Zoë 🦀 \"quoted\" \\ \u{1}", &"x".repeat(4000)] {
            let claims = json!({ "sub": text, "exp": 1_800_001_800_u64 });
            let mut header = Header::new(theirs(algorithm));
            header.typ = Some("at+jwt".into());
            header.kid = Some(kid.clone());
            let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
            let read = Unverified::parse(&token).unwrap();
            assert_eq!(ring.verify(&read, NOW), Ok(()), "{algorithm}: {token}");
            assert_eq!(read.header.typ, token_authority::token::jws::Typ::AccessToken);
            let payload: Value = serde_json::from_slice(&read.payload().unwrap()).unwrap();
            assert_eq!(payload, claims);
        }
    }
}

/// The intended differences: these are why the crate's `decode` is not used.
#[test]
fn it_ignores_critical_extensions_and_we_do_not() {
    let pair = Pair::ours(Algorithm::Hs256);
    let header = r#"{"alg":"HS256","typ":"at+jwt","crit":["b64"],"b64":false}"#;
    let payload = URL_SAFE_NO_PAD.encode(br#"{"sub":"alice"}"#);
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
    let key = EncodingKey::from_secret(&SECRET);
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    let token = format!("{signed}.{}", signature.unwrap());
    assert!(pair.they_accept(&token), "the crate now checks crit: simplify ADR 0005");
    assert!(!pair.we_accept(&token), "{:?}", pair.name);
}
