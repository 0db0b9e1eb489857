//! The vocabulary: what a token is, and the rules that decide what happens to it.
//!
//! All of it is pure: nothing here does I/O, reads a clock or draws random bytes. Callers pass
//! them in as arguments.
//!
//! * [`id`]: identifiers of users, sessions, access tokens and requests
//! * [`grant`]: the audience, scopes and claims that a login asked for
//! * [`client`]: a description of the device that logged in
//! * [`access`]: the access token's claims (RFC 9068)
//! * [`jws`]: the compact form that carries them (RFC 7515)
//! * [`key`]: a signing key as it is stored
//! * [`refresh`]: the refresh token, its hash and its MAC
//! * [`session_token`]: the opaque access token
//! * [`legacy`]: the session tokens of the product's existing auth-server
//! * [`method`], [`rollout`]: the kinds of access token, and which user gets which
//! * [`seal`]: encryption of a stored token under a secret that is not stored
//! * [`lifetimes`]: the lifetimes that a login asked for its own session
//! * [`session`]: one login as it is stored
//! * [`event`]: what happened to a session
//! * [`device`]: the device that a session is bound to; [`device_proof`], [`device_mac`]: what is exchanged
//!   with it; [`device_verdict`]: what it means for a refresh token
//! * [`rotation`]: the verdict on a presented refresh token
//! * [`field`]: the error for an invalid request field

pub mod access;
pub mod client;
pub mod device;
pub mod device_mac;
pub mod device_proof;
pub mod device_verdict;
pub mod event;
pub mod field;
pub mod grant;
pub mod id;
pub mod jws;
pub mod key;
pub mod legacy;
mod lenient;
pub mod lifetimes;
pub mod method;
pub mod refresh;
pub mod rollout;
pub mod rotation;
pub mod seal;
pub mod session;
pub mod session_token;
