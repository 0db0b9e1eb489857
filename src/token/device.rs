//! The device that a session is bound to: its public key, and when it was registered (DBSC).
//!
//! A refresh token that was handed out since the registration is refused without the device. An earlier
//! one is not: its holder may be the victim of whoever registered. `docs/adr/0007-device-bound-sessions.md` explains why.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id::Generation;
use super::key::Algorithm;
use crate::clock::Timestamp;

/// The algorithms that a device may sign with. The offer to the browser names them.
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Rs256];

/// The SHA-256 thumbprint of a public key (RFC 7638).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Wraps the 32 bytes of a hash.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// A device's public key. Its private half never leaves the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey {
    /// The key as the JSON text whose SHA-256 is the thumbprint.
    pub jwk: String,
    /// Its thumbprint.
    pub thumbprint: Thumbprint,
    /// The only algorithm that its proofs may use.
    pub algorithm: Algorithm,
}

/// The binding of a session to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBinding {
    /// The device's key.
    pub key: DeviceKey,
    /// The generation of the refresh token that registered it.
    pub generation: Generation,
    /// When it was registered.
    pub bound_at: Timestamp,
}

impl DeviceBinding {
    /// Returns whether a request showed the binding to this device.
    #[must_use]
    pub fn is_shown(&self, shown: Shown) -> bool {
        shown == Shown::Key(self.key.thumbprint)
    }

    /// Returns whether a refresh token of this generation is refused for lack of the device.
    #[must_use]
    pub fn refuses(&self, generation: Generation, shown: Shown) -> bool {
        let is_needed = generation >= self.generation && shown != Shown::Ignored;
        is_needed && !self.is_shown(shown)
    }
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The session is bound to the device now.
    New,
    /// The session was bound to this device before.
    Again,
    /// The session is bound to another device, and stays so.
    Taken,
    /// The refresh token is refused, or not the current one.
    Refused,
}

/// What a request showed of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It does not matter: device-bound sessions are switched off.
    Ignored,
    /// No binding, or one that has expired or that is not of this session.
    Nothing,
    /// A valid binding to the device with this key.
    Key(Thumbprint),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_since_the_registration_are_refused_without_the_device() {
        let thumbprint = Thumbprint::new([1; 32]);
        let key = DeviceKey { jwk: "{}".to_owned(), thumbprint, algorithm: Algorithm::Es256 };
        let (generation, bound_at) = (Generation::new(3), Timestamp::from_seconds(1000));
        let device = DeviceBinding { key, generation, bound_at };
        let other = Shown::Key(Thumbprint::new([2; 32]));
        let all = [Shown::Ignored, Shown::Key(thumbprint), Shown::Nothing, other];
        let refuses = |number| all.map(|shown| device.refuses(Generation::new(number), shown));
        assert_eq!(refuses(2), [false; 4]);
        assert_eq!(refuses(3), [false, false, true, true]);
        assert_eq!(refuses(4), [false, false, true, true]);
    }

    #[test]
    fn a_thumbprint_has_one_text() {
        let thumbprint = Thumbprint::new([7; 32]);
        assert_eq!(Thumbprint::parse(&thumbprint.to_string()), Some(thumbprint));
        for bad in ["", "AA", &"A".repeat(44), "é"] {
            assert_eq!(Thumbprint::parse(bad), None, "{bad}");
        }
    }
}
