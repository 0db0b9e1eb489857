//! The keys that sign access tokens, and those that still verify them.
//!
//! A token names its key by `kid`. The key decides the algorithm, never the token (RFC 8725
//! section 3.1).
//!
//! * [`ring`]: all loaded keys: sign, verify by `kid`, publish
//! * [`life`]: prepared → active → retiring → gone, as a function of the time
//! * [`key`]: one loaded key
//! * [`pair`], [`jwk`]: key pairs and their public halves; [`hs256`]: shared secrets
//! * [`session_tokens`]: the keys of session tokens
//! * [`first_tokens`]: the keys that seal the first tokens of a login
//! * [`device`]: the keys of device-bound sessions
//! * [`secret`]: bytes that do not print

pub mod device;
pub mod first_tokens;
pub mod hs256;
pub mod jwk;
pub mod key;
pub mod life;
pub mod pair;
pub mod ring;
pub mod secret;
pub mod session_tokens;
mod verify_error;

pub use device::DeviceKeys;
pub use first_tokens::FirstTokenKeys;
pub use ring::KeyRing;
pub use secret::Secret;
pub use session_tokens::SessionTokenKeys;
pub use verify_error::VerifyError;
