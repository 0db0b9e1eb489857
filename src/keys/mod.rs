//! The keys that sign access tokens, and those that still verify them.
//!
//! A token names its key by `kid`; the key, never the token, decides the algorithm
//! (RFC 8725 section 3.1).
//!
//! * [`ring`]: the keys at work: sign, verify by `kid`, publish
//! * [`life`]: prepared → active → retiring → gone, as a function of the clock
//! * [`key`]: one key at work
//! * [`pair`], [`jwk`]: key pairs and their public halves; [`hs256`]: shared secrets
//! * [`secret`]: bytes that do not print

pub mod hs256;
pub mod jwk;
pub mod key;
pub mod life;
pub mod pair;
pub mod ring;
pub mod secret;
pub mod session_tokens;
mod verify_error;

pub use ring::KeyRing;
pub use secret::Secret;
pub use session_tokens::SessionTokenKeys;
pub use verify_error::VerifyError;
