//! `clients/vectors/verdicts.json`: tokens, keys and `ValidateToken`'s verdict on each, for the
//! verifiers in the clients.
//!
//! The time is fixed at [`NOW`] and no signature in the file is random, so the file is the same
//! each time. `UPDATE_VECTORS=1 cargo test --test system verdicts` writes it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use token_authority::authority::revocations::follow::follow;
use token_authority::authority::{
    Authority, RevocationSettings, Revocations, TokenPolicy, Validation,
};
use token_authority::clock::{ManualClock, SeededEntropy, Timestamp};
use token_authority::keys::jwk::PublicJwk;
use token_authority::keys::ring::Problems;
use token_authority::keys::{KeyRing, Secret};
use token_authority::store::{Rows as _, Store, sqlite};
use token_authority::token::access::NewClaims;
use token_authority::token::grant::Grant;
use token_authority::token::id::{AccessTokenId, Epoch, Generation, SessionId, UserId};
use token_authority::token::key::{Algorithm, StoredKey};
use token_authority::token::rotation::Policy;
use token_authority::token::seal::Sealed;
use token_authority::transport::proto::v1::InactiveReason;

use crate::vectors;

/// The time at which all tokens are judged.
const NOW: i64 = 1_800_000_000;
const SECRET: &str = "the secret of the vectors: no secret at all";
const YEARS: Duration = Duration::from_hours(24 * 3650);

/// A token to be judged, with an audience in some cases.
struct Case {
    name: String,
    token: String,
    audience: Option<&'static str>,
    /// The name of a reason or "active", if the test knows it in advance.
    expected: Option<String>,
}

impl Case {
    fn new(name: &str, token: String) -> Self {
        Self { name: name.into(), token, audience: None, expected: None }
    }

    fn meant_for(self, audience: &'static str) -> Self {
        Self { audience: Some(audience), ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kits_vectors_are_up_to_date() {
    let path = format!("{}/clients/vectors/verdicts.json", env!("CARGO_MANIFEST_DIR"));
    let mut written = Vec::new();
    let secret = json!({ "secret": SECRET });
    judge_all(&mut written, KeyRing::hs256(&shared(), &[]), &secret, with_a_secret()).await;
    let (ring, jwks) = pairs();
    judge_all(&mut written, ring, &json!({ "jwks": jwks }), with_key_pairs()).await;

    let mut names: Vec<_> = written.iter().map(|vector| vector["name"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), written.len(), "two vectors have the same name");

    let lines: Vec<_> = written.iter().map(|vector| format!("  {vector}")).collect();
    let made = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "{path} is stale: UPDATE_VECTORS=1 cargo test --test system verdicts");
}

async fn judge_all(written: &mut Vec<Value>, ring: KeyRing, key: &Value, cases: Vec<Case>) {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(&folder, ring).await;
    for Case { name, token, audience, expected } in cases {
        let verdict = match authority.validate(&token, audience).await.unwrap() {
            Validation::Active(_) => "active".to_owned(),
            Validation::Inactive { reason, .. } => spelled(&format!("{reason:?}")),
        };
        if let Some(expected) = expected {
            assert_eq!(verdict, expected, "{name}");
        }
        let mut vector = json!({ "name": name, "token": token, "key": key, "now": NOW });
        if let Some(audience) = audience {
            vector["audience"] = audience.into();
        }
        vector["verdict"] = verdict.into();
        written.push(vector);
    }
}

/// Writes `BadSignature` as the clients do: `bad-signature`.
fn spelled(name: &str) -> String {
    let mut spelled = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !spelled.is_empty() {
            spelled.push('-');
        }
        spelled.extend(character.to_lowercase());
    }
    spelled
}

/// Creates the real authority with an empty database and a clock that shows [`NOW`].
async fn authority(folder: &tempfile::TempDir, ring: KeyRing) -> Authority {
    let rows = sqlite::open(&folder.path().join("tokens.db")).await.unwrap();
    rows.migrate().await.unwrap();
    let rotation = Policy {
        rotation: true,
        window: Duration::from_secs(30),
        refresh_lifetime: Duration::from_hours(7 * 24),
        session_max_lifetime: Duration::from_hours(30 * 24),
    };
    let access_lifetime = Duration::from_mins(30);
    let policy = TokenPolicy { rotation, access_lifetime, issuer: None, leeway: Duration::ZERO };
    let store = Arc::new(Store::new(rows, rotation, policy.revocation_retention()));
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
    let entropy = Arc::new(SeededEntropy::new(7));
    let revocations =
        Arc::new(Revocations::new(RevocationSettings::default(), clock.clone(), &*entropy));
    let following =
        tokio::spawn(follow(Arc::clone(&store), Arc::clone(&revocations), Arc::default()));
    revocations.loaded().await;
    following.abort();
    Authority::new(store, Arc::new(ring), clock, entropy, policy, revocations)
}

fn shared() -> Secret {
    Secret::new(SECRET.as_bytes())
}

/// Returns a token that the service minted.
fn minted() -> String {
    let now = Timestamp::from_seconds(NOW);
    let further = serde_json::from_value(json!({ "role": "admin" })).unwrap();
    let scopes = vec!["read".into(), "write".into()];
    let claims = NewClaims {
        user_id: &UserId::new("alice").unwrap(),
        session_id: SessionId::new(now, [3; 10]),
        id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, [4; 12]),
        issued_at: NOW,
        expires_at: NOW + 1800,
        issuer: None,
        grant: &Grant::new(Vec::new(), scopes, further).unwrap(),
    };
    let signer = KeyRing::hs256(&shared(), &[]).signer(now).unwrap();
    signer.sign(&serde_json::to_vec(&claims).unwrap()).unwrap()
}

/// Returns the vectors of the libraries, and further ones that clients may get wrong.
fn with_a_secret() -> Vec<Case> {
    let minted = minted();
    let vectors = vectors::all_at(SECRET, &minted, NOW);
    // A token of a mebibyte would be most of the file. It is refused for the same reason as the
    // wide one.
    let monsters = vectors::monsters_at(SECRET, NOW);
    let monsters = monsters.into_iter().filter(|vector| vector.name != "a mebibyte");
    let mut cases: Vec<_> = vectors
        .into_iter()
        .chain(monsters)
        .map(|vector| Case {
            expected: Some(match vector.expected {
                InactiveReason::Unspecified => "active".into(),
                reason => spelled(&format!("{reason:?}")),
            }),
            ..Case::new(vector.name, vector.token)
        })
        .collect();
    cases.extend(claims().into_iter().map(|(name, json)| Case::new(&name, hs256(HEADER, &json))));
    cases.extend(headers().map(|(name, header)| Case::new(name, hs256(header, &with("")))));
    cases.extend(audiences());
    cases.extend(encodings(&minted));
    cases
}

const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt"}"#;

fn with(further: &str) -> String {
    let (iat, exp) = (NOW - 1, NOW + 3600);
    format!(r#"{{"sub":"alice","iat":{iat},"exp":{exp},"type":"access"{further}}}"#)
}

fn hs256(header: &str, payload: &str) -> String {
    signed(header, payload.as_bytes(), |covered| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        hmac::sign(&key, covered).as_ref().to_vec()
    })
}

fn signed(header: &str, payload: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let covered = format!("{}.{}", encode(header), encode(payload));
    let signature = sign(covered.as_bytes());
    format!("{covered}.{}", encode(signature))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims with types and numbers that JSON parsers of different languages read differently.
fn claims() -> Vec<(String, String)> {
    let mut claims: Vec<(String, String)> = [
        ("type is a number", r#","type":7"#),
        ("sid is true", r#","sid":true"#),
        ("scope is null", r#","scope":null"#),
        ("scope is an object", r#","scope":{"read":true}"#),
        ("scope holds a number", r#","scope":["read",7]"#),
        ("claims 32 levels deep", &format!(r#","x":{}1{}"#, "[".repeat(31), "]".repeat(31))),
        ("claims 33 levels deep", &format!(r#","x":{}1{}"#, "[".repeat(32), "]".repeat(32))),
        (
            "objects 33 levels deep",
            &format!(r#","x":{}1{}"#, r#"{"y":"#.repeat(32), "}".repeat(32)),
        ),
        ("aud is a number", r#","aud":7"#),
        ("aud holds a number", r#","aud":["api",7]"#),
        ("aud is an object", r#","aud":{"api":true}"#),
        ("aud is empty", r#","aud":[]"#),
        ("nbf is null", r#","nbf":null"#),
        ("iat is a string", r#","iat":"1""#),
        ("exp beyond 64 bits", r#","exp":123456789012345678901234567890"#),
        ("exp beyond a double", r#","exp":1e400"#),
        ("a claim beyond a double", r#","x":-1e400"#),
        ("a claim of 400 digits", &format!(r#","x":{}"#, "9".repeat(400))),
        ("a claim of 300 digits", &format!(r#","x":{}"#, "9".repeat(300))),
        ("a lone surrogate", r#","x":"\ud800""#),
        ("a pair of surrogates", r#","x":"\ud83e\udd80""#),
        ("a raw control character", ",\"x\":\"\u{1}\""),
        ("a number with a leading zero", r#","x":01"#),
        ("a single quote", r",'x':1"),
        ("a trailing comma", ","),
        ("a member called __proto__", r#","__proto__":{"type":"refresh"}"#),
        ("claims 127 levels deep", &format!(r#","x":{}{}"#, "[".repeat(126), "]".repeat(126))),
        ("claims 128 levels deep", &format!(r#","x":{}{}"#, "[".repeat(127), "]".repeat(127))),
    ]
    .map(|(name, further)| (name.to_owned(), with(further)))
    .into();
    claims.push(("white space around the payload".into(), format!(" \r\n\t{} \n", with(""))));
    claims.push(("text after the payload".into(), format!("{} x", with(""))));
    claims.push(("a byte order mark".into(), format!("\u{feff}{}", with(""))));
    claims.push(("expired and of another type".into(), {
        format!(r#"{{"sub":"alice","exp":{},"type":"refresh"}}"#, NOW - 1)
    }));
    claims
}

fn headers() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("alg is a number", r#"{"alg":256,"typ":"at+jwt"}"#),
        ("alg is null", r#"{"alg":null,"typ":"at+jwt"}"#),
        ("kid is a number", r#"{"alg":"HS256","typ":"at+jwt","kid":7}"#),
        ("kid is null", r#"{"alg":"HS256","typ":"at+jwt","kid":null}"#),
        ("kid is empty", r#"{"alg":"HS256","typ":"at+jwt","kid":""}"#),
        ("typ is a number", r#"{"alg":"HS256","typ":7}"#),
        ("typ is empty", r#"{"alg":"HS256","typ":""}"#),
        ("typ is JWT in small letters", r#"{"alg":"HS256","typ":"jwt"}"#),
        ("typ is JWT with its prefix", r#"{"alg":"HS256","typ":"application/jwt"}"#),
        ("typ of another kind of token", r#"{"alg":"HS256","typ":"rt+jwt"}"#),
        ("typ in capitals", r#"{"alg":"HS256","typ":"AT+JWT"}"#),
        ("crit is null", r#"{"alg":"HS256","typ":"at+jwt","crit":null}"#),
        ("crit is empty", r#"{"alg":"HS256","typ":"at+jwt","crit":[]}"#),
        ("b64 is false", r#"{"alg":"HS256","typ":"at+jwt","b64":false}"#),
        ("white space around the header", " {\"alg\":\"HS256\",\"typ\":\"at+jwt\"}\n"),
        ("an escaped kid", r#"{"alg":"HS256","typ":"at+jwt","k\u0069d":"hs-nobody"}"#),
    ]
    .into_iter()
}

fn audiences() -> Vec<Case> {
    let aud = |aud: &str| hs256(HEADER, &with(&format!(r#","aud":{aud}"#)));
    let expired = format!(r#"{{"sub":"alice","exp":{NOW},"type":"access","aud":"web"}}"#);
    let refresh = with(r#","type":"refresh","aud":"web""#);
    vec![
        Case::new("meant for the audience", aud(r#""api""#)).meant_for("api"),
        Case::new("meant for several", aud(r#"["web","api"]"#)).meant_for("api"),
        Case::new("meant for another", aud(r#""web""#)).meant_for("api"),
        Case::new("meant for one whose name is longer", aud(r#""api2""#)).meant_for("api"),
        Case::new("meant for nobody", hs256(HEADER, &with(""))).meant_for("api"),
        Case::new("expired and for another", hs256(HEADER, &expired)).meant_for("api"),
        Case::new("of another type and for another", hs256(HEADER, &refresh)).meant_for("api"),
    ]
}

/// Good tokens in an encoding that is not exactly base64url.
fn encodings(minted: &str) -> Vec<Case> {
    let good = hs256(HEADER, &with(""));
    let (covered, _) = good.rsplit_once('.').unwrap();
    let raw = |payload: &[u8]| {
        signed(HEADER, payload, |covered| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            hmac::sign(&key, covered).as_ref().to_vec()
        })
    };
    let latin = with(r#","x":"ü""#).replace('ü', "\u{0}");
    let latin: Vec<u8> = latin.bytes().map(|byte| if byte == 0 { 0xfc } else { byte }).collect();
    let header = [&br#"{"alg":"HS256","typ":"at+jwt","x":""#[..], b"\xff", br#""}"#].concat();
    let covered_by = format!("{}.{}", encode(header), encode(with("")));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let unread = format!("{covered_by}.{}", encode(hmac::sign(&key, covered_by.as_bytes())));
    let wide: Vec<u8> = with("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        Case::new("signature in the other base64", format!("{covered}.{}", "+".repeat(43))),
        Case::new("a space before the token", format!(" {minted}")),
        Case::new("header with padding", good.replacen('.', "=.", 1)),
        Case::new("payload that is no UTF-8", raw(&latin)),
        Case::new("an unread header value that is no UTF-8", unread),
        Case::new("payload in UTF-16", raw(&wide)),
        Case::new("a letter that is no ASCII", good.replacen('e', "é", 1)),
        Case::new("a minted token's first letter in lower case", minted.to_lowercase()),
    ]
}

/// Returns a key pair whose signatures are deterministic.
fn ed25519() -> (Ed25519KeyPair, PublicJwk) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let public = PublicJwk::ed25519(pair.public_key().as_ref());
    (pair, public)
}

// The private keys of the other two algorithms are not here, because their signatures or their keys
// are random. These tokens were signed once.
const P256: &str = r#"{"crv":"P-256","kty":"EC","x":"11WBGcx1aXgcccOSsX4XsU4TUQfWbZyhknO2WlLCSUo","y":"Lkmd3YV5dtPnsYBXB6aMlCijm85sdH_RolSDDn-aOJU"}"#;
const ES256: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ijd6bEtWVjN2amV3a2JVWTQ0cWtjZHIxNkJFUllsLU55UVRraEtQbjB5bW8ifQ.eyJzdWIiOiJhbGljZSIsImlhdCI6MTc5OTk5OTk5OSwiZXhwIjoxODAwMDAzNjAwLCJ0eXBlIjoiYWNjZXNzIn0";
const ES256_SIGNATURE: &str =
    "MSrdUNhJ7o5KMAGH52rYM_PFmeSqUwkOGwDhWTf53KgP5OSMsdacpO0bna26lkZ4G5HSPcEU0skUEn11MnxC1g";
/// The same signature with `n - s` for `s`, which anyone can compute.
const ES256_MIRRORED: &str =
    "MSrdUNhJ7o5KMAGH52rYM_PFmeSqUwkOGwDhWTf53KjwGxtyTiljXBLkYlJFabmHoVUob-YCy7vfp01Nyebiew";
const RSA: &str = r#"{"e":"AQAB","kty":"RSA","n":"wRKCDQ-q8u29aAh4u2bku1_lkgeH9KSQqz3-qSLosObszJcDjmCrscPqfJ8qT9jYH3VySkWqB2w2_A0x59TLXfuY3iT8Dcd2JZEz6Rck2nfXUTjTwW8u7X1I31loJwSGgAZ3RUPXQTGT0pXzx89zckboBpQ6WNxqj2n6L3jXlaTwSdcw1So9lW21FfxhydtZv-1kkTFK0EUX4nxmF1i93aRINIatJUO1Zn-_D-n3WtioLHnqgV8Qt8IubZSk41lO0mu6WYTfsZ_Av4uT3xGGm87J-dTSJQzB-q4THbjA1JZ7JnbbHSMl2SysH7aQE4T3-QCD1caEl_R2otdEitCC2w"}"#;
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ilp6TDdab2RJd0hlekE4NUJKNDBJR3JCRTVranhYaktwZE9xbmZTSlkzbDQifQ.eyJzdWIiOiJhbGljZSIsImlhdCI6MTc5OTk5OTk5OSwiZXhwIjoxODAwMDAzNjAwLCJ0eXBlIjoiYWNjZXNzIn0.HQ7AvELcDHa0ZHwwuDMNTP21N0quIYKmixl8-V5D04OkucBtXpcyujjIMGufKKESza3mCXHFjaUg0jaYalXbA-XW0pXXJqM-iAaxhhOGyGDBLkg3oMlAvAPiq1H_qVrpsY9oXTnteNuV_Zw0ASsNMKQKXymlNaB6kPQ1dOpWtGrmLcn59evjYgVqWkWDC_A0dMhkEEhl4uVjIHAcvmqjPjk2jBUnJVyyKW7QuA1uHYdy6LFPvDef-KWJUqMxQNz3wjYxsslUPmZ5Lwd4JMb6QDEiVk2-fFqyWCi86CGnRZEuSBhfZwXDd1rt_bWjhragset7ogcv9by_p6lQ2I9fCw";
/// The same key and claims with another algorithm of that key.
const PS256: &str = "eyJhbGciOiJQUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ilp6TDdab2RJd0hlekE4NUJKNDBJR3JCRTVranhYaktwZE9xbmZTSlkzbDQifQ.eyJzdWIiOiJhbGljZSIsImlhdCI6MTc5OTk5OTk5OSwiZXhwIjoxODAwMDAzNjAwLCJ0eXBlIjoiYWNjZXNzIn0.FrFbMM_wpQyv9IUGDqc2dkZfQowGQLyciZCmbz-etx8w3hkyU52UCjmqYGmiDEIRnf1T6Ti1wmt1u0DLpxYpwLCD9NPcqfmSXdSmv991E34pgrdxyXGkP1RxaEyT0DZTd5a_3TjpAGbhaf3JIN3lW2L06xOmQ1P19VepNyC4lJrt7viv9QWFnCWTwTb4T2Jl67o9Mvjk7AoPDW8dJhN1i1TkyHzMVICkawbzpJOTUPdxet8JuJziKORA260mtjP1AqhldSfa5trH4WHalBEnmhCqy5AEauv3Xwai9uqIkYbL_6I3YnSOy8VCjsZpqE3AnBWiWaGtzBp4vI7vkV9Z4A";

/// Returns a ring that verifies with one pair of each algorithm, and the key set that it publishes.
fn pairs() -> (KeyRing, Value) {
    let jwk = |text: &str| PublicJwk::parse(text).unwrap();
    let publics = [
        (Algorithm::EdDsa, ed25519().1),
        (Algorithm::Es256, jwk(P256)),
        (Algorithm::Rs256, jwk(RSA)),
    ];
    let stored = |(number, (algorithm, public)): (i64, &(Algorithm, PublicJwk))| StoredKey {
        number,
        kid: public.kid(),
        algorithm: algorithm.as_str().into(),
        public_jwk: public.canonical(),
        private: Sealed::from_stored(Vec::new()),
        sealed_with: String::new(),
        created_at: Timestamp::EPOCH,
        activates_at: Timestamp::from_seconds(NOW),
        token_life: YEARS,
        ends_at: None,
    };
    let ring = KeyRing::new(&[], None);
    let keys: Vec<_> = (1..).zip(&publics).map(stored).collect();
    assert_eq!(ring.load(&keys), Problems::default());
    let jwks = ring.published(Timestamp::from_seconds(NOW));
    assert_eq!(jwks["keys"].as_array().unwrap().len(), publics.len());
    (ring, jwks)
}

fn with_key_pairs() -> Vec<Case> {
    let (pair, public) = ed25519();
    let kid = public.kid();
    let header = |further: &str| format!(r#"{{"alg":"EdDSA","typ":"at+jwt"{further}}}"#);
    let named = header(&format!(r#","kid":"{kid}""#));
    let eddsa = |header: &str, payload: &str| {
        signed(header, payload.as_bytes(), |covered| pair.sign(covered).as_ref().to_vec())
    };
    let hs256 = |header: &str, key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        signed(header, with("").as_bytes(), |covered| hmac::sign(&key, covered).as_ref().to_vec())
    };
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let strange = |header: &str| {
        let sign = |covered: &[u8]| stranger.sign(covered).as_ref().to_vec();
        signed(header, with("").as_bytes(), sign)
    };
    let own = PublicJwk::ed25519(stranger.public_key().as_ref()).canonical();
    let good = eddsa(&named, &with(""));
    let (covered, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = covered.split_once('.').unwrap();
    let changed = encode(with("").replace("alice", "admin"));
    let confused = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#);
    let none = format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#);
    let es256 = named.replace("EdDSA", "ES256");
    let rfc_9864 = named.replace("EdDSA", "Ed25519");
    let exp = |exp: i64| format!(r#"{{"sub":"alice","exp":{exp},"type":"access"}}"#);
    let hash = digest::digest(&digest::SHA256, b"x");
    let cases = vec![
        ("EdDSA", good.clone()),
        ("EdDSA, expired", eddsa(&named, &exp(NOW))),
        ("EdDSA, of another type", eddsa(&named, &with(r#","type":"refresh""#))),
        ("EdDSA, typ is JWT", eddsa(&named.replace("at+jwt", "JWT"), &with(""))),
        ("EdDSA, kid is missing", eddsa(&header(""), &with(""))),
        ("EdDSA, kid of nobody", eddsa(&header(r#","kid":"nobody""#), &with(""))),
        ("EdDSA, crit", eddsa(&named.replace('}', r#","crit":["x"]}"#), &with(""))),
        ("EdDSA, alg says Ed25519", eddsa(&rfc_9864, &with(""))),
        ("EdDSA, alg says ES256", eddsa(&es256, &with(""))),
        ("EdDSA, another key", strange(&named)),
        ("EdDSA, a key of its own", strange(&named.replace('}', &format!(r#","jwk":{own}}}"#)))),
        ("EdDSA, a key of its own alone", strange(&header(&format!(r#","jwk":{own}"#)))),
        ("EdDSA, payload changed", format!("{head}.{changed}.{signature}")),
        ("EdDSA, signature cut off", format!("{covered}.{}", &signature[..40])),
        ("EdDSA, signature missing", format!("{covered}.")),
        ("EdDSA, signature of zeros", format!("{covered}.{}", encode([0; 64]))),
        ("HS256 with the public key", hs256(&confused, own_key(&public).as_slice())),
        ("HS256 with the public JWK", hs256(&confused, public.canonical().as_bytes())),
        ("HS256 with an empty key", hs256(&confused, b"")),
        ("HS256 with a hash", hs256(&confused, hash.as_ref())),
        ("HS256 without a secret", hs256(HEADER, SECRET.as_bytes())),
        ("alg none, kid of a pair", format!("{}.{}.", encode(none), encode(with("")))),
    ];
    let all = cases.into_iter().chain(recorded());
    let mut cases: Vec<_> = all.map(|(name, token)| Case::new(name, token)).collect();
    let meant = eddsa(&named, &with(r#","aud":"api""#));
    cases.push(Case::new("EdDSA, meant for the audience", meant.clone()).meant_for("api"));
    cases.push(Case::new("EdDSA, meant for another", meant).meant_for("web"));
    cases
}

/// Returns tokens of the pairs whose private keys are not here.
fn recorded() -> Vec<(&'static str, String)> {
    vec![
        ("ES256", format!("{ES256}.{ES256_SIGNATURE}")),
        ("ES256 with the other s", format!("{ES256}.{ES256_MIRRORED}")),
        ("ES256, signature of zeros", format!("{ES256}.{}", encode([0; 64]))),
        ("ES256, signature in DER", format!("{ES256}.{}", encode(der(ES256_SIGNATURE)))),
        ("RS256", RS256.into()),
        ("RS256, signature cut off", RS256[..RS256.len() - 4].into()),
        ("PS256 with the key of RS256", PS256.into()),
    ]
}

/// The bytes of an Ed25519 key.
fn own_key(public: &PublicJwk) -> Vec<u8> {
    let members: Value = serde_json::from_str(&public.canonical()).unwrap();
    URL_SAFE_NO_PAD.decode(members["x"].as_str().unwrap()).unwrap()
}

/// Encodes a fixed signature of two integers in DER, as most libraries' other interface does.
fn der(signature: &str) -> Vec<u8> {
    let fixed = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let integer = |bytes: &[u8]| {
        let positive: &[u8] = if bytes[0] < 0x80 { &[] } else { &[0] };
        let length = u8::try_from(bytes.len() + positive.len()).unwrap();
        [&[2, length], positive, bytes].concat()
    };
    let both = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], both.as_slice()].concat()
}
