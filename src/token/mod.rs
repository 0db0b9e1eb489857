//! The vocabulary: what a token is, and what may become of it. Pure.
//!
//! Nothing here does I/O, reads a clock or draws a random byte: each comes in as an argument.
//!
//! * [`id`]: users, sessions, access tokens by name
//! * [`grant`]: what a login asked to be carried in its access tokens
//! * [`client`]: the device that logged in, for people to read
//! * [`access`]: the access token's claims (RFC 9068)
//! * [`jws`]: the compact form that carries them (RFC 7515)
//! * [`key`]: a signing key, as it is kept
//! * [`refresh`]: the refresh token, its hash and its proof of origin
//! * [`session_token`]: the opaque access token
//! * [`legacy`]: the tokens of sessions that were there before
//! * [`method`], [`rollout`]: the kinds of access token, and who is given which
//! * [`seal`]: keeping a token so that only its predecessor opens it
//! * [`session`]: one login, as stored
//! * [`rotation`]: the verdict on a presented refresh token
//! * [`field`]: what a caller got wrong

pub mod access;
pub mod client;
pub mod field;
pub mod grant;
pub mod id;
pub mod jws;
pub mod key;
pub mod legacy;
pub mod method;
pub mod refresh;
pub mod rollout;
pub mod rotation;
pub mod seal;
pub mod session;
pub mod session_token;
