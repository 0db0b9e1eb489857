//! The tokens that anybody may present.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::keys::{KeyRing, Secret};
use crate::token::id::{AccessTokenId, Generation, SessionId};
use crate::token::jws::Unverified;
use crate::token::legacy::{CookieKey, UnverifiedLegacyToken};
use crate::token::refresh::{LineageKey, RefreshToken};
use crate::token::session_token::{self, SessionClaims, SessionTokenKey, UnverifiedSessionToken};

const SECRET: [u8; 32] = *b"a secret that only this test has";

/// A parsed JWS has one text, and no text verifies that the key did not sign.
pub(super) fn jws(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(token) = Unverified::parse(text) else { return };
    let parts: Vec<_> = text.split('.').collect();
    assert!(parts.len() == 3 && text.starts_with(token.signed));
    if let Ok(payload) = token.payload() {
        assert_eq!(URL_SAFE_NO_PAD.encode(payload), parts[1]);
    }
    let signature = token.signature().map(|signature| signature.to_vec());
    if let Ok(signature) = &signature {
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), parts[2]);
    }
    let ring = KeyRing::hs256(&Secret::new(SECRET), &[]);
    let is_verified = ring.verify(&token, Timestamp::from_seconds(1)).is_ok();
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), token.signed.as_bytes());
    let is_ours = signature.is_ok_and(|signature| signature == made.as_ref());
    assert!(is_ours || !is_verified, "a forgery verifies");
}

/// A refresh token has one text, and none is authentic that was changed in any place.
pub(super) fn refresh_token(data: &[u8]) {
    let key = LineageKey::new(SECRET);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(token) = RefreshToken::parse(text)
    {
        assert_eq!(token.expose(), text);
        assert!(!token.is_authentic(&LineageKey::new([0; 32])) || !token.is_authentic(&key));
    }
    let (place, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let Some((id, rest)) = rest.split_first_chunk::<16>() else { return };
    let Some((generation, rest)) = rest.split_first_chunk::<4>() else { return };
    let Some(secret) = rest.first_chunk::<32>() else { return };
    let id = SessionId::from(Uuid::from_bytes(*id));
    let generation = Generation::new(u32::from_be_bytes(*generation));
    let minted = RefreshToken::mint(&key, id, generation, *secret);
    let text = minted.expose();
    let parsed = RefreshToken::parse(&text);
    assert!(parsed.is_some_and(|parsed| parsed == minted && parsed.is_authentic(&key)));
    let changed = with_another_character(&text, place);
    let forged = RefreshToken::parse(&changed);
    assert!(!forged.is_some_and(|forged| forged.is_authentic(&key)), "a forgery is authentic");
}

/// A session token has one text, and none verifies that was changed in any place.
pub(super) fn session_token(data: &[u8]) {
    let key = SessionTokenKey::derive(&SECRET);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(claims) = UnverifiedSessionToken::parse(text).and_then(|one| one.verify([&key]))
    {
        assert_eq!(session_token::mint(&key, claims), text);
    }
    let (place, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let Some((session, rest)) = rest.split_first_chunk::<16>() else { return };
    let Some((id, rest)) = rest.split_first_chunk::<16>() else { return };
    let Some((issued_at, rest)) = rest.split_first_chunk::<8>() else { return };
    let Some(expires_at) = rest.first_chunk::<8>() else { return };
    let claims = SessionClaims {
        session_id: SessionId::from(Uuid::from_bytes(*session)),
        id: AccessTokenId::from_bytes(*id),
        issued_at: i64::from_be_bytes(*issued_at),
        expires_at: i64::from_be_bytes(*expires_at),
    };
    let text = session_token::mint(&key, claims);
    let verified =
        |text: &str| UnverifiedSessionToken::parse(text).and_then(|it| it.verify([&key]));
    assert_eq!(verified(&text), Some(claims));
    assert_eq!(verified(&with_another_character(&text, place)), None, "a forgery verifies");
}

/// An auth-server's token is found in the table only by a text that the table can hold, and only the
/// auth-server's own signature verifies.
pub(super) fn legacy_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(parsed) = UnverifiedLegacyToken::parse(text) else { return };
    let is_verified = parsed.verify(&CookieKey::new(&SECRET));
    let token = parsed.clone().into_token();
    assert!((16..=255).contains(&token.len()));
    assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b"%.".contains(&byte)));
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), token.as_bytes());
    let signed = format!("{token}.{}", STANDARD.encode(made));
    let again = UnverifiedLegacyToken::parse(&signed);
    assert!(again.is_some_and(|again| again.verify(&CookieKey::new(&SECRET))));
    assert!(!is_verified || UnverifiedLegacyToken::parse(&signed) == Some(parsed));
}

/// Returns the text with another character in one place.
fn with_another_character(text: &str, place: u8) -> String {
    let place = usize::from(place) % text.len();
    let other = |(at, one): (usize, char)| match (at == place, one) {
        (false, _) => one,
        (true, 'A') => 'B',
        (true, _) => 'A',
    };
    text.chars().enumerate().map(other).collect()
}
