//! Tests of the key ring.

use super::*;
use crate::keys::key::NewPair;
use crate::keys::life::Due;
use crate::token::jws;
use crate::token::key::Algorithm;
use crate::token::seal::Sealed;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
const MINUTE: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_mins(30);
const PAIRS: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];

fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

fn sealing_secret() -> Secret {
    secret(99)
}

fn stored(number: i64, algorithm: Algorithm, activates_at: Timestamp) -> StoredKey {
    let pair = NewPair::make(algorithm, &sealing_secret(), [7; 12]).unwrap();
    pair.stored(Due { number, activates_at }, NOW, LIFE)
}

fn pairs(keys: &[StoredKey]) -> KeyRing {
    let ring = KeyRing::new(&[], Some(sealing_secret()));
    assert_eq!(ring.load(keys), Problems::default());
    ring
}

fn sign(ring: &KeyRing, now: Timestamp) -> String {
    ring.signer(now).unwrap().sign(b"{}").unwrap()
}

fn verify_at(ring: &KeyRing, token: &str, now: Timestamp) -> Result<(), VerifyError> {
    ring.verify(&Unverified::parse(token).unwrap(), now)
}

fn verify(ring: &KeyRing, token: &str) -> Result<(), VerifyError> {
    verify_at(ring, token, NOW)
}

/// Replaces a token's header and keeps its payload and signature.
fn with_header(token: &str, alg: &str, kid: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", jws::encode_header(alg, kid))
}

#[test]
fn a_previous_secret_still_verifies() {
    let old = KeyRing::hs256(&secret(1), &[]);
    let new = KeyRing::hs256(&secret(2), &[secret(1)]);
    assert_eq!(verify(&new, &sign(&old, NOW)), Ok(()));
    assert_eq!(verify(&new, &sign(&new, NOW)), Ok(()));
    assert_eq!(verify(&old, &sign(&new, NOW)), Err(VerifyError::UnknownKey));
}

#[test]
fn the_key_decides_the_algorithm() {
    let ring = KeyRing::hs256(&secret(1), &[]);
    let token = sign(&ring, NOW);
    for alg in ["none", "HS512", "RS256", "EdDSA", "hs256", ""] {
        let forged = with_header(&token, alg, ring.signer(NOW).unwrap().kid());
        assert_eq!(verify(&ring, &forged), Err(VerifyError::BadSignature), "{alg}");
    }
}

#[test]
fn every_algorithm_signs_what_it_verifies() {
    for algorithm in PAIRS {
        let ring = pairs(&[stored(1, algorithm, NOW)]);
        let token = sign(&ring, NOW);
        let header = Unverified::parse(&token).unwrap().header;
        assert_eq!(header.alg, Some(algorithm));
        assert_eq!(header.typ, jws::Typ::AccessToken);
        assert_eq!(verify(&ring, &token), Ok(()));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(verify(&ring, &format!("{signed}.")), Err(VerifyError::BadSignature));
        let (header, _) = signed.split_once('.').unwrap();
        let other_payload = format!("{header}.e30x.{signature}");
        assert_eq!(verify(&ring, &other_payload), Err(VerifyError::BadSignature));
        for alg in ["none", "HS256", "RS256", "ES256", "EdDSA", "PS256", "Ed25519"] {
            if alg != algorithm.as_str() {
                let forged = with_header(&token, alg, ring.signer(NOW).unwrap().kid());
                assert_eq!(verify(&ring, &forged), Err(VerifyError::BadSignature), "{alg}");
            }
        }
    }
}

/// The classic attack: public data of a key pair is used as an HMAC secret.
#[test]
fn a_public_key_is_no_shared_secret() {
    for algorithm in PAIRS {
        let key = stored(1, algorithm, NOW);
        let public = crate::keys::jwk::PublicJwk::parse(&key.public_jwk).unwrap();
        let verifier = public.verifier(algorithm).unwrap();
        let ring = KeyRing::new(&[secret(1)], Some(sealing_secret()));
        ring.load(std::slice::from_ref(&key));
        let published = serde_json::to_vec(&ring.published(NOW)).unwrap();
        let known = [key.public_jwk.as_bytes(), verifier.as_ref(), &published, key.kid.as_bytes()];
        for bytes in known {
            let forger = Key::shared(&Secret::new(bytes));
            let token = forger.sign(b"{}").unwrap();
            assert_eq!(verify(&ring, &token), Err(VerifyError::UnknownKey));
            // HMAC covers the header too, so the forger signs it with the name it claims.
            let header = jws::encode_header("HS256", &key.kid);
            let mac = crate::keys::hs256::Hs256::new(&Secret::new(bytes));
            let claimed =
                jws::assemble(&header, b"{}", |signed| Ok::<_, CryptoError>(mac.sign(signed)));
            assert_eq!(verify(&ring, &claimed.unwrap()), Err(VerifyError::BadSignature));
        }
    }
}

#[test]
fn each_key_verifies_until_its_last_token_has_expired() {
    let next = NOW + 60 * MINUTE;
    let keys = [stored(1, Algorithm::EdDsa, NOW), stored(2, Algorithm::Es256, next)];
    let ring = pairs(&keys);
    let first = sign(&ring, next - MINUTE);
    let second = sign(&ring, next);
    let kid = |token: &str| Unverified::parse(token).unwrap().header.kid.unwrap();
    assert_eq!((kid(&first), kid(&second)), (keys[0].kid.clone(), keys[1].kid.clone()));
    let end = next + LIFE + life::GRACE;
    assert_eq!(verify_at(&ring, &first, end - MINUTE), Ok(()));
    assert_eq!(verify_at(&ring, &first, end), Err(VerifyError::UnknownKey));
    assert_eq!(verify_at(&ring, &second, NOW), Ok(()), "prepared elsewhere, active there");
    let kids = |now| ring.published(now)["keys"].as_array().unwrap().len();
    assert_eq!((kids(NOW), kids(end - MINUTE), kids(end)), (2, 2, 1));
}

#[test]
fn only_public_members_are_published() {
    let ring = KeyRing::new(&[secret(1)], Some(sealing_secret()));
    ring.load(&PAIRS.map(|algorithm| stored(1, algorithm, NOW)));
    let set = ring.published(NOW);
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3, "and no shared secret");
    for key in keys {
        let names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        for name in names {
            let public = ["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid"];
            assert!(public.contains(&name), "{name}");
        }
        assert_eq!(key["use"], "sig");
    }
}

#[test]
fn the_active_key_verifies_a_token_without_kid() {
    let header = "eyJhbGciOiJIUzI1NiJ9";
    let mac = crate::keys::hs256::Hs256::new(&secret(1));
    let sign = |signed: &[u8]| Ok::<_, CryptoError>(mac.sign(signed));
    let token = jws::assemble(header, b"{}", sign).unwrap();
    assert_eq!(verify(&KeyRing::hs256(&secret(1), &[]), &token), Ok(()));
    let swapped = KeyRing::hs256(&secret(2), &[secret(1)]);
    assert_eq!(verify(&swapped, &token), Err(VerifyError::BadSignature));
    let moved = KeyRing::new(&[secret(1)], Some(sealing_secret()));
    moved.load(&[stored(1, Algorithm::EdDsa, NOW)]);
    assert_eq!(verify(&moved, &token), Err(VerifyError::BadSignature));
    assert_eq!(verify(&KeyRing::new(&[], None), &token), Err(VerifyError::UnknownKey));
}

#[test]
fn a_secret_signs_until_the_first_pair_does() {
    let ring = KeyRing::new(&[secret(1)], Some(sealing_secret()));
    let before = sign(&ring, NOW);
    assert_eq!(ring.signer(NOW).unwrap().latest_end(NOW), None);
    let keys = [stored(1, Algorithm::EdDsa, NOW + MINUTE)];
    ring.load(&keys);
    assert_eq!(ring.activates_in(NOW), Some(MINUTE));
    assert!(ring.secret_kids().any(|kid| kid == ring.signer(NOW).unwrap().kid()));
    let after = sign(&ring, NOW + MINUTE);
    assert_eq!(ring.activates_in(NOW + MINUTE), None);
    assert_eq!(Unverified::parse(&after).unwrap().header.alg, Some(Algorithm::EdDsa));
    assert_eq!(verify(&ring, &before), Ok(()));
    // And back: a replica that signs with its secret verifies what others signed with the pair.
    let back = KeyRing::new(&[secret(1)], None);
    assert!(!back.is_loaded(), "an unknown key may be a stored one");
    back.load(&[stored(2, Algorithm::EdDsa, NOW)]);
    assert_eq!(verify(&back, &after), Err(VerifyError::UnknownKey));
    back.load(&keys);
    assert_eq!(verify(&back, &after), Ok(()));
    assert_eq!(Unverified::parse(&sign(&back, NOW)).unwrap().header.alg, Some(Algorithm::Hs256));
}

#[test]
fn no_token_outlives_its_key() {
    let mut keys = [stored(1, Algorithm::EdDsa, NOW)];
    assert_eq!(pairs(&keys).signer(NOW).unwrap().latest_end(NOW), Some(NOW + LIFE));
    keys[0].ends_at = Some(NOW + MINUTE);
    let ring = pairs(&keys);
    assert_eq!(ring.signer(NOW).unwrap().latest_end(NOW), Some(NOW + MINUTE));
    let token = sign(&ring, NOW);
    assert!(ring.signer(NOW + MINUTE).is_none());
    assert_eq!(verify_at(&ring, &token, NOW + MINUTE), Err(VerifyError::UnknownKey));
}

#[test]
fn a_key_that_does_not_open_verifies_but_does_not_sign() {
    let (old, mut new) = (stored(1, Algorithm::EdDsa, NOW), stored(2, Algorithm::EdDsa, NOW));
    let others = NewPair::make(Algorithm::EdDsa, &secret(5), [7; 12]).unwrap();
    new = others.stored(Due { number: 2, activates_at: new.activates_at }, NOW, LIFE);
    let ring = KeyRing::new(&[], Some(sealing_secret()));
    let problems = ring.load(&[old.clone(), new.clone()]);
    assert_eq!(problems.unopened, [(new.kid.clone(), secret(5).fingerprint())]);
    assert_eq!(ring.signer(NOW).unwrap().kid(), old.kid);
    let other = KeyRing::new(&[], Some(secret(5)));
    other.load(&[old.clone(), new.clone()]);
    assert_eq!(verify(&ring, &sign(&other, NOW)), Ok(()));
    assert_eq!(verify(&other, &sign(&ring, NOW)), Ok(()));
}

#[test]
fn a_changed_stored_key_is_left_out() {
    let key = stored(1, Algorithm::EdDsa, NOW);
    let ring = KeyRing::new(&[], Some(sealing_secret()));
    let other = stored(1, Algorithm::EdDsa, NOW);
    for bad in [
        StoredKey { algorithm: "ES256".into(), ..key.clone() },
        StoredKey { algorithm: "HS256".into(), ..key.clone() },
        StoredKey { algorithm: "ML-DSA-44".into(), ..key.clone() },
        StoredKey { public_jwk: other.public_jwk.clone(), ..key.clone() },
        StoredKey { public_jwk: "{}".into(), ..key.clone() },
        StoredKey { kid: "else".into(), ..key.clone() },
    ] {
        let problems = ring.load(std::slice::from_ref(&bad));
        assert_eq!(problems.unreadable, [bad.kid]);
        assert!(ring.signer(NOW).is_none());
        ring.load(&[]);
    }
    let swapped = StoredKey { private: other.private, ..key.clone() };
    assert_eq!(ring.load(&[swapped]).unopened.len(), 1);
    let empty =
        StoredKey { private: Sealed::from_stored(Vec::new()), ..stored(2, Algorithm::EdDsa, NOW) };
    assert_eq!(ring.load(&[empty]).unopened.len(), 1);
}

#[test]
fn uses_are_remembered_at_a_resolution() {
    let ring = KeyRing::hs256(&secret(1), &[secret(2)]);
    ring.load(&[stored(1, Algorithm::EdDsa, NOW)]);
    assert_eq!(ring.uses(), []);
    let kids: Vec<String> = ring.secret_kids().map(str::to_owned).collect();
    let note_use = |kid: Option<&str>, now| {
        ring.with_key(kid, now, |key| {
            key.note_use(now);
            Ok::<_, VerifyError>(())
        })
    };
    note_use(Some(&kids[1]), NOW).unwrap();
    note_use(Some(&kids[1]), NOW + Duration::from_millis(500)).unwrap();
    assert_eq!(note_use(Some("unknown"), NOW), Err(VerifyError::UnknownKey));
    let last = |kid: &str, at| KeyUse { kid: kid.to_owned(), last_verified_at: at };
    assert_eq!(ring.uses(), [last(&kids[1], NOW)]);
    note_use(Some(&kids[1]), NOW + MINUTE).unwrap();
    note_use(None, NOW + MINUTE).unwrap();
    assert_eq!(ring.uses(), [last(&kids[0], NOW + MINUTE), last(&kids[1], NOW + MINUTE)]);
}

/// An independent library verifies our tokens with the published keys.
#[test]
fn another_library_verifies_with_the_published_keys() {
    for (algorithm, theirs) in PAIRS.into_iter().zip([
        jsonwebtoken::Algorithm::EdDSA,
        jsonwebtoken::Algorithm::ES256,
        jsonwebtoken::Algorithm::RS256,
    ]) {
        let ring = pairs(&[stored(1, Algorithm::EdDsa, NOW), stored(2, algorithm, NOW)]);
        let token = ring.signer(NOW).unwrap().sign(br#"{"exp":99999999999}"#).unwrap();
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(ring.published(NOW)).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
        let validation = jsonwebtoken::Validation::new(theirs);
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation);
        assert_eq!(read.unwrap().claims["exp"], 99_999_999_999_u64);
    }
}

#[test]
fn the_end_of_signing_is_known() {
    use crate::keys::life::GRACE;
    let none = KeyRing::hs256(&secret(1), &[]);
    assert_eq!((none.signing_ends(), none.newest_signs_from()), (None, None));
    assert_eq!(KeyRing::new(&[], Some(sealing_secret())).signing_ends(), None, "not loaded yet");
    assert_eq!(pairs(&[]).signing_ends(), Some(Timestamp::EPOCH));

    let first = stored(1, Algorithm::EdDsa, NOW);
    let ring = pairs(std::slice::from_ref(&first));
    assert_eq!((ring.signing_ends(), ring.newest_signs_from()), (None, Some(NOW)));
    // A successor that this ring can open has no known end.
    let later = NOW + 60 * MINUTE;
    let ring = pairs(&[first.clone(), stored(2, Algorithm::EdDsa, later)]);
    assert_eq!((ring.signing_ends(), ring.newest_signs_from()), (None, Some(later)));
    // If the ring cannot open the successor, the first key signs until its last token has expired.
    let pair = NewPair::make(Algorithm::EdDsa, &secret(98), [7; 12]).unwrap();
    let foreign = pair.stored(Due { number: 2, activates_at: later }, NOW, LIFE);
    let ring = KeyRing::new(&[], Some(sealing_secret()));
    ring.load(&[first.clone(), foreign]);
    assert_eq!(ring.signing_ends(), Some(later + LIFE + GRACE));
    // An operator has set an end.
    let ended = StoredKey { ends_at: Some(later), ..first };
    assert_eq!(pairs(&[ended]).signing_ends(), Some(later));
}
