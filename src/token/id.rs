//! Identifiers of users, sessions, access tokens and retried requests.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::field::{InvalidField, bounded};
use crate::clock::Timestamp;

/// A user's id as the product defines it: 1 to 255 bytes of UTF-8 without control characters. It
/// becomes the access token's `sub`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// Checks a user's id.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if it is empty, longer than 255 bytes, or contains a control
    /// character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidField> {
        let id = id.into();
        bounded("user_id", &id, 255, "must be 1 to 255 bytes without control characters")?;
        Ok(Self(id))
    }

    /// Returns the id that stands for the user of a session after that user was erased: the session's
    /// own. It is a valid id, so that versions which know nothing of erasure can read it.
    #[must_use]
    pub fn erased(session_id: SessionId) -> Self {
        Self(session_id.to_string())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A session's id: a version 7 UUID (RFC 9562). New rows are therefore adjacent in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Uuid);

impl SessionId {
    /// The smallest id. No session has it.
    pub const NIL: Self = Self(Uuid::nil());

    /// Creates an id from the current time and ten random bytes.
    #[must_use]
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Returns when the id was created, by the clock of the replica that created it. `None`: this
    /// service did not create the id.
    #[must_use]
    pub fn created_at(self) -> Option<Timestamp> {
        let (bytes, is_ours) = (self.0.as_bytes(), self.0.get_version_num() == 7);
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&bytes[..6]);
        // 48 bits of milliseconds are far below the limit of microseconds in 64 bits.
        let micros = i64::from_be_bytes(millis).saturating_mul(1000);
        is_ours.then_some(Timestamp::from_micros(micros))
    }

    /// The id as a UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for SessionId {
    type Err = InvalidField;
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidField::new("session_id", "must be a UUID"))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of refresh tokens that were minted for the session before this one: 0 for the
/// first. Displaced tokens count too, so no two tokens of a session share a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

impl Generation {
    /// The generation of a session's first token.
    pub const FIRST: Self = Self(0);

    /// Creates a generation from its number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The next generation.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How often all access tokens of a session were declared stale. A token of an earlier epoch is
/// refused. A time could not tell the tokens apart: `iat` has whole seconds, and replicas' clocks
/// differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch of a session whose access tokens were never declared stale.
    pub const FIRST: Self = Self(0);
    /// The last epoch: 24 bits fit into a token's id.
    const LAST: u32 = (1 << 24) - 1;

    /// Creates an epoch from its number. Numbers beyond the last epoch count as that.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(if number > Self::LAST { Self::LAST } else { number })
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The next epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

/// An access token's `jti`: a UUID whose last 32 bits are the generation of the refresh token that
/// was issued with it. A later use of the access token is a receipt for that response.
///
/// * In the first epoch of its session it is a version 8 UUID (RFC 9562 section 5.8) with 90 random
///   bits. Earlier versions of this service minted no other.
/// * In a later epoch it is one of version 4 with 66 random bits, and the 24 bits before the
///   generation are the epoch. The version tells the two apart, so that random bits of the first form
///   are never taken for an epoch.
/// * If its session was bound to a device, it is one of version 4 in any epoch, and 18 of the random bits
///   are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccessTokenId(Uuid);

/// The bytes 7 to 9 of a bound session's `jti`, with the version 4 and the variant of RFC 9562.
const BOUND_MARK: [u8; 3] = [0x4d, 0xdb, 0x9b];

impl AccessTokenId {
    /// Creates an id from the generation, the session's epoch and twelve random bytes.
    #[must_use]
    pub fn new(generation: Generation, epoch: Epoch, random: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&random);
        bytes[12..].copy_from_slice(&generation.number().to_be_bytes());
        if epoch == Epoch::FIRST {
            return Self(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        }
        bytes[9..12].copy_from_slice(&epoch.number().to_be_bytes()[1..]);
        let id = Self(uuid::Builder::from_random_bytes(bytes).into_uuid());
        if !id.is_device_bound() {
            return id;
        }
        // By chance, the random bits are the mark.
        bytes[7] ^= 1;
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Marks the token of a session that is bound to a device.
    #[must_use]
    pub fn device_bound(self) -> Self {
        let (epoch, mut bytes) = (self.epoch(), *self.as_bytes());
        bytes[6..9].copy_from_slice(&BOUND_MARK);
        bytes[9..12].copy_from_slice(&epoch.number().to_be_bytes()[1..]);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Returns whether the token's session was bound to a device when the token was minted.
    #[must_use]
    pub fn is_device_bound(self) -> bool {
        self.as_bytes()[6..9] == BOUND_MARK
    }

    /// Reads from a `jti` whether the session was bound to a device. A text that is not a UUID says no.
    #[must_use]
    pub fn device_bound_of(jti: &str) -> bool {
        Uuid::try_parse(jti).is_ok_and(|uuid| Self(uuid).is_device_bound())
    }

    /// The epoch of its session when it was minted.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        let bytes = self.0.as_bytes();
        match self.0.get_version() {
            Some(uuid::Version::Random) => {
                Epoch(u32::from_be_bytes([0, bytes[9], bytes[10], bytes[11]]))
            }
            _ => Epoch::FIRST,
        }
    }

    /// Reads the epoch from a `jti`. A text that is not a UUID is of the first epoch.
    #[must_use]
    pub fn epoch_of(jti: &str) -> Epoch {
        Uuid::try_parse(jti).map_or(Epoch::FIRST, |uuid| Self(uuid).epoch())
    }

    /// Creates an id from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the generation from a `jti` of this service. Returns `None` for any other text.
    #[must_use]
    pub fn generation_of(jti: &str) -> Option<Generation> {
        let uuid = Uuid::try_parse(jti).ok()?;
        if !matches!(uuid.get_version(), Some(uuid::Version::Custom | uuid::Version::Random)) {
            return None;
        }
        let bytes = uuid.as_bytes();
        Some(Generation(u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])))
    }
}

impl fmt::Display for AccessTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id under which a caller may retry a login. It decrypts the login's stored first tokens, so
/// it does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for RequestId {
    type Err = InvalidField;
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        match Uuid::try_parse(text) {
            Ok(uuid) if !uuid.is_nil() => Ok(Self(uuid)),
            _ => Err(InvalidField::new("request_id", "must be a UUID other than the nil one")),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_bounded() {
        assert!(UserId::new("u").is_ok());
        assert!(UserId::new("ü".repeat(127)).is_ok());
        for bad in ["", "a\0b", "a\nb", "\u{85}", &"x".repeat(256)] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_session_id_contains_its_creation() {
        let at = Timestamp::from_micros(1_750_000_000_123_000);
        assert_eq!(SessionId::new(at, [0xFF; 10]).created_at(), Some(at));
        assert_eq!(SessionId::NIL.created_at(), None);
        assert_eq!(SessionId(Uuid::from_bytes([0xFF; 16])).created_at(), None);
    }

    #[test]
    fn epochs_end_and_foreign_ids_are_of_the_first() {
        assert_eq!(Epoch::new(u32::MAX).next(), Epoch::new(Epoch::LAST));
        for foreign in ["", "7", "018f3b1e-0000-7000-8000-0000ff000001"] {
            assert_eq!(AccessTokenId::epoch_of(foreign), Epoch::FIRST, "{foreign}");
        }
    }

    #[test]
    fn an_access_token_id_says_whether_its_session_is_bound() {
        for epoch in [0, 7, Epoch::LAST] {
            let epoch = Epoch::new(epoch);
            // The last of these random bytes are the mark by chance.
            for random in [[0; 12], [0x4d; 12], [0, 0, 0, 0, 0, 0, 0xfd, 0xdb, 0xdb, 0, 0, 0]] {
                let id = AccessTokenId::new(Generation::new(5), epoch, random);
                assert!(!id.is_device_bound() && !AccessTokenId::device_bound_of(&id.to_string()));
                let bound = id.device_bound();
                assert!(AccessTokenId::device_bound_of(&bound.to_string()));
                assert_eq!(bound.epoch(), epoch);
                let generation = AccessTokenId::generation_of(&bound.to_string());
                assert_eq!(generation, Some(Generation::new(5)));
            }
        }
        assert!(!AccessTokenId::device_bound_of("anything"));
    }

    #[test]
    fn an_access_token_id_contains_its_generation() {
        for number in [0, 1, 77, u32::MAX] {
            for epoch in [0, 1, 0x01_0203, Epoch::LAST] {
                let epoch = Epoch::new(epoch);
                let id = AccessTokenId::new(Generation::new(number), epoch, [0xFF; 12]);
                let text = id.to_string();
                assert_eq!(AccessTokenId::generation_of(&text), Some(Generation::new(number)));
                assert_eq!((AccessTokenId::epoch_of(&text), id.epoch()), (epoch, epoch));
            }
        }
        assert_eq!(AccessTokenId::generation_of("018f3b1e-0000-7000-8000-000000000001"), None);
        assert_eq!(AccessTokenId::generation_of("anything"), None);
    }
}
