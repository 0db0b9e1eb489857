//! How often the verification of a token allocates memory: at most once per claim.

use token_authority::clock::Timestamp;
use token_authority::keys::{KeyRing, Secret};
use token_authority::token::access::{Claims, NewClaims};
use token_authority::token::grant::Grant;
use token_authority::token::id::{AccessTokenId, Epoch, Generation, SessionId, UserId};
use token_authority::token::jws::Unverified;

const NOW: Timestamp = Timestamp::from_seconds(1_750_000_000);

#[test]
fn a_token_is_verified_with_one_allocation_a_claim() {
    let ring = KeyRing::hs256(&Secret::new([1; 32]), &[]);
    let claims = NewClaims {
        user_id: &UserId::new("alice").unwrap(),
        session_id: SessionId::new(NOW, [1; 10]),
        id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, [2; 12]),
        issued_at: NOW.as_seconds(),
        expires_at: NOW.as_seconds() + 1800,
        issuer: None,
        grant: &Grant::default(),
    };
    let payload = serde_json::to_value(&claims).unwrap();
    let number = u64::try_from(payload.as_object().unwrap().len()).unwrap();
    let token = ring.signer(NOW).unwrap().sign(payload.to_string().as_bytes()).unwrap();
    let verify = || {
        let unverified = Unverified::parse(&token).unwrap();
        ring.verify(&unverified, NOW).unwrap();
        Claims::parse(&unverified.payload().unwrap()).unwrap()
    };
    // One verification first, so that everything lazy is initialized.
    assert_eq!(verify().subject, "alice");
    let counted = allocation_counter::measure(|| drop(verify()));
    assert!(counted.count_total > 0, "nothing was counted");
    assert!(counted.count_total <= number, "{counted:?} for {number} claims");
}
