//! The texts by which this service recognizes a bound device again, without state: the *binding*, which
//! the bound cookie carries, and the *challenge*, which a device signs.
//!
//! A binding's text is `tab_` and 118 characters of base64url: the session's id (16 bytes), the
//! thumbprint of the device's key (32), its end in seconds (8, big-endian), and an HMAC-SHA256 over all of
//! these. It is not a token: no route or RPC accepts it in the place of one.
//!
//! A challenge's text is 54 characters of base64url: the number of a time step (8 bytes, big-endian), and
//! an HMAC-SHA256 over the session, the key and the step. All challenges of one step are equal, so a
//! browser can sign one before it is needed, and use the signature again.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::device::Thumbprint;
use super::id::SessionId;
use super::refresh::TokenHash;
use crate::clock::Timestamp;

/// The prefix of every binding. Scanners for leaked secrets recognize it.
pub const PREFIX: &str = "tab_";

const SIGNED: usize = 16 + 32 + 8;
const MAC: usize = 32;
const BODY: usize = SIGNED + MAC;
const ENCODED_BODY: usize = (BODY * 4).div_ceil(3);
const CHALLENGE: usize = 8 + MAC;
const ENCODED_CHALLENGE: usize = (CHALLENGE * 4).div_ceil(3);
const KEY_LABEL: &[u8] = b"token-authority/device-binding/v1";

/// For how many steps after its own a challenge is accepted. A challenge must outlive the cookie that
/// came with it, or each renewal would need a second round trip. With more steps, a proof that somebody
/// has copied could be used for longer.
const STEPS_KEPT: u64 = 2;

/// A key that authenticates bindings and challenges. Does not print.
#[derive(Clone)]
pub struct DeviceMacKey(hmac::Key);

impl DeviceMacKey {
    /// Derives the key from a secret as the HMAC of a label. No other use of the secret produces the
    /// same key.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), KEY_LABEL);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    fn mac(&self, kind: u8, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[kind]);
        // Each kind has parts of fixed lengths, so no two messages are equal.
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for DeviceMacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceMacKey(…)")
    }
}

/// The contents of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its session.
    pub session_id: SessionId,
    /// The device's key.
    pub thumbprint: Thumbprint,
    /// When it ends, in seconds. It has expired at this moment.
    pub expires_at: i64,
}

const BINDING_KIND: u8 = 0;

impl Binding {
    fn to_bytes(self) -> [u8; SIGNED] {
        let mut bytes = [0; SIGNED];
        bytes[..16].copy_from_slice(self.session_id.as_uuid().as_bytes());
        bytes[16..48].copy_from_slice(self.thumbprint.as_bytes());
        bytes[48..].copy_from_slice(&self.expires_at.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; SIGNED]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (thumbprint, rest) = rest.split_first_chunk::<32>()?;
        Some(Self {
            session_id: SessionId::from(uuid::Uuid::from_bytes(*session)),
            thumbprint: Thumbprint::new(*thumbprint),
            expires_at: i64::from_be_bytes(*rest.first_chunk::<8>()?),
        })
    }

    /// Mints its text. Secret.
    #[must_use]
    pub fn mint(self, key: &DeviceMacKey) -> String {
        let signed = self.to_bytes();
        let mut body = [0; BODY];
        body[..SIGNED].copy_from_slice(&signed);
        body[SIGNED..].copy_from_slice(key.mac(BINDING_KIND, &[&signed]).as_ref());
        let mut text = String::with_capacity(PREFIX.len() + ENCODED_BODY);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(body, &mut text);
        text
    }

    /// Returns the session that a text names, whoever made it.
    #[must_use]
    pub fn unverified_session(text: &str) -> Option<SessionId> {
        let encoded = text.strip_prefix(PREFIX).filter(|text| text.len() == ENCODED_BODY)?;
        let body = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        body.first_chunk::<16>().map(|id| SessionId::from(uuid::Uuid::from_bytes(*id)))
    }

    /// Reads a presented text if one of these keys made it. Only the exact text that [`Self::mint`]
    /// returns is a binding.
    #[must_use]
    pub fn verify<'a>(
        text: &str,
        keys: impl IntoIterator<Item = &'a DeviceMacKey>,
    ) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX).filter(|text| text.len() == ENCODED_BODY)?;
        let mut body = [0; BODY + 2];
        let read = URL_SAFE_NO_PAD.decode_slice(encoded, &mut body).ok()?;
        let (signed, mac) = body.get(..read)?.split_first_chunk::<SIGNED>()?;
        let made_it =
            |key: &DeviceMacKey| bool::from(key.mac(BINDING_KIND, &[signed]).as_ref().ct_eq(mac));
        keys.into_iter().any(made_it).then(|| Self::from_bytes(signed)).flatten()
    }
}

/// What a challenge is for. A proof for one purpose is refused for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The registration of a key that is not known yet, with this refresh token. Only the answer that
    /// carries the token carries the challenge, so a copy of a cookie jar registers no device.
    Registration(TokenHash),
    /// A renewal by the device with this key.
    Renewal(Thumbprint),
}

/// The challenges of one session for one purpose.
#[derive(Debug, Clone, Copy)]
pub struct Challenges {
    /// The session.
    pub session_id: SessionId,
    /// What they are for.
    pub purpose: Purpose,
    /// The length of a step: the lifetime of a binding.
    pub step: Duration,
}

impl Challenges {
    /// Mints the challenge of this moment.
    #[must_use]
    pub fn mint(&self, key: &DeviceMacKey, now: Timestamp) -> String {
        let step = self.step_at(now).to_be_bytes();
        let mut body = [0; CHALLENGE];
        body[..8].copy_from_slice(&step);
        body[8..].copy_from_slice(self.mac(key, step).as_ref());
        URL_SAFE_NO_PAD.encode(body)
    }

    /// Returns whether one of these keys made the challenge, and it is recent. The clock of the replica
    /// that made it may be ahead by up to a step.
    #[must_use]
    pub fn accepts<'a>(
        &self,
        challenge: &str,
        keys: impl IntoIterator<Item = &'a DeviceMacKey>,
        now: Timestamp,
    ) -> bool {
        if challenge.len() != ENCODED_CHALLENGE {
            return false;
        }
        let mut body = [0; CHALLENGE + 2];
        let Ok(read) = URL_SAFE_NO_PAD.decode_slice(challenge, &mut body) else { return false };
        let Some((step, mac)) = body.get(..read).and_then(|body| body.split_first_chunk::<8>())
        else {
            return false;
        };
        let (made, current) = (u64::from_be_bytes(*step), self.step_at(now));
        let is_recent =
            made <= current.saturating_add(1) && made.saturating_add(STEPS_KEPT) >= current;
        let made_it = |key: &DeviceMacKey| bool::from(self.mac(key, *step).as_ref().ct_eq(mac));
        is_recent && keys.into_iter().any(made_it)
    }

    fn step_at(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_seconds()).unwrap_or(0) / self.step.as_secs().max(1)
    }

    fn mac(&self, key: &DeviceMacKey, step: [u8; 8]) -> hmac::Tag {
        let id = self.session_id.as_uuid();
        match &self.purpose {
            Purpose::Registration(token) => key.mac(1, &[id.as_bytes(), token.as_bytes(), &step]),
            Purpose::Renewal(thumbprint) => {
                key.mac(2, &[id.as_bytes(), thumbprint.as_bytes(), &step])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP: Duration = Duration::from_mins(5);

    fn key(byte: u8) -> DeviceMacKey {
        DeviceMacKey::derive(&[byte; 32])
    }

    fn id(byte: u8) -> SessionId {
        SessionId::new(Timestamp::from_seconds(1_700_000_000), [byte; 10])
    }

    fn registration(byte: u8) -> Purpose {
        Purpose::Registration(TokenHash::from([byte; 32]))
    }

    fn binding() -> Binding {
        let thumbprint = Thumbprint::new([9; 32]);
        Binding { session_id: id(3), thumbprint, expires_at: 1_700_000_300 }
    }

    #[test]
    fn any_of_the_keys_may_have_made_a_binding() {
        let text = binding().mint(&key(1));
        assert_eq!(text.len(), PREFIX.len() + 118);
        assert_eq!(Binding::verify(&text, [&key(2), &key(1)]), Some(binding()));
        assert_eq!(Binding::verify(&text, [&key(2)]), None);
        assert_eq!(Binding::unverified_session(&text), Some(id(3)));
        assert_eq!(Binding::unverified_session("tab_AA"), None);
        assert_eq!(Binding::verify(&text, []), None);
        assert_eq!(format!("{:?}", key(1)), "DeviceMacKey(…)");
    }

    #[test]
    fn a_challenge_outlives_the_cookie_and_ends() {
        let all = Challenges { session_id: id(3), purpose: registration(1), step: STEP };
        for offset in [0, 1, 150, 299] {
            let at = |seconds: i64| Timestamp::from_seconds(1_700_000_100 + offset + seconds);
            let challenge = all.mint(&key(1), at(0));
            assert_eq!(challenge.len(), ENCODED_CHALLENGE);
            for later in [0, 1, 300, 420, 599, 600] {
                assert!(all.accepts(&challenge, [&key(1)], at(later)), "{offset}, {later}");
            }
            assert!(!all.accepts(&challenge, [&key(1)], at(900)), "{offset}");
            assert!(all.accepts(&challenge, [&key(1)], at(-1)), "a clock that is behind");
            assert!(!all.accepts(&challenge, [&key(1)], at(-601)), "{offset}");
            assert!(!all.accepts(&challenge, [&key(2)], at(0)), "{offset}");
        }
    }

    #[test]
    fn a_challenge_is_of_one_session_one_key_and_one_purpose() {
        let now = Timestamp::from_seconds(1_700_000_100);
        let of = |session, purpose| Challenges { session_id: id(session), purpose, step: STEP };
        let one = Purpose::Renewal(Thumbprint::new([1; 32]));
        let other = Purpose::Renewal(Thumbprint::new([2; 32]));
        let kinds =
            [of(1, registration(1)), of(1, registration(2)), of(1, one), of(1, other), of(2, one)];
        for (i, made) in kinds.iter().enumerate() {
            let challenge = made.mint(&key(1), now);
            for (j, asked) in kinds.iter().enumerate() {
                assert_eq!(asked.accepts(&challenge, [&key(1)], now), i == j, "{i}, {j}");
            }
            let binding = binding().mint(&key(1));
            assert!(!made.accepts(&binding, [&key(1)], now), "a binding is no challenge");
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_a_forgery(bit in 0..BODY * 8) {
            let text = binding().mint(&key(1));
            let mut body = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
            body[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body));
            prop_assert_eq!(Binding::verify(&text, [&key(1)]), None);
        }

        #[test]
        fn no_two_texts_are_the_same_binding(position in 0..ENCODED_BODY, other in "[A-Za-z0-9_-]") {
            let text = binding().mint(&key(1));
            let at = PREFIX.len() + position;
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(Binding::verify(&changed, [&key(1)]).is_some(), changed == text);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String, now: i64) {
            let _ = Binding::verify(&text, [&key(1)]);
            let _ = Binding::verify(&format!("{PREFIX}{text}"), [&key(1)]);
            let all = Challenges { session_id: id(3), purpose: registration(1), step: STEP };
            let _ = all.accepts(&text, [&key(1)], Timestamp::from_micros(now));
        }
    }
}
