//! The keys that sign access tokens, and those that still verify them.
//!
//! A token names its key by `kid`; the key, never the token, decides the algorithm
//! (RFC 8725 section 3.1).

pub mod hs256;
pub mod ring;
pub mod secret;
pub mod session_tokens;

pub use ring::{KeyRing, Refusal};
pub use secret::Secret;
pub use session_tokens::SessionTokenKeys;
